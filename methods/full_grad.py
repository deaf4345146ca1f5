"""FullGrad: input times gradient, plus the gradient of each bias times that bias, as maps.

Srinivas and Fleuret 2019 (srinivas2019full). A logit of a network of linear layers and
piecewise-linear activations is x . df/dx plus the sum of b df/db over all biases, the shifts of
batch norms among them. Of an activation that is not piecewise linear, g(z) - g'(z) z is a bias
(their implicit bias). The terms sum to f(x) unless the network does something else, such as
products of signals or layers that are not known here (tested; the map below sums to nothing known).

The map is theirs: the size of each term, scaled to [0, 1] within each layer and sample, enlarged
(bilinear), summed over the channels of a layer and over layers; biases of dense layers have no
place in an image and are left out, so the map does not sum to the logit. Shared evenly between the
channels. Works on a copy of the network.
"""

import copy
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from gpex_bench.families.lrp.layers import NORMS, affine
from gpex_bench.types import Attribution, Explainer, Need, Query, Task, settings

CURVED = (
    nn.Softplus,
    nn.ELU,
    nn.SELU,
    nn.CELU,
    nn.GELU,
    nn.SiLU,
    nn.Sigmoid,
    nn.Tanh,
    nn.Hardswish,
    nn.ReLU6,
)


@settings
class FullGrad(Explainer):
    """Sizes of input and bias gradients, summed over layers; never negative."""

    reference = "srinivas2019full"
    kind = "gradient"
    relative_to = "zero"
    needs = frozenset({Need.GRADIENT, Need.MODULES, Need.IMAGE})
    cost = "one forward and one backward row per sample"

    def explain(self, task: Task, query: Query) -> Attribution:
        """Return the summed maps of each image."""
        terms, _ = bias_terms(task.model, query.x, query.target)
        total = torch.zeros_like(query.x[:, :1])
        for term in terms:
            if term.ndim == 4:
                total = total + _map(term, query.x)
        share = total / query.x.shape[1]
        return Attribution(values=share.expand_as(query.x).clone())


def bias_terms(model: nn.Module, x: Tensor, target: Tensor) -> tuple[list[Tensor], Tensor]:
    """Return x df/dx and b df/db of every layer with a bias, as they run, and the logits."""
    outputs: list[Tensor] = []
    biases: list[Tensor] = []

    def note(name: str, module: nn.Module, args: Any, output: Any) -> None:
        bias = _bias(name, module, args[0])
        if bias is not None and output.requires_grad:
            outputs.append(output)
            biases.append(bias)

    model = copy.deepcopy(model)  # keeps the hooks that count rows
    for name, module in model.named_modules():
        module.register_forward_hook(partial(note, name))
        if hasattr(module, "inplace"):
            module.inplace = False  # it would overwrite the outputs whose gradients are taken

    with torch.enable_grad():
        x = x.clone().requires_grad_()
        logit = model(x).gather(1, target[:, None])[:, 0]
        gradients = torch.autograd.grad(logit.sum(), [x, *outputs])

    factors = [x.detach(), *biases]
    terms = [gradient * factor for gradient, factor in zip(gradients, factors, strict=True)]
    return terms, logit.detach()


def _bias(name: str, module: Any, z: Tensor) -> Tensor | None:
    """Return the part of a module's output that is not linear in its input, or None.

    It is shaped to broadcast over the output.
    """
    if isinstance(module, NORMS):
        return affine(name, module, z.ndim)[1]
    if isinstance(module, CURVED):
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            output = type(module).forward(module, z)
            (slope,) = torch.autograd.grad(output.sum(), z)
        return (output - slope * z).detach()
    if isinstance(module, (nn.Linear, nn.Conv2d)) and module.bias is not None:
        n_spatial = z.ndim - 2 if isinstance(module, nn.Conv2d) else 0
        return module.bias.detach().view(-1, *[1] * n_spatial)
    return None


def _map(term: Tensor, like: Tensor) -> Tensor:
    """Return the size of a term as one map at the size of the image."""
    size = term.abs()
    flat = size.flatten(1)
    low = flat.amin(1).view(-1, 1, 1, 1)
    high = flat.amax(1).view(-1, 1, 1, 1)
    scaled = (size - low) / (high - low).clamp(min=torch.finfo(size.dtype).tiny)

    shape = like.shape[2:]
    enlarged = functional.interpolate(scaled, shape, mode="bilinear", align_corners=False)
    return enlarged.sum(1, keepdim=True)
