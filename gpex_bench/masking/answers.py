"""Masks over inputs, and the network's answers to them.

An input is cut into regions: segments of an image, columns or groups of columns of a table. A mask
says how much of each region, or of each position (a pixel with all its channels, or a column), is
present: 1 all, 0 nothing. The blend m x + (1 - m) absent goes through the network, at most
CHANGED_ROWS rows at a time, so that memory does not grow with the number of masks except for the
masks themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn
from torch.nn import functional

from gpex_bench.masking.choices import Output
from gpex_bench.masking.fills import MethodFill, make_fill
from gpex_bench.masking.regions import Regions
from gpex_bench.masking.resolution import check_resolved, steps
from gpex_bench.masking.units import in_groups, whole
from gpex_bench.models.rewriting.quick import quick
from gpex_bench.types import Kind, Query, Task, value
from gpex_bench.types.batches import CHANGED_ROWS, rows_at_once
from gpex_bench.types.demands import Refused
from gpex_bench.types.outputs import of_target, probabilities

GROUP = 2**15  # masks that are kept at a time


def on_scale(
    logits: Float[Tensor, "row head"],
    target: Int[Tensor, "row"],
    output: Output | None,
    kind: Kind,
) -> Float[Tensor, "row"]:
    """Return the target's logit, probability or log-odds, in float64.

    The probability is a softmax over at least two classes, the sigmoid of one logit or of a label.
    Log-odds, log p - log(1 - p), do not saturate; those of a sigmoid are the logit itself. The
    `logit` of a number is its value.

    Args:
        logits: outputs of the network.
        target: the output that is explained.
        output: the scale; None: the probability, of a number its value.
        kind: what the outputs mean.

    Raises:
        ValueError: an output is NaN or infinite.
        Refused: a number has neither probability nor log-odds.
    """
    if not bool(logits.isfinite().all()):
        raise ValueError(
            "The network's answers to masked inputs must be finite; some are NaN or infinite."
        )

    logits = logits.double()
    own = of_target(logits, target)
    is_number = kind is Kind.NUMBER
    if output == "logit" or (is_number and output is None):
        return own
    if is_number:
        raise Refused(
            f"output must be 'logit', the value as it is, where the network gives a number: a "
            f"number has no {str(output).replace('_', '-')}, got {output!r}."
        )
    if output != "log_odds":
        return of_target(probabilities(logits, kind), target)

    # log p - log(1 - p) of a sigmoid
    if kind is Kind.LABELS or logits.shape[1] == 1:
        return own
    others = logits.scatter(1, target[:, None], -torch.inf)
    return own - others.logsumexp(1)


@value
class Probe:
    """A network, the samples that are masked for it, and what a masked part shows."""

    model: nn.Module
    x: Float[Tensor, "batch *feature"]
    target: Int[Tensor, "batch"]
    absent: Float[Tensor, "batch *feature"]
    output: Output | None
    kind: Kind
    of_group: Bool[Tensor, "column"] | None  # columns that are shown or absent as a whole

    def chunks(
        self,
        image: Int[Tensor, "row"],
        present: Callable[[slice], Shaped[Tensor, "part *position"]],
    ) -> Iterator[tuple[slice, Tensor, Float[Tensor, "part"]]]:
        """Yield (rows, their masks, the network's answers) for at most CHANGED_ROWS rows at a time.

        Args:
            image: which sample each row masks.
            present: returns the masks of a slice of the rows; called once per chunk, in order.

        Raises:
            Refused: after the last chunk, if the answers to a sample differ by less than the
                network's precision resolves.
        """
        # Not `in_chunks`: these are of equal length, which is part of the stored numbers, and their
        # masks are yielded too.
        n_rows = len(image)
        network = quick(self.model, self.x, n_rows)
        n_chunks = -(-n_rows // rows_at_once(CHANGED_ROWS, self.x))
        found, precision = [], []
        for chunk in range(n_chunks):
            start = n_rows * chunk // n_chunks
            end = n_rows * (chunk + 1) // n_chunks
            rows = slice(start, end)
            mask, which = whole(present(rows).to(self.x), self.of_group), image[rows]

            shaped = mask[:, None] if self.x.ndim == 4 else mask
            with torch.no_grad():
                blend = torch.lerp(self.absent[which], self.x[which], shaped)
                logits = network(blend)

            target = self.target[which]
            scale = partial(on_scale, target=target, output=self.output, kind=self.kind)
            answers = scale(logits)
            found.append(answers)
            precision.append(steps(logits, target, answers, scale))
            yield rows, mask, answers

        if n_chunks:
            is_same = (self.x == self.absent).flatten(1).all(1)
            check_resolved(image, torch.cat(found), torch.cat(precision), is_same)

    def answers(
        self,
        image: Int[Tensor, "row"],
        present: Callable[[slice], Shaped[Tensor, "part *position"]],
    ) -> Float[Tensor, "row"]:
        """Return the network's answer to each mask, in float64."""
        found = [y for _, _, y in self.chunks(image, present)]
        return torch.cat(found) if found else self.x.new_zeros(0, dtype=torch.float64)

    def even(self, level: int) -> Float[Tensor, "batch"]:
        """Return the answer to each sample where all of it (1) or nothing of it (0) is present."""
        x = self.x
        shape = x.shape[2:] if x.ndim == 4 else x.shape[1:]

        def present(rows: slice) -> Tensor:
            n_rows = rows.stop - rows.start
            return x.new_full((n_rows, *shape), level)

        image = torch.arange(len(x), device=x.device)
        return self.answers(image, present)


def probe(
    task: Task, query: Query, fill: MethodFill, output: Output | None, cut: Regions | None = None
) -> Probe:
    """Return the probe of a query."""
    return Probe(
        model=task.model,
        x=query.x,
        target=query.target,
        absent=make_fill(fill, task.data, query, cut=cut),
        output=output,
        kind=task.data.kind,
        of_group=in_groups(task.data) if task.data.groups else None,
    )


def ask(asked: Probe, cut: Regions, masks: list[Tensor]) -> list[Tensor]:
    """Return the answers to masks over regions [mask, region], one tensor per sample.

    All samples share their chunks.
    """
    lengths = [len(mask) for mask in masks]
    sample = torch.arange(len(masks))
    image = sample.repeat_interleave(torch.tensor(lengths))
    image = image.to(asked.x.device)
    stacked = torch.cat(pad(masks, cut.most)).to(asked.x.device)

    present = by_region(cut, image, lambda rows: stacked[rows])
    answers = asked.answers(image, present)
    return list(answers.split(lengths))


def by_region(
    cut: Regions, image: Int[Tensor, "row"], masks: Callable[[slice], Shaped[Tensor, "part region"]]
) -> Callable[[slice], Tensor]:
    """Return the function that looks masks over regions up at every position."""
    flat = cut.index.flatten(1)
    shape = cut.index.shape[1:]

    def present(rows: slice) -> Tensor:
        region = flat[image[rows]]
        by_position = masks(rows).gather(1, region)
        return by_position.view(-1, *shape)

    return present


def pad(masks: list[Tensor], width: int) -> list[Tensor]:
    """Return masks with absent regions added up to a width."""
    return [functional.pad(mask, (0, width - mask.shape[1])) for mask in masks]


def groups(query: Query, masks_each: int) -> Iterator[Query]:
    """Yield the query in parts, so that about GROUP masks, or one sample's, exist at a time."""
    size = max(1, GROUP // masks_each)
    for start in range(0, len(query.x), size):
        yield query.rows(slice(start, start + size))
