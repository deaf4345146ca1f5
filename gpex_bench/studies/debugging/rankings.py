"""What is shown first: the training samples that explain a misclassified test sample.

The strongest come first. All methods answer the same question: why the predicted, wrong class? None
of them sees a test label or which training labels are wrong.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from gpex_bench.studies.debugging.repair import Question, Ranking
from gpex_bench.studies.debugging.representer import last_layer, representer_values, with_constant
from gpex_bench.types import Progress, Recipe
from gpex_bench.types.batches import centred_cosine, embeddings

# of the squared norm of representer points' last layer; our choice
PENALTY = 3e-3
# added to the Hessian of the last layer's mean loss (influence functions); our choice
DAMPING = 1e-3


def of_surrogate(recipe: Recipe, by: str = "similarity") -> Ranking:
    """Return a ranking by a surrogate's neighbours; the surrogate is fitted to every network."""

    def rank(question: Question, k: int) -> Int[Tensor, "batch k"]:
        surrogate = recipe.fit(
            question.model,
            question.data,
            question.seed,
            Progress(),
        )
        surrogate.eval()

        with torch.no_grad():
            examples = surrogate.neighbours(question.x, question.target, k, by)
        return examples.index

    return rank


def embedding(question: Question, k: int) -> Int[Tensor, "batch k"]:
    """Rank by the cosine in the network's own embedding.

    It is centred on the training samples, as GPEX's similarity is.
    """
    train_x = question.data.train.x
    return _strongest(centred_cosine(question.model, train_x, question.x), k)


def representer(question: Question, k: int) -> Int[Tensor, "batch k"]:
    """Rank by the share alpha_i f_i . f of the predicted class's output (see `representer`)."""
    train = question.data.train
    n_classes = len(question.data.classes)
    f_train = with_constant(embeddings(question.model, train.x))
    f = with_constant(embeddings(question.model, question.x))

    theta = last_layer(f_train, train.y, n_classes, PENALTY)
    alpha = representer_values(f_train, train.y, theta, PENALTY)
    of_target = alpha[:, question.target].T
    share = of_target * (f @ f_train.T)
    return _strongest(share, k)


def influence(question: Question, k: int) -> Int[Tensor, "batch k"]:
    """Rank by how much a training sample lowers the loss of the predicted class at the test sample.

    captum's NaiveInfluenceFunction (Koh and Liang 2017, koh2017understanding) on the parameters of
    the last layer, with their Hessian over the training samples. With two classes that is the order
    of the harm to the true class.
    """
    from captum.influence import NaiveInfluenceFunction

    f_train = embeddings(question.model, question.data.train.x)
    f = embeddings(question.model, question.x)
    n_train = len(f_train)

    # a new layer is random, and captum sets a global seed
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        head = _copy_of_head(question.model.head)
        # captum warns about inputs without a gradient
        rows = torch.utils.data.TensorDataset(f_train.requires_grad_(), question.data.train.y)
        functions = NaiveInfluenceFunction(
            nn.Sequential(head),
            rows,
            checkpoint="",
            checkpoints_load_func=lambda model, path: 1.0,  # the network is loaded already
            layers=["0"],
            loss_fn=nn.CrossEntropyLoss(reduction="sum"),
            batch_size=n_train,
            sample_wise_grads_per_batch=True,
            hessian_reg=DAMPING * n_train,  # captum's Hessian is a sum over the samples
            projection_dim=head.weight.numel() + head.bias.numel(),  # the whole Hessian
        )
        strength = functions.influence((f.requires_grad_(), question.target))
    return _strongest(strength.detach(), k)


def random(question: Question, k: int) -> Int[Tensor, "batch k"]:
    """Rank at random, with a separate order for each test sample."""
    generator = torch.Generator().manual_seed(question.seed)
    n_train = len(question.data.train.y)
    n_asked = len(question.x)
    draws = torch.rand(n_asked, n_train, generator=generator)
    return _strongest(draws, k)


BY_NAME: dict[str, Ranking] = {
    "embedding": embedding,
    "representer": representer,
    "influence": influence,
    "random": random,
}


def _strongest(strength: Float[Tensor, "batch n_train"], k: int) -> Int[Tensor, "batch k"]:
    """Return the k strongest training samples; equal ones in the order of the training split."""
    order = strength.sort(dim=1, descending=True, stable=True).indices
    return order[:, :k]


def _copy_of_head(head: nn.Linear) -> nn.Linear:
    """Return the last layer in float64."""
    copy = nn.Linear(head.in_features, head.out_features).double()
    copy.load_state_dict(head.state_dict())
    return copy
