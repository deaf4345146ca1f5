"""LIME: a weighted ridge regression of the probability on what was masked or moved.

Ribeiro, Singh, Guestrin 2016 (ribeiro2016why), through the authors' `lime` package with its kernels
and regression. It explains the probability, as the authors do, not the logit; of a network that
gives a number, the number.

Images: SLIC or quickshift segments; an absent segment shows the dataset's baseline. The weight of a
segment is spread evenly over its input entries, so the sum over a segment is its weight. Grey
images are copied to three channels for the package. Tables: continuous features as they are (no
quartiles), Gaussian samples around the explained row. The regression lives in units of the training
standard deviation s, and the relevance is weight_i * (x_i - baseline_i) / s_i (ours; the package
reports the weight alone). A group of columns (`Dataset.groups`) is one feature: the package draws
categories as often as they are among the training samples, and the weight is that of having the
sample's; columns share it evenly, and it is 0 where the baseline has the same category.
"""

from functools import partial
from unittest import mock

import numpy as np
import torch

from gpex_bench.families.categories import categories
from gpex_bench.masking.answers import on_scale
from gpex_bench.masking.choices import check_masks, check_settings
from gpex_bench.masking.regions import FEWEST_REGIONS, Segmentation, grid, regions
from gpex_bench.masking.resolution import check_resolved, steps
from gpex_bench.models.rewriting.quick import Forward, quick
from gpex_bench.types import Attribution, Explainer, Kind, Query, Task, settings
from gpex_bench.types.batches import CHANGED_ROWS, in_chunks, rows_at_once
from gpex_bench.types.outputs import probabilities


@settings
class Lime(Explainer):
    """Local surrogate regression."""

    reference = "ribeiro2016why"
    kind = "perturbation"
    relative_to = "baseline"
    cost = "`budget` forward rows per sample"

    budget: int = 1000  # forward rows per sample: perturbed copies of it
    segmentation: Segmentation = "slic"  # images only
    n_segments: int = 50  # segments aimed at; images only
    compactness: float = 1.0  # SLIC: space against colour; images only

    def __post_init__(self) -> None:
        """Refuse settings that cannot give a regression."""
        check_settings(self, budget=2, n_segments=FEWEST_REGIONS)
        if not self.compactness > 0:
            raise ValueError(f"compactness must be positive, got {self.compactness}.")

    def explain(self, task: Task, query: Query) -> Attribution:
        """Explain the samples one by one."""
        one = self._image if task.data.is_image else self._table
        network = quick(task.model, query.x, self.budget * len(query.x))
        rows = zip(query.x.cpu(), query.target.tolist(), query.sample.tolist(), strict=True)
        values = [
            one(task, network, x.double().numpy(), target, task.seeded(sample))
            for x, target, sample in rows
        ]
        return Attribution(values=torch.from_numpy(np.stack(values)).to(query.x))

    def _image(
        self, task: Task, network: Forward, x: np.ndarray, target: int, seed: int
    ) -> np.ndarray:
        """Return the relevance of one image [channel, height, width]."""
        from lime import lime_image

        channels = len(x)
        segments = (
            regions(torch.from_numpy(x[None]), self.segmentation, self.n_segments, self.compactness)
            .index[0]
            .numpy()
        )
        check_masks(self.budget, int(segments.max()) + 1)
        absent = task.data.baseline.cpu().double().numpy()
        # the package takes any number of channels but one
        n_shown = 3 if channels == 1 else channels
        colour, fill = (
            np.broadcast_to(image, (n_shown, *image.shape[1:])) for image in (x, absent)
        )
        outputs: list[torch.Tensor] = []

        def answers(images: np.ndarray) -> np.ndarray:
            shown = images.transpose(0, 3, 1, 2)[:, :channels]
            return _answers(task, network, shown, outputs)

        explainer = lime_image.LimeImageExplainer(feature_selection="none", random_state=seed)
        with mock.patch.object(
            lime_image, "tqdm", iter
        ):  # the package has no switch for its progress bar
            explained = explainer.explain_instance(
                colour.transpose(1, 2, 0),
                answers,
                labels=(target,),
                top_labels=None,
                hide_color=fill.transpose(1, 2, 0),
                num_samples=self.budget,
                batch_size=rows_at_once(CHANGED_ROWS, torch.from_numpy(x)[None]),
                segmentation_fn=lambda _image: segments,
            )
        _check_resolved(task, outputs, target)
        weight = np.zeros(explained.segments.max() + 1)
        for segment, value in explained.local_exp[target]:
            weight[segment] = value
        share = weight / np.bincount(explained.segments.ravel()) / channels
        return np.broadcast_to(share[explained.segments], x.shape)

    def _table(
        self, task: Task, network: Forward, x: np.ndarray, target: int, seed: int
    ) -> np.ndarray:
        """Return the relevance of one row [feature]."""
        from lime.lime_tabular import LimeTabularExplainer

        # a column for each unit; categories are numbers
        row = torch.from_numpy(x)[None]
        known = categories(task.data, row)
        numbered = known.numbered(row)[0].numpy()
        absent = known.numbered(task.data.baseline.cpu().double()[None])[0].numpy()
        is_category = known.is_category.numpy()
        check_masks(self.budget, len(numbered))

        # The package checks that probabilities of classes sum to 1; of one output it asks for a
        # regression, and keeps the result under the label 1.
        has_softmax = task.data.kind is Kind.CLASSES and task.model.head.out_features > 1
        label = target if has_softmax else 1

        outputs: list[torch.Tensor] = []

        def answers(rows: np.ndarray) -> np.ndarray:
            shown = known.columns(torch.from_numpy(np.asarray(rows, dtype=float)))
            found = _answers(task, network, shown.numpy(), outputs)
            return found if has_softmax else found[:, target]

        explainer = LimeTabularExplainer(
            known.numbered(task.data.train.x.cpu().double()).numpy(),
            categorical_features=is_category.nonzero()[0].tolist(),
            mode="classification" if has_softmax else "regression",
            discretize_continuous=False,
            sample_around_instance=True,
            feature_selection="none",
            random_state=seed,
        )
        explained = explainer.explain_instance(
            numbered,
            answers,
            labels=(label,),
            num_features=len(numbered),
            num_samples=self.budget,
        )
        _check_resolved(task, outputs, target)
        weight = np.zeros(len(numbered))
        for unit, value in explained.local_exp[label]:
            weight[unit] = value

        # the weight of a category is that of having it, the weight of a column that of a step
        step = (numbered - absent) / explainer.scaler.scale_
        step[is_category] = (numbered != absent)[is_category]
        cut = grid(row, 1, task.data.groups)
        return cut.spread(torch.from_numpy(weight * step)[None], row)[0].numpy()


def _answers(task: Task, network: Forward, x: np.ndarray, seen: list[torch.Tensor]) -> np.ndarray:
    """Return the network's probabilities [row, head], or numbers, in float64, in chunks.

    The outputs are appended to `seen`.
    """
    rows = torch.from_numpy(np.ascontiguousarray(x)).to(task.data.baseline)
    outputs = in_chunks(network, rows, size=CHANGED_ROWS)
    seen.append(outputs)

    answers = outputs.double()
    if task.data.kind is not Kind.NUMBER:
        answers = probabilities(answers, task.data.kind)
    return answers.cpu().numpy()


def _check_resolved(task: Task, seen: list[torch.Tensor], target: int) -> None:
    """Raise Refused if the outputs for one sample differ by less than their precision resolves."""
    outputs = torch.cat(seen)
    targets = torch.full((len(outputs),), target, device=outputs.device)
    scale = partial(on_scale, target=targets, output=None, kind=task.data.kind)
    answers = scale(outputs)

    sample = torch.zeros_like(targets)
    is_same = torch.zeros(1, dtype=torch.bool, device=outputs.device)
    check_resolved(sample, answers, steps(outputs, targets, answers, scale), is_same)
