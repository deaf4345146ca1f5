"""Layer-wise relevance propagation: the logit is shared layer by layer, by contributions.

Bach et al. 2015 (bach2015pixel); one rule per depth as in Kohlbrenner et al. 2020
(kohlbrenner2020towards), gamma as in Montavon et al. 2019 (montavon2019layer). What rules do with
units whose contributions are all 0, and how a network is read: gpex_bench/families/lrp. Composites:

    name                       first layer   convolutions   dense
    epsilon                    epsilon       epsilon        epsilon
    alpha1_beta0               z+            z+             z+        (z+ is alpha 1, beta 0)
    alpha2_beta1               alpha2 beta1  alpha2 beta1   alpha2 beta1
    gamma                      gamma         gamma          gamma
    epsilon_plus               z+            z+             epsilon
    epsilon_plus_flat          flat          z+             epsilon
    epsilon_gamma_box          zB            gamma          epsilon
    epsilon_alpha2_beta1       alpha2 beta1  alpha2 beta1   epsilon
    epsilon_alpha2_beta1_flat  flat          alpha2 beta1   epsilon

zB takes the range of the training data (per channel, or per column), moved, scaled and shifted as
the input is. Networks on tables have no convolutions: there the hidden dense layers take their rule
and only the head is epsilon (our reading). What every composite does with the rest:

    sums, means, average pooling  in proportion to signed summands
    max pooling, largest entry    to the winner
    activations (any function     unchanged, also where the function of 0 is not 0
      of one entry)
    batch norms, constants        folded into the layers beside them; else batch norms as one-input
                                  layers by epsilon or z+, added constants by epsilon, factors
                                  unchanged
    layer, group, instance norms  the deviation is a constant, the rest a linear layer by epsilon
      (RMS, response norms)         (unchanged)
    product with a gate           to the signal (arras2017explaining); a gate is a sigmoid, a hard
                                  sigmoid or a softmax, scaled, shifted, or over its sum
    other products of signals     half to each factor (achtibat2024attnlrp)
    division by a deviation/norm  to the numerator; other divisions are refused
    matrix products               half to each factor, by epsilon (achtibat2024attnlrp)
    softmax                       its tangent is linear, the rest is a bias (achtibat2024attnlrp)

`epsilon` is thus AttnLRP as for language models, `gamma` close to what its authors use for vision
transformers. With attention `constant` the weights of attention take nothing and the values all
(ali2022xai). Anything else is refused with its name and place.

Start value: the logit of the target, so the map carries its sign and size. Biases: `absorbs` (as
zennit's default; the values sum to the logit only without biases), `ignored` (the values sum to the
logit; epsilon then divides by sums that may cancel and is not for residual networks), `spread`
(what the bias and the stabiliser would take goes to the contributions by size; sums to the logit).
The bias of softmax is never ignored, but spread. `ignored` (with an epsilon of at most 1e-4) and
`spread` claim the sum, so that cells are checked: epsilon in all layers of a deep network may still
divide by sums that cancel. What a class token or a border of a constant takes is neither in the map
nor missing from it: `residual` is the logit minus that minus the sum. With `through` and `channels`
only relevance that passes these channels of a module is handed on (filtering; the rest is in the
residual).
"""

from typing import Literal, get_args

from gpex_bench.families.lrp import rules
from gpex_bench.families.lrp.network import Filter, propagate
from gpex_bench.families.lrp.reading import Composite
from gpex_bench.types import Attribution, Explainer, Need, Query, Task, settings
from gpex_bench.types.demands import at_least, one_of

Name = Literal[
    "epsilon",
    "alpha1_beta0",
    "alpha2_beta1",
    "gamma",
    "epsilon_plus",
    "epsilon_plus_flat",
    "epsilon_gamma_box",
    "epsilon_alpha2_beta1",
    "epsilon_alpha2_beta1_flat",
]
Attention = Literal["taylor", "constant"]


@settings
class LRP(Explainer):
    """Relevance propagation with a composite of rules."""

    reference = "bach2015pixel"
    kind = "propagation"
    relative_to = "zero"
    needs = frozenset({Need.GRADIENT, Need.MODULES})
    offers = frozenset({Need.RESIDUAL})
    cost = (
        "one forward and one backward row per sample are counted; the passes inside the rules "
        "are not"
    )

    composite: Name = "epsilon_plus"
    # stabiliser of epsilon, as a share of the root mean square of a layer's outputs
    epsilon: float = 1e-6
    gamma: float = 0.25  # how much more contributions of the sign of the unit count
    # what biases take: their share, nothing, or a share that the contributions get back
    bias: rules.Bias = "absorbs"
    attention: Attention = "taylor"  # what softmax is in attention: its tangent, or constant
    through: str = ""  # name of the module whose relevance is filtered; empty: none
    channels: tuple[int, ...] = ()  # the channels (or units) of it that relevance may pass

    def __post_init__(self) -> None:
        """Refuse unknown composites and policies, and impossible numbers."""
        one_of(
            self,
            composite=get_args(Name),
            bias=get_args(rules.Bias),
            attention=get_args(Attention),
        )
        at_least(self, 0, "epsilon", "gamma")
        if bool(self.through) != bool(self.channels):
            raise ValueError(
                f"through and channels must both be set or neither, got {self.through!r} and "
                f"{self.channels}."
            )

    @property
    def sum_tolerance(self) -> float | None:  # type: ignore[override]
        """The sum is the logit if biases and stabilisers take nothing and nothing is cut."""
        is_kept = self.bias == "spread" or (self.bias == "ignored" and self.epsilon <= 1e-4)
        return 0.01 if is_kept and not self.through else None

    def explain(self, task: Task, query: Query) -> Attribution:
        """Propagate the target's logit down to the input."""
        passing = Filter(self.through, self.channels) if self.through else None
        values, residual = propagate(task.model, query.x, query.target, self._rules(task), passing)
        return Attribution(values=values, residual=residual)

    def _rules(self, task: Task) -> Composite:
        """Return the composite for this dataset."""
        epsilon = rules.epsilon(self.epsilon, self.bias)
        z_plus = rules.signed(rules.alpha_beta(1.0), self.bias)
        alpha2_beta1 = rules.signed(rules.alpha_beta(2.0), self.bias)
        gamma = rules.signed(rules.gamma(self.gamma), self.bias)

        # the words of a composite's name are its rules, from the head to the input
        words = self.composite.split("_")
        lower = epsilon
        for word, rule in (
            ("alpha1", z_plus),
            ("alpha2", alpha2_beta1),
            ("gamma", gamma),
            ("plus", z_plus),
        ):
            if word in words:
                lower = rule

        first = lower
        bounds = None
        if words[-1] == "flat":
            first = rules.flat
        elif words[-1] == "box":
            first = rules.box
            bounds = rules.training_range(task.data)

        rest: rules.Bias = "absorbs" if self.bias == "absorbs" else "spread"
        return Composite(
            first=first,
            lower=lower,
            dense=epsilon if words[0] == "epsilon" else lower,
            sums=rules.proportional,
            norms=epsilon if lower is epsilon else z_plus,
            statistics=epsilon,
            products=epsilon,
            softmax=rules.epsilon(0.0, rest) if self.attention == "taylor" else None,
            bounds=bounds,
        )
