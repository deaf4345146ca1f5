"""The networks of `networks`: torchvision's as they come, with random weights and settled norms."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import fuzz_subjects
import networks_tape
import networks_units
import torch
from torch import Tensor, nn
from torchvision import models

from gpex_bench.types import Dataset, Model, Query, Split

N_HEADS, N_ROWS, N_TRAIN, SEED = 5, 2, 16, 1


@dataclass(frozen=True)
class Family:
    """A network of torchvision: how it is made, and the size of its images."""

    name: str
    make: Callable[..., nn.Module]
    side: int
    settings: Any = ()


def _vit(num_classes: int) -> nn.Module:
    sizes = {"image_size": 32, "patch_size": 8, "hidden_dim": 32, "mlp_dim": 64}
    return models.VisionTransformer(num_layers=3, num_heads=4, num_classes=num_classes, **sizes)


UNTRAINED = (("init_weights", False),)
FAMILIES = (
    Family("alexnet", models.alexnet, 64),
    Family("vgg11", models.vgg11, 32),
    Family("resnet18", models.resnet18, 64),
    Family("squeezenet1_1", models.squeezenet1_1, 64),
    Family("mobilenet_v2", models.mobilenet_v2, 64),
    Family("mobilenet_v3_small", models.mobilenet_v3_small, 64),
    Family("efficientnet_b0", models.efficientnet_b0, 64),
    Family("densenet121", models.densenet121, 64),
    Family("googlenet", models.googlenet, 64, UNTRAINED),
    Family("inception_v3", models.inception_v3, 96, UNTRAINED),
    Family("regnet_x_400mf", models.regnet_x_400mf, 64),
    Family("regnet_y_400mf", models.regnet_y_400mf, 64),
    Family("shufflenet_v2_x0_5", models.shufflenet_v2_x0_5, 64),
    Family("convnext_tiny", models.convnext_tiny, 64),
    Family("vit", _vit, 32),
)


class Foreign(Model):
    """A network as it comes; its last linear layer is the head, or a head that changes nothing."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        linear = [(name, part) for name, part in network.named_modules() if _is_head(part)]
        if linear:
            name, last = linear[-1]
            network.set_submodule(name, nn.Identity())
            self.head = last
        else:  # a SqueezeNet ends with a mean of maps
            self.head = nn.Linear(N_HEADS, N_HEADS, bias=False)
            self.head.weight.data = torch.eye(N_HEADS)
        self.network = network

    def embed(self, x: Tensor) -> Tensor:
        """Return what the head reads."""
        return self.network(x)


def _is_head(part: nn.Module) -> bool:
    return isinstance(part, nn.Linear) and part.out_features == N_HEADS


class Subject(fuzz_subjects.Subject):
    """A network of torchvision, with the description that the tape reads from it."""

    def again(self, dtype: torch.dtype) -> Model:
        """Return a copy of the network, in a precision."""
        return copy.deepcopy(self.network).to(dtype)

    def plain(self, dtype: torch.dtype, keeps_weights: bool = False) -> Model | None:
        """Return nothing: the network is as it comes."""
        return None


def subject(family: Family) -> Subject:
    """Return a network with weights from the seed and norms that have seen a few batches."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        model = Foreign(family.make(num_classes=N_HEADS, **dict(family.settings)))
        model.head.weight.data += torch.randn_like(model.head.weight) / model.head.in_features**0.5
        x = torch.rand(N_TRAIN, 3, family.side, family.side)
        _settle(model, x)

    label = torch.arange(N_TRAIN) % N_HEADS
    split = Split(x=x, y=label, sample=torch.arange(N_TRAIN))
    data = Dataset(
        name="noise",
        train=split,
        test=split,
        classes=tuple("abcde"),
        features=(),
        baseline=x.mean((0, 2, 3))[:, None, None].expand(x.shape[1:]).clone(),
    )
    with torch.no_grad():
        target = model(x[:N_ROWS]).argmax(1)
    query = Query(x=x[:N_ROWS], target=target, sample=split.sample[:N_ROWS])
    description = networks_tape.read(copy.deepcopy(model), query.x)
    return Subject(replace(description, name=family.name), model, data, query, networks_units.wide)


def _settle(model: nn.Module, x: Tensor) -> None:
    """Give the batch norms the statistics of random images, and random weights around 1."""
    model.eval()
    norms = [part for part in model.modules() if isinstance(part, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # the plain mean over batches
        norm.weight.data.uniform_(0.7, 1.3)
        norm.bias.data.normal_(std=0.2)
        norm.reset_running_stats()
        norm.train()
    with torch.no_grad():
        for part in x.split(N_TRAIN // 2):
            model(part)
    model.eval().requires_grad_(False)
