"""The nouns: what travels between the stages, and the contracts that plug-ins fulfil.

Everything here is either a frozen value or an abstract class. An object's fields are its
hyperparameters (plug-ins) or its content (values); nothing is learned into them. Shapes are
jaxtyping annotations and are enforced in the tests.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from gpex_bench.types.networks import Model, Surrogate
from gpex_bench.types.progress import Progress
from gpex_bench.types.values import (
    Attribution,
    Axiom,
    Dataset,
    Examples,
    Explanation,
    Kind,
    Need,
    Posterior,
    Prototype,
    Query,
    RelativeTo,
    Removal,
    Role,
    Split,
    Truth,
    settings,
    value,
)

# The smallest difference that matters, as a share of the range of a score that has two ends.
MARGIN = 0.02

__all__ = [
    "Architecture",
    "Attribution",
    "Axiom",
    "Case",
    "Dataset",
    "Examples",
    "Explainer",
    "Explanation",
    "Kind",
    "Measurement",
    "Metric",
    "Model",
    "Need",
    "Posterior",
    "Progress",
    "Prototype",
    "Query",
    "Recipe",
    "RelativeTo",
    "Removal",
    "Role",
    "Source",
    "Split",
    "Study",
    "Surrogate",
    "Task",
    "Truth",
    "settings",
    "value",
]


HELD_OUT = 1990  # keeps the draw of samples for calibration apart from others with the same seed


@value
class Task:
    """All an explainer may look at."""

    model: Model
    data: Dataset
    surrogate: Surrogate | None
    seed: int

    def seeded(self, sample: int) -> int:
        """Return a seed in [1, 2**31) that depends on (seed, sample) only.

        Never 0, which some libraries ignore.
        """
        state = np.random.SeedSequence([self.seed, int(sample)]).generate_state(1, np.uint32)
        return int(state[0]) % (2**31 - 1) + 1

    def generator(self, sample: int) -> torch.Generator:
        """Return a CPU generator seeded from (seed, sample): no result depends on the batch."""
        return torch.Generator().manual_seed(self.seeded(sample))


@value
class Retrained:
    """One method's explanations of the same samples on a network of another training seed."""

    sample: Int[Tensor, "batch"]
    target: Int[Tensor, "batch"]  # the output that is explained there
    explanation: Explanation

    def rows(self, rows: slice) -> Retrained:
        """Return some of the samples."""
        explanation = self.explanation
        if not isinstance(explanation, Prototype):
            explanation = explanation.rows(rows)
        return Retrained(
            sample=self.sample[rows], target=self.target[rows], explanation=explanation
        )


@value
class Case:
    """All a metric may look at: one method's explanations of some queries."""

    task: Task
    query: Query
    explanation: Explanation
    explainer: Explainer
    #: what its metrics ask for, each made once
    measured: Mapping[Measurement, Any] = field(default_factory=dict)
    #: of the same method and samples, on the networks of the other training seeds
    retrained: tuple[Retrained, ...] = ()

    def read(self, measurement: Measurement) -> Any:
        """Return what was measured; raises ValueError if it was not."""
        if measurement not in self.measured:
            raise ValueError(
                f"case.measured lacks {measurement}, which this metric reads; "
                "name it in Metric.measurements and make the case with `measurements.measured`."
            )
        return self.measured[measurement]


# --- contracts ------------------------------------------------------------------------------------


class Source(ABC):
    """A dataset that can be loaded or generated.

    Concrete classes are `settings` in `data/<name>.py`.
    """

    #: IMAGE or TABLE, and TRUTH; a class attribute, or a property where it depends on the files
    offers: frozenset[Need]
    kind: Kind = Kind.CLASSES  #: of what it loads; a class attribute or a hyperparameter
    #: whether there are enough rows to train a network; False: for networks that are brought along
    is_for_training: bool = True
    #: what a reader of its numbers must know, in sentences: the report shows them
    remarks: tuple[str, ...] = ()
    #: files and folders whose content decides what it loads, as written: the working folder is what
    #: they are relative to; a property of plug-ins that read some
    reads: tuple[str, ...] = ()

    @abstractmethod
    def load(self) -> Dataset:
        """Return the dataset; the same settings give the same bits."""


class Architecture(ABC):
    """A kind of network and how it is trained.

    Concrete classes are `settings` in `models/<name>.py`.
    """

    #: what its networks can give to methods; each is tried on the trained network
    offers: ClassVar[frozenset[Need]] = frozenset({Need.GRADIENT, Need.MODULES})
    takes: ClassVar[frozenset[Need]]  #: the kind of feature tensor it takes: IMAGE or TABLE
    #: what surrogates are fitted to (`Model.explained`): logits or attention
    explained: ClassVar[str] = "logits"
    #: for two classes: one logit, that of the second, in place of one of each; a class attribute or
    #: a hyperparameter
    one_logit: bool = False
    #: brought along, not trained: one network whatever the seeds
    is_given: ClassVar[bool] = False
    reads: tuple[str, ...] = ()  #: as `Source.reads`: weights, and the file that builds the network

    @property
    def regime(self) -> str:
        """How the network came by its weights, in words: what is found holds for its kind."""
        return "given, not trained" if self.is_given else "trained"

    @abstractmethod
    def build(self, data: Dataset) -> Model:
        """Return an untrained network for this dataset.

        Weights come from torch's current random state.
        """

    @abstractmethod
    def train(self, data: Dataset, seed: int, progress: Callable[[str], None]) -> Model:
        """Return a network in eval mode, trained on data.train alone."""


class Recipe(ABC):
    """How a surrogate is fitted. Concrete classes are `settings` in `surrogates/<name>.py`."""

    #: values of `Architecture.explained` that it can be fitted to
    takes_explained: ClassVar[frozenset[str]] = frozenset({"logits", "attention"})
    #: holds the network's logits by construction, so that a good match is no finding
    exact: ClassVar[bool] = False

    def calibration_samples(self, n_train: int, seed: int) -> Int[Tensor, "k"]:
        """Return the training samples on which intervals are calibrated, a tenth drawn at random.

        A fit that keeps samples from its training for such a purpose returns those.
        """
        draw = int(np.random.SeedSequence([seed, HELD_OUT]).generate_state(1)[0])
        order = torch.randperm(n_train, generator=torch.Generator().manual_seed(draw))
        return order[: max(1, round(0.1 * n_train))]

    @abstractmethod
    def fit(self, model: Model, data: Dataset, seed: int, progress: Progress) -> Surrogate:
        """Return a fitted surrogate in eval mode; looks at data.train alone."""

    @abstractmethod
    def restore(self, model: Model, data: Dataset, state: Mapping[str, Tensor]) -> Surrogate:
        """Return the fitted surrogate whose state_dict this is."""


class Explainer(ABC):
    """One way to explain a network.

    Concrete classes are `settings` in `methods/<name>.py`, one per file.
    """

    reference: ClassVar[str]  #: BibTeX key in docs/references.bib
    cost: ClassVar[str]  #: what an explanation costs, in rows that go through the network
    #: gradient, attention, propagation, perturbation, evolutionary, surrogate, examples, control or
    #: elsewhere (maps that others made);
    #: a wrapper has the kind of the method that it wraps
    kind: str
    #: what its numbers compare the input with, one of `RelativeTo`: a class attribute, a
    #: hyperparameter, or a property of a wrapper
    relative_to: str
    role: ClassVar[Role] = Role.METHOD  #: of a control: what it is a control of
    explains: ClassVar[type] = Attribution  #: `Attribution`, `Examples` or `Prototype`
    #: what dataset and network must offer, else the cell reads "n/a"; a class attribute, or a
    #: property of a wrapper
    needs: frozenset[Need] = frozenset()
    offers: frozenset[Need] = frozenset()  #: to metrics: RESIDUAL, if its attributions have one
    #: run id of the surrogate that it explains with; a class attribute or a hyperparameter
    surrogate: str | None = None
    #: what the contract tests it for; a class attribute, or a property
    axioms: frozenset[Axiom] = frozenset()
    #: largest share of its sum that an attribution may miss in any cell (`contract.sums`); None: it
    #: claims no sum. A class attribute, or a property where it depends on the settings
    sum_tolerance: float | None = None
    #: gives maps that were made elsewhere: it cannot be asked again, about other inputs or
    #: networks; a class attribute, or a property of a wrapper
    is_stored: bool = False
    reads: tuple[str, ...] = ()  #: as `Source.reads`: files with maps
    #: of stored maps: run ids of the dataset and the network that they explain (None: the only one
    #: of the run), and whether there are maps of the networks of all training seeds
    dataset: str | None = None
    model: str | None = None
    has_each_seed: bool = False

    @abstractmethod
    def explain(self, task: Task, query: Query) -> Explanation:
        """Return an explanation of each query; rows do not influence one another."""


class Measurement(ABC):
    """What metrics learn from a network or an explainer.

    It is made once per cell and read by every metric that names it. Concrete classes are `settings`
    in `measurements/`; equal ones are one measurement. What it gives is a `value`.
    """

    re_explains: ClassVar[bool] = False  #: calls the explainer again
    #: explains another network than the one that a surrogate was fitted to
    changes_network: ClassVar[bool] = False

    @abstractmethod
    def measure(self, case: Case) -> Any:
        """Return the value.

        Rows do not influence one another, and draws depend on (purpose, seed, sample) only.
        """


class Metric(ABC):
    """One number per explained sample.

    Concrete classes are `settings` in `metrics/<name>.py`, one per file.
    """

    title: ClassVar[str]  #: the name that people know it by
    reference: ClassVar[str]  #: BibTeX key in docs/references.bib
    cost: ClassVar[str]  #: what a score costs, in rows that go through the network or explanations
    measures: ClassVar[str]  #: one of `tables.order.METRIC_KINDS`
    higher_is_better: ClassVar[bool]  #: the direction
    #: closed interval of possible scores, may be infinite; a class attribute, or a property
    range: tuple[float, float]
    #: scores, and differences, of this size or smaller are rounding: above 0 where a perfect score
    #: is 0 up to rounding
    resolution: float = 0.0
    #: expected score of a random explanation; None where it depends on the data
    chance: ClassVar[float | None]
    #: why a better map need not score better than its negation; printed on the page
    caveat: ClassVar[str | None] = None
    scores: ClassVar[type] = Attribution  #: the type of explanation that it scores
    #: whether a score is the share of relevance that lies inside the planted truth
    is_share_of_truth: ClassVar[bool] = False
    #: whether a map that looks at nothing can be perfect, as a constant one is perfectly steady
    blind_can_be_perfect: ClassVar[bool] = False
    #: what must be offered, else the cell reads "n/a"; a class attribute, or a property
    needs: frozenset[Need] = frozenset()

    def measurements(self) -> tuple[Measurement, ...]:
        """Return what must be measured before it can score."""
        return ()

    @property
    def margin(self) -> float | None:
        """The smallest difference of means that matters, in units of the score.

        A fiftieth of the range where that has two ends. None: a tenth of the standard deviation of
        the two methods' scores over samples, whichever two are compared.
        """
        low, high = self.range
        return MARGIN * (high - low) if math.isfinite(high - low) else None

    @property
    def re_explains(self) -> bool:
        """Whether it calls the explainer again: it then sees fewer samples."""
        return any(measurement.re_explains for measurement in self.measurements())

    @abstractmethod
    def score(self, case: Case) -> Float[Tensor, "batch"]:
        """Return one number per sample, nothing else."""


class Study(ABC):
    """A question that a run of the benchmark does not answer by itself.

    Concrete classes are `settings` in `studies/<name>/plan.py`; their fields are the section of a
    config that has the study's name. A config has one study at most.
    """

    question: str  #: heads the page of the answer; a class attribute, or a hyperparameter
    reference: ClassVar[str]  #: BibTeX key in docs/references.bib of what it repeats
    needs: ClassVar[frozenset[str]] = frozenset()  #: sections of the config that it asks for
    refuses: ClassVar[frozenset[str]] = frozenset()  #: sections that would be without effect
    asks: ClassVar[frozenset[Need]] = frozenset()  #: what every network must offer with its dataset
    #: trains networks itself, or compares those of several seeds: none may be brought along
    trains: ClassVar[bool] = False
    has_report: ClassVar[bool] = True  #: whether the run's report is made beside the study's page
    #: whether it asks methods about other inputs or networks, which stored maps do not answer
    asks_again: ClassVar[bool] = False

    def expand(self, sections: Mapping[str, Any], networks: Sequence[Any]) -> tuple[Any, Any]:
        """Return the plug-in sections and the networks that the run is made of.

        A study may put a grid in place.
        """
        return sections, networks

    def check(self, config: Any) -> None:
        """Check the study against its config.

        Raises:
            ValueError: names the key of the section, the value and what is known.
        """
        return
