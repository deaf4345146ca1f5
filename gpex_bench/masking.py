"""Masks over inputs and what the network says of them: what every perturbation method does, done once.

An input is cut into regions: segments of an image, columns of a table. A mask says how much of each region, or of each
position (a pixel with all its channels, or a column), is present: 1 all, 0 nothing. The blend m x + (1 - m) absent goes
through the network, at most CHUNK rows at a time, so that memory does not grow with the number of masks except for
the masks themselves. SLIC: achanta2012slic; quickshift: vedaldi2008quick; both through scikit-image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn
from torch.nn import functional

from gpex_bench.types import Query, Task, value

CHUNK = 256  # rows that go through the network together; larger ones are slower on a CPU
GROUP = 2**15  # masks that are kept at a time
FEWEST_REGIONS = 8  # fewer segments of an image cannot localise anything
COMPACTNESS = 1.0  # SLIC: space against colour
REACH = 0.75  # quickshift: furthest step between pixels of a segment, in sides of a segment of the wished size

Output = Literal["logit", "probability", "log_odds"]
Fill = Literal["baseline", "mean", "segment_mean", "blur"]
Segmentation = Literal["slic", "quickshift", "grid"]
CHOICES = {"output": get_args(Output), "fill": get_args(Fill), "segmentation": get_args(Segmentation)}


def check_settings(explainer: object, **fewest: int) -> None:
    """Raise ValueError if a setting named like a key of CHOICES is unknown, or another is below its smallest value."""
    for name, known in CHOICES.items():
        found = getattr(explainer, name, known[0])
        if found not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}, got {found!r}.")
    for name, smallest in fewest.items():
        if getattr(explainer, name) < smallest:
            raise ValueError(f"{name} must be at least {smallest}, got {getattr(explainer, name)}.")


def check_budget(budget: int, fewest: int, why: str) -> None:
    """Raise ValueError if a budget of forward rows cannot pay for what a method needs at least."""
    if budget < fewest:
        raise ValueError(
            f"budget must be at least {fewest} rows for {why}, got {budget}; raise it or cut fewer regions."
        )


# --- regions --------------------------------------------------------------------------------------------------------


@value
class Regions:
    """Which region each position of each sample belongs to."""

    index: Int[Tensor, "batch *position"]  # from 0, without gaps
    count: Int[Tensor, "batch"]  # regions of each sample; on the CPU

    @property
    def most(self) -> int:
        """The largest count: the width of padded masks."""
        return int(self.count.max())

    def paint(self, values: Float[Tensor, "batch region"], x: Float[Tensor, "batch *feature"]) -> Tensor:
        """Return the value of its region for every entry of x."""
        painted = values.to(x).gather(1, self.index.flatten(1)).view(self.index.shape)
        return (painted[:, None] if x.ndim == 4 else painted).expand_as(x).clone()

    def spread(self, values: Float[Tensor, "batch region"], x: Float[Tensor, "batch *feature"]) -> Tensor:
        """Return the value of each region divided evenly among its entries of x, so that they sum to it."""
        size = values.new_zeros(len(x), self.most)
        size.scatter_add_(1, self.index.flatten(1), torch.ones_like(self.index.flatten(1), dtype=values.dtype))
        n_channels = x.shape[1] if x.ndim == 4 else 1
        return self.paint(values[:, : self.most] / (size.clamp(min=1) * n_channels), x)


def grid(x: Float[Tensor, "batch *feature"], side: int) -> Regions:
    """Return side x side regions of images, as equal as the pixels allow; the columns of tables.

    Raises:
        ValueError: if the image has fewer pixels along a side than regions.
    """
    if x.ndim == 2:
        index = torch.arange(x.shape[1], device=x.device)
    else:
        if not 1 <= side <= min(x.shape[2:]):
            raise ValueError(f"grid must be between 1 and the image's shorter side, got {side}.")
        row, column = (torch.arange(pixels, device=x.device) * side // pixels for pixels in x.shape[2:])
        index = row[:, None] * side + column
    return Regions(index=index.expand(len(x), *index.shape), count=(index.max().cpu() + 1).expand(len(x)))


def regions(
    x: Float[Tensor, "batch *feature"], how: Segmentation, n_segments: int, compactness: float = COMPACTNESS
) -> Regions:
    """Return the segments of images, about n_segments each, or the columns of tables.

    quickshift finds fewer than n_segments where large areas look alike; grid takes the nearest square number.

    Raises:
        ValueError: if an image has fewer than FEWEST_REGIONS segments.
    """
    if x.ndim == 2:
        return grid(x, 1)
    if how == "grid":
        side = round(n_segments**0.5)
        _enough(min(side, *x.shape[2:]) ** 2, x, how, n_segments)
        return grid(x, side)
    images = x.detach().cpu().double().numpy()
    maps = [slic(one, n_segments, compactness) if how == "slic" else quickshift(one, n_segments) for one in images]
    for one in maps:
        _enough(int(one.max()) + 1, x, how, n_segments)
    index = torch.from_numpy(np.stack(maps)).to(x.device)
    return Regions(index=index, count=index.flatten(1).amax(1).cpu() + 1)


def _enough(found: int, x: Tensor, how: str, n_segments: int) -> None:
    if found < FEWEST_REGIONS:
        raise ValueError(
            f"An image needs at least {FEWEST_REGIONS} segments and {how} found {found} in {x.shape[2]} x {x.shape[3]} "
            f"pixels; raise n_segments ({n_segments}) or choose another segmentation."
        )


def slic(image: np.ndarray, n_segments: int, compactness: float = COMPACTNESS) -> np.ndarray:
    """Return SLIC's segments of an image [channel, height, width], numbered from 0 without gaps."""
    from skimage.segmentation import slic as segment

    grey = len(image) == 1
    found = segment(
        image[0] if grey else image.transpose(1, 2, 0),
        n_segments=n_segments,
        compactness=compactness,
        convert2lab=False,
        channel_axis=None if grey else -1,
    )
    return _numbered(found)


def quickshift(image: np.ndarray, n_segments: int) -> np.ndarray:
    """Return quickshift's segments of an image [channel, height, width], numbered from 0 without gaps.

    Its settings follow from n_segments: a step of at most REACH sides of such a segment, and a kernel of a quarter
    of that but at least one pixel (with those of the lime package, an image of 64 pixels has about five segments).
    """
    from skimage.segmentation import quickshift as segment

    reach = REACH * (image[0].size / n_segments) ** 0.5
    colour = np.ascontiguousarray(np.broadcast_to(image, (max(3, len(image)), *image.shape[1:])).transpose(1, 2, 0))
    return _numbered(segment(colour, ratio=0.5, kernel_size=max(1, reach / 4), max_dist=reach, convert2lab=False))


def _numbered(found: np.ndarray) -> np.ndarray:
    return np.unique(found, return_inverse=True)[1].reshape(found.shape)


def absent(task: Task, x: Float[Tensor, "batch *feature"], how: Fill, cut: Regions | None = None) -> Tensor:
    """Return what every entry of x looks like when it is absent.

    `baseline` is the dataset's; `mean` the mean colour of the image; `segment_mean` that of the segment; `blur` a box
    blur over a quarter of the shorter side.

    Raises:
        ValueError: for tables, if it is not the baseline; for `segment_mean`, if there are no segments.
    """
    if how == "baseline":
        return task.data.baseline.to(x).expand_as(x)
    if x.ndim == 2:
        raise ValueError(f"fill must be 'baseline' for tables, got {how!r}: columns have no mean colour.")
    if how == "mean":
        return x.mean((2, 3), keepdim=True).expand_as(x)
    if how == "blur":
        reach = max(1, min(x.shape[2:]) // 8)
        padded = functional.pad(x, (reach,) * 4, mode="replicate")
        return functional.avg_pool2d(padded, 2 * reach + 1, stride=1)
    if cut is None:
        raise ValueError("fill must not be 'segment_mean' where there are no segments; choose baseline, mean or blur.")
    index = cut.index.flatten(1)[:, None].expand(-1, x.shape[1], -1)
    total = x.new_zeros(*x.shape[:2], cut.most).scatter_add_(2, index, x.flatten(2))
    size = x.new_zeros(total.shape).scatter_add_(2, index, torch.ones_like(x).flatten(2))
    return (total / size.clamp(min=1)).gather(2, index).view(x.shape)


# --- the network's answers ------------------------------------------------------------------------------------------


def on_scale(logits: Float[Tensor, "row head"], target: Int[Tensor, "row"], output: Output) -> Float[Tensor, "row"]:
    """Return the target's logit, probability or log-odds (log p - log(1 - p), which does not saturate), in float64."""
    if not bool(logits.isfinite().all()):
        raise ValueError("The network's answers to masked inputs must be finite; some are NaN or infinite.")
    logits = logits.double()
    own = logits.gather(1, target[:, None])[:, 0]
    if output == "logit":
        return own
    if output == "probability":
        return logits.softmax(1).gather(1, target[:, None])[:, 0]
    if logits.shape[1] < 2:
        raise ValueError("output must not be 'log_odds' for a network with one head; choose logit.")
    return own - logits.scatter(1, target[:, None], -torch.inf).logsumexp(1)


@value
class Probe:
    """A network, the samples it is asked about, and what is shown where they are masked."""

    model: nn.Module
    x: Float[Tensor, "batch *feature"]
    target: Int[Tensor, "batch"]
    absent: Float[Tensor, "batch *feature"]
    output: Output

    def chunks(
        self, image: Int[Tensor, "row"], present: Callable[[slice], Shaped[Tensor, "part *position"]]
    ) -> Iterator[tuple[slice, Tensor, Float[Tensor, "part"]]]:
        """Yield (rows, their masks, the network's answers) for at most CHUNK rows at a time.

        Args:
            image: which sample each row masks.
            present: returns the masks of a slice of the rows; called once per chunk, in order.
        """
        quick = layout(self.model, self.x)
        n_chunks = -(-len(image) // CHUNK)
        ends = [len(image) * i // n_chunks for i in range(n_chunks + 1)] if n_chunks else []
        for start, end in zip(ends, ends[1:], strict=False):
            rows = slice(start, end)
            mask, which = present(rows).to(self.x), image[rows]
            shaped = mask[:, None] if self.x.ndim == 4 else mask
            with torch.no_grad():
                blend = torch.lerp(self.absent[which], self.x[which], shaped)
                logits = self.model(quick(blend))
            yield rows, mask, on_scale(logits, self.target[which], self.output)

    def answers(
        self, image: Int[Tensor, "row"], present: Callable[[slice], Shaped[Tensor, "part *position"]]
    ) -> Float[Tensor, "row"]:
        """Return the network's answer to each mask, in float64."""
        found = [y for _, _, y in self.chunks(image, present)]
        return torch.cat(found) if found else self.x.new_zeros(0, dtype=torch.float64)

    def even(self, level: int) -> Float[Tensor, "batch"]:
        """Return the answer to each sample where all of it (1) or nothing of it (0) is present."""
        shape = self.x.shape[2:] if self.x.ndim == 4 else self.x.shape[1:]
        image = torch.arange(len(self.x), device=self.x.device)
        return self.answers(image, lambda rows: self.x.new_full((rows.stop - rows.start, *shape), level))


def layout(model: nn.Module, x: Tensor) -> Callable[[Tensor], Tensor]:
    """Return the function that lays inputs like x out in memory as the network takes them fastest."""
    pools = x.ndim == 4 and x.device.type == "cpu" and any(isinstance(one, nn.MaxPool2d) for one in model.modules())
    return _channels_last if pools else lambda batch: batch


def _channels_last(x: Float[Tensor, "row channel height width"]) -> Tensor:
    """Return the same images with the channels next to each other: torch's max pooling on the CPU is faster so."""
    if x.shape[1] > 1:
        return x.contiguous(memory_format=torch.channels_last)
    return x.contiguous().as_strided(x.shape, (x.shape[2] * x.shape[3], 1, x.shape[3], 1))  # contiguous() ignores it


def probe(task: Task, query: Query, how: Fill, output: Output, cut: Regions | None = None) -> Probe:
    """Return the probe of a query."""
    shown = absent(task, query.x, how, cut)
    return Probe(model=task.model, x=query.x, target=query.target, absent=shown, output=output)


def ask(asked: Probe, cut: Regions, masks: list) -> list:
    """Return the answers to masks over regions [mask, region], one tensor per sample; all samples share their chunks.

    Lists without the type of their items: checking that would draw from Python's random state in the tests.
    """
    lengths = [len(mask) for mask in masks]
    image = torch.arange(len(masks)).repeat_interleave(torch.tensor(lengths)).to(asked.x.device)
    stacked = torch.cat(pad(masks, cut.most)).to(asked.x.device)
    return list(asked.answers(image, by_region(cut, image, lambda rows: stacked[rows])).split(lengths))


def by_region(
    cut: Regions, image: Int[Tensor, "row"], masks: Callable[[slice], Shaped[Tensor, "part region"]]
) -> Callable[[slice], Tensor]:
    """Return the function that looks masks over regions up at every position."""
    flat = cut.index.flatten(1)
    return lambda rows: masks(rows).gather(1, flat[image[rows]]).view(-1, *cut.index.shape[1:])


def pad(masks: list, width: int) -> list:
    """Return masks with absent regions added up to a width."""
    return [functional.pad(mask, (0, width - mask.shape[1])) for mask in masks]


def groups(query: Query, masks_each: int) -> Iterator[Query]:
    """Yield the query in parts of so few samples that about GROUP masks, or one sample's, exist at a time."""
    size = max(1, GROUP // masks_each)
    for start in range(0, len(query.x), size):
        part = slice(start, start + size)
        yield Query(x=query.x[part], target=query.target[part], sample=query.sample[part])
