"""A network as a graph of modules, checked against the network, and kept for the next call."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor, fx, nn

# the translations register themselves
from gpex_bench.models.rewriting import activations, arithmetic, layers, moves, writing  # noqa: F401
from gpex_bench.models.rewriting.building import Builder
from gpex_bench.models.rewriting.errors import CannotRewrite
from gpex_bench.models.rewriting.fingerprint import fingerprint
from gpex_bench.models.rewriting.generalising import generalise
from gpex_bench.models.rewriting.recorded import Place
from gpex_bench.models.rewriting.recording import record
from gpex_bench.models.rewriting.surroundings import restored, without_row_counts

N_FIRST = 2  # rows of the recording
N_SECOND = 3  # rows of the one that it is compared with
# By how much outputs may differ, as a share of `_scale`: an explanation is about how outputs vary,
# so that a small difference of large outputs that hardly vary counts.
TOLERANCE = 1e-4
ROUNDING = 64  # steps of the largest output that deep networks lose by rounding in another order


# How people call the kinds of `operations`; those of torch.nn have their own names.
WORDS = {
    "Add": "addition",
    "Shift": "constant shift",
    "Scale": "scaling",
    "Product": "product",
    "Divide": "division",
    "MatrixProduct": "matrix product",
    "Concatenate": "concatenation",
    "Stack": "stacking",
    "Mean": "mean",
    "Total": "sum",
    "Extreme": "maximum",
    "Resample": "resampling",
    "ElementWise": "element-wise function",
    "Move": "reshaping",
    "Other": "other operation",
}


class CountedNetwork(fx.GraphModule):
    """A graph whose runs are seen by the hooks that count the rows of the original network."""

    _counting: Any  # the original's hooks, which come and go

    def follow(self, hooks: Any) -> None:
        """Let these hooks see each run."""
        self._counting = hooks
        self.register_forward_hook(_count)

    def __deepcopy__(self, memo: Any) -> CountedNetwork:
        copied: Any = super().__deepcopy__(memo)
        copied.follow(self._counting)
        return copied


def _count(network: Any, args: Any, output: Any) -> None:
    for hook in list(network._counting.values()):
        if hasattr(hook, "counts_rows"):
            hook(network, args, output)


@dataclass(frozen=True)
class Rewritten:
    """A network, written as a graph of modules.

    It is shared between callers: change a copy only (`copy.deepcopy(rewritten.network)`).
    """

    network: fx.GraphModule
    # the largest on a row like x, as a share of how much outputs vary between rows (and rounding)
    difference: float
    summary: str  # what became modules, in words
    # for each module of the original, by name: the node of what it returned last
    outputs: dict[str, str]
    values_read: tuple[str, ...]  # where values of the rows become Python's, e.g. in an `if`
    scale: float  # what differences of outputs are compared with (`_scale`)

    @property
    def reads_values(self) -> bool:
        """Return whether the way that the network takes may depend on the rows' values."""
        return bool(self.values_read)


def rewrite(network: nn.Module, x: Shaped[Tensor, "batch *feature"]) -> Rewritten:
    """Return a network as a graph of modules; the second time for the same weights, at once.

    Rows that go through it here are not counted.

    Args:
        network: any network in eval mode that returns logits [batch, head].
        x: rows of the kind that will be explained.

    Raises:
        CannotRewrite: what it does cannot be followed; names place and operation.
    """
    _check_inputs(network, x)
    key = (tuple(x.shape[1:]), x.dtype, x.device, fingerprint(network))
    kept = _CACHE.setdefault(network, {})
    if key not in kept:
        if len(kept) >= MOST_KEPT:
            kept.clear()
        with torch.inference_mode(False):  # its weights take part in gradients
            kept[key] = _rewrite(network, x.detach())

    rewritten = kept[key]
    if rewritten.reads_values:
        _check_path(network, rewritten, x)
    return rewritten


_CACHE: Any = weakref.WeakKeyDictionary()
MOST_KEPT = 2  # of one network: another shape, other weights


def place(node: fx.Node) -> str:
    """Return where in the original network a node's operation is, e.g. "layer1.0 (BasicBlock)"."""
    where: Place = node.meta["place"]
    return str(where)


def _check_inputs(network: nn.Module, x: Tensor) -> None:
    if x.ndim < 2 or not len(x):
        raise CannotRewrite(f"x must be rows of features, got the shape {tuple(x.shape)}.")
    if not x.is_floating_point():
        raise CannotRewrite(
            f"x must be floating-point, got {x.dtype}; networks of whole numbers (embeddings) have "
            "no gradients: explain the output of the embedding instead."
        )
    for name, parameter in network.named_parameters():
        if nn.parameter.is_lazy(parameter):
            raise CannotRewrite(f"{name!r} has no shape yet; run the network once.")
    for name, module in network.named_modules():
        if module.training:
            raise CannotRewrite(
                f"The module {name or 'network'!r} ({type(module).__name__}) is in training mode; "
                "call eval() on the network."
            )


def _rewrite(network: nn.Module, x: Tensor) -> Rewritten:
    first = record(network, _some_rows(x, N_FIRST))
    other = _varied(_some_rows(x, N_SECOND))
    second = record(network, other)
    steps = generalise(first, second)

    builder = Builder(x.device)
    graph = builder.build(steps, first.result)
    rewritten = CountedNetwork(builder.attributes, graph, "Rewritten")
    rewritten.eval()
    one = slice(1, 2)  # between others, so that it shows if they influence it
    scale = _scale(second.y)
    difference = _difference(rewritten, other[one], second.y[one], scale)
    _check_alone(network, other[one], second.y[one], scale)
    rewritten.follow(network._forward_hooks)

    kept = set(graph.nodes)
    outputs = {
        name: builder.nodes[signal].name
        for name, signal in first.made.items()
        if signal in builder.nodes and builder.nodes[signal] in kept
    }
    summary = _summary(graph, builder)
    return Rewritten(rewritten, difference, summary, outputs, tuple(first.values_read), scale)


def _some_rows(x: Tensor, n: int) -> Tensor:
    """Return so many rows of x, repeated if there are too few."""
    return x[torch.arange(n, device=x.device) % len(x)]


def _varied(x: Tensor) -> Tensor:
    """Return other rows of about the same size and with the same signs."""
    generator = torch.Generator().manual_seed(0)
    factor = torch.rand(x.shape, generator=generator).to(x) + 0.5
    return x * factor if bool(x.any()) else x + 0.1 * factor


def _difference(network: Callable[[Tensor], Tensor], x: Tensor, y: Tensor, scale: float) -> float:
    """Return by how much outputs differ, as a share of `scale`; CannotRewrite if by too much."""
    with torch.no_grad():
        try:
            output = network(x)
        except Exception as error:
            raise CannotRewrite(
                "The rewritten network fails on other rows than recorded: "
                f"{type(error).__name__}: {error}"
            ) from error
    if not bool(y.isfinite().all()):
        raise CannotRewrite("The network's outputs are not finite on inputs like x.")
    if output.shape != y.shape:
        raise CannotRewrite(
            f"The rewritten network gives outputs of shape {tuple(output.shape)}, not "
            f"{tuple(y.shape)}."
        )
    difference = float((output - y).abs().max()) / scale
    if not difference <= TOLERANCE:
        raise CannotRewrite(
            f"The rewritten network's outputs differ by {difference:.1e} of how much outputs vary "
            f"(at most {TOLERANCE:.0e}); is there something in its forward that torch does not "
            "show, or that changes from call to call?"
        )
    return difference


def _scale(y: Shaped[Tensor, "row head"]) -> float:
    """Return what differences of outputs are compared with.

    It is how much outputs vary between rows, and so much of the largest that ROUNDING steps of it
    are within the tolerance.
    """
    limits = torch.finfo(y.dtype)
    varied = float((y.amax(0) - y.amin(0)).max())
    rounding = ROUNDING * limits.eps * float(y.abs().max())
    return max(varied + rounding / TOLERANCE, limits.tiny)


def _check_alone(network: nn.Module, row: Tensor, y: Tensor, scale: float) -> None:
    """Raise CannotRewrite if a row alone gets another output than the same row in a batch."""
    try:
        with torch.no_grad(), without_row_counts(network), restored(network):
            alone = network(row)
    except Exception:
        return  # it takes two rows or more
    if alone.shape != y.shape:
        return

    difference = float((alone - y).abs().max()) / scale
    if difference > TOLERANCE:
        raise CannotRewrite(
            "The network's outputs for a row alone and in a batch differ by "
            f"{difference:.1e} of how much outputs vary: its rows influence one another. Write it "
            "so that they do not."
        )


def _check_path(network: nn.Module, rewritten: Rewritten, x: Tensor) -> None:
    """Raise CannotRewrite if the network takes another way for these rows."""
    with torch.no_grad(), without_row_counts(network), restored(network):
        y = network(x)
    try:
        _difference(fx.Interpreter(rewritten.network).run, x, y, rewritten.scale)
    except CannotRewrite as error:
        raise CannotRewrite(
            "The network may do other things for other values of its input, which are read by "
            f"{rewritten.values_read[0]}, and does for these rows: {error}"
        ) from error


def _summary(graph: fx.Graph, builder: Builder) -> str:
    """Return what became modules, e.g. "16 additions, 2 ReLU, 1 reshaping made modules"."""
    made: Counter[str] = Counter()
    for node in graph.nodes:
        if node.op != "call_module":
            continue
        kind = type(builder.attributes[node.target]).__name__
        if kind != node.meta["place"].kind:
            made[kind] += 1
    listed = ", ".join(_counted(kind, count) for kind, count in made.most_common())
    return f"{listed} made modules" if listed else "all are modules"


def _counted(kind: str, count: int) -> str:
    """Return so many of a kind in words."""
    if kind not in WORDS:
        return f"{count} {kind}"
    return f"{count} {WORDS[kind]}{'' if count == 1 else 's'}"
