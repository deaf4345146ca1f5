"""The nouns that are frozen values: what travels between the stages.

`types` has them all, and the contracts.

Shapes are jaxtyping annotations and are enforced in the tests.
"""

from __future__ import annotations

from dataclasses import Field, dataclass, field
from enum import StrEnum
from typing import TypeVar, dataclass_transform

from jaxtyping import Bool, Float, Int
from torch import Tensor

T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True, eq_default=False)
def value(cls: type[T]) -> type[T]:
    """Make a class a frozen, keyword-only value.

    Compared by identity, because tensors have no truth value.
    """
    return dataclass(frozen=True, kw_only=True, eq=False, slots=True)(cls)


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def settings(cls: type[T]) -> type[T]:
    """Make a class a frozen, keyword-only set of hyperparameters.

    Equal when its fields are equal.
    """
    return dataclass(frozen=True, kw_only=True)(cls)


def key_of(field: Field) -> str:
    """Return the key of a hyperparameter in a config: its name, unless its metadata say another."""
    return str(field.metadata.get("key", field.name))


class Need(StrEnum):
    """What an explainer or a metric needs from dataset, network, run or (a metric) explainer."""

    GRADIENT = "gradient"  #: the network is differentiable
    #: the network can be rewritten as a graph of modules (`models.rewriting`)
    MODULES = "modules"
    IMAGE = "image"  #: a feature tensor [channel, height, width]
    TABLE = "table"  #: a feature tensor [feature]
    TRUTH = "truth"  #: planted relevance is known
    CLASSES = "classes"  #: every input is of one of several classes
    PROBABILITY = "probabilities"  #: outputs are scores of classes or labels, not a number
    OUTPUTS = "several outputs"  #: at least two, so that one can be compared with others
    TRAINING = "training samples"  #: looks at data.train, or draws from it
    RESIDUAL = "residual"  #: the explainer says what its map should sum to


class Kind(StrEnum):
    """What a network is asked for: what `y` of a dataset is, and what the outputs mean."""

    CLASSES = "classes"  #: one of several: logits with a softmax; or one logit of the second of two
    LABELS = "labels"  #: any number of several, none included: a logit with a sigmoid for each
    NUMBER = "number"  #: a quantity: one output, in the units of `y`

    @property
    def offers(self) -> frozenset[Need]:
        """What a dataset of this kind offers to explainers and metrics."""
        return {
            Kind.CLASSES: frozenset({Need.CLASSES, Need.PROBABILITY, Need.OUTPUTS}),
            Kind.LABELS: frozenset({Need.PROBABILITY, Need.OUTPUTS}),
            Kind.NUMBER: frozenset[Need](),
        }[self]


class Axiom(StrEnum):
    """A promise of an explainer that the contract tests on a network with known attributions."""

    COMPLETENESS = "completeness"  #: the attribution sums to f(x) - f(baseline)
    DUMMY = "dummy"  #: a feature that the network ignores gets zero


class RelativeTo(StrEnum):
    """What the numbers of an explanation are relative to: the input that they compare x with.

    The names of fills are those of `masking.fills`.
    """

    BASELINE = "baseline"  #: the dataset's baseline
    ZERO = "zero"  #: 0, in the units of the data
    TRAINING = "training samples"  #: training samples, drawn for each query
    IMAGE_MEAN = "image_mean"  #: the mean colour of the image
    SEGMENT_MEAN = "segment_mean"  #: the mean colour of the segment
    BLUR = "blur"  #: the blurred image
    TRAIN_MEAN = "train_mean"  #: the mean of the training inputs, entry by entry
    MIDDLE = "middle"  #: half-way between the extremes of the training inputs
    ROOT = "root"  #: a point at which the output, or that of each unit, is zero
    PRIOR = "prior mean"  #: the prior mean of a surrogate (of tables: its mean at the baseline)
    NOTHING = "nothing"  #: slopes, controls, training examples: they compare x with no input
    UNKNOWN = "unknown"  #: maps that were made elsewhere


class Role(StrEnum):
    """The role of an explainer in the comparison: a method, or a kind of control.

    Tables and sentences use the value as its word.
    """

    METHOD = "method"  #: one of those that are compared
    RANDOM = "random"  #: scores of no information
    CONSTANT = "constant"  #: the same relevance everywhere
    EDGES = "edge detector"  #: edges of the image, whatever the network does
    INPUT = "input"  #: shows the input, whatever the network does
    ORACLE = "oracle"  #: the planted truth
    INVERTED = "inverted"  #: another explainer's map with its sign flipped
    BLURRED = "blurred"  #: another explainer's map after a blur
    CONTROL = "control"  #: any other control

    @property
    def is_blind(self) -> bool:
        """Whether it looks neither at the network nor at a truth."""
        return self in (Role.RANDOM, Role.CONSTANT, Role.EDGES, Role.INPUT)


@value
class Split:
    """Rows of a dataset."""

    x: Float[Tensor, "n *feature"]
    #: the class; a number, float32; or of each label whether it is there, 0 or 1
    y: Int[Tensor, "n"] | Float[Tensor, "n"] | Int[Tensor, "n label"]
    sample: Int[Tensor, "n"]  #: row in the raw data: the identity of a sample everywhere


@value
class Truth:
    """Planted truth of a generated dataset."""

    #: True where the evidence for the class of a test sample lies
    mask: Bool[Tensor, "n_test *feature"]
    train_group: Int[Tensor, "n_train"]  #: what decides the class of a training sample
    #: of a test sample; the training samples of its own group support it
    test_group: Int[Tensor, "n_test"]


@value
class Dataset:
    """A dataset with its fixed split."""

    name: str
    train: Split
    test: Split
    classes: tuple[str, ...]  #: names of classes or labels; of a number, the name of the quantity
    features: tuple[str, ...]  #: names of the columns of a table; empty for images
    baseline: Float[Tensor, "*feature"]  #: what an absent feature looks like
    truth: Truth | None = None
    kind: Kind = Kind.CLASSES
    unit: str = ""  #: of the number that is predicted
    #: columns of a table that are removed, masked and ranked together, such as the dummies of one
    #: category; a column in no group is a group of its own
    groups: tuple[tuple[int, ...], ...] = ()
    #: what was converted, filled or left out when it was read, one sentence each
    notes: tuple[str, ...] = ()
    #: mean and deviation by which each column of a table was standardised, so that figures show the
    #: values that people know; empty: not known
    scales: tuple[tuple[float, float], ...] = ()

    def __repr__(self) -> str:
        """Return what it holds in a line, without its numbers."""
        shape = " x ".join(map(str, self.baseline.shape))
        rows = f"{len(self.train.x):,} training and {len(self.test.x):,} test rows of {shape}"
        return f"Dataset {self.name}: {rows}, {self.kind} {', '.join(self.classes[:5])}" + (
            f" and {len(self.classes) - 5} more" if len(self.classes) > 5 else ""
        )

    @property
    def is_image(self) -> bool:
        """Whether a sample is [channel, height, width]."""
        return self.train.x.ndim == 4


@value
class Posterior:
    """Gaussian predictions of a surrogate, in the units of the network's outputs."""

    mean: Float[Tensor, "batch head"]
    variance: Float[Tensor, "batch head"]  #: predictive: latent variance plus noise


@value
class Query:
    """Why does the network give these samples this score for this target?"""

    x: Float[Tensor, "batch *feature"]
    target: Int[Tensor, "batch"]  #: the output that is explained
    sample: Int[Tensor, "batch"]

    def rows(self, which: slice | Int[Tensor, "row"]) -> Query:
        """Return the query of some of the rows."""
        return Query(x=self.x[which], target=self.target[which], sample=self.sample[which])


@value
class Attribution:
    """Relevance of each input entry; positive is evidence for the target."""

    values: Float[Tensor, "batch *feature"]
    #: what the values should sum to, minus their sum; None: unknown
    residual: Float[Tensor, "batch"] | None = None

    def rows(self, which: slice | Int[Tensor, "row"]) -> Attribution:
        """Return the maps of some of the rows."""
        residual = None if self.residual is None else self.residual[which]
        return Attribution(values=self.values[which], residual=residual)


@value
class Examples:
    """Training samples that explain an output, strongest first."""

    index: Int[Tensor, "batch k"]  #: row in data.train
    weight: Float[Tensor, "batch k"]  #: non-increasing along k

    def rows(self, which: slice | Int[Tensor, "row"]) -> Examples:
        """Return the examples of some of the rows."""
        return Examples(index=self.index[which], weight=self.weight[which])


@value
class Prototype:
    """Inputs that stand for a class."""

    x: Float[Tensor, "class restart *feature"]


Explanation = Attribution | Examples | Prototype


@value
class Removal:
    """One output of a network while parts of the input are replaced, one group after the other.

    Both curves share one ordering and include both ends.
    """

    #: share of the parts that are gone, from 0 to 1; float64, as steps may differ
    fraction: Float[Tensor, "point"]
    most_first: Float[Tensor, "batch point"]  #: most relevant first (MoRF, MIF)
    least_first: Float[Tensor, "batch point"]  #: least relevant first (LeRF, LIF)
