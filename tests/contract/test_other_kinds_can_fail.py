"""Each check of a dataset, a model or a surrogate refuses what breaks just that promise."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from gpex_bench.contract import toys
from gpex_bench.contract.checks import check_dataset, check_model, check_surrogate
from gpex_bench.contract.promises import BrokenPromise
from gpex_bench.types import Architecture, Kind, Model, Need, Posterior, Recipe, Source, settings

DATA = toys.dataset("table")


def refuses(promise, check, plugin):
    with pytest.raises(BrokenPromise) as caught:
        check(plugin)
    assert caught.value.promise == promise


# --- datasets -------------------------------------------------------------------------------------


def source(change=lambda data: data, offers=frozenset({Need.TABLE, Need.TRUTH})):
    members = {"offers": offers, "load": lambda self: change(toys.dataset("table"))}
    return settings(type("Broken", (Source,), members))()


def split(part, **changed):
    """Return the change of one split of a dataset: each field is what its function makes of it."""

    def change(data):
        old = getattr(data, part)
        fields = {name: make(getattr(old, name)) for name, make in changed.items()}
        return replace(data, **{part: replace(old, **fields)})

    return source(change)


BAD_DATASETS = [
    ("declared offers", source(offers=frozenset())),
    ("declared offers", source(offers=frozenset({Need.IMAGE, Need.TRUTH}))),
    ("declared offers", source(offers=frozenset({Need.TABLE}))),
    ("declared offers", source(lambda data: replace(data, truth=None))),
    ("shape", source(lambda data: replace(data, baseline=torch.zeros(7)))),
    ("baseline", source(lambda data: replace(data, baseline=data.baseline / 0))),
    ("names of features", source(lambda data: replace(data, features=("one",)))),
    ("dtype", split("train", x=torch.Tensor.double)),
    ("finite values", split("test", x=lambda x: x / 0)),
    ("known labels", split("test", y=lambda y: y + 1)),
    ("every class to learn from", split("train", y=torch.zeros_like)),
    ("distinct samples", split("train", sample=torch.zeros_like)),
    ("same settings, same bits", split("train", x=lambda x: x + next(COUNT))),
    ("global random state untouched", split("train", x=lambda x: x + torch.rand(1))),
    ("works on tiny tasks", source(lambda data: 1 / 0)),
]
COUNT = iter(range(1, 1000))


@pytest.mark.parametrize("promise, plugin", BAD_DATASETS)
def test_bad_datasets_are_refused(promise, plugin):
    refuses(promise, check_dataset, plugin)


def test_an_honest_dataset_passes():
    check_dataset(source())


def of_kind(kind, y, declared=None, **changed):
    """Return a source whose targets are a function of the classes."""

    def change(data):
        parts = {
            part: replace(getattr(data, part), y=y(getattr(data, part).y))
            for part in ("train", "test")
        }
        return replace(data, kind=kind, **{**parts, **changed})

    made = source(change)
    return settings(type("Made", (type(made),), {"kind": declared or kind}))()


def hot(y):
    return torch.nn.functional.one_hot(y, 3)


ONE = ("length",)
BAD_TARGETS = [
    ("declared kind", of_kind(Kind.NUMBER, lambda y: y.float(), Kind.CLASSES, classes=ONE)),
    ("targets", of_kind(Kind.NUMBER, lambda y: y, classes=ONE)),
    ("finite values", of_kind(Kind.NUMBER, lambda y: y / 0.0, classes=ONE)),
    ("targets that differ", of_kind(Kind.NUMBER, lambda y: 0.0 * y, classes=ONE)),
    ("names of the outputs", of_kind(Kind.NUMBER, lambda y: y.float())),
    ("targets", of_kind(Kind.LABELS, lambda y: y)),
    ("targets", of_kind(Kind.LABELS, lambda y: hot(y)[:, :2])),
    ("known labels", of_kind(Kind.LABELS, lambda y: 2 * hot(y))),
    ("every label to learn from", of_kind(Kind.LABELS, lambda y: 0 * hot(y))),
    ("targets", of_kind(Kind.CLASSES, lambda y: y.float())),
    ("names of the outputs", of_kind(Kind.CLASSES, lambda y: 0 * y, classes=ONE)),
    ("unit of a number", of_kind(Kind.CLASSES, lambda y: y, unit="kg")),
]


@pytest.mark.parametrize("promise, plugin", BAD_TARGETS)
def test_bad_targets_are_refused(promise, plugin):
    refuses(promise, check_dataset, plugin)


def test_other_kinds_of_targets_pass():
    check_dataset(of_kind(Kind.NUMBER, lambda y: y / 7, classes=ONE, unit="m"))
    check_dataset(of_kind(Kind.LABELS, hot))


# --- models ---------------------------------------------------------------------------------------


class Plain(Model):
    """A linear network on tables whose parts can be broken."""

    def __init__(self, data):
        super().__init__()
        self.head = nn.Linear(data.train.x.shape[1], len(data.classes))
        self.drop = nn.Dropout()

    def embed(self, x):
        return x


def architecture(network=Plain, train=None, **declared):
    def fit(self, data, seed, progress):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = network(data).eval().requires_grad_(False)
        return train(model, data) if train else model

    members = {
        "takes": frozenset({Need.TABLE}),
        "build": lambda self, data: network(data),
        "train": fit,
    }
    return settings(type("Broken", (Architecture,), members | declared))()


def plain(**members):
    return architecture(type("Broken", (Plain,), members))


def shifted(model, amount):
    model.head.bias.data += amount
    return model


BAD_MODELS = [
    ("declared takes", architecture(takes=frozenset({Need.TRUTH}))),
    ("declared outputs", architecture(explained="mood")),
    ("declared type", architecture(lambda data: nn.Linear(8, 3))),
    ("same state, same weights", architecture(lambda data: shifted(Plain(data), next(COUNT)))),
    ("forward = head(embed(x))", plain(forward=lambda self, x: self.head(x) + 1)),
    ("declared outputs", plain(explained=lambda self, x: self.head(x) + 1)),
    ("shape", plain(embed=lambda self, x: x, explained_features=lambda self, x: self.embed(x))),
    ("shape of the map", plain(grid=lambda self, x: (2, 2))),
    ("finite values", plain(embed=lambda self, x: x / 0)),
    ("rows do not influence one another", plain(embed=lambda self, x: x / x.max())),
    ("declared offers", plain(embed=lambda self, x: x.detach())),
    ("eval mode", architecture(train=lambda model, data: model.train())),
    ("trains on data.train alone", architecture(train=lambda m, d: shifted(m, d.test.x.mean()))),
    ("same seed, same bits", architecture(train=lambda model, data: shifted(model, next(COUNT)))),
    ("data untouched", architecture(train=lambda m, d: d.train.x.mul_(2) is None or m)),
    ("global random state untouched", architecture(train=lambda m, d: torch.rand(1) is None or m)),
    ("works on tiny tasks", architecture(train=lambda model, data: 1 / 0)),
]


@pytest.mark.parametrize("promise, plugin", BAD_MODELS)
def test_bad_models_are_refused(promise, plugin):
    refuses(promise, check_model, plugin)


def test_an_honest_model_passes():
    check_model(architecture())


# --- surrogates -----------------------------------------------------------------------------------


class Fitted(toys.StandIn):
    """The Gaussian process of the toys, of as many training samples as there are."""

    def __init__(self, data):
        super().__init__(data)
        self.alpha = torch.ones(len(data.train.x), 3) / len(data.train.x)


def recipe(surrogate=Fitted, fit=None, restored=None, **declared):
    def make(self, model, data, seed, progress):
        made = surrogate(data).eval()
        return fit(made, data) if fit else made

    def restore(self, model, data, state):
        made = surrogate(data).eval()
        made.load_state_dict(state)
        return restored(made) if restored else made

    members = {"fit": make, "restore": restore}
    return settings(type("Broken", (Recipe,), members | declared))()


def fitted(**members):
    return recipe(type("Broken", (Fitted,), members))


def prior_plus(surrogate, amount):
    surrogate.prior += amount
    return surrogate


def posterior(variance=1.0, shift=0.0):
    def of(self, x):
        found = Fitted.posterior(self, x)
        return Posterior(mean=found.mean + shift, variance=found.variance * variance)

    return of


def noisy(self, x):
    found = Fitted.posterior(self, x)
    return Posterior(mean=found.mean + next(COUNT), variance=found.variance)


def of_batch(self, x):
    found = Fitted.posterior(self, x)
    return Posterior(mean=found.mean - found.mean.mean(0), variance=found.variance)


BAD_SURROGATES = [
    ("declared outputs", recipe(takes_explained=frozenset({"mood"}))),
    ("declared type", recipe(lambda data: nn.Identity())),
    ("eval mode", recipe(fit=lambda made, data: made.train())),
    ("positive variance", fitted(posterior=posterior(variance=0.0))),
    ("finite values", fitted(posterior=posterior(shift=float("nan")))),
    ("contributions sum to the mean", fitted(posterior=posterior(shift=1.0))),
    ("same call, same bits", fitted(posterior=noisy)),
    ("rows do not influence one another", fitted(posterior=of_batch)),
    ("shape", fitted(offset=lambda self, target: self.prior[:2])),
    ("fits to data.train alone", recipe(fit=lambda s, data: prior_plus(s, data.test.x.mean()))),
    ("same seed, same bits", recipe(fit=lambda made, data: prior_plus(made, next(COUNT)))),
    ("the state is the artefact", recipe(restored=lambda made: prior_plus(made, 1.0))),
    ("data untouched", recipe(fit=lambda made, data: data.train.x.mul_(2) is None or made)),
    ("works on tiny tasks", recipe(fit=lambda made, data: 1 / 0)),
]


@pytest.mark.parametrize("promise, plugin", BAD_SURROGATES)
def test_bad_surrogates_are_refused(promise, plugin):
    refuses(promise, check_surrogate, plugin)


def test_an_honest_surrogate_passes():
    check_surrogate(recipe())
