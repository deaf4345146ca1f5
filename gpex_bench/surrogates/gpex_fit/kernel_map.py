"""The trainable kernel map f: x -> [group, dim]; the kernel of a group of heads is k(x, x') = f(x) . f(x').

As in the paper (Akbarnejad et al. 2023, supplement): trunk -> 1x1 convolution -> ReLU -> 1x1
convolution -> spatial mean -> fixed norm per group -> leaky ReLU. Up to the norm the embedding is a
weighted sum over the locations of the trunk's map, so every inner product with it splits exactly
into a map: `locations` gives the terms. A table is one location.

What differs from the paper:

- The trunk can start as a copy of the explained network's (see `trunks`); the paper trains a
  ResNet-50 from scratch.
- Each location has a bias of its own before the ReLU. A small trunk sees a few pixels at a time,
  and the mean would
  forget where; a network with a dense layer on its map does not. The terms still sum exactly.
- Heads that stand for places (attention) each have their own learned weights over the locations,
  which begin at the
  place of the head, instead of the mean: a mean cannot say what is *there*.
- Norm and slope of the leaky ReLU are settings; a slope of 1 leaves it out.
- A fixed linear map may follow (`whiten`): it is the identity while the map is trained.

Batch-norm layers keep fixed statistics (eval mode): mixed inputs and training samples pass in one
batch, so that batch statistics would let them influence one another, and would give a sample
another embedding in training than afterwards. Their affine parameters are trained.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from gpex_bench.surrogates.gp.features import FeatureMap
from gpex_bench.surrogates.gpex_fit.trunks import Trunk, trunk
from gpex_bench.types import Dataset, Model, settings

# added to a squared norm, so that a zero embedding stays zero and has a finite gradient
TINY = 1e-12
# weight of its own place when a head that stands for a place starts; the rest is spread evenly
OWN_PLACE = 0.75
# log variances of the observation noise that can be said, however odd the input
LOWEST, HIGHEST = -20.0, 8.0
START = -4.0  # log variance of the observation noise before training; targets have unit variance


@settings
class Shape:
    """Sizes and form of a kernel map."""

    n_groups: int  # kernels; 1 is one shared kernel
    n_heads: int
    dim: int  # of each kernel space
    width: int  # of the hidden layer
    norm: float  # of an embedding before the leaky ReLU
    slope: float  # of the leaky ReLU; 1 leaves it out
    is_spatial: bool = False  # heads stand for places
    is_noisy: bool = False  # the observation noise depends on the input


class KernelMap(FeatureMap):
    """f(x) = W leaky(norm * a / |a|) per group, where a is the readout of a weighted sum over the locations."""

    mixer: Tensor  # [group, dim, dim], W; the identity until `whiten` is called

    def __init__(self, trunk: nn.Module, shape: Shape, features: torch.Size) -> None:
        """Take the trunk and the shape of its features, [channel, height, width] or [feature]."""
        super().__init__()
        self.shape, self._size = shape, (features[1], features[2]) if len(features) == 3 else None
        n_places = features[1:].numel()
        self.trunk = trunk
        self.widen = nn.Linear(features[0], shape.width)  # the same at every location
        self.position = nn.Parameter(torch.zeros(n_places, shape.width), requires_grad=n_places > 1)
        self.readout = nn.Linear(shape.width, shape.n_groups * shape.dim)
        weights = _weights(shape, self._size)
        self.pool = nn.Parameter(weights, requires_grad=shape.is_spatial)
        self.register_buffer("mixer", torch.eye(shape.dim).repeat(shape.n_groups, 1, 1))
        self.observation = None
        if shape.is_noisy:
            self.observation = nn.Linear(shape.width, shape.n_heads)
            nn.init.zeros_(self.observation.weight)
            nn.init.constant_(self.observation.bias, START)

    def grid(self, x: Float[Tensor, "batch *feature"]) -> tuple[int, int] | None:
        """Return height and width of the trunk's map, or None for a table."""
        return self._size

    def forward(self, x: Float[Tensor, "batch *feature"]) -> Float[Tensor, "batch group dim"]:
        """Return the embeddings."""
        return self.embedded(self.pooled(x))

    def observe(
        self, x: Float[Tensor, "batch *feature"]
    ) -> tuple[Float[Tensor, "batch group dim"], Float[Tensor, "batch head"] | None]:
        """Return the embeddings, and the variance of the observation noise where it depends on the input."""
        pooled = self.pooled(x)
        return self.embedded(pooled), None if self.observation is None else self.log_variance(
            pooled
        ).exp()

    def locations(
        self, x: Float[Tensor, "batch *feature"]
    ) -> Float[Tensor, "batch group dim place"]:
        """Return each location's term of the embedding: over the locations they sum to `forward(x)`."""
        hidden = self.hidden(x)
        weight, bias = self._readout()
        terms = torch.einsum("npw,gdw->ngdp", hidden, weight) * self.pool[:, None]
        terms = terms + (bias / hidden.shape[1])[..., None]
        a = terms.sum(-1)
        terms = terms * (self._rate(a) * torch.where(a < 0, self.shape.slope, 1.0))[..., None]
        return torch.einsum("gde,ngep->ngdp", self.mixer, terms)

    def hidden(self, x: Float[Tensor, "batch *feature"]) -> Float[Tensor, "batch place width"]:
        """Return the rectified output of the first 1x1 convolution at each location."""
        features = self.trunk(x)
        if features.ndim == 2:
            features = features[..., None]
        return (self.widen(features.flatten(2).mT) + self.position).relu()

    def pooled(self, x: Float[Tensor, "batch *feature"]) -> Float[Tensor, "batch pool width"]:
        """Return the weighted sums of the hidden layer over the locations: one for all groups, or one per group."""
        return self.pool @ self.hidden(x)

    def embedded(
        self, pooled: Float[Tensor, "batch pool width"]
    ) -> Float[Tensor, "batch group dim"]:
        """Return the embeddings; the sum over locations is taken before the affine readout, which commutes with it."""
        if self.shape.is_spatial:
            weight, bias = self._readout()
            a = torch.einsum("ngw,gdw->ngd", pooled, weight) + bias
        else:
            a = self.readout(pooled[:, 0]).unflatten(-1, (self.shape.n_groups, self.shape.dim))
        return torch.einsum(
            "gde,nge->ngd",
            self.mixer,
            nn.functional.leaky_relu(a * self._rate(a), self.shape.slope),
        )

    def whiten(self, second_moment: Float64[Tensor, "group dim dim"], floor: float) -> None:
        """Follow the embeddings by W = r (S + floor tr(S) I)^-1/2, so that their directions count more evenly.

        S is the mean of u u' over the inducing points, and r makes the mean squared norm what it
        was.
        """
        value, vector = torch.linalg.eigh(second_moment)
        value = value.clamp(min=0)
        total = value.sum(-1, keepdim=True)
        rate = torch.rsqrt(value + floor * total + TINY)
        size = (total[:, 0] / ((value * rate.square()).sum(-1) + TINY)).sqrt()
        self.mixer.copy_(size[:, None, None] * (vector * rate[:, None]) @ vector.mT)

    def scale(self, factor: Float64[Tensor, "group"]) -> None:
        """Multiply the embeddings of each group."""
        self.mixer.mul_(factor.to(self.mixer)[:, None, None])

    def log_variance(
        self, pooled: Float[Tensor, "batch pool width"]
    ) -> Float[Tensor, "batch head"]:
        """Return the logarithm of the observation noise of each standardised output.

        Raises:
            ValueError: the map has no such noise.
        """
        return self.affine_log_variance(pooled).clamp(LOWEST, HIGHEST)

    def affine_log_variance(
        self, pooled: Float[Tensor, "batch pool width"]
    ) -> Float[Tensor, "batch head"]:
        """Return the same before it is clamped: affine in the weights of the head.

        Raises:
            ValueError: the map has no such noise.
        """
        if self.observation is None:
            raise ValueError(
                "This kernel map has no observation noise of its own; make it with is_noisy."
            )
        weight, bias = self.observation.weight, self.observation.bias
        if self.shape.is_spatial:
            return torch.einsum("ngw,gw->ng", pooled, weight) + bias
        return nn.functional.linear(pooled[:, 0], weight, bias)

    def _readout(self) -> tuple[Tensor, Tensor]:
        """Return weight [group, dim, width] and bias [group, dim] of the readout."""
        folded = (self.shape.n_groups, self.shape.dim)
        return self.readout.weight.unflatten(0, folded), self.readout.bias.unflatten(0, folded)

    def _rate(self, a: Float[Tensor, "batch group dim"]) -> Float[Tensor, "batch group 1"]:
        """Return what an embedding is multiplied by to have the norm."""
        return self.shape.norm * torch.rsqrt(a.square().sum(-1, keepdim=True) + TINY)


def kernel_map(model: Model, data: Dataset, shape: Shape, kind: Trunk, seed: int) -> KernelMap:
    """Return an untrained kernel map for this network, on the CPU and in eval mode; no global random state changes.

    Raises:
        ValueError: no trunk of this kind can be had (see `trunks`).
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        layers = trunk(model, data, kind)
        with torch.no_grad():
            features = layers(data.train.x[:1]).shape[1:]
        return KernelMap(layers, shape, features).eval()


def _weights(shape: Shape, size: tuple[int, int] | None) -> Float[Tensor, "pool place"]:
    """Return the weights over locations that a map starts with; rows sum to 1."""
    n_places = 1 if size is None else size[0] * size[1]
    even = torch.full((1, n_places), 1 / n_places)
    if not shape.is_spatial:
        return even
    if n_places != shape.n_heads:
        return even.repeat(shape.n_heads, 1)
    return OWN_PLACE * torch.eye(n_places) + (1 - OWN_PLACE) * even
