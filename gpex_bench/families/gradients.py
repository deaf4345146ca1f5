"""Gradients of one logit per sample: as they are, and guided past the ReLUs of a network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, fx, nn
from torch.overrides import TorchFunctionMode

from gpex_bench.families.kinds import Kind, Part, is_rectifier, parts
from gpex_bench.models.rewriting import operations as ops
from gpex_bench.models.rewriting import rewrite
from gpex_bench.types.batches import rows_at_once
from gpex_bench.types.demands import Refused

CASTS = frozenset({"to", "type", "type_as", "long", "int", "short", "char", "byte"})
WHOLE = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
WITHOUT_GRADIENT = (
    "Use a method that needs no gradient, such as occlusion or kernel_shap, or explain a network "
    "that starts behind that place."
)


def logit_gradient(
    network: nn.Module, x: Float[Tensor, "batch *feature"], target: Int[Tensor, "batch"]
) -> Float[Tensor, "batch *feature"]:
    """Return the gradient of each target's logit with respect to its own sample.

    An entry of the input that the network does not read has a gradient of zero.

    Raises:
        Refused: no gradient arrives at the input at all.
    """
    size = rows_at_once(max(len(x), 1), x)
    parts = zip(x.split(size), target.split(size), strict=True)
    return torch.cat([_logit_gradient(network, *part) for part in parts])


def _logit_gradient(network: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    """Return the gradient of few rows, whose graph fits into memory."""
    x = x.detach().clone().requires_grad_()
    with torch.enable_grad():
        logit = outputs(network, x).gather(1, target[:, None]).sum()
        return torch.autograd.grad(logit, x)[0]


def outputs(network: nn.Module, x: Float[Tensor, "batch *feature"]) -> Float[Tensor, "batch head"]:
    """Return a network's outputs for an input whose gradient will be taken.

    The network may write on its input: it gets a copy.

    Raises:
        Refused: no gradient of the outputs arrives at the input, or none from where something is
            read as whole numbers.
    """
    seen = x.clone()
    start = seen.grad_fn  # before the network writes on it
    with _WithoutCasts():
        output = network(seen)
    if not _reaches(output.grad_fn, start):
        raise Refused(
            "No gradient of the outputs arrives at the input: the network ignores it, detaches it, "
            f"or runs without gradients. {WITHOUT_GRADIENT}"
        )
    return output


class _WithoutCasts(TorchFunctionMode):
    """Refuses to make whole numbers of a signal.

    What is made of them, such as an embedding, would have a gradient of zero although it matters.
    """

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Call a function of torch."""
        output = function(*args, **(kwargs or {}))
        name = getattr(function, "__name__", "")
        if name in CASTS and args[0].requires_grad and output.dtype in WHOLE:
            raise Refused(
                f"The network reads its input as whole numbers ({name!r}), as for an embedding; "
                f"no gradient comes from there. {WITHOUT_GRADIENT}"
            )
        return output


def _reaches(node: Any, goal: Any) -> bool:
    """Return whether the graph of a gradient leads from a node to another."""
    ahead, seen = [node], {node}
    while ahead:
        node = ahead.pop()
        if node is goal:
            return node is not None
        sources = {source for source, _ in getattr(node, "next_functions", ())} - seen
        seen |= sources
        ahead.extend(sources)
    return False


def guided_gradient(
    network: nn.Module, x: Float[Tensor, "batch *feature"], target: Int[Tensor, "batch"]
) -> Float[Tensor, "batch *feature"]:
    """Return the gradient of each target's logit, without what is negative at any ReLU's output.

    springenberg2015striving; the gradient is exact everywhere else. ReLUs may be clipped from
    above (ReLU6). Sigmoids that multiply another signal (squeeze and excitation) are gates, and
    keep their gradient; so does an activation of the outputs themselves.

    Raises:
        Refused: the network cannot be rewritten, has no ReLU, or has something in the place of
            one.
    """
    written = rewrite(network, x)
    modules = [part.module for part in _rectifiers(parts(written))]
    handles = [module.register_forward_hook(_cut) for module in modules]
    try:
        return logit_gradient(written.network, x, target)
    finally:
        for handle in handles:
            handle.remove()


def _cut(module: nn.Module, args: tuple, output: Tensor) -> None:
    """Let no negative gradient into the output of a ReLU."""
    if output.requires_grad:
        output.register_hook(lambda gradient: gradient.clamp(min=0))


def _rectifiers(found: list[Part]) -> list[Part]:
    """Return the ReLUs of a network; raises Refused where something stands in for one."""
    for part in found:
        if part.kind is Kind.PRODUCT and _is_its_own_gate(part, found):
            raise _no_relu(f"{part.words} makes another activation, a signal times its own gate")
        if not _keeps_its_gradient(part, found):
            raise _no_relu(f"{part.words} stands in the place of one")

    rectifiers = [part for part in found if is_rectifier(part.module)]
    if not rectifiers:
        raise _no_relu("this network has none")
    return rectifiers


def _no_relu(reason: str) -> Refused:
    return Refused(
        f"Guided back-propagation is defined for ReLUs, and {reason}; use saliency or smoothgrad, "
        "which follow the gradient as it is."
    )


def _keeps_its_gradient(part: Part, found: list[Part]) -> bool:
    """Return whether a network with this operation can have a guided gradient."""
    if part.kind is Kind.OTHER:
        return False
    is_bent = part.kind in (Kind.ACTIVATION, Kind.SOFTMAX, Kind.LOG_SOFTMAX)
    if not is_bent or is_rectifier(part.module):
        return True

    modules = {one.node: one.module for one in found}
    is_sigmoid = isinstance(part.module, nn.Sigmoid)
    for reader in _readers(part.node, modules):
        is_gate = is_sigmoid and isinstance(modules.get(reader), ops.Product)
        if reader.op != "output" and not is_gate:
            return False
    return True


def _readers(node: fx.Node, modules: dict[fx.Node, nn.Module]) -> Iterator[fx.Node]:
    """Yield what reads a signal, or the signal scaled or moved."""
    for reader in node.users:
        if isinstance(modules.get(reader), (ops.Scale, ops.Move)):
            yield from _readers(reader, modules)
        else:
            yield reader


def _is_its_own_gate(product: Part, found: list[Part]) -> bool:
    """Return whether both factors are made of the same signal, entry by entry."""
    by_node = {part.node: part for part in found}
    sources = {_source(factor, by_node) for factor in product.node.all_input_nodes}
    return len(sources) == 1


def _source(node: fx.Node, by_node: dict[fx.Node, Part]) -> fx.Node:
    """Return the signal that another is made of, entry by entry."""
    part = by_node.get(node)
    if part is None:
        return node
    is_by_entry = part.kind is Kind.ACTIVATION or isinstance(part.module, (ops.Scale, ops.Shift))
    return _source(part.sources[0], by_node) if is_by_entry else node
