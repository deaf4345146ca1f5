"""Generated images whose class is decided by a planted shape: the true evidence is known.

An image shows one part (a shape of eight kinds), one distractor (of four other kinds) and, with
probability `shortcut`, a small patch in the top left corner, on a textured grey background:

- The class is `part % n_classes`; nothing else decides it. With four classes each class has two
  parts that look different, so that the training images with the same part are what supports a
  prediction: the part is the group.
- Size, place and colour of both objects, the distractor's kind and the background come from random
  streams of their own, drawn without looking at the class: they are independent of it. The objects
  keep at least two pixels of background between their boxes, and clear of the corner of the patch.
- The colour of the patch gives the class away. It is all that changes with `shortcut`: with the
  same seed the images are otherwise the same bits.
- The mask is the part and its outline: the part's pixels and their eight neighbours, in all
  channels. It is the intended evidence; a network that learned the patch uses other pixels, and
  `shortcut_is_evidence` puts them into the mask. `interventions` show what a network uses.

All is drawn and painted in whole numbers (0 to 255), so that the same settings give the same bits
on every machine. Splits have their own streams, and image i depends on i only: a larger split
begins with the smaller one. Planted evidence beside distractors follows wilming2022scrutinizing and
hesse2023funnybirds; the images are our own.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from gpex_bench.data.files import splits
from gpex_bench.data.painted import glyphs, scenes
from gpex_bench.data.painted.source import PlantedSource
from gpex_bench.types import Dataset, Need, Split, Truth, demands, settings


@settings
class Shapes(PlantedSource):
    """Coloured shapes on textured grey, 32 x 32 RGB in [0, 1].

    An absent pixel has the background's mean.
    """

    offers = frozenset({Need.IMAGE, Need.TRUTH})

    n_train: int = 4000
    n_test: int = 1000
    n_classes: int = 4  # 2, 4 or 8: the eight parts are split among the classes
    shortcut: float = 0.0  # probability that a corner patch gives the class away, in both splits
    shortcut_is_evidence: bool = False  # whether the mask includes the patch
    noise: int = 12  # largest change of a pixel, in grey levels of 255
    seed: int = 1  # 0 was used while settings were chosen; its test images were seen

    def __post_init__(self) -> None:
        # one image of each part
        demands.at_least(self, len(glyphs.PARTS), "n_train", "n_test")
        demands.one_of(self, n_classes=(2, 4, 8))  # each has equally many parts
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
        mask = scenes.dilate(scenes.cover(test, 0))
        if self.shortcut_is_evidence:
            mask |= scenes.patches(test.has_patch)
        classes = [
            " or ".join(glyphs.NAMES[label :: self.n_classes]) for label in range(self.n_classes)
        ]
        return Dataset(
            name="shapes",
            train=self._split(train, self.n_test),
            test=self._split(test, 0),
            classes=tuple(classes),
            features=(),
            baseline=scenes.grey(),
            truth=Truth(
                mask=torch.from_numpy(mask[:, None].repeat(3, axis=1)),
                train_group=torch.from_numpy(train.part),
                test_group=torch.from_numpy(test.part),
            ),
        )

    def draw(self, split: str) -> scenes.Scenes:
        """Return what the images of the "train" or "test" split hold."""
        number = {"test": 0, "train": 1}[split]
        n = {"test": self.n_test, "train": self.n_train}[split]
        return scenes.draw(n, self.noise, self.shortcut, (self.seed, number))

    def interventions(self) -> dict[str, torch.Tensor]:
        """Return the test images with another part, patch, distractor or background."""
        test = self.draw("test")
        label = test.part % self.n_classes
        other_part = replace(test, part=(test.part + 1) % len(glyphs.PARTS))
        other_kind = (test.distractor + 1) % len(glyphs.DISTRACTORS)
        other_ground = np.roll(test.ground, 1, axis=0)

        images = {
            "evidence": scenes.paint(other_part, label),
            "distractor": scenes.paint(replace(test, distractor=other_kind), label),
            "background": scenes.paint(replace(test, ground=other_ground), label),
        }
        if self.shortcut > 0:
            images["shortcut"] = scenes.paint(test, (label + 1) % self.n_classes)
        return {thing: scenes.unit(image) for thing, image in images.items()}

    def _split(self, held: scenes.Scenes, first: int) -> Split:
        """Return the painted images; the first one has the id `first`."""
        label = held.part % self.n_classes
        return Split(
            x=scenes.unit(scenes.paint(held, label)),
            y=torch.from_numpy(label),
            sample=torch.arange(first, first + len(label)),
        )
