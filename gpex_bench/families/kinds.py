"""The kinds of operations that a rewritten network is made of: a method knows each, or refuses."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, NamedTuple

import torch
from torch import fx, nn

from gpex_bench.models.rewriting import Rewritten, place
from gpex_bench.models.rewriting import operations as ops
from gpex_bench.types.demands import Refused


class Kind(StrEnum):
    """What an operation does to the signals that it reads."""

    AFFINE = "affine"  # a linear map and a constant
    ACTIVATION = "activation"  # one function of one entry, entry by entry
    MAXIMUM = "maximum"  # the largest entries of a signal
    PRODUCT = "product"  # linear in each of two signals
    QUOTIENT = "quotient"  # of two signals
    SOFTMAX = "softmax"
    LOG_SOFTMAX = "logarithm of softmax"
    NORM = "norm"  # by statistics of the sample itself
    OTHER = "other"


class Part(NamedTuple):
    """One operation of a rewritten network that reads a signal."""

    node: fx.Node
    module: Any  # an nn.Module
    kind: Kind
    sources: tuple[fx.Node, ...]  # the signals that it reads

    @property
    def name(self) -> str:
        """The name of the module in the rewritten network."""
        return str(self.node.target)

    @property
    def words(self) -> str:
        """What it is and where, for messages."""
        return f"{label(self.module)} at {place(self.node)}"


AFFINE = (
    *(nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d),
    *(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
    *(nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d),
    *(nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d),
    *(nn.ZeroPad1d, nn.ZeroPad2d, nn.ZeroPad3d),
    *(nn.ConstantPad1d, nn.ConstantPad2d, nn.ConstantPad3d),
    *(nn.ReflectionPad1d, nn.ReflectionPad2d, nn.ReflectionPad3d),
    *(nn.ReplicationPad1d, nn.ReplicationPad2d, nn.ReplicationPad3d),
    *(nn.CircularPad1d, nn.CircularPad2d, nn.CircularPad3d),
    *(nn.Upsample, nn.PixelShuffle, nn.PixelUnshuffle, nn.ChannelShuffle, nn.Fold, nn.Unfold),
    *(nn.Flatten, nn.Unflatten, nn.Identity),
    *(ops.Add, ops.Shift, ops.Scale, ops.Concatenate, ops.Stack, ops.Mean, ops.Total),
    *(ops.Resample, ops.Move),
)
STATISTICS = (  # affine where they use running statistics
    *(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm),
    *(nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d),
)
RECTIFIERS = (nn.ReLU, nn.ReLU6, nn.Hardsigmoid)  # the last is relu6(z + 3) / 6
ACTIVATIONS = (
    *RECTIFIERS,
    *(nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.Threshold, nn.Hardtanh),
    *(nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Hardswish, nn.Softplus),
    *(nn.Sigmoid, nn.LogSigmoid, nn.Tanh, nn.Tanhshrink, nn.Softsign),
    *(nn.Softshrink, nn.Hardshrink, ops.ElementWise),
)
MAXIMA = (
    *(nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d),
    *(nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d),
    ops.Extreme,
)
NORMS = (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.LocalResponseNorm)

PLANES = (  # of images: their last two axes are row and column
    *(nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d, nn.InstanceNorm2d, nn.GroupNorm),
    *(nn.MaxPool2d, nn.AdaptiveMaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d),
    *(nn.Upsample, nn.PixelShuffle, nn.PixelUnshuffle, nn.LocalResponseNorm, ops.Resample),
)
REARRANGED = (  # names of moves after which the order of the axes is not known
    *("permute", "transpose", "t", "T", "mT", "H", "mH", "adjoint", "movedim", "moveaxis"),
    *("swapaxes", "swapdims", "view", "reshape", "flatten", "ravel", "unflatten", "unfold"),
    *("diagonal", "gather", "take_along_dim"),
)

TABLE: tuple[tuple[Kind, tuple[type, ...]], ...] = (
    (Kind.AFFINE, AFFINE),
    (Kind.ACTIVATION, ACTIVATIONS),
    (Kind.MAXIMUM, MAXIMA),
    (Kind.PRODUCT, (ops.Product, ops.MatrixProduct)),
    (Kind.QUOTIENT, (ops.Divide,)),
    (Kind.SOFTMAX, (ops.Softmax,)),
    (Kind.LOG_SOFTMAX, (nn.LogSoftmax,)),
    (Kind.NORM, NORMS),
)


def parts(written: Rewritten) -> list[Part]:
    """Return the operations that the input goes through, in the order in which they run.

    Raises:
        Refused: a batch norm normalises by the batch, so that the samples influence one another.
    """
    found = []
    signals: set[fx.Node] = set()
    modules = dict(written.network.named_modules())
    for node in written.network.graph.nodes:
        sources = tuple(source for source in node.all_input_nodes if source in signals)
        if node.op == "placeholder" or (sources and node.op == "call_module"):
            signals.add(node)
        if node in signals and node.op == "call_module":
            module = modules[str(node.target)]
            found.append(Part(node, module, _kind(module, node), sources))
    return found


def label(module: nn.Module) -> str:
    """Return the name of an operation, for messages."""
    return str(getattr(module, "name", "") or type(module).__name__)


def _kind(module: Any, node: fx.Node) -> Kind:
    if isinstance(module, STATISTICS):
        if not module.training and module.running_mean is not None:
            return Kind.AFFINE
        if isinstance(module, nn.modules.instancenorm._InstanceNorm):
            return Kind.NORM
        raise Refused(
            f"The batch norm at {place(node)} normalises by the batch, so that samples influence "
            "one another; call eval() and keep running statistics."
        )
    kinds = (kind for kind, types in TABLE if isinstance(module, types))
    return next(kinds, Kind.OTHER)


def is_rectifier(module: Any) -> bool:
    """Return whether an activation is max(z, 0), or that clipped from above; tried, not believed.

    A clamp, a threshold or a function that does the same is a ReLU by another name.
    """
    if isinstance(module, RECTIFIERS):
        return True
    if not isinstance(module, (nn.Threshold, nn.Hardtanh, ops.ElementWise)):
        return False

    z = torch.linspace(-20, 20, 161)
    try:
        with torch.no_grad():
            output = module.forward(z.clone())
    except (RuntimeError, TypeError, ValueError):  # it has parameters of another shape
        return False
    if output.shape != z.shape or not bool(output.max() > 0):
        return False
    clipped = z.clamp(min=0).clamp(max=float(output.max()))
    return bool(torch.equal(output, clipped))


def is_image(part: Part, by_node: dict[fx.Node, Part]) -> bool:
    """Return whether a signal of four axes is [batch, channel, row, column]."""
    if isinstance(part.module, PLANES):
        return True
    is_rearranged = isinstance(part.module, ops.Move) and part.module.name in REARRANGED
    if is_rearranged or isinstance(part.module, (nn.Linear, ops.MatrixProduct, ops.Stack)):
        return False
    return any(
        source.op == "placeholder" or is_image(by_node[source], by_node) for source in part.sources
    )
