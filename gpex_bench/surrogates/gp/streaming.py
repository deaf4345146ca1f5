"""One exact pass over the rows of all inducing points, block by block, from memory or disk."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from gpex_bench.surrogates.gp.posterior import Statistics

INNER = 1024  # rows of a matrix product: they stay in the cache, and their float32 sums are short


def streamed(
    blocks: Iterable[tuple[Float[Tensor, "_ group dim"], Float[Tensor, "_ group out"]]],
    products: torch.dtype = torch.float64,
) -> Statistics:
    """Return the statistics of all blocks of rows and targets, of which one is in memory at a time.

    Sums over blocks are in float64. `products` in float64 are exact to rounding; in float32 they
    are two to three times faster, with errors of about 1e-7 of A, which is too much where the noise
    is far below the largest eigenvalue of A.

    Raises:
        ValueError: no block, shapes that do not fit, or an entry that is not finite.
    """
    total: list[Tensor] = []
    count = 0
    for u, v in blocks:
        if u.ndim != 3 or v.ndim != 3 or u.shape[:2] != v.shape[:2]:
            raise ValueError(
                "u must be [row, group, dim] and v [row, group, out], "
                f"got {tuple(u.shape)} and {tuple(v.shape)}."
            )
        total = total or _zeros(u, v)
        _add_products(total, u, v, products)
        count += len(u)

    if not count:
        raise ValueError("blocks must have at least 1 row, got none.")
    for name, part in zip(("u", "v", "v"), total, strict=True):
        if not part.isfinite().all():
            raise ValueError(
                f"{name} must be finite, got an entry that is not; "
                "look at the rows and their targets."
            )

    a, b, c = total
    return Statistics(
        a=a,
        b=b.mT.contiguous(),
        c=c,
        count=torch.tensor(float(count), dtype=a.dtype, device=a.device),
    )


def _add_products(total: list[Tensor], u: Tensor, v: Tensor, products: torch.dtype) -> None:
    """Add U'U, v'U and v'v of a block of rows in place."""
    # one conversion buffer per block: a fresh tensor for each part costs more than the products
    u_buffer = torch.empty(INNER, *u.shape[1:], dtype=products, device=u.device)
    v_buffer = torch.empty(INNER, *v.shape[1:], dtype=products, device=v.device)
    total_a, total_b, total_c = total

    for rows, targets in zip(u.split(INNER), v.split(INNER), strict=True):
        p = _converted(rows, u_buffer).permute(1, 2, 0)
        t = _converted(targets, v_buffer).permute(1, 2, 0)
        total_a += p @ p.mT
        total_b += t @ p.mT
        total_c += torch.linalg.vecdot(t, t)


def _converted(part: Tensor, buffer: Tensor) -> Tensor:
    """Return a part in the type of the buffer, which then holds it if its own type is another."""
    if part.dtype == buffer.dtype:
        return part
    return buffer[: len(part)].copy_(part)


def _zeros(u: Tensor, v: Tensor) -> list[Tensor]:
    """Return room for A, b' and c."""
    (n_groups, dim), n_out = u.shape[1:], v.shape[2]
    shapes = ((n_groups, dim, dim), (n_groups, n_out, dim), (n_groups, n_out))
    return [torch.zeros(shape, dtype=torch.float64, device=u.device) for shape in shapes]
