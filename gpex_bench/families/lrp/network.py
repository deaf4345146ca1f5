"""Which rule each layer of a network gets, by the operations that run, not the registered modules.

Each layer's output is detached from the layer's own graph and attached to a node with the layer's
rule as its backward pass, so that autograd visits the rules only. Then the graph is read. A batch
norm after a linear layer whose output nothing else reads is folded into that layer; one that only
linear layers read is folded into these; any other (as in a DenseNet) is a layer of its own, whose
units have one input each. Max pooling passes relevance to the winner; activations let it pass.
Means that are called as functions are layers like the modules of average pooling. Every other
operation must only move values (reshape, join, select), or it is an error that names the place.

zennit (anders2021software) has the same rules, and the tests compare with it. It is not used here,
because it finds the layer of a batch norm by the order of registration, loses relevance where all
contributions are 0, has no alpha2-beta1 that conserves, and ignores unknown layers and bare
additions.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from gpex_bench.families.lrp.layers import NORMS, POOLS, WEIGHTED, Layer
from gpex_bench.families.lrp.rules import LayerRule
from gpex_bench.types.batches import RECORDED_ROWS

ACTIVATIONS = (
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.ELU,
    nn.SELU,
    nn.CELU,
    nn.GELU,
    nn.SiLU,
    nn.Hardswish,
    nn.Softplus,
)
JOINS = frozenset({"Cat", "Stack"})
MOVES = JOINS | {
    "View",
    "UnsafeView",
    "Reshape",
    "Alias",
    "Clone",
    "Permute",
    "Transpose",
    "T",
    "Squeeze",
    "Unsqueeze",
    "Expand",
    "Slice",
    "Select",
    "Index",
    "Split",
    "Unbind",
    "ConstantPadNd",
    "ReflectionPad2D",
    "ToCopy",
    "AccumulateGrad",
    # all relevance to the winner
    "MaxPool2DWithIndices",
    "MaxPool3DWithIndices",
    "AdaptiveMaxPool2D",
    # by a mask: products of two signals are refused
    "Mul",
}
MEANS = frozenset({torch.mean, Tensor.mean, functional.adaptive_avg_pool2d, functional.avg_pool2d})


class Composite(NamedTuple):
    """Which rule each kind of layer gets.

    The hidden layers of a network on a table, which has no convolutions, get `lower`.
    """

    first: LayerRule  # layers that see the input, through nothing with weights
    lower: LayerRule  # convolutions
    dense: LayerRule  # linear layers, the head among them
    sums: LayerRule  # average pooling and registered additions (modules called `Sum`)
    norms: LayerRule  # batch norms that could not be folded


class Filter(NamedTuple):
    """Relevance filtering: only the relevance of some channels of one module is passed on."""

    module: str  # name, as in named_modules()
    channels: Sequence[int]


def propagate(
    network: nn.Module,
    x: Float[Tensor, "batch *feature"],
    target: Int[Tensor, "batch"],
    composite: Composite,
    relevance_filter: Filter | None = None,
) -> tuple[Float[Tensor, "batch *feature"], Float[Tensor, "batch"]]:
    """Propagate the logit of each sample's target to its input.

    Works on a copy of the network, which keeps the hooks that count rows.

    Returns:
        The relevance of each input entry, and the logit minus the sum of the relevance.

    Raises:
        ValueError: no rule is known for something that the network does, or it has no module of
            the filter's name.
    """
    network = copy.deepcopy(network).requires_grad_(False)
    values, residuals = [], []
    chunks = zip(x.split(RECORDED_ROWS), target.split(RECORDED_ROWS), strict=True)
    for x_part, target_part in chunks:
        relevance, residual = _propagate(network, x_part, target_part, composite, relevance_filter)
        values.append(relevance)
        residuals.append(residual)
    return torch.cat(values), torch.cat(residuals)


def _propagate(
    network: Any,
    x: Tensor,
    target: Tensor,
    composite: Composite,
    relevance_filter: Filter | None,
) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        x = x.clone().requires_grad_()
        logits, names = _run(network, x, relevance_filter)

        nodes = _read(logits.grad_fn, names)
        _fold(nodes)
        for node in nodes:
            is_head = node.layer.module is network.head
            _give_rule(node, composite, is_hidden_in_table=x.ndim == 2 and not is_head)

        start = torch.zeros_like(logits)
        start.scatter_(1, target[:, None], logits.detach().gather(1, target[:, None]))
        with _without_biases(network):
            (values,) = torch.autograd.grad(logits, x, start)

    return values, start.sum(1) - values.flatten(1).sum(1)


@contextmanager
def _without_biases(network: nn.Module) -> Iterator[None]:
    """Take the biases out of the layers for a while: the rules add them themselves."""
    layers: list[Any] = [layer for layer in network.modules() if isinstance(layer, WEIGHTED)]
    biases = [layer.bias for layer in layers]
    for layer in layers:
        layer.bias = None
    yield
    for layer, bias in zip(layers, biases, strict=True):
        layer.bias = bias


# --- running ----------------------------------------------------


def _run(network: nn.Module, x: Tensor, relevance_filter: Filter | None) -> tuple[Tensor, Any]:
    """Return the logits, whose graph has a node for each layer, and the module of each node."""
    names: dict[Any, str] = {}
    handles = list(_hooks(network, names, relevance_filter))
    try:
        with _MeansAsLayers():
            logits = network(x)
    finally:
        for handle in handles:
            handle.remove()

    if not bool(logits.isfinite().all()):
        raise ValueError(
            "The network's outputs must be finite to be propagated; some are NaN or infinite."
        )
    return logits, names


class LayerNode(torch.autograd.Function):
    """The identity on a layer's output, whose backward pass is the layer's rule."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, output: Tensor, layer: Layer) -> Tensor:
        """Return the output."""
        ctx.layer = layer
        ctx.save_for_backward(a)
        return output.view_as(output)

    @staticmethod
    def backward(ctx: Any, relevance: Tensor) -> tuple[Tensor, None, None]:
        """Return the relevance of the input."""
        return ctx.layer.back(*ctx.saved_tensors, relevance), None, None


class _MeansAsLayers(TorchFunctionMode):
    """Makes layers of means that are called as functions: they share like average pooling."""

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        output = function(*args, **(kwargs or {}))
        if function not in MEANS or not output.requires_grad:
            return output
        signal, *others = args
        mean = _Mean(function, others, kwargs or {})
        return LayerNode.apply(signal, output.detach(), Layer(function.__name__, mean))


class _Mean(nn.Module):
    """A mean with the arguments that it was called with."""

    def __init__(self, function: Any, others: Any, named: Any) -> None:
        super().__init__()
        self.function = function
        self.others = others
        self.named = named

    def forward(self, x: Tensor) -> Tensor:
        """Return the mean."""
        return self.function(x, *self.others, **self.named)


def _hooks(
    network: nn.Module, names: dict[Any, str], relevance_filter: Filter | None
) -> Iterator[Any]:
    """Register what makes nodes of layers and notes which module made which node."""
    modules = dict(network.named_modules())
    if relevance_filter is not None and relevance_filter.module not in modules:
        known = ", ".join(filter(None, modules))
        raise ValueError(f"module must be one of {known}, got {relevance_filter.module!r}.")

    for name, module in modules.items():
        if hasattr(module, "inplace"):
            module.inplace = False  # the input of a layer is needed later
        if _is_layer(module):
            yield module.register_forward_hook(partial(_make_node, name))
        if relevance_filter is not None and name == relevance_filter.module:
            yield module.register_forward_hook(partial(_filter, relevance_filter.channels))
        yield module.register_forward_hook(partial(_note, names, name))


def _is_layer(module: nn.Module) -> bool:
    is_known = isinstance(module, WEIGHTED + POOLS + NORMS + ACTIVATIONS)
    return is_known or type(module).__name__ == "Sum"


def _make_node(name: str, module: nn.Module, args: Any, output: Tensor) -> Tensor:
    return LayerNode.apply(args[0], output.detach(), Layer(name, module))


def _note(names: dict[Any, str], name: str, module: nn.Module, args: Any, output: Any) -> None:
    node = getattr(output, "grad_fn", None)
    if node is not None:
        names.setdefault(node, f"module {name!r} ({type(module).__name__})")


def _filter(channels: Sequence[Any], module: nn.Module, args: Any, output: Tensor) -> None:
    """Let only the relevance of some channels pass."""
    n_channels = output.shape[1]
    unknown = [channel for channel in channels if not 0 <= channel < n_channels]
    if unknown:
        raise ValueError(f"channels must be between 0 and {n_channels - 1}, got {unknown}.")

    mask = torch.zeros(n_channels, dtype=output.dtype, device=output.device)
    mask[list(channels)] = 1
    mask = mask.view(-1, *[1] * (output.ndim - 2))
    output.register_hook(lambda relevance: relevance * mask)


# --- reading the graph ------------------------------------------


def _read(root: Any, names: dict[Any, str]) -> list[Any]:
    """Return the nodes of the layers that ran.

    Also sets `readers` of each: the nodes that read its output.

    Raises:
        ValueError: at a node that is neither a layer nor only moves values.
    """
    layers = []
    seen = {root}
    ahead = [(root, "the output")]
    while ahead:
        node, place = ahead.pop()
        place = names.get(node, place)
        sources = [source for source, _ in node.next_functions if source is not None]
        if hasattr(node, "layer"):
            layers.append(node)
        else:
            _check(node, len(sources), place)

        for source in sources:
            if hasattr(source, "layer"):
                source.readers = [*getattr(source, "readers", []), node]
            if source not in seen:
                seen.add(source)
                ahead.append((source, place))
    return layers


def _check(node: Any, n_inputs: int, place: str) -> None:
    """Raise ValueError for an operation that does more than move values."""
    kind = node.name().rstrip("0123456789").removesuffix("Backward").split("::")[-1]
    is_joined = n_inputs > 1 and kind not in JOINS
    is_scaled = kind == "Mul" and not _is_mask(node)
    if kind in MOVES and not is_joined and not is_scaled:
        return

    advice = "use a method that needs no modules"
    if kind == "Add":
        advice = "register additions as zennit.layer.Sum"
    raise ValueError(
        f"No propagation rule is known for the operation {kind} in or before {place}; {advice}."
    )


def _is_mask(node: Any) -> bool:
    """Return whether a product with a constant keeps or drops values, and does not scale them."""
    constants = [factor for factor in (node._saved_self, node._saved_other) if factor is not None]
    return all(bool(((factor == 0) | (factor == 1)).all()) for factor in constants)


def _fold(nodes: list[Any]) -> None:
    """Fold batch norms into the linear layers before or after them."""
    for node in nodes:
        norm = node.layer
        if not isinstance(norm.module, NORMS):
            continue

        source = node.next_functions[0][0]
        if _is_weighted(source) and len(source.readers) == 1:
            layer = source.layer
            layer.bias = layer.bias * norm.weight + norm.bias
            layer.weight = layer.weight * norm.weight.view(-1, *[1] * (layer.weight.ndim - 1))
            norm.is_folded = True
        elif all(_is_weighted(reader) and reader.layer.before is None for reader in node.readers):
            for reader in node.readers:
                reader.layer.before = norm.weight, norm.bias
            norm.is_folded = True


def _is_weighted(node: Any) -> bool:
    return hasattr(node, "layer") and isinstance(node.layer.module, WEIGHTED)


def _sees_input(node: Any) -> bool:
    """Return whether a layer reads the input through nothing with weights."""
    for source, _ in node.next_functions:
        if source is None or _is_weighted(source):
            continue
        if source.name().endswith("AccumulateGrad") or _sees_input(source):
            return True
    return False


def _give_rule(node: Any, composite: Composite, is_hidden_in_table: bool) -> None:
    layer = node.layer
    if isinstance(layer.module, ACTIVATIONS) or layer.is_folded:
        return
    if isinstance(layer.module, NORMS):
        layer.rule = composite.norms
    elif not _is_weighted(node):
        layer.rule = composite.sums
    elif _sees_input(node):
        layer.rule = composite.first
    elif is_hidden_in_table or layer.weight.ndim > 2:
        layer.rule = composite.lower
    else:
        layer.rule = composite.dense
