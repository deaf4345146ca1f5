"""Attention rollout: how much of each patch the tokens of a transformer hold, by attention alone.

Abnar and Zuidema 2020 (abnar2020quantifying). The weights of a layer are averaged over its heads,
and half of a token is taken to stay what it was (the residual connection): (A + I) / 2, whose rows
sum to 1. The product over layers says what share of each token goes back to each patch. The map
shows the shares of the tokens that the head reads, a class token or the mean of all.

It reads neither values nor gradients, so it is the same for every class. Shares of patches are
enlarged to the image (bilinear).
"""

import torch

from gpex_bench.families.attention import attention_weights, mean_of_heads, on_image
from gpex_bench.types import Attribution, Explainer, Need, Query, Task, settings


@settings
class AttentionRollout(Explainer):
    """Product of the attention matrices; never negative."""

    reference = "abnar2020quantifying"
    kind = "attention"
    relative_to = "nothing"
    needs = frozenset({Need.IMAGE, Need.GRADIENT, Need.MODULES})
    cost = "one forward row per sample"

    def explain(self, task: Task, query: Query) -> Attribution:
        """Return the share of each pixel's patch."""
        with torch.no_grad():
            attention, _, layers = attention_weights(task.model, query.x)

        same = torch.eye(layers[0].shape[-1]).to(layers[0])
        rolled = same
        for weights in layers:
            kept_and_mixed = (mean_of_heads(weights, len(query.x)) + same) / 2
            share = kept_and_mixed / kept_and_mixed.sum(-1, keepdim=True)
            rolled = share @ rolled
        return Attribution(values=on_image(attention, rolled, query.x))
