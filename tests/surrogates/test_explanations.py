"""Neighbours, deletion effects and maps on every image network of the zoo.

A new one is covered without editing.
"""

from functools import cache

import pytest
import torch

from gpex_bench.plugins.registry import plugins
from gpex_bench.surrogates.gp.effect_maps import effect_maps
from gpex_bench.types import Need, Progress
from tests.vocabulary import datasets

SUM = 3e-5  # float32 maps, relative to what they sum to or the size of their terms
REFIT = 1e-8
TRAINED = {name: plugin.cls for name, plugin in plugins("model").items() if not plugin.cls.is_given}
IMAGE = sorted(name for name, cls in TRAINED.items() if Need.IMAGE in cls.takes)
TABLE = sorted(name for name, cls in TRAINED.items() if Need.TABLE in cls.takes)
networks = pytest.mark.parametrize("name", IMAGE)
every = pytest.mark.parametrize("name", [*IMAGE, *TABLE])


@cache
def fitted(name):
    """A surrogate of an untrained network, a few steps of training from its start.

    (dataset, surrogate).
    """
    draw = torch.Generator().manual_seed(0)
    shape = (2, 16, 16) if name in IMAGE else (9,)

    patterns = torch.randn(4, *shape, generator=draw)

    def split(n, first):
        x = torch.tensordot(torch.randn(n, 4, generator=draw), patterns, 1)
        return datasets.split(x, torch.arange(n) % 3, first)

    data = datasets.dataset(split(40, 0), split(6, 40), name="noise")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(1)
        model = plugins("model")[name].cls().build(data).eval().requires_grad_(False)
    recipe = plugins("surrogate")["gpex"].cls(
        n_steps=12, dim=5, width=16, batch_size=8, n_refreshed=15
    )
    return data, recipe.fit(model, data, 0, Progress())


def heads(surrogate):
    """Up to three heads: the first, one in the middle and the last."""
    n = len(surrogate.offsets)
    return sorted({0, n // 2, n - 1})


def test_the_zoo_has_image_networks():
    assert {"cnn", "resnet"} <= set(IMAGE) and "mlp" in TABLE


@networks
def test_pair_maps_sum_to_the_similarity(name):
    data, surrogate = fitted(name)
    index = torch.tensor([3, 17, 39])
    for head in heads(surrogate):
        target = torch.tensor([head])
        similarity = surrogate.similarity(data.test.x[:1], target)[0, index]
        for maps in surrogate.pair(data.test.x[:1], data.train.x[index], head):
            assert maps.shape == (3, 16, 16)
            # far places may cancel: what is left has the float32 rounding of the terms
            size = similarity.abs() + maps.abs().sum((1, 2))
            assert ((maps.double().sum((1, 2)) - similarity).abs() <= SUM * size).all()


@networks
def test_effect_maps_sum_to_minus_the_effect_of_deletion(name):
    data, surrogate = fitted(name)
    index = torch.tensor([3, 17, 39])
    for head in heads(surrogate):
        effect = surrogate.deletion(data.test.x[:1], torch.tensor([head]), index[None])[0]
        for maps in effect_maps(surrogate, data.test.x[:1], data.train.x[index], index, head):
            size = effect.abs() + 1e-2 * maps.abs().sum((1, 2))
            assert ((maps.double().sum((1, 2)) + effect).abs() <= 10 * SUM * size).all()
    assert not torch.allclose(maps[0], maps[1])


def test_effect_maps_of_a_part_of_the_training_samples():
    """Rows of the training split are not rows of the surrogate.

    Its inducing points are fewer, in another order.
    """
    data, _ = fitted("cnn")
    recipe = plugins("surrogate")["gpex"].cls(
        n_steps=2, dim=5, width=16, batch_size=8, n_refreshed=15, n_inducing=20
    )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(1)
        model = plugins("model")["cnn"].cls().build(data).eval().requires_grad_(False)
    surrogate = recipe.fit(model, data, 0, Progress())
    index = surrogate.index[[0, 7, 19]]
    effect = surrogate.deletion(data.test.x[:1], torch.tensor([1]), index[None])[0]
    for maps in effect_maps(surrogate, data.test.x[:1], data.train.x[index], index, 1):
        size = effect.abs() + 1e-2 * maps.abs().sum((1, 2))
        assert ((maps.double().sum((1, 2)) + effect).abs() <= 10 * SUM * size).all()
    other = next(row for row in range(40) if row not in surrogate.index)
    with pytest.raises(ValueError, match="index must be of inducing points"):
        effect_maps(surrogate, data.test.x[:1], data.train.x[:1], torch.tensor([other]), 1)


@every
def test_deletion_equals_a_refit(name):
    """The M x M textbook form on the rows that are left, in float64."""
    data, surrogate = fitted(name)
    x, index = data.test.x[:2], torch.tensor([[0, 21], [8, 39]])
    n_out = surrogate.c.shape[1]
    for head in heads(surrogate):
        group, scale = head // n_out, surrogate.scale[head]
        u, rows = surrogate(x)[:, group].double(), surrogate.rows[:, group].double()
        v, noise = surrogate.targets[:, head], surrogate.noise[group]

        def mean(kept, u=u, rows=rows, v=v, noise=noise):
            gram = rows[kept] @ rows[kept].T + noise * torch.eye(
                int(kept.sum()), dtype=torch.float64
            )
            return u @ rows[kept].T @ torch.linalg.solve(gram, v[kept])

        whole = mean(torch.ones(len(rows), dtype=torch.bool))
        effect = surrogate.deletion(x.double().float(), torch.tensor([head, head]), index).double()
        for query in range(2):
            for place in range(2):
                kept = torch.arange(len(rows)) != index[query, place]
                expected = scale * (mean(kept) - whole)[query]
                rounding = 1e-7 * expected.abs()  # the result is float32
                assert (effect[query, place] - expected).abs() <= REFIT * scale + rounding


@every
def test_neighbours_are_the_largest_of_the_whole_table(name):
    data, surrogate = fitted(name)
    target = torch.tensor(heads(surrogate))
    x = data.test.x[: len(target)]
    for by in ("similarity", "contribution"):
        found, table = surrogate.neighbours(x, target, 7, by), getattr(surrogate, by)(x, target)
        torch.testing.assert_close(found.weight, table.topk(7, 1).values, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(table.gather(1, found.index), found.weight, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", TABLE)
def test_a_table_has_no_maps(name, unchecked):
    data, surrogate = fitted(name)
    with pytest.raises(ValueError, match="pair needs images"):
        surrogate.pair(data.test.x[:1], data.train.x[:1], 0)
    with pytest.raises(
        ValueError, match="effect_maps needs images and a feature map with locations"
    ):
        effect_maps(surrogate, data.test.x[:1], data.train.x[:1], torch.tensor([0]), 0)
