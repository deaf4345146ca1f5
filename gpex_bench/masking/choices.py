"""What may be chosen about masks: the scale of the answers, the fill, how images are segmented."""

from __future__ import annotations

from typing import Literal, get_args

from gpex_bench.masking.fills import METHOD_FILLS
from gpex_bench.masking.regions import Segmentation
from gpex_bench.types.demands import Refused

Output = Literal["logit", "probability", "log_odds"]
CHOICES = {
    "output": (*get_args(Output), None),  # None: the probability, of a number its value
    "fill": METHOD_FILLS,
    "segmentation": get_args(Segmentation),
}


def check_settings(explainer: object, **fewest: int) -> None:
    """Raise ValueError if a setting is not one of its CHOICES, or below its smallest value."""
    for name, known in CHOICES.items():
        chosen = getattr(explainer, name, known[0])
        if chosen not in known:
            listed = ", ".join(choice for choice in known if choice is not None)
            raise ValueError(f"{name} must be one of {listed}, got {chosen!r}.")

    for name, smallest in fewest.items():
        given = getattr(explainer, name)
        if given < smallest:
            raise ValueError(f"{name} must be at least {smallest}, got {given}.")


def check_budget(budget: int, fewest: int, why: str) -> None:
    """Raise Refused if a budget of forward rows cannot pay for what a method needs at least."""
    if budget < fewest:
        raise Refused(
            f"budget must be at least {fewest} rows for {why}, got {budget}; "
            "raise it or cut fewer regions."
        )


def check_masks(budget: int, n_regions: int) -> None:
    """Raise Refused if there are too few masks to tell the regions apart: no more than regions."""
    check_budget(budget, n_regions + 1, f"{n_regions} regions, one mask more than regions")
