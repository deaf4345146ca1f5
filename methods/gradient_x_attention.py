"""Gradient times attention: which patches speak for a class, through the attention of all layers.

Chefer, Gur and Wolf 2021 (chefer2021generic), their rules for self-attention: of each layer the
positive part of gradient times weight, averaged over heads, is A; from R = I, each layer adds A R.
The map shows R - I at the rows of the tokens that the head reads. Of a class token this is their
map, because I has nothing of the patches there; of a mean of patches, I would add the same number
to each.

Relevance of patches is enlarged to the image (bilinear). It sums to nothing known.
"""

import torch

from gpex_bench.families.attention import attention_weights, mean_of_heads, on_image
from gpex_bench.types import Attribution, Explainer, Need, Query, Task, settings


@settings
class GradientXAttention(Explainer):
    """Positive gradient times attention, summed over layers; never negative."""

    reference = "chefer2021generic"
    kind = "attention"
    relative_to = "nothing"
    needs = frozenset({Need.IMAGE, Need.GRADIENT, Need.MODULES})
    cost = "one forward and one backward row per sample"

    def explain(self, task: Task, query: Query) -> Attribution:
        """Return the relevance of each pixel's patch for the target."""
        with torch.enable_grad():
            attention, logits, layers = attention_weights(task.model, query.x)
            logit = logits.gather(1, query.target[:, None]).sum()
            gradients = torch.autograd.grad(logit, layers)

        n = len(query.x)
        same = torch.eye(layers[0].shape[-1]).to(query.x)
        relevance = same.repeat(n, 1, 1)
        for weights, gradient in zip(layers, gradients, strict=True):
            positive = (gradient * weights.detach()).clamp(min=0)
            added = mean_of_heads(positive, n) @ relevance
            relevance = relevance + added
        return Attribution(values=on_image(attention, relevance - same, query.x))
