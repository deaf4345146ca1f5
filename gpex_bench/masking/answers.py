"""Masks over inputs, and the network's answers to them.

An input is cut into regions: segments of an image, columns of a table. A mask says how much of each
region, or of each position (a pixel with all its channels, or a column), is present: 1 all, 0
nothing. The blend m x + (1 - m) absent goes through the network, at most CHANGED_ROWS rows at a
time, so that memory does not grow with the number of masks except for the masks themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn
from torch.nn import functional

from gpex_bench.masking.choices import Output
from gpex_bench.masking.fills import MethodFill, make_fill
from gpex_bench.masking.regions import Regions
from gpex_bench.types import Query, Task, value
from gpex_bench.types.batches import CHANGED_ROWS

GROUP = 2**15  # masks that are kept at a time


def on_scale(
    logits: Float[Tensor, "row head"], target: Int[Tensor, "row"], output: Output
) -> Float[Tensor, "row"]:
    """Return the target's logit, probability or log-odds, in float64.

    Log-odds, log p - log(1 - p), do not saturate.
    """
    if not bool(logits.isfinite().all()):
        raise ValueError(
            "The network's answers to masked inputs must be finite; some are NaN or infinite."
        )

    logits = logits.double()
    own = logits.gather(1, target[:, None])[:, 0]
    if output == "logit":
        return own
    if output == "probability":
        return logits.softmax(1).gather(1, target[:, None])[:, 0]

    if logits.shape[1] < 2:
        raise ValueError("output must not be 'log_odds' for a network with one head; choose logit.")
    others = logits.scatter(1, target[:, None], -torch.inf)
    return own - others.logsumexp(1)


@value
class Probe:
    """A network, the samples that are masked for it, and what a masked part shows."""

    model: nn.Module
    x: Float[Tensor, "batch *feature"]
    target: Int[Tensor, "batch"]
    absent: Float[Tensor, "batch *feature"]
    output: Output

    def chunks(
        self,
        image: Int[Tensor, "row"],
        present: Callable[[slice], Shaped[Tensor, "part *position"]],
    ) -> Iterator[tuple[slice, Tensor, Float[Tensor, "part"]]]:
        """Yield (rows, their masks, the network's answers) for at most CHANGED_ROWS rows at a time.

        Args:
            image: which sample each row masks.
            present: returns the masks of a slice of the rows; called once per chunk, in order.
        """
        quick = layout(self.model, self.x)
        # Not `in_chunks`: these are of equal length, which is part of the stored numbers, and their
        # masks are yielded too.
        n_rows = len(image)
        n_chunks = -(-n_rows // CHANGED_ROWS)
        for chunk in range(n_chunks):
            start = n_rows * chunk // n_chunks
            end = n_rows * (chunk + 1) // n_chunks
            rows = slice(start, end)
            mask, which = present(rows).to(self.x), image[rows]

            shaped = mask[:, None] if self.x.ndim == 4 else mask
            with torch.no_grad():
                blend = torch.lerp(self.absent[which], self.x[which], shaped)
                logits = self.model(quick(blend))
            yield rows, mask, on_scale(logits, self.target[which], self.output)

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


def layout(model: nn.Module, x: Tensor) -> Callable[[Tensor], Tensor]:
    """Return the function that lays inputs like x out in memory as suits the network best."""
    is_image_on_cpu = x.ndim == 4 and x.device.type == "cpu"
    pools = any(isinstance(module, nn.MaxPool2d) for module in model.modules())
    return _channels_last if is_image_on_cpu and pools else lambda batch: batch


def _channels_last(x: Float[Tensor, "row channel height width"]) -> Tensor:
    """Return the same images with the channels next to each other in memory.

    Torch's max pooling on the CPU is faster so.
    """
    if x.shape[1] > 1:
        return x.contiguous(memory_format=torch.channels_last)

    # contiguous() ignores the format where there is one channel.
    height, width = x.shape[2:]
    strides = (height * width, 1, width, 1)
    return x.contiguous().as_strided(x.shape, strides)


def probe(
    task: Task, query: Query, fill: MethodFill, output: Output, cut: Regions | None = None
) -> Probe:
    """Return the probe of a query."""
    shown = make_fill(fill, task.data, query, cut=cut)
    return Probe(model=task.model, x=query.x, target=query.target, absent=shown, output=output)


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
