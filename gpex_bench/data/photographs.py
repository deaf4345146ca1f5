"""Eight photographs inside scikit-image, scikit-learn and matplotlib, for ImageNet networks.

A photograph is its largest square, scaled to 224 x 224 pixels. Classes are the 1,000 of ImageNet
(deng2009imagenet), with torchvision's names. The label is the class that a person gives:

| photograph | label | shows |
|---|---|---|
| chelsea | tabby | a cat with a striped coat; ImageNet has more classes of such cats |
| coffee | espresso | a cup of coffee on a saucer |
| rocket | missile | a rocket on its launch pad; ImageNet has no class of rockets for space |
| camera | tripod | a man behind a camera on a tripod |
| motorcycle | moped | a motorcycle; ImageNet has mopeds and motor scooters only |
| china | palace | a pavilion of the Summer Palace in Beijing |
| grace_hopper | military uniform | a portrait in uniform |
| flower | daisy | a dahlia, which is of the daisy family |

Photographs whose subject has no class (an astronaut, coins, the moon, a retina, textures) are left
out: a label would be made up. No network is trained on so few. The training split holds the mirror
images of the same photographs: what methods that draw training samples draw from, and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image

from gpex_bench.types import Dataset, Need, Source, Split, settings
from gpex_bench.types.packages import packaged_file

SIDE = 224  # pixels
GREY = 127 / 255  # of an absent pixel: the middle of the range that networks see


@dataclass(frozen=True)
class Photograph:
    """One photograph inside a package."""

    name: str
    label: str
    package: str
    inside: str  # path of the file in the package
    sha256: str

    def crop(self) -> UInt8[np.ndarray, "224 224 3"]:
        """Return the largest square in the middle, scaled."""
        path = packaged_file(self.package, self.inside, self.sha256)
        with Image.open(path) as file:
            image = file.convert("RGB")

        side = min(image.size)
        left = (image.width - side) // 2
        top = (image.height - side) // 2
        square = image.crop((left, top, left + side, top + side))
        return np.array(square.resize((SIDE, SIDE), Image.Resampling.BICUBIC))


PHOTOGRAPHS = (
    Photograph(
        "chelsea",
        "tabby",
        "skimage",
        "data/chelsea.png",
        "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
    ),
    Photograph(
        "coffee",
        "espresso",
        "skimage",
        "data/coffee.png",
        "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
    ),
    Photograph(
        "rocket",
        "missile",
        "skimage",
        "data/rocket.jpg",
        "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c",
    ),
    Photograph(
        "camera",
        "tripod",
        "skimage",
        "data/camera.png",
        "b0793d2adda0fa6ae899c03989482bff9a42d3d5690fc7e3648f2795d730c23a",
    ),
    Photograph(
        "motorcycle",
        "moped",
        "skimage",
        "data/motorcycle_left.png",
        "db18e9c4157617403c3537a6ba355dfeafe9a7eabb6b9b94cb33f6525dd49179",
    ),
    Photograph(
        "china",
        "palace",
        "sklearn",
        "datasets/images/china.jpg",
        "8378025ad2519d649d02e32bd98990db4ab572357d9f09841c2fbfbb4fefad29",
    ),
    Photograph(
        "grace_hopper",
        "military uniform",
        "matplotlib",
        "mpl-data/sample_data/grace_hopper.jpg",
        "a8ca6d734765703b09728ab47fe59f473d93ae3967fc24c7c0288c3c7adb7130",
    ),
    Photograph(
        "flower",
        "daisy",
        "sklearn",
        "datasets/images/flower.jpg",
        "a77f6ec41e353afdf8bdff2ea981b2955535d8d83294f8cfa49cf4e423dd5638",
    ),
)


@settings
class Photographs(Source):
    """Eight photographs with labels that a person gives, 224 x 224 RGB in [0, 1].

    For networks that are brought along. An absent pixel is grey.
    """

    offers = frozenset({Need.IMAGE})
    is_for_training = False
    remarks = (
        "These are eight photographs, each once: enough to look at what methods show, too few to "
        "rank them. Labels are those that a person gives, the nearest where ImageNet has no class "
        "of its own, chosen when the answers of networks were known: accuracy on them is no "
        "finding. The training split holds the mirror images.",
    )

    def load(self) -> Dataset:
        """Return the photographs in the order of the list above; the mirror images follow.

        Raises:
            ValueError: an installed file is missing or another one.
        """
        # imported here: torchvision takes longer to import than a config with all its plug-ins
        from torchvision.models._meta import _IMAGENET_CATEGORIES

        crops = np.stack([photograph.crop() for photograph in PHOTOGRAPHS])
        x = torch.from_numpy(crops).permute(0, 3, 1, 2).float().div(255).contiguous()
        classes = tuple(_IMAGENET_CATEGORIES)
        y = torch.tensor([classes.index(photograph.label) for photograph in PHOTOGRAPHS])

        n = len(y)
        return Dataset(
            name="photographs",
            train=Split(x=x.flip(3), y=y, sample=torch.arange(n, 2 * n)),
            test=Split(x=x, y=y, sample=torch.arange(n)),
            classes=classes,
            features=(),
            baseline=torch.full(x.shape[1:], GREY),
        )
