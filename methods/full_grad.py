"""FullGrad: input times gradient, plus the gradient of each bias times that bias, as maps.

Srinivas and Fleuret 2019 (srinivas2019full). A logit of a network of affine layers and
piecewise-linear activations is x . df/dx plus the sum of b df/db over all biases, the shifts of
batch norms among them. Of an activation that is not piecewise linear, g(z) - g'(z) z is a bias
(their implicit bias). The same is taken of all else that is not linear, such as norms by the
statistics of the sample and products of signals: output minus Jacobian times input (our reading).
So the terms sum to the logit for any network; each call compares, and refuses networks for which
they do not.

The map is theirs: the size of each term, scaled to [0, 1] within each layer and sample, enlarged
(bilinear), summed over the channels of a layer and over layers; a term that varies by rounding only
gives nothing. Biases of dense layers and of maps of one place have no place in an image and are
left out, so the map does not sum to the logit. Biases with other axes than [channel, row, column],
such as those of tokens, are refused. Shared evenly between the channels.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from gpex_bench.families.gradients import outputs
from gpex_bench.families.kinds import Kind, Part, is_image, parts
from gpex_bench.families.rescale import slope
from gpex_bench.models.rewriting import rewrite
from gpex_bench.types import Attribution, Explainer, Need, Query, Task, settings
from gpex_bench.types.demands import Refused

ROUNDING = 16  # units in the last place of the largest term: a map that varies by less is constant
TOLERANCE = 1e-3  # of the largest sum of a layer's terms: what the sum of all may be off the logit
WEIGHTED = (
    *(nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d),
    *(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
)


class Term(NamedTuple):
    """A layer's gradients times its biases, or those of the input times the input."""

    words: str  # what the layer is and where
    values: Tensor  # [batch, *output of the layer]
    is_image: bool  # whether its axes are those of an image


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
        terms, logit = bias_terms(task.model, query.x, query.target)
        drawn = [term for term in terms if _has_places(term, len(query.x))]
        _check_sum(terms, logit)

        # a map that varies by less is rounding, which scaling would blow up
        largest = torch.stack([term.values.abs().flatten(1).amax(1) for term in terms]).amax(0)
        least = ROUNDING * torch.finfo(query.x.dtype).eps * largest.view(-1, 1, 1, 1)

        total = torch.zeros_like(query.x[:, :1])
        for term in drawn:
            total = total + _map(term.values, query.x, least)
        share = total / query.x.shape[1]
        return Attribution(values=share.expand_as(query.x).clone())


def bias_terms(model: nn.Module, x: Tensor, target: Tensor) -> tuple[list[Term], Tensor]:
    """Return x df/dx and b df/db of everything that has a bias, and the logits.

    Raises:
        Refused: the network cannot be rewritten, or does something of which no bias is known.
    """
    written = rewrite(model, x)
    found = parts(written)
    for part in found:
        if part.kind is Kind.OTHER:
            raise _refusal(f"no bias is known of {part.words}")

    made: dict[fx.Node, Tensor] = {}
    biases: dict[fx.Node, Tensor] = {}

    def note(part: Part, module: nn.Module, args: tuple, output: Tensor) -> None:
        bias = _bias(part, args, output)
        if bias is not None and bool(bias.any()):
            made[part.node] = output
            biases[part.node] = bias

    handles = [part.module.register_forward_hook(partial(note, part)) for part in found]
    try:
        with torch.enable_grad():
            x = x.detach().clone().requires_grad_()
            logit = outputs(written.network, x).gather(1, target[:, None])[:, 0]
            places = [x, *made.values()]
            gradients = torch.autograd.grad(logit.sum(), places, materialize_grads=True)
    finally:
        for handle in handles:
            handle.remove()

    into_x, *into_outputs = gradients
    terms = [Term("the input", into_x * x.detach(), is_image=True)]
    by_node = {part.node: part for part in found}
    for node, gradient in zip(made, into_outputs, strict=True):
        part = by_node[node]
        values = gradient * biases[node]
        terms.append(Term(part.words, values, is_image(part, by_node)))
    return terms, logit.detach()


def _bias(part: Part, args: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
    """Return output minus Jacobian times input, shaped to broadcast; None: it is zero."""
    module = part.module
    if part.kind is Kind.MAXIMUM or isinstance(module, nn.ReLU):
        return None
    if isinstance(module, WEIGHTED):
        return _of_layer(module, output)
    if part.kind is Kind.AFFINE:
        with torch.no_grad():
            return module.forward(*map(_zeros, args))

    if part.kind is Kind.ACTIVATION:
        (z,) = args
        output, steepness = slope(module.forward, z)
        return output - steepness * z.detach()
    return _implicit(module.forward, args)


def _of_layer(layer: Any, output: Tensor) -> Tensor | None:
    """Return the bias of a dense layer or a convolution."""
    if layer.bias is None or isinstance(layer, nn.Linear):
        return layer.bias
    n_spatial = output.ndim - 2
    return layer.bias.view(-1, *[1] * n_spatial)


def _zeros(signal: Tensor) -> Tensor:
    """Return zeros for a signal; a constant is what it is."""
    return torch.zeros_like(signal) if signal.requires_grad else signal


def _implicit(function: Callable[..., Tensor], args: tuple[Tensor, ...]) -> Tensor:
    """Return output minus Jacobian times input of a function of signals and constants."""
    points = [arg.detach().requires_grad_(arg.requires_grad) for arg in args]
    signals = [point for point in points if point.requires_grad]
    directions = [signal.detach() for signal in signals]

    # a gradient is linear in what is propagated: its own gradient is the Jacobian's product
    with torch.enable_grad():
        output = function(*points)
        seed = torch.zeros_like(output).requires_grad_()
        gradients = torch.autograd.grad(output, signals, seed, create_graph=True)
        (linear,) = torch.autograd.grad(gradients, seed, directions)
    return (output - linear).detach()


def _check_sum(terms: list[Term], logit: Tensor) -> None:
    """Raise Refused unless the terms of each sample sum to its logit."""
    sums = torch.stack([term.values.flatten(1).sum(1) for term in terms])
    total = sums.sum(0)
    largest = sums.abs().amax(0)
    size = torch.maximum(logit.abs(), largest)

    excess = (logit - total).abs() - TOLERANCE * size
    row = int(excess.argmax())
    if bool(excess[row] > 0):
        which = int(sums[:, row].abs().argmax())
        raise _refusal(
            f"its terms sum to {float(total[row]):.5g} where the logit is {float(logit[row]):.5g} "
            f"(the largest are of {terms[which].words})"
        )


def _has_places(term: Term, n_rows: int) -> bool:
    """Return whether a term is a map with more than one place.

    Raises:
        Refused: it has places, but not those of an image.
    """
    values = term.values
    has_samples = len(values) == n_rows
    has_one_place = values.ndim == 2 or values[0, 0].numel() == 1
    if has_samples and has_one_place:
        return False
    if not (has_samples and term.is_image and values.ndim == 4):
        raise _refusal(
            f"the biases of {term.words} have the axes {list(values.shape)} for {n_rows} samples, "
            "which are not sample, channel, row and column"
        )
    return True


def _refusal(reason: str) -> Refused:
    return Refused(
        f"FullGrad draws all biases of a network as maps, and {reason}; use gradient_x_input or "
        "integrated_gradients."
    )


def _map(term: Tensor, like: Tensor, least: Tensor) -> Tensor:
    """Return the size of a term as one map at the size of the image; 0 if it varies by `least`."""
    size = term.abs()
    flat = size.flatten(1)
    low = flat.amin(1).view(-1, 1, 1, 1)
    high = flat.amax(1).view(-1, 1, 1, 1)
    varies = high - low > least
    scaled = torch.where(varies, (size - low) / torch.where(varies, high - low, 1), 0)

    shape = like.shape[2:]
    enlarged = functional.interpolate(scaled, shape, mode="bilinear", align_corners=False)
    return enlarged.sum(1, keepdim=True)
