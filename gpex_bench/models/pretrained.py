"""A network that was made and trained elsewhere: any `torch.nn.Module`, with weights from a file.

It is one network, whatever the seeds of a run are. What is found in it (the head, the embedding,
the last feature maps) is in `models.given`; what is found wrongly can be chosen_by_user.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any, ClassVar

import torch
from torch import nn

from gpex_bench.models.given.building import built, local_file, place_of
from gpex_bench.models.given.errors import CannotWrap
from gpex_bench.models.given.wrapped import Wrapped
from gpex_bench.models.given.wrapping import Wishes, check_normalise, wrapped
from gpex_bench.types import Architecture, Dataset, Kind, Need, settings
from gpex_bench.types.outputs import n_outputs


@settings
class Pretrained(Architecture):
    """A network that was brought along."""

    takes: ClassVar[frozenset[Need]] = frozenset({Need.IMAGE, Need.TABLE})
    is_given: ClassVar[bool] = True

    # the function or class that makes the network: file.py:name, or package.module:name; in a
    # config its key is `build`
    build_by: str = field(metadata={"key": "build"})
    arguments: Mapping[str, Any] = field(default_factory=dict)  # of that function
    weights: str = ""  # .safetensors, .pt or .pth; empty: what `build` names loads them itself
    # mean and std that the network's inputs are normalised by, each a number or one for each
    # channel or column
    normalise: Mapping[str, Any] | None = None
    head: str = ""  # the linear layer whose outputs are explained; empty: it is found
    features: str = ""  # the module that gives the last feature maps; empty: it is found
    one_logit: bool = False  # for two classes: one logit, of the second, in place of one of each

    def __post_init__(self) -> None:
        place_of(self.build_by)
        check_normalise(self.normalise)

    @property
    def reads(self) -> tuple[str, ...]:  # type: ignore[override]
        """The file that builds the network, if it is one of the user's, and the weights."""
        files = (local_file(self.build_by), self.weights)
        return tuple(file for file in files if file)

    def build(self, data: Dataset) -> Wrapped:
        """Return the network with the weights that `build` gives it.

        Raises:
            CannotWrap: it cannot be built or wrapped, or its outputs are not those of the dataset.
        """
        return self._wrapped(self._built(), data)

    def train(self, data: Dataset, seed: int, progress: Callable[[str], None]) -> Wrapped:
        """Return the network with its own weights; nothing is trained, and the seed is not used.

        Raises:
            CannotWrap: as `build`; or the weights do not fit, or are others each time.
        """
        network, notes = self._loaded()
        model = self._wrapped(network, data)
        if not self.weights:
            self._check_not_random(network)
        for line in [*notes, *model.found.lines()]:
            progress(line)
        return model

    def _loaded(self) -> tuple[nn.Module, list[str]]:
        """Return the network with its weights, and notes on how they were fitted."""
        from gpex_bench.models.given.weights import load_weights, read_weights

        network = self._built()
        if not self.weights:
            return network, []
        tensors = read_weights(self.weights)
        return network, load_weights(network, tensors, self.weights)

    def _check_not_random(self, network: nn.Module) -> None:
        """Raise CannotWrap if `build` makes a network with other weights the next time."""
        again = self._built(seed=1).state_dict()
        for name, tensor in network.state_dict().items():
            if not torch.equal(tensor, again[name]):
                raise CannotWrap(
                    f"build {self.build_by!r} gives {name!r} other values each time, so the "
                    "network is not trained: set `weights` to a file, or load them there."
                )

    def _built(self, seed: int = 0) -> nn.Module:
        """Return what `build` makes, from a state of torch's generator that is always the same."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            return built(self.build_by, self.arguments)

    def _wrapped(self, network: nn.Module, data: Dataset) -> Wrapped:
        wishes = Wishes(
            kind=data.kind,
            head=self.head or None,
            features=self.features or None,
            normalise=self.normalise,
        )
        model = wrapped(network.cpu(), data.test.x, wishes)
        _check_outputs(model, data, self.one_logit)
        return model


def _check_outputs(model: Wrapped, data: Dataset, one_logit: bool) -> None:
    """Raise CannotWrap unless there are as many outputs as the dataset has classes."""
    n_heads = model.head.out_features
    expected = n_outputs(data, one_logit)
    if n_heads == expected:
        return

    outputs = "1 output" if n_heads == 1 else f"{n_heads} outputs"
    if data.kind is Kind.NUMBER:
        raise CannotWrap(
            f"The network has {outputs}, and {data.name!r} asks for 1 number; wrap it in a "
            "module that returns the one that is meant."
        )
    advice = "let `build` make a network for these, with the right number in `arguments`"
    if n_heads == 1 and expected == 2:
        advice = "set one_logit: true if its logit is that of the second class"
    raise CannotWrap(
        f"The network has {outputs}, and {data.name!r} has {len(data.classes)} "
        f"{data.kind}, which need {expected}; {advice}."
    )
