"""Noise that depends on the input: the network's distance to the process, learned.

The ridge s2 of a process and the noise that its intervals add need not be the same number. The
noise is a small head on the kernel network's hidden features (the heteroscedastic regression of Nix
and Weigend, `nix1994estimating`). It is trained beside the kernel with the same predictive density,
but its gradient ends at the features and at the mean: a noise that may explain errors away makes
the mean worse where it matters (`seitzer2022pitfalls`).

Errors have heavier tails than a Gaussian. So these intervals are calibrated after the fit, as those
of every other surrogate are (`agreement.calibration`).
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from gpex_bench.surrogates.gp.posterior import Statistics
from gpex_bench.surrogates.gpex_fit.kernel_map import KernelMap
from gpex_bench.types import value


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
