"""Layer-wise relevance propagation: the target's logit is handed down layer by layer in proportion to contributions.

Bach et al. 2015 (bach2015pixel); one rule per depth as in Kohlbrenner et al. 2020 (kohlbrenner2020towards); rules and
canonizers of zennit (anders2021software). Composites, from the output down:

    epsilon            epsilon everywhere
    epsilon_plus       epsilon for dense layers, z+ for convolutions
    epsilon_plus_flat  the same, the first layer flat
    epsilon_gamma_box  epsilon for dense layers, gamma 0.25 for convolutions, the first layer zB within the range of
                       the training data (per channel, or per column)

Networks on tables have no convolutions: there the hidden dense layers take their rule and only the head is epsilon
(our reading). Batch norm is folded into the layer before it; sums (modules called `Sum`, as zennit.layer.Sum) and
average pooling share in proportion; max pooling passes to the winner; activations pass through.

Start value: logit times one-hot, so the map carries the sign and size of the logit. Biases keep their share, so the
values do not sum to the logit in general; with `zero_bias` they get none, and the sum is the logit but for what z+
loses at units without a positive contribution (1e-4 for a ResNet of width 16 or more, 2 % for width 8). `epsilon` is
not for residual networks: it divides by sums that nearly cancel. Works on a copy of the network. Cost: one forward and
one backward row per sample; the passes inside the rules are not counted.
"""

import copy
from typing import Any, Literal

import torch
from torch import nn

from gpex_bench.types import Attribution, Explainer, Need, Query, Task, settings


@settings
class LRP(Explainer):
    """Relevance propagation with a composite of rules."""

    reference = "bach2015pixel"
    kind = "propagation"
    needs = frozenset({Need.GRADIENT, Need.MODULES})

    composite: Literal["epsilon", "epsilon_plus", "epsilon_plus_flat", "epsilon_gamma_box"] = "epsilon_plus"
    epsilon: float = 1e-6  # stabiliser of all denominators
    zero_bias: bool = False  # give no relevance to biases

    def __post_init__(self) -> None:
        """Refuse unknown composites."""
        known = ("epsilon", "epsilon_plus", "epsilon_plus_flat", "epsilon_gamma_box")
        if self.composite not in known:
            raise ValueError(f"composite must be one of {', '.join(known)}, got {self.composite!r}.")

    def explain(self, task: Task, query: Query) -> Attribution:
        """Propagate the target's logit down to the input."""
        model = copy.deepcopy(task.model)  # folding changes weights; the copy keeps the hooks that count rows
        x = query.x.clone().requires_grad_()
        with torch.enable_grad(), self._rules(task, model).context(model) as network:
            logits = network(x)
            start = torch.zeros_like(logits).scatter_(1, query.target[:, None], 1) * logits.detach()
            (relevance,) = torch.autograd.grad(logits, x, start)
        return Attribution(values=relevance)

    def _rules(self, task: Task, model: nn.Module) -> Any:
        """Return the zennit composite for this network."""
        from zennit import canonizers, composites, rules, types

        policy = {"zero_params": ["bias"] if self.zero_bias else None}
        stable = {"stabilizer": self.epsilon, **policy}
        epsilon = rules.Epsilon(epsilon=self.epsilon, **policy)
        plus = rules.ZPlus(**stable)
        lower = {"epsilon": epsilon, "epsilon_gamma_box": rules.Gamma(gamma=0.25, **stable)}.get(self.composite, plus)
        first = {
            "epsilon_plus_flat": lambda: rules.Flat(**stable),
            "epsilon_gamma_box": lambda: rules.ZBox(*self._box(task), **stable),
        }.get(self.composite)
        sums = tuple({type(module) for module in model.modules() if type(module).__name__ == "Sum"})
        by_type = [
            (sums, rules.Norm(stabilizer=self.epsilon)),
            *composites.layer_map_base(self.epsilon),
            (types.Convolution if task.data.is_image else nn.Linear, lower),
            (nn.Linear, epsilon),
        ]
        below = composites.SpecialFirstLayerMapComposite(by_type, [(types.Linear, first())] if first else [])
        head = composites.NameMapComposite([(("head",), epsilon)])
        return composites.MixedComposite([head, below], canonizers=[canonizers.SequentialMergeBatchNorm()])

    @staticmethod
    def _box(task: Task) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the range of the training data with zero inside, shaped to broadcast over a batch."""
        x = task.data.train.x
        over = (0, 2, 3) if task.data.is_image else (0,)
        return x.amin(over, keepdim=True).clamp(max=0), x.amax(over, keepdim=True).clamp(min=0)
