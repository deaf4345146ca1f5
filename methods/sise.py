"""SISE: feature maps of several layers as masks, each weighted by the target's output on the masked image.

Sattarzadeh et al. 2021 (sattarzadeh2021explaining), and Ada-SISE (`adaptive`): Sudhakar et al. 2021 (sudhakar2021ada).
Written from the abstracts and from memory of the method, so a reconstruction: of the last map before each loss of
resolution, keep the channels whose mean gradient is positive (adaptive: above Otsu's threshold of the positive ones),
enlarge them to the image, scale them to [0, 1], and sum them with weights f(masked image). From shallow to deep the
layers' maps, scaled to [0, 1], are fused: add the next, multiply by its region above Otsu's threshold
(otsu1979threshold). The absent part shows the dataset's baseline. Channels share a pixel's value evenly.

Layers are modules of `trunk` (else of the network) that give maps and do not pool. Never negative;
a network without a kept map gives zeros.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from gpex_bench.masking.answers import probe
from gpex_bench.masking.choices import Output, check_settings
from gpex_bench.masking.fills import MethodFill
from gpex_bench.types import Attribution, Explainer, Need, Query, Task, settings


@settings
class Sise(Explainer):
    """Fused feature maps, weighted by what the network says of what they show."""

    reference = "sattarzadeh2021explaining"
    kind = "perturbation"
    needs = frozenset({Need.IMAGE, Need.GRADIENT, Need.MODULES})
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
            strength = gradients.mean((2, 3))
            lost = query.sample[~strength.isfinite().all(1)].tolist()
            if lost:
                raise ValueError(
                    f"sise needs finite gradients at the feature maps; those of samples {lost} are not."
                )
            keep = strength > self._least(strength)
            image, channel = keep.nonzero().unbind(1)
            layer = torch.zeros(
                len(query.x), *query.x.shape[2:], dtype=torch.float64, device=query.x.device
            )

            def enlarge(
                part: slice, maps: Tensor = maps, image: Tensor = image, channel: Tensor = channel
            ) -> Tensor:
                chosen = maps[image[part], channel[part]][:, None]
                return unit(
                    functional.interpolate(chosen, query.x.shape[2:], mode="bilinear")[:, 0]
                )

            for part, mask, y in asked.chunks(image, enlarge):
                layer.index_add_(0, image[part], mask * y[:, None, None])
            layer = unit(layer)
            fused = (
                layer
                if fused is None
                else (fused + layer) * (layer > otsu(layer.flatten(1))[:, None, None])
            )
        if fused is None:
            raise ValueError(
                "sise needs feature maps, and no module of the network gives any; it must be convolutional."
            )
        return Attribution(
            values=(fused / query.x.shape[1])[:, None].expand_as(query.x).to(query.x).clone()
        )

    def _least(self, strength: Tensor) -> Tensor | float:
        """Return what a channel's mean gradient must exceed."""
        return otsu(strength.clamp(min=0)).clamp(min=0)[:, None] if self.adaptive else 0.0


def layers(model: nn.Module, query: Query) -> list[tuple[Tensor, Tensor]]:
    """Return the last maps at each resolution and the gradients of the target's logit, from shallow to deep."""
    with torch.enable_grad(), recorded(getattr(model, "trunk", model)) as seen:
        logit = model(query.x.clone().requires_grad_()).gather(1, query.target[:, None]).sum()
        last = {tuple(maps.shape[2:]): maps for maps in seen if min(maps.shape[2:]) > 1}
        found = list(last.values())
        gradients = torch.autograd.grad(logit, found) if found else ()
    return [(maps.detach(), gradient) for maps, gradient in zip(found, gradients, strict=True)]


@contextmanager
def recorded(network: nn.Module) -> Iterator[list[Tensor]]:
    """Collect the feature maps that modules without children give while the block runs, in the order they are made."""
    seen: list[Tensor] = []

    def keep(_module: nn.Module, _args: object, output: object) -> None:
        if isinstance(output, Tensor) and output.ndim == 4:
            seen.append(output)

    leaves = [
        leaf
        for leaf in network.modules()
        if not list(leaf.children()) and "Pool" not in type(leaf).__name__
    ]
    handles = [leaf.register_forward_hook(keep) for leaf in leaves]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def unit(maps: Tensor) -> Tensor:
    """Return maps [n, height, width] scaled to [0, 1] one by one; a constant map becomes 0."""
    low, high = (end(maps.flatten(1), 1)[:, None, None] for end in (torch.amin, torch.amax))
    return torch.where(high > low, (maps - low) / torch.where(high > low, high - low, 1), 0)


def otsu(rows: Tensor) -> Tensor:
    """Return the threshold of each row that best splits its values in two; a constant row's value."""
    from skimage.filters import threshold_otsu

    found = [
        threshold_otsu(row) if np.ptp(row) > 0 else row[0]
        for row in rows.detach().cpu().double().numpy()
    ]
    return torch.tensor(np.array(found)).to(rows)
