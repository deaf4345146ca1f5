"""Oracle: the planted relevance itself, the best possible map for metrics of the truth.

Ground truth by construction: Arras, Osman, Samek 2022 (arras2022clevr). 1 where the evidence for
the class of a test sample was planted, divided by the size of that region; 0 elsewhere. It depends
on neither the network nor the target.
"""

from gpex_bench.types import Attribution, Explainer, Need, Query, Role, Task, settings


@settings
class Oracle(Explainer):
    """The planted mask, summing to 1."""

    reference = "arras2022clevr"
    kind = "control"
    relative_to = "nothing"
    role = Role.ORACLE
    needs = frozenset({Need.TRUTH})
    cost = "none"

    def explain(self, task: Task, query: Query) -> Attribution:
        """Return the mask of each test sample, found by its identity."""
        truth = task.data.truth
        if truth is None:
            raise ValueError(
                f"The oracle needs planted truth and the dataset {task.data.name!r} has none."
            )
        is_same = query.sample[:, None] == task.data.test.sample.to(query.sample.device)[None]
        is_known = is_same.any(1)
        if not bool(is_known.all()):
            unknown = query.sample[~is_known].tolist()
            raise ValueError(
                f"query.sample must hold test samples of {task.data.name!r}; {unknown} are not."
            )

        row = is_same.int().argmax(1).to(truth.mask.device)
        mask = truth.mask[row].to(query.x)
        size = mask.flatten(1).sum(1).clamp(min=1)
        return Attribution(values=mask / size.view(-1, *[1] * (mask.ndim - 1)))
