"""Noise that depends on the input: the network's distance to the process, learned and calibrated.

The ridge s2 of a process and the noise that its intervals add need not be the same number. The
noise is a small head on the kernel network's hidden features (the heteroscedastic regression of Nix
and Weigend, `nix1994estimating`). It is trained beside the kernel with the same predictive density,
but its gradient ends at the features and at the mean: a noise that may explain errors away makes
the mean worse where it matters (`seitzer2022pitfalls`).

Errors have heavier tails than a Gaussian and are larger off the training samples, so the head is
calibrated on held-out training samples and on mixtures of them: log variance -> slope * log
variance + shift, so that what is called a 90 % interval covers 92 % (`COVERED`) of both: of other
mixtures, and of test samples, it covers less than of these.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from gpex_bench.surrogates.gp import posterior
from gpex_bench.surrogates.gp.posterior import State, Statistics
from gpex_bench.surrogates.gpex_fit.kernel_map import HIGHEST, LOWEST, KernelMap
from gpex_bench.types import value
from gpex_bench.types.batches import FORWARD_ROWS

Z = 1.6448536269514722  # half-width of a central 90 % interval in standard deviations
# share of held-out samples that a 90 % interval shall cover: other mixtures are covered less
COVERED = 0.92
SLOPES = (0.8, 1.25)  # range of the slope in one round
ROUNDS = 4  # stretching also changes the spread within a set, so that one round is not exact
TOGETHER = 1e-2  # difference of mean log variances below which a slope cannot tell the sets apart
SMALLEST = 1e-2  # factor on a variance in one round


@value
class Held:
    """Held-out inputs with the network's standardised outputs."""

    x: Float[Tensor, "n *feature"]
    v: Float64[Tensor, "n head"]


def density(
    kernel_map: KernelMap,
    pooled: Float[Tensor, "batch pool width"],
    v: Float64[Tensor, "batch head"],
    sums: Statistics,
    log_noise: Float64[Tensor, "group"],
) -> Float64[Tensor, ""]:
    """Return the mean negative log predictive density, without its constant.

    Its gradient reaches the observation head only. Nothing waits for the device: if P is not
    positive definite, neither the result nor its gradient is a number.
    """
    with torch.no_grad():
        u = kernel_map.embedded(pooled).double().permute(1, 2, 0)
        s2 = log_noise.exp()[:, None, None]
        n_out = sums.b.shape[-1]
        eye = torch.eye(u.shape[1], dtype=s2.dtype, device=s2.device)
        lower, info = torch.linalg.cholesky_ex(sums.a + s2 * eye)
        valid = torch.where(info.any(), torch.nan, 1.0)

        # L^-1 [b, u], from which mean and variance follow (`posterior.predict`)
        white = torch.linalg.solve_triangular(lower, torch.cat([sums.b, u], -1), upper=False)
        white_b = white[..., :n_out]
        white_u = white[..., n_out:]
        mean = torch.einsum("gdo,gdn->ngo", white_b, white_u).flatten(1)
        leverage = white_u.square().sum(1)
        latent = (s2[:, 0] * leverage).T.repeat_interleave(n_out, 1)
        error = mean - v

    noise = kernel_map.log_variance(pooled.detach()).double().exp()
    variance = latent + noise
    return valid * 0.5 * (error.square() / variance + variance.log()).mean()


def calibrate(kernel_map: KernelMap, state: State, plain: Held, mixed: Held) -> None:
    """Shift and stretch the head's log variances, in place.

    Afterwards 90 % intervals cover 92 % (`COVERED`) of both sets. The inputs pass through the
    kernel network once, in chunks: stretching and shifting needs two numbers per input and head
    only.

    Args:
        kernel_map: the kernel map with its observation head.
        state: the process in standardised units; not conditioned on the held-out samples.
        plain: held-out training samples.
        mixed: mixtures of them.

    Raises:
        ValueError: the map has no observation noise of its own.
    """
    head = kernel_map.observation
    if head is None:
        raise ValueError("This kernel map has no observation noise of its own to calibrate.")

    excess, log_variance = _judge(kernel_map, state, plain)
    excess_mixed, log_variance_mixed = _judge(kernel_map, state, mixed)
    for _ in range(ROUNDS):
        level, missing = _missing(excess, log_variance)
        level_mixed, missing_mixed = _missing(excess_mixed, log_variance_mixed)

        # the line through what is missing at the two levels: log variance -> slope * it + shift
        apart = level_mixed - level
        rise = 1 + (missing_mixed - missing) / apart
        slope = torch.where(apart.abs() > TOGETHER, rise, 1.0).clamp(*SLOPES)
        shift = (missing + missing_mixed + (1 - slope) * (level + level_mixed)) / 2

        log_variance = slope * log_variance + shift
        log_variance_mixed = slope * log_variance_mixed + shift
        with torch.no_grad():
            head.weight.mul_(slope[:, None])
            head.bias.copy_(slope * head.bias + shift)


def _judge(
    kernel_map: KernelMap, state: State, held: Held
) -> tuple[Float64[Tensor, "n head"], Float64[Tensor, "n head"]]:
    """Return the noise that each output needs, and the log variance of the head before clamping.

    The noise needed puts the output at the end of its interval; below 0: it needs none.
    """
    needed = []
    log_variances = []
    with torch.no_grad():
        for x, v in zip(held.x.split(FORWARD_ROWS), held.v.split(FORWARD_ROWS), strict=True):
            pooled = kernel_map.pooled(x)
            mean, latent = posterior.predict(state, kernel_map.embedded(pooled))
            needed.append((mean - v).square() / Z**2 - latent)
            log_variances.append(kernel_map.affine_log_variance(pooled).double())
    return torch.cat(needed), torch.cat(log_variances)


def _missing(
    excess: Float64[Tensor, "n head"], log_variance: Float64[Tensor, "n head"]
) -> tuple[Float64[Tensor, "head"], Float64[Tensor, "head"]]:
    """Return each head's mean log variance, and what to add to it to cover the right share."""
    level = log_variance.clamp(LOWEST, HIGHEST)
    ratio = excess / level.exp()
    factor = ratio.quantile(COVERED, dim=0).clamp(min=SMALLEST)
    return level.mean(0), factor.log()
