"""What every network must keep before anything is computed from it: checked once, after training.

A fault here would be blamed on every method in turn, or give wrong numbers without a word.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from gpex_bench.contract.promises import ROWS, BrokenPromise, require, require_tensor
from gpex_bench.contract.untouched import ADVICE, RANDOM, untouched
from gpex_bench.types import Dataset, Kind, Model, Query, Task

N_ROWS = 8  # test rows that are tried
SMALL = 0.01  # share of the largest output that batches may change where all outputs are small
FORWARD = "forward works"
ALONE = "rows do not influence one another"
IN_FORWARD = ADVICE | {
    "inputs untouched": "forward changes its input in place; work on a new tensor",
    "weights untouched": "forward must update no weight and no buffer in eval mode",
    "train mode untouched": "forward must leave the modes of its modules alone",
    "hooks removed": "forward must register no hooks",
    RANDOM: "forward must draw no random numbers in eval mode",
}


def check_network(model: Model, data: Dataset, n_heads: int) -> None:
    """Hold a network in eval mode to what every later stage relies on.

    Args:
        model: the network.
        data: what it is asked about.
        n_heads: how many outputs it must have (`types.outputs.n_outputs`).

    Raises:
        BrokenPromise: at the first promise it breaks; names the place where it is known.
    """
    _check_head(model, data, n_heads)
    training = [name or "the network" for name, part in model.named_modules() if part.training]
    what = f"{', '.join(training[:3])} is in train mode after eval()."
    require(not training, "eval mode", what)

    x = data.test.x[:N_ROWS]
    logits = _outputs(model, data, x)
    _is_own(model, x, logits)
    linear = _called(lambda rows: model.head(model.embed(rows)), x)
    what = "the two differ; explanations by features and surrogates need them to be the same."
    require(near(logits, linear), "forward = head(embed(x))", what)


def _check_head(model: Model, data: Dataset, n_heads: int) -> None:
    """Require a linear head with as many outputs as are asked for."""
    head = getattr(model, "head", None)
    meaning = "that of the second class, as one_logit is set"
    if data.kind is Kind.NUMBER:
        meaning = "the number"
    elif n_heads == len(data.classes):
        meaning = "one for each label" if data.kind is Kind.LABELS else "one for each class"

    what = f"head must be an nn.Linear with {n_heads} outputs, {meaning}, got {head}."
    if n_heads == 2 and isinstance(head, nn.Linear) and head.out_features == 1:
        what += " Set one_logit on the architecture if its logit is that of the second class."
    is_right = isinstance(head, nn.Linear) and head.out_features == n_heads
    require(is_right, "head", what)


def _outputs(model: Model, data: Dataset, x: Tensor) -> Float[Tensor, "row head"]:
    """Return the outputs of some rows: the same twice, finite, and nothing else has changed."""
    task = Task(model=model, data=data, surrogate=None, seed=0)
    sample = data.test.sample[:N_ROWS]
    query = Query(x=x, target=torch.zeros(len(x), dtype=torch.long), sample=sample)
    try:
        with untouched(task, query, IN_FORWARD):
            logits = _called(model, x)
    except BrokenPromise as broken:
        place = _drawing(model, x) if broken.promise == RANDOM else ""
        if not place:
            raise
        what = f"{place} draws some in eval mode; functional.dropout needs training=self.training."
        raise BrokenPromise("no random numbers in forward", what) from broken

    require_tensor("forward(x)", logits, (len(x), model.head.out_features))
    again = _called(model, x)
    off = float((logits - again).abs().max())
    what = f"forward(x) differs by {off:.3g} between two calls in eval mode."
    require(torch.equal(logits, again), "same call, same bits", what)
    return logits


def _called(network: nn.Module | object, x: Tensor) -> Tensor:
    """Return the outputs of rows, without gradients; a crash is a broken promise."""
    try:
        with torch.no_grad():
            return network(x)  # type: ignore[operator]
    except Exception as error:
        kinds = {str(weight.dtype) for weight in getattr(network, "parameters", list)()}
        hint = f" The weights are {', '.join(sorted(kinds))}; call float()."
        what = f"{type(error).__name__} on inputs of shape {tuple(x.shape)}: {error}"
        is_float = kinds <= {"torch.float32"}
        raise BrokenPromise(FORWARD, what + ("" if is_float else hint)) from error


def _drawing(model: nn.Module, x: Tensor) -> str:
    """Return the innermost module that draws from torch's generator; "" if none does."""
    before: dict[str, Tensor] = {}
    drawing: list[str] = []

    def enter(name: str) -> None:
        before[name] = torch.get_rng_state()

    def leave(name: str) -> None:
        if not torch.equal(before[name], torch.get_rng_state()):
            drawing.append(name)

    handles = []
    for name, module in model.named_modules():
        handles.append(module.register_forward_pre_hook(lambda *_, name=name: enter(name)))
        handles.append(module.register_forward_hook(lambda *_, name=name: leave(name)))
    try:
        with torch.random.fork_rng(devices=[]):
            _called(model, x)
    finally:
        for handle in handles:
            handle.remove()

    if not drawing:
        return ""
    # A module ends before those that hold it: the first one is the innermost.
    kind = type(model.get_submodule(drawing[0])).__name__
    return f"{drawing[0] or 'the network itself'} ({kind})"


def _is_own(model: Model, x: Tensor, logits: Tensor) -> None:
    """Require that the outputs of a row are the same alone and in a batch."""
    for name, module in model.named_modules():
        is_of_batch = isinstance(module, _BatchNorm) and module.running_mean is None
        what = (
            f"{name} ({type(module).__name__}) has no running statistics, so that a row depends "
            "on its batch; set track_running_stats=True."
        )
        require(not is_of_batch, ALONE, what)

    for row in sorted({0, len(x) // 2, len(x) - 1}):
        alone = _called(model, x[row : row + 1])
        off = float((alone - logits[row : row + 1]).abs().max())
        what = f"the logits of a row change by {off:.3g} when it is alone."
        require(near(logits[row : row + 1], alone, logits), ALONE, what)


def near(one: Tensor, other: Tensor, scale: Tensor | None = None) -> bool:
    """Return whether outputs differ by no more than other kernels and other sums do."""
    if one.shape != other.shape:
        return False
    size = float((one if scale is None else scale).abs().max())
    allowed = min(ROWS * max(1.0, size), SMALL * size + ROWS * SMALL)
    return float((one - other).abs().max()) <= allowed


def check_finite(outputs: Float[Tensor, "row head"], part: str) -> None:
    """Require finite outputs on every row of a split."""
    n_bad = int((~outputs.isfinite()).any(1).sum())
    what = f"the outputs of {n_bad} of {len(outputs)} rows of the {part} split are NaN or infinite."
    require(n_bad == 0, "finite values", what)


def check_stored(trained: Model, rebuilt: Model, data: Dataset) -> None:
    """Require that the network which is built again from its weights is the trained one."""
    x = data.test.x[:N_ROWS]
    first, second = _called(trained, x), _called(rebuilt, x)
    what = (
        "the network that is built again from its state_dict has other outputs; register all that "
        "training changes as parameters or buffers, and build the same network every time."
    )
    require(near(first, second), "the state is the artefact", what)
