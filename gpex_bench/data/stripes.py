"""Generated images whose class is a relation: two striped discs have one direction, or two.

An image shows two discs with stripes, one more disc that is plain or a checkerboard, and, with
probability `shortcut`, a small patch in the top left corner, on a textured grey background:

- The class says whether the stripes of the two discs have the same direction (across or upright)
  or different ones. One disc alone tells nothing, and nor does any object or outline: the evidence
  is a relation between two textures, where that of `shapes` is one object.
- Place, size, colour and phase of the discs, the third disc's pattern and the background come from
  random streams of their own, drawn without looking at the class.
- The mask is the two striped discs and their outlines, in all channels; with
  `shortcut_is_evidence` the patch too. The pair of directions is the group.

The patch, the streams and the whole numbers are those of `shapes`. Tasks that need a conjunction of
places follow wilming2022scrutinizing; the images are our own.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from gpex_bench.data.files import splits
from gpex_bench.data.painted import discs, scenes
from gpex_bench.data.painted.source import PlantedSource
from gpex_bench.types import Dataset, Need, Split, Truth, demands, settings


@settings
class Stripes(PlantedSource):
    """Striped discs on textured grey, 32 x 32 RGB in [0, 1]: is their direction the same?

    An absent pixel has the background's mean.
    """

    offers = frozenset({Need.IMAGE, Need.TRUTH})

    n_train: int = 4000
    n_test: int = 1000
    shortcut: float = 0.0  # probability that a corner patch gives the class away, in both splits
    shortcut_is_evidence: bool = False  # whether the mask includes the patch
    noise: int = 12  # largest change of a pixel, in grey levels of 255
    seed: int = 1  # 0 was used while settings were chosen; its test images were seen

    def __post_init__(self) -> None:
        # one image of each pair of directions
        demands.at_least(self, discs.N_PAIRS, "n_train", "n_test")
        demands.share(self, "shortcut")
        if not 0 <= self.noise <= 40:
            raise ValueError(f"noise must be in [0, 40] grey levels, got {self.noise}.")
        splits.check_seed(self.seed)

    @property
    def planted(self) -> frozenset[str]:
        """The interventions that change what the mask marks."""
        return frozenset({"evidence", *["shortcut"] * self.shortcut_is_evidence})

    def load(self) -> Dataset:
        """Return the images.

        Ids count the test images first, so that they do not change with `n_train`.
        """
        test = self.draw("test")
        train = self.draw("train")
        mask = discs.evidence(test)
        if self.shortcut_is_evidence:
            mask |= scenes.patches(test.has_patch)
        return Dataset(
            name="stripes",
            train=self._split(train, self.n_test),
            test=self._split(test, 0),
            classes=("same direction", "different directions"),
            features=(),
            baseline=scenes.grey(),
            truth=Truth(
                mask=torch.from_numpy(mask[:, None].repeat(3, axis=1)),
                train_group=torch.from_numpy(train.pair),
                test_group=torch.from_numpy(test.pair),
            ),
        )

    def draw(self, split: str) -> discs.Discs:
        """Return what the images of the "train" or "test" split hold."""
        number = {"test": 0, "train": 1}[split]
        n = {"test": self.n_test, "train": self.n_train}[split]
        return discs.draw(n, self.noise, self.shortcut, (self.seed, number))

    def interventions(self) -> dict[str, torch.Tensor]:
        """Return the test images with stripes turned, or another patch, disc or background."""
        test = self.draw("test")
        label = test.is_crossed.astype(np.int64)
        other_pattern = (test.pattern + 1) % discs.N_PATTERNS
        other_ground = np.roll(test.ground, 1, axis=0)

        images = {
            "evidence": discs.paint(replace(test, pair=test.pair ^ 1), label),
            "distractor": discs.paint(replace(test, pattern=other_pattern), label),
            "background": discs.paint(replace(test, ground=other_ground), label),
        }
        if self.shortcut > 0:
            images["shortcut"] = discs.paint(test, 1 - label)
        return {thing: scenes.unit(image) for thing, image in images.items()}

    def _split(self, held: discs.Discs, first: int) -> Split:
        """Return the painted images; the first one has the id `first`."""
        label = held.is_crossed.astype(np.int64)
        return Split(
            x=scenes.unit(discs.paint(held, label)),
            y=torch.from_numpy(label),
            sample=torch.arange(first, first + len(label)),
        )
