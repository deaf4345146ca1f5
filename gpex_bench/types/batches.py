"""Many samples through a network in chunks, and how alike they are in its own embedding."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Float64, Shaped
from torch import Tensor, nn

from gpex_bench.types import Attribution, Examples, Explainer, Explanation, Model, Query, Task

# How many rows go through a network together. They bound the memory; and as they decide the last
# bits of sums of floats, another size gives slightly other numbers.
FORWARD_ROWS = 500  # inputs as they are, without gradients
CHANGED_ROWS = 256  # masked or noisy inputs, points of a path; larger chunks are slower on a CPU
PAIRED_ROWS = 128  # pairs of an input and a baseline
EXPLAINED_ROWS = 100  # inputs that are explained at once
RECORDED_ROWS = 64  # inputs of which the outputs or gradients of every layer are kept
# The entries of inputs that go through a network together: fewer rows of large images. Of coloured
# images of 32 x 32 pixels they are 682 rows, of 224 x 224 pixels 13.
ENTRIES = 2**21


def rows_at_once(most: int, x: Shaped[Tensor, "n *feature"]) -> int:
    """Return how many rows like those of x go through a network together, at most `most`."""
    n_entries = x[0].numel() if len(x) else 1
    return max(1, min(most, ENTRIES // max(n_entries, 1)))


def in_chunks(
    network: Callable[[Tensor], Tensor],
    x: Shaped[Tensor, "n *feature"],
    device: str | None = None,
    size: int = FORWARD_ROWS,
) -> Tensor:
    """Apply a network to many inputs without gradients, at most `size` at a time.

    Args:
        network: anything that maps rows to rows; also a function of row numbers.
        x: inputs.
        device: where the network is; the result is then on the CPU. None: all is where x is.
        size: rows at a time; fewer of large inputs.
    """
    size = rows_at_once(size, x)
    with torch.no_grad():
        if device is None:
            parts = [network(part) for part in x.split(size)]
        else:
            parts = [network(part.to(device)).cpu() for part in x.split(size)]
    return torch.cat(parts)


def explained_in_parts(explainer: Explainer, task: Task, query: Query) -> Explanation:
    """Return the explanation of all rows, made few rows at a time where inputs are large.

    Many methods keep what every layer gives for all rows. Rows do not influence one another.
    """
    size = rows_at_once(max(len(query.x), 1), query.x)
    is_by_row = issubclass(explainer.explains, Attribution | Examples)
    if len(query.x) <= size or not is_by_row:
        return explainer.explain(task, query)

    starts = range(0, len(query.x), size)
    parts = [explainer.explain(task, query.rows(slice(start, start + size))) for start in starts]
    return _joined(parts)


def _joined(parts: list[Explanation]) -> Explanation:
    """Return one explanation of all rows; of parts of several kinds the first, for the checks."""
    attributions = [part for part in parts if isinstance(part, Attribution)]
    if len(attributions) == len(parts):
        residuals = [part.residual for part in attributions if part.residual is not None]
        has_residual = len(residuals) == len(parts)
        values = torch.cat([part.values for part in attributions])
        return Attribution(values=values, residual=torch.cat(residuals) if has_residual else None)

    examples = [part for part in parts if isinstance(part, Examples)]
    if len(examples) == len(parts):
        index = torch.cat([part.index for part in examples])
        return Examples(index=index, weight=torch.cat([part.weight for part in examples]))
    return parts[0]


def embeddings(model: Model, x: Float[Tensor, "n *feature"]) -> Float64[Tensor, "n width"]:
    """Return the network's embeddings."""
    return in_chunks(model.embed, x).double()


def centred_cosine(
    model: Model, train: Float[Tensor, "n_train *feature"], x: Float[Tensor, "batch *feature"]
) -> Float64[Tensor, "batch n_train"]:
    """Return the cosine of embeddings to those of the training samples, centred on the latter."""
    rows, query = embeddings(model, train), embeddings(model, x)
    centre = rows.mean(0)
    return (
        nn.functional.normalize(query - centre, dim=-1)
        @ nn.functional.normalize(rows - centre, dim=-1).T
    )
