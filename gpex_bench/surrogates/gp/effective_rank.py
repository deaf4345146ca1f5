"""How many directions a kernel uses (roy2007effective)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def effective_rank(a: Float[Tensor, "group dim dim"]) -> Float[Tensor, "group"]:
    """Return how many directions each kernel uses, from 1 to dim.

    It is the exponential of the entropy of the eigenvalues' shares in the trace of A = U'U: 1 for
    embeddings on one line, dim for embeddings alike in every direction, 0 where all are zero.
    """
    eigenvalues = torch.linalg.eigvalsh(a.double()).clamp(min=0)
    total = eigenvalues.sum(-1, keepdim=True)
    share = eigenvalues / total.where(total > 0, 1.0)
    entropy = torch.special.entr(share).sum(-1)
    return torch.where(total[:, 0] > 0, entropy.exp(), 0.0)


def centred(
    a: Float[Tensor, "group dim dim"], mean: Float[Tensor, "group dim"], count: Float[Tensor, ""]
) -> Float[Tensor, "group dim dim"]:
    """Return the sum of (u - mean)(u - mean)' from A, the mean embedding and the number of rows."""
    mean = mean.double()
    return a.double() - count * mean[:, :, None] * mean[:, None, :]
