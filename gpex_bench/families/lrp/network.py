"""How the rules are laid over a network: by what runs, not by where it is registered.

Each layer's output is cut from the layer's own graph and hung on a node that knows the layer, so that autograd visits
the rules only. Then the graph is read: a batch norm after a linear layer whose output nothing else reads is folded into
it; one that only linear layers read is folded into these; any other (as in a DenseNet) is a layer of its own, whose
units have one input each. Max pooling passes relevance to the winner; activations let it pass. Means that are called as
functions are layers like the modules of average pooling. Whatever else runs must only move values (reshape, join,
select), or it is an error that names the place.

zennit (anders2021software) has the same rules and is the oracle of the tests. It is not used here, because it finds the
layer of a batch norm by the order of registration, loses relevance where there is nothing to share by, has no
alpha2-beta1 that conserves, and lets unknown layers and bare additions pass unseen.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from gpex_bench.families.lrp.layers import NORMS, POOLS, WEIGHTED, Laid
from gpex_bench.families.lrp.rules import LayerRule
from gpex_bench.types.passes import RECORDED_ROWS

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
    *(
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
    ),
    *(
        "Slice",
        "Select",
        "Index",
        "Split",
        "Unbind",
        "ConstantPadNd",
        "ReflectionPad2D",
        "ToCopy",
        "AccumulateGrad",
    ),
    *("MaxPool2DWithIndices", "MaxPool3DWithIndices", "AdaptiveMaxPool2D"),  # all to the winner
    "Mul",  # a mask (two signals are refused)
}
MEANS = frozenset({torch.mean, Tensor.mean, functional.adaptive_avg_pool2d, functional.avg_pool2d})


class Composite(NamedTuple):
    """Which rule each kind of layer gets; hidden layers of a network on a table, without convolutions, get `lower`."""

    first: LayerRule  # layers that see the input, through nothing with weights
    lower: LayerRule  # convolutions
    dense: LayerRule  # linear layers, the head among them
    sums: LayerRule  # average pooling and registered additions (modules called `Sum`)
    norms: LayerRule  # batch norms that could not be folded


class Kept(NamedTuple):
    """Relevance filtering: only what goes through some channels of one module is handed on."""

    module: str  # name, as in named_modules()
    channels: Sequence[int]


def propagate(
    network: nn.Module,
    x: Float[Tensor, "batch *feature"],
    target: Int[Tensor, "batch"],
    composite: Composite,
    kept: Kept | None = None,
) -> tuple[Float[Tensor, "batch *feature"], Float[Tensor, "batch"]]:
    """Hand the logit of each sample's target down to its input.

    Works on a copy of the network, which keeps the hooks that count rows.

    Returns:
        The relevance of each input entry, and the logit minus the sum of the relevance.

    Raises:
        ValueError: if the network does something that no rule is known for, or has no module of the kept name.
    """
    network = copy.deepcopy(network).requires_grad_(False)
    chunks = zip(x.split(RECORDED_ROWS), target.split(RECORDED_ROWS), strict=True)
    found = [_propagate(network, *chunk, composite, kept) for chunk in chunks]
    values, residual = (torch.cat(parts) for parts in zip(*found, strict=True))
    return values, residual


def _propagate(
    network: Any, x: Tensor, target: Tensor, composite: Composite, kept: Kept | None
) -> tuple[Tensor, Tensor]:
    biases = {}
    with torch.enable_grad():
        x = x.clone().requires_grad_()
        names: dict[Any, str] = {}
        handles = list(_hooks(network, names, kept))
        try:
            with _Means():
                logits = network(x)
        finally:
            for handle in handles:
                handle.remove()
        if not bool(logits.isfinite().all()):
            raise ValueError(
                "The network's outputs must be finite to be propagated; some are NaN or infinite."
            )
        nodes = _read(logits.grad_fn, names)
        _fold(nodes)
        for node in nodes:
            _give_rule(node, composite, x.ndim == 2 and node.layer.module is not network.head)
        for module in network.modules():  # the rules add biases themselves
            if isinstance(module, WEIGHTED):
                biases[module], module.bias = module.bias, None
        start = torch.zeros_like(logits).scatter_(
            1, target[:, None], logits.detach().gather(1, target[:, None])
        )
        (values,) = torch.autograd.grad(logits, x, start)
    for module, bias in biases.items():
        module.bias = bias
    return values, start.sum(1) - values.flatten(1).sum(1)


# --- running ----------------------------------------------------------------------------------------------------------


class Cut(torch.autograd.Function):
    """The identity on a layer's output, whose backward pass is the layer's rule."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, output: Tensor, layer: Laid) -> Tensor:
        """Return the output."""
        ctx.layer = layer
        ctx.save_for_backward(a)
        return output.view_as(output)

    @staticmethod
    def backward(ctx: Any, relevance: Tensor) -> tuple[Tensor, None, None]:
        """Return the relevance of the input."""
        return ctx.layer.back(*ctx.saved_tensors, relevance), None, None


class _Means(TorchFunctionMode):
    """Cuts means that no module takes: they share relevance like average pooling."""

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        output = function(*args, **(kwargs or {}))
        if function not in MEANS or not output.requires_grad:
            return output
        signal, *others = args
        return Cut.apply(
            signal, output.detach(), Laid(function.__name__, _Mean(function, others, kwargs or {}))
        )


class _Mean(nn.Module):
    """A mean as it was called."""

    def __init__(self, function: Any, others: Any, named: Any) -> None:
        super().__init__()
        self.function, self.others, self.named = function, others, named

    def forward(self, x: Tensor) -> Tensor:
        """Return it."""
        return self.function(x, *self.others, **self.named)


def _hooks(network: nn.Module, names: dict[Any, str], kept: Kept | None) -> Iterator[Any]:
    """Register what cuts layers and notes which module made which node."""
    modules = dict(network.named_modules())
    if kept is not None and kept.module not in modules:
        raise ValueError(
            f"module must be one of {', '.join(filter(None, modules))}, got {kept.module!r}."
        )
    for name, module in modules.items():
        if hasattr(module, "inplace"):
            module.inplace = False  # what a layer saw is needed later
        if _is_layer(module):
            yield module.register_forward_hook(partial(_cut, name))
        if kept is not None and name == kept.module:
            yield module.register_forward_hook(partial(_filter, kept.channels))
        yield module.register_forward_hook(partial(_note, names, name))


def _is_layer(module: nn.Module) -> bool:
    return (
        isinstance(module, WEIGHTED + POOLS + NORMS + ACTIVATIONS) or type(module).__name__ == "Sum"
    )


def _cut(name: str, module: nn.Module, args: Any, output: Tensor) -> Tensor:
    return Cut.apply(args[0], output.detach(), Laid(name, module))


def _note(names: dict[Any, str], name: str, module: nn.Module, args: Any, output: Any) -> None:
    node = getattr(output, "grad_fn", None)
    if node is not None:
        names.setdefault(node, f"module {name!r} ({type(module).__name__})")


def _filter(channels: Sequence[Any], module: nn.Module, args: Any, output: Tensor) -> None:
    """Let only the relevance of some channels pass."""
    lost = [channel for channel in channels if not 0 <= channel < output.shape[1]]
    if lost:
        raise ValueError(f"channels must be between 0 and {output.shape[1] - 1}, got {lost}.")
    mask = torch.zeros(output.shape[1], dtype=output.dtype, device=output.device)
    mask[list(channels)] = 1
    output.register_hook(lambda relevance: relevance * mask.view(-1, *[1] * (output.ndim - 2)))


# --- reading the graph ------------------------------------------------------------------------------------------------


def _read(root: Any, names: dict[Any, str]) -> list[Any]:
    """Return the nodes of the layers that ran; `readers` of each are the nodes that read its output.

    Raises:
        ValueError: at a node that is neither a layer nor only moves values.
    """
    layers, seen, ahead = [], {root}, [(root, "the output")]
    while ahead:
        node, place = ahead.pop()
        place = names.get(node, place)
        below = [source for source, _ in node.next_functions if source is not None]
        if hasattr(node, "layer"):
            layers.append(node)
        else:
            _check(node, len(below), place)
        for source in below:
            if hasattr(source, "layer"):
                source.readers = [*getattr(source, "readers", []), node]
            if source not in seen:
                seen.add(source)
                ahead.append((source, place))
    return layers


def _check(node: Any, n_inputs: int, place: str) -> None:
    kind = node.name().rstrip("0123456789").removesuffix("Backward").split("::")[-1]
    scales = kind == "Mul" and not _is_mask(node)
    if kind not in MOVES or (n_inputs > 1 and kind not in JOINS) or scales:
        advice = (
            "register additions as zennit.layer.Sum"
            if kind == "Add"
            else "use a method that needs no modules"
        )
        raise ValueError(
            f"No propagation rule is known for the operation {kind} in or before {place}; {advice}."
        )


def _is_mask(node: Any) -> bool:
    """Return whether a product with a constant keeps or drops values: any other number would multiply relevance."""
    constants = [factor for factor in (node._saved_self, node._saved_other) if factor is not None]
    return all(bool(((factor == 0) | (factor == 1)).all()) for factor in constants)


def _fold(nodes: list[Any]) -> None:
    """Fold batch norms into the linear layers before or after them."""
    for node in nodes:
        norm = node.layer
        if not isinstance(norm.module, NORMS):
            continue
        source, readers = node.next_functions[0][0], node.readers
        if _is_weighted(source) and len(source.readers) == 1:
            layer = source.layer
            layer.bias = layer.bias * norm.weight + norm.bias
            layer.weight = layer.weight * norm.weight.view(-1, *[1] * (layer.weight.ndim - 1))
        elif all(_is_weighted(reader) and reader.layer.before is None for reader in readers):
            for reader in readers:
                reader.layer.before = norm.weight, norm.bias
        else:
            continue
        norm.is_folded = True


def _is_weighted(node: Any) -> bool:
    return hasattr(node, "layer") and isinstance(node.layer.module, WEIGHTED)


def _sees_input(node: Any) -> bool:
    """Return whether a layer reads the input through nothing with weights."""
    sources = [
        source
        for source, _ in node.next_functions
        if source is not None and not _is_weighted(source)
    ]
    return any(
        source.name().endswith("AccumulateGrad") or _sees_input(source) for source in sources
    )


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
    else:
        layer.rule = (
            composite.lower if is_hidden_in_table or layer.weight.ndim > 2 else composite.dense
        )
