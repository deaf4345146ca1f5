"""The generated datasets `stripes` and `switch`, and interventions on planted evidence."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage, stats

from gpex_bench.data.files import splits
from gpex_bench.data.painted import discs, scenes
from gpex_bench.data.shapes import Shapes
from gpex_bench.data.stripes import Stripes
from gpex_bench.data.switch import Switch
from gpex_bench.models.mlp import Mlp, MlpTraining
from gpex_bench.models.training.loop import ZooTraining
from gpex_bench.models.vgg import Vgg
from gpex_bench.studies.truth.measure import intervene
from gpex_bench.types import Need

DIGESTS = {Stripes: "eb35fafcaf3c", Switch: "2a424b0ff459"}
SMALL = {
    Shapes: Shapes(n_train=40, n_test=160),
    Stripes: Stripes(n_train=40, n_test=160),
    Switch: Switch(n_train=40, n_test=160),
}
NETWORKS = {
    Stripes: Vgg(
        width=6,
        wide=64,
        training=ZooTraining(epochs=8, batch_size=32, shift=0, occluded=0.0),
    ),
    Switch: Mlp(wide=256, training=MlpTraining(epochs=40, occluded=0.0)),
}


@pytest.fixture(scope="module")
def held():
    return Stripes(n_train=2000).draw("train")


def table(a, b):
    counts = np.zeros((a.max() + 1, b.max() + 1), dtype=int)
    np.add.at(counts, (a, b), 1)
    return counts[counts.any(axis=1)][:, counts.any(axis=0)]


def is_independent(a, b):
    """Whether a chi-squared test of independence passes; draws are fixed, so it cannot flicker."""
    return stats.chi2_contingency(table(a, b)).pvalue > 1e-3


@pytest.mark.parametrize("cls", DIGESTS)
def test_default_data_are_the_recorded_ones(cls):
    assert splits.dataset_digest(cls().load()).startswith(DIGESTS[cls])


@pytest.mark.parametrize("cls", SMALL)
def test_same_settings_same_bits_and_larger_splits_begin_with_the_smaller_ones(cls):
    small, again = SMALL[cls].load(), SMALL[cls].load()
    large = replace(SMALL[cls], n_train=60, n_test=300).load()
    assert splits.dataset_digest(small) == splits.dataset_digest(again)
    assert splits.dataset_digest(small) != splits.dataset_digest(replace(SMALL[cls], seed=3).load())
    assert torch.equal(large.test.x[:160], small.test.x)
    assert torch.equal(large.train.x[:40], small.train.x)
    assert torch.equal(large.truth.mask[:160], small.truth.mask)


# --- stripes --------------------------------------------------------------------------------------


def test_stripes_are_balanced_and_their_class_is_the_relation(held):
    data = Stripes(n_train=400, n_test=160).load()
    assert data.train.y.bincount().tolist() == [200, 200]
    assert data.truth.test_group.bincount().tolist() == [40] * 4
    assert Stripes.offers == {Need.IMAGE, Need.TRUTH}
    first, second = held.pair & 1, held.pair >> 1
    np.testing.assert_array_equal(held.is_crossed, first != second)


def test_one_disc_alone_and_all_else_tell_nothing_of_the_class(held):
    label = held.is_crossed.astype(int)
    nuisances = {
        "first": held.pair & 1,
        "second": held.pair >> 1,
        "pattern": held.pattern,
        "background": (held.ground.mean(axis=(1, 2, 3)) - 120).astype(int),
        **{f"radius {k}": held.radius[:, k] for k in range(3)},
        **{f"place {k} {a}": held.place[:, k, a] // 6 for k in range(3) for a in range(2)},
        **{f"phase {k} {a}": held.phase[:, k, a] for k in range(3) for a in range(2)},
        **{f"colour {k} {c}": held.colour[:, k, c] // 32 + 4 for k in range(3) for c in range(3)},
    }
    for name, nuisance in nuisances.items():
        assert is_independent(label, nuisance), name
    leaking = np.where(np.arange(len(label)) % 10 == 0, label, held.pattern)
    assert not is_independent(label, leaking)


def test_stripes_have_their_direction_period_and_contrast():
    """Without noise, a disc is constant along its stripes and repeats after two of them."""
    test = SMALL[Stripes].draw("test")
    still = replace(test, noise=np.zeros_like(test.noise))
    image = discs.paint(still, test.is_crossed.astype(int)).astype(int)
    for at in range(40):
        for disc in range(2):
            row, column = test.place[at, disc]
            stands = test.pair[at] >> disc & 1
            patch = image[at, 0, row - 2 : row + 3, column - 2 : column + 3]
            along = patch if stands else patch.T
            assert (along == along[0]).all()
            assert (along[:, 4] == along[:, 0]).all()
            assert (along[:, 2] - 128 == 128 - along[:, 0]).all()


def test_the_mask_of_stripes_is_the_two_dilated_discs_and_nothing_else():
    source = SMALL[Stripes]
    test = source.draw("test")
    covers = [discs.cover(test, disc) for disc in range(3)]
    both = covers[0] | covers[1]
    twin = np.stack([ndimage.binary_dilation(one, np.ones((3, 3))) for one in both])
    mask = source.load().truth.mask
    for channel in range(3):
        np.testing.assert_array_equal(mask[:, channel].numpy(), twin)
    assert not (twin & covers[2]).any()
    assert not twin[:, : scenes.PATCH, : scenes.PATCH].any()
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert not (scenes.dilate(covers[one]) & covers[other]).any()


def test_with_the_evidence_hidden_a_linear_model_is_at_chance():
    from sklearn.linear_model import RidgeClassifier

    source = Stripes(n_train=1000, n_test=1000)
    data = source.load()
    hidden = discs.evidence(source.draw("train"))[:, None]
    train = torch.where(torch.from_numpy(hidden), data.baseline, data.train.x).flatten(1)
    test = torch.where(data.truth.mask, data.baseline, data.test.x).flatten(1)
    model = RidgeClassifier(alpha=10.0).fit(train, data.train.y)
    right = int((model.predict(test) == data.test.y.numpy()).sum())
    assert stats.binomtest(right, 1000, 0.5).pvalue > 1e-3


@pytest.mark.parametrize("cls", [Shapes, Stripes])
def test_the_shortcut_changes_the_corner_only_and_joins_the_mask_if_asked(cls):
    plain = SMALL[cls].load()
    marked = replace(SMALL[cls], shortcut=0.5, shortcut_is_evidence=True).load()
    corner = torch.zeros(32, 32, dtype=torch.bool)
    corner[: scenes.PATCH, : scenes.PATCH] = True

    changed = (plain.test.x != marked.test.x).any(dim=1)
    assert not changed[:, ~corner].any()
    joined = marked.truth.mask[:, 0] & ~plain.truth.mask[:, 0]
    assert torch.equal(joined.flatten(1).any(1), changed.flatten(1).any(1))
    assert not joined[:, ~corner].any()
    assert joined[joined.flatten(1).any(1)][:, corner].all()
    assert torch.equal(plain.truth.mask | joined[:, None], marked.truth.mask)


# --- switch ---------------------------------------------------------------------------------------


def test_the_class_of_switch_is_decided_by_the_columns_of_its_mask():
    data = SMALL[Switch].load()
    x, mask = data.test.x, data.truth.mask
    by_hand = []
    for switch, a, b, c, d in x[:, :5].tolist():
        by_hand.append(int(a * b > 0) if switch > 0 else int(c + d > 0))
    assert data.test.y.tolist() == by_hand
    assert mask.sum(1).tolist() == [3] * len(mask) and mask[:, 0].all()
    assert torch.equal(mask[:, 1] & mask[:, 2], x[:, 0] > 0)
    assert torch.equal(mask[:, 3] & mask[:, 4], x[:, 0] < 0)

    groups = np.stack([data.truth.test_group.numpy(), data.test.y.numpy()])
    assert len(np.unique(groups, axis=1).T) == len(np.unique(groups[0]))  # a group has one class


def test_columns_outside_the_mask_decide_nothing():
    source = SMALL[Switch]
    data, changed = source.load(), source.interventions()["other columns"]
    inside = data.truth.mask
    assert torch.equal(changed[inside], data.test.x[inside])
    assert (changed[~inside] != data.test.x[~inside]).float().mean() > 0.9
    steps = (changed * 64).round().long().numpy()
    from gpex_bench.data.switch import decide

    assert decide(steps).astype(int).tolist() == data.test.y.tolist()


# --- interventions --------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", [Shapes, Stripes])
def test_an_intervention_changes_one_thing(cls):
    source = replace(SMALL[cls], shortcut=0.5)
    data, changed = source.load(), source.interventions()
    assert set(changed) == {"evidence", "distractor", "background", "shortcut"}
    moved = {name: (x != data.test.x).any(dim=1) for name, x in changed.items()}
    inside = data.truth.mask[:, 0]

    assert moved["evidence"].flatten(1).any(1).all()
    # another shape may reach beyond the outline of this one, but not to another object
    if cls is Stripes:
        assert not (moved["evidence"] & ~inside).any()
    assert not (moved["evidence"] & moved["distractor"]).any()
    assert not (moved["distractor"] & inside).any() and moved["distractor"].any()
    has_patch = torch.from_numpy(source.draw("test").has_patch)
    assert torch.equal(moved["shortcut"].flatten(1).any(1), has_patch)
    assert not moved["shortcut"][:, scenes.PATCH :].any()
    assert moved["background"].flatten(1).any(1).all()


def test_other_evidence_is_that_of_another_class():
    test = SMALL[Stripes].draw("test")
    turned = replace(test, pair=test.pair ^ 1)
    assert (turned.is_crossed != test.is_crossed).all()

    from gpex_bench.data.switch import decide

    source = SMALL[Switch]
    steps = (source.interventions()["evidence"] * 64).round().long().numpy()
    assert (decide(steps).astype(int) != source.load().test.y.numpy()).all()


def test_the_planted_things_are_those_of_the_mask():
    assert Shapes().planted == Switch().planted == {"evidence"}
    assert Stripes(shortcut=1.0, shortcut_is_evidence=True).planted == {"evidence", "shortcut"}


@pytest.mark.slow
@pytest.mark.parametrize("cls", [Stripes, Switch])
def test_a_network_learns_the_evidence_and_uses_nothing_else(cls):
    source = cls(n_train=2000 if cls is Stripes else 4000, n_test=300)
    data = source.load()
    network = NETWORKS[cls].train(data, 1, lambda line: None)
    ((_, table),) = intervene({1: network}, data, source.interventions(), source.planted)
    assert table["accuracy"].iloc[0] >= 0.95
    assert table.set_index("thing")["share"]["evidence"] >= 0.9


@pytest.mark.parametrize(
    ("cls", "name", "setting"),
    [
        (Stripes, "n_train", 3),
        (Stripes, "shortcut", 1.5),
        (Stripes, "noise", 41),
        (Stripes, "seed", -1),
        (Switch, "n_test", 3),
        (Switch, "others", 0),
        (Switch, "seed", -1),
    ],
)
def test_bad_settings_are_refused(cls, name, setting):
    with pytest.raises(ValueError, match=f"^{name} .*got {setting}"):
        cls(**{name: setting})
