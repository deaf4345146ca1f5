"""SISE: feature maps of several layers as masks, each weighted by the output on the masked image.

Sattarzadeh et al. 2021 (sattarzadeh2021explaining), and Ada-SISE (`adaptive`): Sudhakar et al. 2021
(sudhakar2021ada). Written from the abstracts and from memory of the method, so a reconstruction: of
the last map before each loss of resolution, keep the channels whose mean gradient is positive
(adaptive: above Otsu's threshold of the positive ones), enlarge them to the image, scale them to
[0, 1], and sum them with weights f(masked image). From shallow to deep the layers' maps, scaled to
[0, 1], are fused: add the next, multiply by its region above Otsu's threshold (otsu1979threshold).
The absent part shows the dataset's baseline. Channels share a pixel's value evenly.

The layers are those that make the last maps at each resolution, poolings left out; additions,
concatenations and activations count, however the network is written. Never negative; a network
without a kept map gives zeros.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from gpex_bench.families.feature_maps import modules_with_maps, recorded
from gpex_bench.families.masking import Masking
from gpex_bench.masking.answers import Probe, probe
from gpex_bench.masking.choices import Output, check_settings
from gpex_bench.masking.fills import MethodFill
from gpex_bench.masking.resolution import FEWEST_STEPS
from gpex_bench.types import Attribution, Need, Query, Task, settings


@settings
class Sise(Masking):
    """Fused feature maps, weighted by the network's output on what they show."""

    reference = "sattarzadeh2021explaining"
    kind = "perturbation"
    needs = frozenset({Need.IMAGE, Need.GRADIENT, Need.MODULES, Need.PROBABILITY})
    cost = (
        "one forward and one backward row, and one forward row per kept map (`cnn`: at most "
        "112, `resnet`: at most 120)"
    )

    adaptive: bool = False  # Ada-SISE: fewer maps, by Otsu's threshold
    fill: MethodFill = "baseline"
    output: Output = "probability"

    def __post_init__(self) -> None:
        """Refuse unknown settings."""
        check_settings(self)

    def explain(self, task: Task, query: Query) -> Attribution:
        """Return the fused map of each image."""
        asked = probe(task, query, self.fill, self.output)
        fused: Tensor | None = None
        for maps, gradients in layers(task.model, query):
            keep = self._keep(gradients, query)
            layer = unit(_weighted_masks(asked, maps, keep))
            if fused is None:
                fused = layer
            else:
                region = layer > otsu(layer.flatten(1))[:, None, None]
                fused = (fused + layer) * region

        if fused is None:
            raise ValueError(
                "sise needs feature maps, and no module of the network gives any; it must be "
                "convolutional."
            )
        share = fused / query.x.shape[1]
        return Attribution(values=share[:, None].expand_as(query.x).to(query.x).clone())

    def _keep(self, gradients: Tensor, query: Query) -> Tensor:
        """Return which channels of a layer are masks: bool [sample, channel]."""
        strength = gradients.mean((2, 3))
        is_finite = strength.isfinite().all(1)
        if not bool(is_finite.all()):
            samples = query.sample[~is_finite].tolist()
            raise ValueError(
                f"sise needs finite gradients at the feature maps; those of samples {samples} "
                "are not."
            )
        if self.adaptive:
            return strength > otsu(strength.clamp(min=0)).clamp(min=0)[:, None]
        return strength > 0


def _weighted_masks(asked: Probe, maps: Tensor, keep: Tensor) -> Tensor:
    """Return the sum of a layer's masks, each times the answer to it [sample, height, width]."""
    size = asked.x.shape[2:]
    image, channel = keep.nonzero().unbind(1)

    def masks(part: slice) -> Tensor:
        chosen = maps[image[part], channel[part]][:, None]
        enlarged = functional.interpolate(chosen, size, mode="bilinear")
        return unit(enlarged[:, 0])

    total = torch.zeros(len(asked.x), *size, dtype=torch.float64, device=asked.x.device)
    for part, mask, y in asked.chunks(image, masks):
        total.index_add_(0, image[part], mask * y[:, None, None])
    return total


def layers(model: nn.Module, query: Query) -> list[tuple[Tensor, Tensor]]:
    """Return the last maps at each resolution and the logit's gradients, from shallow to deep."""
    network, modules = modules_with_maps(model, query.x)
    with torch.enable_grad(), recorded(modules) as seen:
        x = query.x.detach().clone().requires_grad_()
        # a copy, because the network may begin with an operation in place
        logits = network(x.clone())
        logit = logits.gather(1, query.target[:, None]).sum()

    # the last maps of each size
    last = {maps.shape[2:]: maps for _, maps in seen if _is_map(maps)}
    kept = list(last.values())
    if not kept:
        return []
    gradients = torch.autograd.grad(logit, kept, materialize_grads=True)
    return [(maps.detach(), gradient) for maps, gradient in zip(kept, gradients, strict=True)]


def _is_map(output: object) -> bool:
    """Return whether a module's output is maps with a gradient; a single pixel shows no place."""
    if not isinstance(output, Tensor) or output.ndim != 4:
        return False
    return output.requires_grad and min(output.shape[2:]) > 1


def unit(maps: Tensor) -> Tensor:
    """Return maps [n, height, width] scaled to [0, 1] one by one.

    A map that is constant up to the rounding of its precision becomes 0.
    """
    flat = maps.flatten(1)
    low = flat.amin(1)[:, None, None]
    high = flat.amax(1)[:, None, None]
    step = torch.finfo(maps.dtype).eps * torch.maximum(low.abs(), high.abs())
    varies = high - low > FEWEST_STEPS * step
    return torch.where(varies, (maps - low) / torch.where(varies, high - low, 1), 0)


def otsu(rows: Tensor) -> Tensor:
    """Return the threshold that best splits each row's values in two; a constant row's value."""
    from skimage.filters import threshold_otsu

    thresholds = []
    for row in rows.detach().cpu().double().numpy():
        thresholds.append(threshold_otsu(row) if np.ptp(row) > 0 else row[0])
    return torch.tensor(np.array(thresholds)).to(rows)
