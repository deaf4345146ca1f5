"""What the outputs of a network mean: scores of classes, scores of labels, or a number.

- classes: one logit each, with a softmax over them. A network for two classes may have one logit
  instead, that of the second class, with a sigmoid: two logits of which the first is 0.
- labels: one logit each, with a sigmoid of its own.
- a number: one output, in the units of the target. It has no probability.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from gpex_bench.types.demands import Refused
from gpex_bench.types.values import Dataset, Kind


def n_outputs(data: Dataset, one_logit: bool = False) -> int:
    """Return how many outputs a network for this dataset has.

    One for each class or label and one for a number; `one_logit`: one for two classes.

    Raises:
        ValueError: `one_logit` for anything but two classes.
    """
    if not one_logit:
        return 1 if data.kind is Kind.NUMBER else len(data.classes)
    if data.kind is not Kind.CLASSES or len(data.classes) != 2:
        raise ValueError(
            f"one_logit must be False for {data.name!r}: one logit tells two classes apart, and "
            f"this dataset has {len(data.classes)} (kind {data.kind})."
        )
    return 1


def of_target(
    outputs: Float[Tensor, "row head"], target: Int[Tensor, "row"]
) -> Float[Tensor, "row"]:
    """Return the output of each row's target."""
    return outputs.gather(1, target[:, None])[:, 0]


def probabilities(outputs: Float[Tensor, "row head"], kind: Kind) -> Float[Tensor, "row head"]:
    """Return the softmax of at least two classes, the sigmoid of one logit or of each label.

    Raises:
        Refused: the output is a number.
    """
    if kind is Kind.NUMBER:
        raise Refused(
            "The output of this network is a number, which has no probability; "
            "use the output as it is (logit)."
        )
    has_sigmoid = kind is Kind.LABELS or outputs.shape[1] == 1
    return outputs.sigmoid() if has_sigmoid else outputs.softmax(1)


def class_logits(outputs: Float[Tensor, "row head"]) -> Float[Tensor, "row class"]:
    """Return one logit for each class: those of a network with one logit are 0 and that logit."""
    if outputs.shape[1] > 1:
        return outputs
    return torch.cat([torch.zeros_like(outputs), outputs], 1)


def prediction(outputs: Float[Tensor, "row head"], kind: Kind) -> Shaped[Tensor, "row *label"]:
    """Return what a network predicts, as `Split.y` has it: the class, the labels, or the number.

    The class with the largest logit, the second of two where the one logit is positive; the labels
    with a positive logit.
    """
    if kind is Kind.NUMBER:
        return outputs[:, 0]
    if kind is Kind.LABELS:
        return (outputs > 0).long()
    return class_logits(outputs).argmax(1)


def explained(outputs: Float[Tensor, "row head"]) -> Int[Tensor, "row"]:
    """Return which output of each row is explained: the largest one.

    Of classes that is the predicted one, of labels the surest one. One logit is explained whichever
    class it names: positive relevance speaks for the second class. A number is its own target.
    """
    return outputs.argmax(1)


def names_target(
    outputs: Float[Tensor, "row head"], target: Int[Tensor, "row"], kind: Kind
) -> Float[Tensor, "row"]:
    """Return whether a network names the target, 0 or 1; NaN for a number, which names nothing.

    The one logit of two classes names its target, the second class, where it is positive.
    """
    if kind is Kind.NUMBER:
        return torch.full_like(outputs[:, 0], torch.nan)
    if kind is Kind.CLASSES and outputs.shape[1] > 1:
        return (outputs.argmax(1) == target).to(outputs)
    return (of_target(outputs, target) > 0).to(outputs)
