"""Whether a network's answers differ by more than its precision resolves.

A logit near 1,000,000 has steps of 0.06 in single precision. Answers that differ by a few such
steps look like a weak effect, and are rounding.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from gpex_bench.types.demands import Refused

# Answers must differ by so many steps at least: rounding is then a few per cent of the difference.
FEWEST_STEPS = 16


def steps(
    logits: Float[Tensor, "row head"],
    target: Int[Tensor, "row"],
    answers: Float[Tensor, "row"],
    scale: Callable[[Tensor], Tensor],
) -> Float[Tensor, "row"]:
    """Return by how much each answer changes when the target's logit changes by a step.

    Args:
        logits: outputs of the network, in its own precision.
        target: the output that is explained.
        answers: what `scale` makes of the logits.
        scale: from logits to answers.
    """
    own = logits.gather(1, target[:, None]).double()
    step = torch.finfo(logits.dtype).eps * own.abs()
    moved = logits.double().scatter_add(1, target[:, None], step)
    return (scale(moved) - answers).abs()


def check_resolved(
    image: Int[Tensor, "row"],
    answers: Float[Tensor, "row"],
    step: Float[Tensor, "row"],
    is_same: Shaped[Tensor, "batch"],
) -> None:
    """Raise Refused if the answers to some sample differ, but by less than FEWEST_STEPS steps.

    Args:
        image: which sample each answer is to.
        answers: of the network.
        step: the precision of each, in the same units.
        is_same: samples whose masked inputs are all the same, so that any difference is rounding.
    """
    highest = torch.full(is_same.shape, -torch.inf, dtype=torch.float64, device=answers.device)
    lowest = torch.full_like(highest, torch.inf)
    coarsest = torch.zeros_like(highest)
    highest.scatter_reduce_(0, image, answers.double(), "amax")
    lowest.scatter_reduce_(0, image, answers.double(), "amin")
    coarsest.scatter_reduce_(0, image, step.double(), "amax")

    spread = highest - lowest
    is_lost = (spread > 0) & (spread < FEWEST_STEPS * coarsest) & ~is_same
    if bool(is_lost.any()):
        row = int(is_lost.nonzero()[0, 0])
        raise Refused(
            f"The outputs differ by less than the network's precision resolves at this size: the "
            f"answers to row {row} with parts of it masked lie between {float(lowest[row]):.9g} "
            f"and {float(highest[row]):.9g}, in steps of {float(coarsest[row]):.3g}. Take a "
            "constant out of the network's outputs, or explain a network in which the target "
            "depends on the input."
        )
