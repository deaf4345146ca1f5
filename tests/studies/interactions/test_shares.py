"""Regions by the planted truth, and shares of networks whose interactions are known."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from gpex_bench.config import ConfigError, parse
from gpex_bench.studies.interactions.plan import Interactions
from gpex_bench.studies.interactions.planted import cut
from gpex_bench.studies.interactions.shares import COLUMNS, common, compute_shares
from gpex_bench.types import Dataset, Model, Split, Task, Truth

PLAN = Interactions(
    ladder=("a", "b"), images=3, points=512, fills=("baseline",), outputs=("logit", "probability")
)


def planted(n=4, side=16):
    """White images with an object of 4 x 6 pixels at places of their own; absent is black."""
    mask = torch.zeros(n, 1, side, side, dtype=torch.bool)
    for i in range(n):
        mask[i, :, 2 + i : 6 + i, 3:9] = True
    x = torch.ones(n, 1, side, side)
    split = Split(x=x, y=torch.zeros(n, dtype=torch.int64), sample=10 + torch.arange(n))
    truth = Truth(mask=mask, train_group=split.y, test_group=split.y)
    return Dataset(
        name="planted",
        train=split,
        test=split,
        classes=("a", "b"),
        features=(),
        baseline=torch.zeros(1, side, side),
        truth=truth,
    )


class Formula(Model):
    """Logits are a formula of the input, and zero."""

    def __init__(self, formula):
        super().__init__()
        self.formula, self.head = formula, torch.nn.Linear(2, 2, bias=False)
        self.head.weight.data = torch.eye(2)

    def embed(self, x):
        y = self.formula(x)
        return torch.stack([y, torch.zeros_like(y)], 1)


def found(formula, plan=PLAN, data=None, seed=1):
    data = data or planted()
    task = Task(model=Formula(formula).eval(), data=data, surrogate=None, seed=seed)
    return compute_shares(task, torch.arange(plan.images), plan)


def test_object_and_background_are_cut_into_parts():
    data = planted()
    scene = cut(data.truth.mask, 2)
    assert scene.is_background.tolist() == [False] * 4 + [True] * 4
    for i, index in enumerate(scene.index):
        assert torch.equal(index < 4, data.truth.mask[i, 0])
        assert [int((index == part).sum()) for part in range(4)] == [6] * 4  # 2 x 3 pixels each
        assert (
            index[2 + i, 3] == 0
            and index[2 + i, 8] == 1
            and index[5 + i, 3] == 2
            and index[5 + i, 8] == 3
        )
        assert index[0, 0] == 4 and index[0, 15] == 5 and index[15, 0] == 6 and index[15, 15] == 7
    whole = cut(data.truth.mask, 1)
    assert torch.equal(whole.index == 0, data.truth.mask[:, 0])
    for mask in (
        torch.zeros(1, 1, 4, 4, dtype=torch.bool),
        torch.ones(1, 1, 4, 4, dtype=torch.bool),
    ):
        with pytest.raises(ValueError, match="mask must mark some pixels of every image"):
            cut(mask, 2)


def test_an_additive_network_has_no_interactions_and_shares_by_size():
    """The mean over all pixels: a part counts its area; variances add up."""
    table = found(lambda x: x.mean((1, 2, 3)))
    assert list(table.columns) == list(COLUMNS)
    logit = table[table["output"] == "logit"]
    assert set(logit["sample"]) == {10, 11, 12}
    exact = logit[logit["mask"] == "binary"].set_index("sample")
    np.testing.assert_allclose(exact["interaction"], 0, atol=1e-6)
    for i, index in enumerate(cut(planted().truth.mask, 2).index[:3]):
        area = torch.bincount(index.flatten(), minlength=8).double() ** 2
        assert exact.loc[10 + i, "background"] == pytest.approx(float(area[4:].sum() / area.sum()))
    sampled = logit[logit["mask"] == "continuous"].set_index("sample")
    np.testing.assert_allclose(sampled["interaction"], 0, atol=0.05)
    np.testing.assert_allclose(sampled["background"], exact["background"], atol=0.02)
    probability = table[(table["output"] == "probability") & (table["mask"] == "binary")]
    assert (probability["interaction"] > 1e-7).all()  # a sigmoid of a sum is no sum


@pytest.mark.parametrize("mask, expected", [("binary", 1 / 3), ("continuous", 1 / 7)])
def test_a_product_of_object_and_corner_has_a_known_share(mask, expected):
    """A corner of the background times a pixel of image 0's object (row 2, column 3)."""
    plan = Interactions(
        ladder=("a", "b"),
        images=2,
        points=2048,
        fills=("baseline",),
        outputs=("logit",),
        masks=(mask,),
    )
    one, other = found(lambda x: x[:, 0, 0, 0] * x[:, 0, 2, 3], plan).to_dict("records")
    assert one["interaction"] == pytest.approx(expected, abs=0.02)
    assert one["background"] == pytest.approx(0.5, abs=0.02)
    if mask == "binary":  # all of it is of one pair, of object and background
        assert one["object_background"] == pytest.approx(one["interaction"], abs=1e-9)
        assert other["object_background"] == pytest.approx(0, abs=1e-9)
    else:
        assert np.isnan(one["object_background"])
    assert other["interaction"] == pytest.approx(
        0, abs=0.02
    )  # m^2 of one part of the background: no other takes part
    assert other["background"] == pytest.approx(1)


def test_only_pairs_of_object_and_background_count_as_such():
    """Within the object and within the background: interactions, but none between the two."""
    plan = Interactions(
        ladder=("a", "b"), images=2, fills=("baseline",), outputs=("logit",), masks=("binary",)
    )
    for formula in (
        lambda x: x[:, 0, 2, 3] * x[:, 0, 2, 8],
        lambda x: x[:, 0, 0, 0] * x[:, 0, 0, 15],
    ):
        one, _ = found(formula, plan).to_dict("records")
        assert one["interaction"] == pytest.approx(1 / 3) and one[
            "object_background"
        ] == pytest.approx(0, abs=1e-9)


def test_constant_answers_have_no_shares_and_fills_differ():
    assert (
        found(lambda x: 0 * x.sum((1, 2, 3)))[["interaction", "background", "object_background"]]
        .isna()
        .all(axis=None)
    )
    data = planted()
    ramp = torch.linspace(0, 1, 16).expand(4, 1, 16, 16).clone()
    data = Dataset(
        **{name: getattr(data, name) for name in Dataset.__slots__}
        | {"test": Split(x=ramp, y=data.test.y, sample=data.test.sample)}
    )
    plan = Interactions(
        ladder=("a", "b"), images=3, points=8, outputs=("logit",), masks=("binary",)
    )
    table = found(lambda x: x[:, 0, :, 4].sum(1).square(), plan, data).set_index(
        ["fill", "sample"]
    )["interaction"]
    assert not np.allclose(table["baseline"], table["blur"], atol=0.01)


def test_networks_of_a_seed_answer_the_same_questions_and_rows_do_not_matter():
    asked = []
    plan = Interactions(
        ladder=("a", "b"),
        images=2,
        points=4,
        fills=("baseline",),
        outputs=("logit",),
        masks=("continuous",),
    )
    for scale, seed in ((1, 1), (2, 1), (1, 2)):
        found(
            lambda x, scale=scale: asked.append(x.clone()) or scale * x.sum((1, 2, 3)),
            plan,
            seed=seed,
        )
    masked = [x for x in asked if len(x) > 2]
    assert torch.equal(masked[0], masked[1]) and not torch.equal(masked[0], masked[2])
    both = found(lambda x: x[:, 0, 3, 4].sin() * x.mean((1, 2, 3)), plan)
    task = Task(
        model=Formula(lambda x: x[:, 0, 3, 4].sin() * x.mean((1, 2, 3))).eval(),
        data=planted(),
        surrogate=None,
        seed=1,
    )
    alone = compute_shares(task, torch.tensor([1]), plan)
    assert alone["interaction"].item() == pytest.approx(both["interaction"][1], rel=1e-4)


def test_only_images_that_all_classify_correctly_are_asked():
    data = planted(5)
    x = data.test.x.clone()
    x[torch.arange(5), 0, 0, 0] = torch.tensor([1.0, -1, 1, 1, 1])
    x[torch.arange(5), 0, 0, 1] = torch.tensor([1.0, 1, -1, 1, 1])
    data = Dataset(
        **{name: getattr(data, name) for name in Dataset.__slots__}
        | {"test": Split(x=x, y=data.test.y, sample=data.test.sample)}
    )
    one, other = Formula(lambda x: x[:, 0, 0, 0]).eval(), Formula(lambda x: x[:, 0, 0, 1]).eval()
    assert common([one, other], data, 5).tolist() == [0, 3, 4]
    few = common([one], data, 2).tolist()
    assert len(few) == 2
    assert set(few) < {0, 2, 3, 4}
    never = Formula(lambda x: -x.abs().sum((1, 2, 3))).eval()
    with pytest.raises(
        ValueError,
        match="At least 2 of 5 test images of planted must be classified .* got 0; train longer",
    ):
        common([one, never], data, 5)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"images": 1}, "images must be at least 2, got 1"),
        ({"points": 48}, "points must be a power of two, got 48"),
        ({"sides": 3}, "sides must be at most 2, got 3"),
        (
            {"fills": ("baseline", "baseline")},
            "fills must be different ones of baseline, image_mean, blur",
        ),
        (
            {"masks": ("soft",)},
            r"masks must be different ones of binary, continuous, got \['soft'\]",
        ),
        ({"outputs": ()}, "outputs must be different ones of logit"),
        ({"ladder": ("a",)}, "ladder must name at least two different models"),
    ],
)
def test_impossible_plans_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Interactions(**{"ladder": ("a", "b")} | settings)
    table = planted()
    with pytest.raises(ValueError, match="interactions needs planted truth, which planted lacks"):
        bare = Dataset(
            **{name: getattr(table, name) for name in Dataset.__slots__} | {"truth": None}
        )
        found(lambda x: x.sum((1, 2, 3)), data=bare)


def test_the_section_of_a_config_is_checked():
    written = yaml.safe_load(
        (Path(__file__).parents[3] / "config/studies/interactions.yaml").read_text()
    )
    assert parse(written).study.ladder == ("alexnet", "vgg", "resnet", "densenet")
    for change, message in (
        (
            {"ladder": ["alexnet", "vgg16"]},
            "interactions: unknown model on shapes 'vgg16'. Did you mean 'vgg'",
        ),
        ({"depth": 2}, "interactions.depth: unknown parameter 'depth'"),
        ({"points": 3}, "interactions: points must be a power of two, got 3"),
    ):
        with pytest.raises(ConfigError, match=message):
            parse(written | {"interactions": written["interactions"] | change})
