"""The trainable kernel map f: x -> [group, dim]; the kernel of a group is k(x, x') = f(x) . f(x').

As in the paper (Akbarnejad et al. 2023, supplement): trunk -> 1x1 convolution -> ReLU -> 1x1
convolution -> spatial mean -> fixed norm per group -> leaky ReLU. Up to the norm the embedding is a
weighted sum over the locations of the trunk's map, so every inner product with it splits exactly
into a map: `locations` gives the terms. A table is one location.

What differs from the paper:

- The trunk can start as a copy of the explained network's (see `trunks`); the paper trains a
  ResNet-50 from scratch.
- Each location has a bias of its own before the ReLU. A small trunk sees a few pixels at a time,
  and
  the mean would forget where; a network with a dense layer on its map does not. The terms still sum
  exactly.
- Heads that stand for places (attention) each have learned weights over the locations instead of
  the mean, which begin at the place of the head: a mean cannot represent what is *there*.
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
# weight of its own place of a head that belongs to a place, at the start; the rest is spread evenly
OWN_PLACE = 0.75
# range of the log variance of the observation noise, however odd the input
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
    """f(x) = W leaky(norm * a / |a|) per group; a reads out a weighted sum over the locations."""

    mixer: Tensor  # [group, dim, dim], W; the identity until `whiten` is called

    def __init__(self, trunk: nn.Module, shape: Shape, features: torch.Size) -> None:
        """Take the trunk and the shape of its features, [channel, height, width] or [feature]."""
        super().__init__()
        self.shape = shape
        self._size = (features[1], features[2]) if len(features) == 3 else None
        n_places = features[1:].numel()

        self.trunk = trunk
        self.widen = nn.Linear(features[0], shape.width)  # the same at every location
        bias = torch.zeros(n_places, shape.width)
        self.position = nn.Parameter(bias, requires_grad=n_places > 1)
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
        """Return the embeddings, and the observation noise (None: it does not depend on x)."""
        pooled = self.pooled(x)
        u = self.embedded(pooled)
        if self.observation is None:
            return u, None
        return u, self.log_variance(pooled).exp()

    def locations(
        self, x: Float[Tensor, "batch *feature"]
    ) -> Float[Tensor, "batch group dim place"]:
        """Return each location's term of the embedding; they sum to `forward(x)`."""
        return self._terms(self.hidden(x))

    def with_locations(
        self, x: Float[Tensor, "batch *feature"]
    ) -> tuple[Float[Tensor, "batch group dim"], Float[Tensor, "batch group dim place"]]:
        """Return the embeddings and each location's term of them, in one pass."""
        hidden = self.hidden(x)
        return self.embedded(self.pool @ hidden), self._terms(hidden)

    def _terms(
        self, hidden: Float[Tensor, "batch place width"]
    ) -> Float[Tensor, "batch group dim place"]:
        """Return each location's term of the embedding."""
        weight, bias = self._readout()

        # the bias is split evenly over the locations
        terms = torch.einsum("npw,gdw->ngdp", hidden, weight) * self.pool[:, None]
        terms = terms + (bias / hidden.shape[1])[..., None]

        # norm and leaky ReLU multiply each entry of the sum by a number, and so each of its terms
        a = terms.sum(-1)
        slope = torch.where(a < 0, self.shape.slope, 1.0)
        terms = terms * (self._rate(a) * slope)[..., None]
        return torch.einsum("gde,ngep->ngdp", self.mixer, terms)

    def hidden(self, x: Float[Tensor, "batch *feature"]) -> Float[Tensor, "batch place width"]:
        """Return the rectified output of the first 1x1 convolution at each location."""
        if x.ndim == 4:
            x = x.contiguous(memory_format=torch.channels_last)  # as the trunk's weights are
        features = self.trunk(x)
        if features.ndim == 2:
            features = features[..., None]
        return (self.widen(features.flatten(2).mT) + self.position).relu()

    def pooled(self, x: Float[Tensor, "batch *feature"]) -> Float[Tensor, "batch pool width"]:
        """Return weighted sums of the hidden layer over the locations: one, or one per group."""
        return self.pool @ self.hidden(x)

    def embedded(
        self, pooled: Float[Tensor, "batch pool width"]
    ) -> Float[Tensor, "batch group dim"]:
        """Return the embeddings.

        The sum over locations is taken before the affine readout, which commutes with it.
        """
        if self.shape.is_spatial:
            weight, bias = self._readout()
            a = torch.einsum("ngw,gdw->ngd", pooled, weight) + bias
        else:
            a = self.readout(pooled[:, 0]).unflatten(-1, (self.shape.n_groups, self.shape.dim))
        u = nn.functional.leaky_relu(a * self._rate(a), self.shape.slope)
        return torch.einsum("gde,nge->ngd", self.mixer, u)

    def whiten(self, second_moment: Float64[Tensor, "group dim dim"], floor: float) -> None:
        """Follow the embeddings by W = r (S + floor tr(S) I)^-1/2: even out their directions.

        S is the mean of u u' over the inducing points, and r makes the mean squared norm what it
        was.
        """
        eigenvalue, vector = torch.linalg.eigh(second_moment)
        eigenvalue = eigenvalue.clamp(min=0)
        trace = eigenvalue.sum(-1, keepdim=True)
        rate = torch.rsqrt(eigenvalue + floor * trace + TINY)

        # The factor that gives the mean squared norm back.
        new_trace = (eigenvalue * rate.square()).sum(-1)
        r = (trace[:, 0] / (new_trace + TINY)).sqrt()

        scaled = vector * rate[:, None]
        root = r[:, None, None] * scaled @ vector.mT
        self.mixer.copy_(root)

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
                "This kernel map has no observation noise of its own; make it with is_noisy=True."
            )
        weight = self.observation.weight
        bias = self.observation.bias
        if self.shape.is_spatial:
            return torch.einsum("ngw,gw->ng", pooled, weight) + bias
        return nn.functional.linear(pooled[:, 0], weight, bias)

    def _readout(self) -> tuple[Tensor, Tensor]:
        """Return weight [group, dim, width] and bias [group, dim] of the readout."""
        folded = (self.shape.n_groups, self.shape.dim)
        return self.readout.weight.unflatten(0, folded), self.readout.bias.unflatten(0, folded)

    def _rate(self, a: Float[Tensor, "batch group dim"]) -> Float[Tensor, "batch group 1"]:
        """Return the factor that gives an embedding the fixed norm."""
        squared = a.square().sum(-1, keepdim=True)
        return self.shape.norm * torch.rsqrt(squared + TINY)


def kernel_map(model: Model, data: Dataset, shape: Shape, kind: Trunk, seed: int) -> KernelMap:
    """Return an untrained kernel map for this network, on the CPU and in eval mode.

    No global random state changes.

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
