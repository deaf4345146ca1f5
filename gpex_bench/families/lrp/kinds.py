"""Kinds of modules in the graph of a rewritten network, by what relevance does at them."""

from __future__ import annotations

from collections.abc import Iterator

from torch import fx, nn

from gpex_bench.families.lrp.layers import NORMS, WEIGHTED
from gpex_bench.models.rewriting import operations as ops

# One input, one output: relevance passes unchanged, whatever the function gives for 0.
ACTIVATIONS = (
    ops.ElementWise,
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.PReLU,
    nn.RReLU,
    nn.ELU,
    nn.SELU,
    nn.CELU,
    nn.GELU,
    nn.SiLU,
    nn.Mish,
    nn.Hardswish,
    nn.Hardsigmoid,
    nn.Hardtanh,
    nn.Hardshrink,
    nn.Softshrink,
    nn.Tanhshrink,
    nn.Threshold,
    nn.Softplus,
    nn.Softsign,
    nn.Sigmoid,
    nn.LogSigmoid,
    nn.Tanh,
)
# The sample's own statistics are constants, and there is no mean to subtract.
SCALED = (nn.RMSNorm, nn.LocalResponseNorm)
CENTRED = (
    nn.LayerNorm,
    nn.GroupNorm,
    nn.InstanceNorm1d,
    nn.InstanceNorm2d,
    nn.InstanceNorm3d,
)
SUMS = (
    ops.Add,
    ops.Mean,
    ops.Total,
    ops.Resample,
    nn.AvgPool1d,
    nn.AvgPool2d,
    nn.AvgPool3d,
    nn.AdaptiveAvgPool1d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveAvgPool3d,
)
# Values move: all relevance goes back to where they came from.
LINEAR_MOVES = (ops.Move, ops.Concatenate, ops.Stack, nn.Flatten, nn.Unflatten, nn.PixelShuffle)
WINNERS = (
    ops.Extreme,
    nn.MaxPool1d,
    nn.MaxPool2d,
    nn.MaxPool3d,
    nn.AdaptiveMaxPool1d,
    nn.AdaptiveMaxPool2d,
    nn.AdaptiveMaxPool3d,
)
AFFINE = (*NORMS, ops.Shift, ops.Scale)
GATES = (nn.Sigmoid, nn.Hardsigmoid, ops.Softmax)
# What a gate stays a gate through.
GATE_PATH = (ops.Move, ops.Scale, ops.Shift, ops.ElementWise, ops.Divide, nn.Hardtanh)
SIGMOIDS = frozenset({"Tanh", "erf", "special_erf"})  # gates, once they are shifted
DEVIATIONS = frozenset({"sqrt", "norm", "linalg_norm", "linalg_vector_norm", "std"})
# What keeps the order of its inputs, so that it maps bounds to bounds.
ORDERED = (
    *LINEAR_MOVES,
    *WINNERS,
    *SUMS,
    *AFFINE,
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.SELU, nn.CELU, nn.Softplus),
    *(nn.Sigmoid, nn.Hardsigmoid, nn.Tanh, nn.Hardtanh, nn.Softsign),
)
KNOWN = (
    *(*WEIGHTED, *AFFINE, *SUMS, *CENTRED, *SCALED, *ACTIVATIONS, *LINEAR_MOVES, *WINNERS),
    *(ops.Product, ops.MatrixProduct, ops.Softmax),
)
MASK = -1e3  # added constants below this take an entry out of a softmax: they are no bias


def name_of(module: nn.Module) -> str:
    """Return the name of an operation, as torch.nn or torch writes it."""
    return getattr(module, "name", type(module).__name__)


def makes_gaps(module: nn.Module) -> bool:
    """Return whether a move puts zeros between the values that it moves."""
    return isinstance(module, ops.Move) and module.name in ("pad", "tril", "triu")


def arguments(node: fx.Node) -> list[fx.Node]:
    """Return the nodes that a node reads, in the order of its arguments."""
    found: list[fx.Node] = []
    fx.node.map_arg(node.args, found.append)
    return found


# --- factors that take nothing ---


def is_gate(network: fx.GraphModule, node: fx.Node, gates: tuple[type, ...] = GATES) -> bool:
    """Return whether a signal is a gate, moved, scaled or over its sum."""
    seen: set[str] = set()  # on the way
    for module in _path(network, node):
        name = name_of(module)
        if isinstance(module, gates) or (name in SIGMOIDS and "Shift" in seen):
            return True
        if name == "Shift" and "ReLU6" in seen:
            return True
        seen.add(name)
    return False


def is_statistic(network: fx.GraphModule, node: fx.Node, is_inverse: bool) -> bool:
    """Return whether a signal is one over a deviation or a norm; inverse: over the signal."""
    for module in _path(network, node):
        name = name_of(module)
        if name == "rsqrt" or (is_inverse and name in DEVIATIONS):
            return True
        is_inverse = is_inverse or name == "reciprocal"
    return False


def _path(network: fx.GraphModule, node: fx.Node) -> Iterator[nn.Module]:
    """Yield the modules behind a signal, as long as they map one entry to another."""
    while node.op == "call_module":
        module = network.get_submodule(str(node.target))
        yield module
        if not isinstance(module, GATE_PATH):
            return
        node = arguments(node)[0]
