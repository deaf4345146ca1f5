"""The generated images.

Planted evidence is where the truth says, and nothing else tells the class.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage, stats

from gpex_bench.data.files import splits
from gpex_bench.data.painted import glyphs, scenes
from gpex_bench.data.shapes import Shapes
from gpex_bench.types import Need

DIGEST = "e346e919f829b0b15be79cddcfe38dabc3eedc3d1f4a0fa668ddadfe21df2c46"
SMALL = Shapes(n_train=400, n_test=160)


@pytest.fixture(scope="module")
def data():
    return Shapes().load()


@pytest.fixture(scope="module")
def held():
    return Shapes().draw("train")


def test_default_images_are_the_recorded_ones(data):
    assert splits.dataset_digest(data) == DIGEST


def test_sizes_and_balance(data):
    assert data.train.x.shape == (4000, 3, 32, 32)
    assert data.test.x.shape == (1000, 3, 32, 32)
    assert data.train.y.bincount().tolist() == [1000] * 4
    assert data.test.y.bincount().tolist() == [250] * 4
    assert data.truth.train_group.bincount().tolist() == [500] * 8
    assert data.classes == (
        "square or ring",
        "disc or saltire",
        "triangle or frame",
        "cross or diamond",
    )
    assert Shapes.offers == {Need.IMAGE, Need.TRUTH}
    assert set(data.train.sample.tolist()).isdisjoint(data.test.sample.tolist())
    assert data.train.sample.unique().numel() == 4000
    assert len(glyphs.NAMES) == len(glyphs.PARTS)
    assert tuple(part.__name__ for part in glyphs.PARTS) == glyphs.NAMES


def test_pixels_are_whole_grey_levels(data):
    levels = data.test.x * 255
    torch.testing.assert_close(levels, levels.round(), atol=1e-4, rtol=0)
    assert data.test.x.min() >= 0
    assert data.test.x.max() <= 1


def test_no_image_is_in_both_splits(data):
    rows = torch.cat([data.train.x, data.test.x]).flatten(1).mul(255).round().byte().numpy()
    assert len({row.tobytes() for row in rows}) == 5000


def test_group_decides_the_class(data):
    assert torch.equal(data.truth.train_group % 4, data.train.y)
    assert torch.equal(data.truth.test_group % 4, data.test.y)


# --- the mask
# ---------------------------------------------------------------------------------------------------------


def test_mask_is_the_dilated_part_and_nothing_else(data):
    test = Shapes().draw("test")
    part, distractor = scenes.cover(test, 0), scenes.cover(test, 1)
    twin = np.stack([ndimage.binary_dilation(one, np.ones((3, 3))) for one in part])
    for channel in range(3):
        np.testing.assert_array_equal(data.truth.mask[:, channel].numpy(), twin)
    assert not (twin & scenes.dilate(distractor)).any()
    assert not twin[:, : scenes.PATCH, : scenes.PATCH].any()
    edge = np.ones((32, 32), dtype=bool)
    edge[1:-1, 1:-1] = False
    assert not part[:, edge].any()  # the outline is inside, too
    assert 0.05 < twin.mean() < 0.2


def test_image_is_background_wherever_nothing_is_planted():
    test = replace(SMALL.draw("test"), noise=np.zeros((160, 3, 32, 32), dtype=np.int64))
    image = scenes.paint(test, test.part % 4)
    part, distractor = (scenes.cover(test, thing)[:, None] for thing in (0, 1))
    np.testing.assert_array_equal(
        np.where(part | distractor, 0, image), np.where(part | distractor, 0, test.ground)
    )
    for thing, pixels in ((0, part), (1, distractor)):
        assert np.where(pixels, abs(image - test.colour[:, thing, :, None, None]), 0).max() == 0


def test_shapes_are_drawn_as_described():
    """Twins of the inequalities: hand-drawn shapes of radius 4."""
    drawn = {
        "disc": "..#####.. .#######. ######### ######### ######### ######### ######### .#######. ..#####..",
        "ring": "..#####.. .#######. ###...### ##.....## ##.....## ##.....## ###...### .#######. ..#####..",
        "cross": "...###... ...###... ...###... ######### ######### ######### ...###... ...###... ...###...",
        "square": "......... .#######. .#######. .#######. .#######. .#######. .#######. .#######. .........",
        "frame": "......... .#######. .#######. .##...##. .##...##. .##...##. .#######. .#######. .........",
        "diamond": "....#.... ...###... ..#####.. .#######. ######### .#######. ..#####.. ...###... ....#....",
        "triangle": "....#.... ....#.... ...###... ...###... ..#####.. ..#####.. .#######. .#######. #########",
        "saltire": "......... .##...##. .###.###. ..#####.. ...###... ..#####.. .###.###. .##...##. .........",
        "bar": "......... ......... ......... ######### ######### ######### ......... ......... .........",
        "pole": "...###... ...###... ...###... ...###... ...###... ...###... ...###... ...###... ...###...",
        "elbow": "###...... ###...... ###...... ###...... ###...... ###...... ######### ######### #########",
        "tee": "######### ######### ######### ...###... ...###... ...###... ...###... ...###... ...###...",
    }
    dy, dx = np.indices((9, 9)) - 4
    for glyph in (*glyphs.PARTS, *glyphs.DISTRACTORS):
        expected = np.array([[c == "#" for c in row] for row in drawn[glyph.__name__].split()])
        np.testing.assert_array_equal(
            glyph(dx, dy, np.full((9, 9), 4)), expected, err_msg=glyph.__name__
        )


@pytest.mark.parametrize("radius", scenes.RADII)
def test_shapes_stay_within_their_radius_and_differ(radius):
    dy, dx = np.indices((32, 32)) - 16
    covers = [
        glyph(dx, dy, np.full((32, 32), radius)) for glyph in (*glyphs.PARTS, *glyphs.DISTRACTORS)
    ]
    for cover in covers:
        assert abs(dx[cover]).max() <= radius
        assert abs(dy[cover]).max() <= radius
    for i, cover in enumerate(covers):
        for other in covers[:i]:
            assert (cover ^ other).sum() >= 9


# --- independence
# -----------------------------------------------------------------------------------------------------


def is_independent(table) -> bool:
    """Whether a chi-squared test of independence passes at p = 0.001.

    Draws are fixed, so this does not flicker.
    """
    return stats.chi2_contingency(table).pvalue > 1e-3


def counts(a, b):
    table = np.zeros((a.max() + 1, b.max() + 1), dtype=int)
    np.add.at(table, (a, b), 1)
    return table[table.any(axis=1)][:, table.any(axis=0)]


def nuisances(held):
    """Return everything about a scene but the part's kind, as categories."""
    return {
        "distractor": held.distractor,
        "part radius": held.radius[:, 0],
        "distractor radius": held.radius[:, 1],
        **{f"part place {axis}": held.place[:, 0, axis] // 6 for axis in (0, 1)},
        **{f"distractor place {axis}": held.place[:, 1, axis] // 6 for axis in (0, 1)},
        **{f"part colour {c}": held.colour[:, 0, c] // 32 for c in range(3)},
        **{f"distractor colour {c}": held.colour[:, 1, c] // 32 for c in range(3)},
        "background": (held.ground.mean(axis=(1, 2, 3)) - 120).astype(int),
    }


def test_nothing_but_the_part_tells_the_class(held):
    for name, nuisance in nuisances(held).items():
        for decided in (held.part, held.part % 4):
            assert is_independent(counts(decided, nuisance)), name


def test_test_of_independence_can_fail(held):
    leaking = np.where(np.arange(len(held.part)) % 20 == 0, held.part % 4, held.distractor)
    assert not is_independent(counts(held.part % 4, leaking))


def test_parts_class_cannot_be_read_off_the_distractor():
    """A direct check on pixels.

    With the part covered, a linear model on the rest is at chance, on held-out images.
    """
    from sklearn.linear_model import RidgeClassifier

    source = Shapes(n_train=1000, n_test=2000)
    data = source.load()
    hidden = scenes.dilate(scenes.cover(source.draw("train"), 0))[:, None]
    train = torch.where(torch.from_numpy(hidden), data.baseline, data.train.x).flatten(1)
    test = torch.where(data.truth.mask, data.baseline, data.test.x).flatten(1)
    right = (
        RidgeClassifier(alpha=10.0).fit(train, data.train.y).predict(test) == data.test.y.numpy()
    ).sum()
    assert stats.binomtest(int(right), 2000, 0.25).pvalue > 1e-3


# --- the shortcut
# -----------------------------------------------------------------------------------------------------


def test_shortcut_changes_the_corner_only():
    plain, marked = SMALL.load(), replace(SMALL, shortcut=1.0).load()
    for split in ("train", "test"):
        before, after = getattr(plain, split), getattr(marked, split)
        changed = (before.x != after.x).any(dim=1)
        assert changed[:, : scenes.PATCH, : scenes.PATCH].any(dim=(1, 2)).all()
        changed[:, : scenes.PATCH, : scenes.PATCH] = False
        assert not changed.any()
        assert torch.equal(before.y, after.y)
    assert torch.equal(plain.truth.mask, marked.truth.mask)


@pytest.mark.parametrize("n_classes", [2, 4, 8])
def test_corner_gives_every_class_away(n_classes):
    data = replace(SMALL, shortcut=1.0, n_classes=n_classes).load()
    corner = data.train.x[:, :, : scenes.PATCH, : scenes.PATCH].mean(dim=(2, 3))
    colours = torch.stack([corner[data.train.y == label].mean(dim=0) for label in range(n_classes)])
    assert torch.equal(torch.cdist(corner, colours).argmin(dim=1), data.train.y)


def test_corner_tells_nothing_by_default_and_is_marked_as_often_as_asked(held):
    assert not held.has_patch.any()
    some = Shapes(shortcut=0.3).draw("train")
    assert stats.binomtest(int(some.has_patch.sum()), 4000, 0.3).pvalue > 1e-3
    assert is_independent(counts(some.part, some.has_patch.astype(int)))


# --- reproducibility
# --------------------------------------------------------------------------------------------------


def test_same_settings_same_bits_and_seed_matters():
    first, again, other = (
        splits.dataset_digest(replace(SMALL, seed=seed).load()) for seed in (3, 3, 4)
    )
    assert first == again
    assert first != other


@pytest.mark.parametrize("shortcut", [0.0, 0.5])
def test_larger_splits_begin_with_the_smaller_ones(shortcut):
    small = replace(SMALL, shortcut=shortcut)
    a, b = small.load(), replace(small, n_train=1001, n_test=333).load()
    c = replace(small, n_train=1001).load()
    assert torch.equal(b.train.x[:400], a.train.x)
    assert torch.equal(b.test.x[:160], a.test.x)
    assert torch.equal(b.truth.train_group[:400], a.truth.train_group)
    assert torch.equal(c.test.x, a.test.x)
    assert torch.equal(c.test.sample, a.test.sample)
    assert torch.equal(c.truth.mask, a.truth.mask)


def test_global_random_state_is_untouched():
    state, other = torch.get_rng_state(), np.random.get_state()[1].copy()
    SMALL.load()
    assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_array_equal(np.random.get_state()[1], other)


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("n_train", 7),
        ("n_test", 0),
        ("n_classes", 3),
        ("shortcut", 1.5),
        ("shortcut", -0.1),
        ("shortcut", float("nan")),
        ("noise", 41),
        ("seed", -1),
    ],
)
def test_bad_settings_are_refused(name, setting):
    with pytest.raises(ValueError, match=f"^{name} .*got {setting}"):
        Shapes(**{name: setting})
