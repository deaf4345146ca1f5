"""Simple Taylor decomposition: first-order terms of the logit around a root point r.

Montavon, Samek, Mueller 2018 (montavon2018methods). `search` takes the root nearest to x on the
line from x to the dataset's baseline: the first change of sign among equidistant points, then
bisection; where the logit does not change its sign, the point with the smallest one (ours).
`baseline` takes the baseline, whatever the logit there. For a bias-free ReLU network and a root
near zero it is gradient x input, which is a method of its own.

A number has no boundary at zero: `search` refuses it.

`residual` is f(x) minus the sum: the logit left at the root, and all terms of higher order.
"""

from typing import Literal

import torch
from torch import Tensor

from gpex_bench.families.gradients import logit_gradient
from gpex_bench.types import Attribution, Axiom, Explainer, Kind, Need, Query, Task, settings
from gpex_bench.types.demands import Refused

BISECTIONS = 8  # of the budget: they leave 1/256 of the step between two points


@settings
class SimpleTaylor(Explainer):
    """First-order Taylor terms around a root of the logit."""

    reference = "montavon2018methods"
    kind = "gradient"
    needs = frozenset({Need.GRADIENT})
    offers = frozenset({Need.RESIDUAL})
    axioms = frozenset({Axiom.DUMMY})
    cost = (
        "`budget` forward rows for the search, one forward and one backward row at the root, "
        "one forward row at x"
    )

    root: Literal["search", "baseline"] = "search"
    budget: int = 24  # forward rows per sample of the search

    def __post_init__(self) -> None:
        """Refuse unknown roots and a search without two points."""
        if self.root not in ("search", "baseline"):
            raise ValueError(f"root must be 'search' or 'baseline', got {self.root!r}.")
        if self.budget < BISECTIONS + 2:
            raise ValueError(f"budget must be at least {BISECTIONS + 2}, got {self.budget}.")

    @property
    def relative_to(self) -> str:  # type: ignore[override]
        """The root: a point where the logit is zero, or the baseline."""
        return "root" if self.root == "search" else "baseline"

    def explain(self, task: Task, query: Query) -> Attribution:
        """Expand the logit of each sample around its root; raises Refused for a number's zero."""
        if self.root == "search" and task.data.kind is Kind.NUMBER:
            raise Refused(
                "root must be 'baseline' where the network gives a number: its zero is where its "
                f"unit puts it, and no boundary to search for; got {self.root!r}."
            )
        step = query.x - task.data.baseline.to(query.x)
        if self.root == "baseline":
            share = torch.zeros(len(query.x)).to(query.x)
        else:
            share = self._search(task, query, step)
        root = _on_the_line(query.x, step, share)

        values = logit_gradient(task.model, root, query.target) * (query.x - root)
        with torch.no_grad():
            residual = _logit(task, query.x, query.target) - values.flatten(1).sum(1)
        return Attribution(values=values, residual=residual)

    def _search(self, task: Task, query: Query, step: Tensor) -> Tensor:
        """Return where on the line the root is, from 0 at the baseline to 1 at x."""

        def logit_at(share: Tensor) -> Tensor:
            with torch.no_grad():
                return _logit(task, _on_the_line(query.x, step, share), query.target)

        # the first change of sign among equidistant points, seen from x
        points = torch.linspace(1, 0, self.budget - BISECTIONS).to(query.x)
        logits = torch.stack([logit_at(point.expand(len(step))) for point in points], 1)
        changes = logits[:, :-1] * logits[:, 1:] <= 0
        has_root, first = changes.max(1)

        # without a change of sign: the point with the smallest logit, at which the bisection stays
        smallest = points[logits.abs().argmin(1)]
        high = torch.where(has_root, points[first], smallest)
        low = torch.where(has_root, points[first + 1], smallest)

        is_up = logits.gather(1, first[:, None])[:, 0] > 0
        for _ in range(BISECTIONS):
            middle = (high + low) / 2
            is_before = (logit_at(middle) > 0) == is_up  # the sign is still that at the upper end
            high = torch.where(is_before, middle, high)
            low = torch.where(is_before, low, middle)
        return (high + low) / 2


def _on_the_line(x: Tensor, step: Tensor, share: Tensor) -> Tensor:
    """Return the points at these shares of the way from the baseline (x - step) to x."""
    missing = (1 - share).view(-1, *[1] * (step.ndim - 1))
    return x - missing * step


def _logit(task: Task, x: Tensor, target: Tensor) -> Tensor:
    return task.model(x.clone()).gather(1, target[:, None])[:, 0]
