"""Edge detector: size of the image's Sobel gradient, a control that ignores the network.

Maps that look plausible to people although they do not depend on the network: Adebayo et al. 2018
(adebayo2018sanity). The operator is that of Sobel and Feldman (kernel [1, 2, 1] x [-1, 0, 1], the
border repeated), applied to the mean of the channels; every channel gets an equal share.
"""

import torch
from torch.nn import functional

from gpex_bench.types import Attribution, Explainer, Need, Query, Role, Task, settings


@settings
class EdgeDetector(Explainer):
    """Sobel magnitude; never negative."""

    reference = "adebayo2018sanity"
    kind = "control"
    relative_to = "nothing"
    role = Role.EDGES
    needs = frozenset({Need.IMAGE})
    cost = "none"

    def explain(self, task: Task, query: Query) -> Attribution:
        """Return the edges of each image."""
        n_channels = query.x.shape[1]
        grey = query.x.mean(1, keepdim=True)
        padded = functional.pad(grey, (1, 1, 1, 1), mode="replicate")

        smoothing = query.x.new_tensor([1.0, 2.0, 1.0])
        difference = query.x.new_tensor([-1.0, 0.0, 1.0])
        horizontal = torch.outer(smoothing, difference)
        kernels = torch.stack([horizontal, horizontal.T])[:, None]

        slopes = functional.conv2d(padded, kernels)
        magnitude = slopes.square().sum(1, keepdim=True).sqrt()
        return Attribution(values=(magnitude / n_channels).repeat(1, n_channels, 1, 1))
