"""Grad-CAM: positive part of the last feature maps, weighted by the logit's mean gradient.

Selvaraju et al. 2017 (selvaraju2017grad). The maps are those of `layer` (of its last run, if it
runs several times), else the trunk's output: the last signal with places, before the last pooling,
be it a layer's, an addition, a concatenation or an activation. So they are the same however the
network is written; of SqueezeNet, whose classifier is a convolution, they are its maps of the
classes. Where branches meet after their maps, those of a module called `features` are used, if
there is one.
Where places live on as tokens, or reach the logits on another way too, there is no such signal, and
`layer` must be set. Maps are enlarged to the size of the image (bilinear) and shared evenly between
the channels. Captum's LayerGradCam gives the same values and needs the layer; it is the twin in the
tests.
"""

from gpex_bench.families.cam import class_activation
from gpex_bench.types import Attribution, Explainer, Need, Query, Task, settings


@settings
class GradCam(Explainer):
    """Weighted last feature maps; never negative."""

    reference = "selvaraju2017grad"
    kind = "gradient"
    relative_to = "nothing"
    needs = frozenset({Need.GRADIENT, Need.IMAGE})
    cost = "one forward and one backward row per sample"

    layer: str = ""  # name of the module whose maps are used; empty: the trunk's output

    def explain(self, task: Task, query: Query) -> Attribution:
        """Return the enlarged map of each image."""
        found = class_activation(task.model, query.x, query.target, self.layer)
        return Attribution(values=(found / query.x.shape[1]).expand_as(query.x).clone())
