"""What is shown first: the training samples that explain a misclassified test sample, strongest first.

All methods answer the same question: why the predicted, wrong class? None of them sees a test label or which training
labels are wrong.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from gpex_bench.studies.debugging.plan import RANKINGS
from gpex_bench.studies.debugging.repair import Question, Ranking
from gpex_bench.studies.debugging.representer import last_layer, representer_values, with_constant
from gpex_bench.types import Progress, Recipe
from gpex_bench.types.passes import centred_cosine, embeddings

PENALTY = 3e-3  # of the squared norm of representer points' last layer; our choice
DAMPING = (
    1e-3  # added to the Hessian of the last layer's mean loss (influence functions); our choice
)


def of_surrogate(
    recipe: Recipe, by: str = "similarity", progress: Progress | None = None
) -> Ranking:
    """Return a ranking by a surrogate's neighbours; the surrogate is fitted anew to every network."""

    def rank(question: Question, k: int) -> Int[Tensor, "batch k"]:
        surrogate = recipe.fit(
            question.model, question.data, question.seed, progress or Progress()
        ).eval()
        with torch.no_grad():
            return surrogate.neighbours(question.x, question.target, k, by).index

    return rank


def embedding(question: Question, k: int) -> Int[Tensor, "batch k"]:
    """Rank by the cosine in the network's own embedding, centred on the training samples as GPEX's similarity is."""
    return _strongest(centred_cosine(question.model, question.data.train.x, question.x), k)


def representer(question: Question, k: int) -> Int[Tensor, "batch k"]:
    """Rank by the share alpha_i f_i . f of the predicted class's output (see `representer`)."""
    y, n_classes = question.data.train.y, len(question.data.classes)
    f = with_constant(embeddings(question.model, question.data.train.x))
    query = with_constant(embeddings(question.model, question.x))
    alpha = representer_values(f, y, last_layer(f, y, n_classes, PENALTY), PENALTY)
    return _strongest(alpha[:, question.target].T * (query @ f.T), k)


def influence(question: Question, k: int) -> Int[Tensor, "batch k"]:
    """Rank by how much a training sample lowers the loss of the predicted class at the test sample.

    captum's NaiveInfluenceFunction (Koh and Liang 2017, koh2017understanding) on the parameters of the last layer,
    with their Hessian over the training samples. With two classes that is the order of the harm to the true class.
    """
    from captum.influence import NaiveInfluenceFunction

    f, query = (
        embeddings(question.model, question.data.train.x),
        embeddings(question.model, question.x),
    )
    with (
        torch.random.fork_rng(devices=[]),
        torch.enable_grad(),
    ):  # a new layer is random, and captum sets a global seed
        head = nn.Linear(*question.model.head.weight.T.shape).double()
        head.load_state_dict(question.model.head.state_dict())
        functions = NaiveInfluenceFunction(
            nn.Sequential(head),
            torch.utils.data.TensorDataset(
                f.requires_grad_(), question.data.train.y
            ),  # captum warns otherwise
            checkpoint="",
            checkpoints_load_func=lambda model, path: 1.0,  # the network is loaded already
            layers=["0"],
            loss_fn=nn.CrossEntropyLoss(reduction="sum"),
            batch_size=len(f),
            sample_wise_grads_per_batch=True,
            hessian_reg=DAMPING * len(f),  # captum's Hessian is a sum over the samples
            projection_dim=head.weight.numel() + head.bias.numel(),  # the whole Hessian
        )
        strength = functions.influence((query.requires_grad_(), question.target))
    return _strongest(strength.detach(), k)


def random(question: Question, k: int) -> Int[Tensor, "batch k"]:
    """Rank at random, anew for each test sample."""
    generator = torch.Generator().manual_seed(question.seed)
    return _strongest(
        torch.rand(len(question.x), len(question.data.train.y), generator=generator), k
    )


BY_NAME: dict[str, Ranking] = dict(
    zip(RANKINGS, (embedding, representer, influence, random), strict=True)
)


def _strongest(strength: Float[Tensor, "batch n_train"], k: int) -> Int[Tensor, "batch k"]:
    """Return the k strongest training samples; equal ones in the order of the training split."""
    return strength.sort(dim=1, descending=True, stable=True).indices[:, :k]
