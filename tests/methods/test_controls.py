"""The controls: what they are is known exactly."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy import ndimage

from gpex_bench.contract import toys
from gpex_bench.families.wrapper import Wrapper
from gpex_bench.models.altered.random_weights import redraw
from gpex_bench.plugins.cards import method_cards
from gpex_bench.plugins.registry import plugins
from gpex_bench.statistics import informative
from gpex_bench.tables.order import blind_ids, control_ids, surrogates_used
from gpex_bench.types import Need, Role, settings


@pytest.fixture
def toy():
    """A task on colour images with planted truth, and a query."""
    *_, (_, asked, wanted) = toys.tasks(toys.Smooth)
    return asked, wanted


def test_edges_are_those_of_scipy(formula, task, query, method, normal):
    x = normal(3, 3, 9, 7)
    values = (
        method("edge_detector")
        .explain(task(formula(lambda x: x.flatten(1), 189), x), query(x))
        .values
    )
    for row in range(3):
        grey = x[row].mean(0).double().numpy()
        magnitude = np.hypot(*(ndimage.sobel(grey, axis=axis, mode="nearest") for axis in (0, 1)))
        np.testing.assert_allclose(values[row].sum(0).numpy(), magnitude, rtol=1e-4, atol=1e-5)
        assert torch.equal(values[row, 0], values[row, 2])


def test_random_map_depends_on_seed_and_sample_alone(formula, task, query, method, normal):
    model = formula(lambda x: x, 4)
    explainer = method("random_map")

    def draw(x, seed, first):
        return explainer.explain(task(model, x, seed=seed), query(x, first=first)).values

    x = normal(5, 4)
    base = draw(x, 1, 10)
    assert torch.equal(base, draw(normal(5, 4, seed=9), 1, 10))
    assert torch.equal(base[2:], draw(x[:3], 1, 12))
    assert not torch.isclose(base, draw(x, 2, 10)).any()
    assert len(base.unique()) == 20


def test_random_map_is_standard_normal(formula, task, query, method):
    x = torch.zeros(50, 400)
    values = method("random_map").explain(task(formula(lambda x: x, 400), x), query(x)).values
    assert abs(float(values.mean())) < 0.03
    assert abs(float(values.std()) - 1) < 0.03
    assert float(torch.corrcoef(values).triu(1).abs().max()) < 0.3


def test_on_random_network_is_the_other_map_of_a_network_drawn_anew(toy, method):
    asked, wanted = toy
    of = method("gradient_x_input")
    explainer = method("on_random_network", of=of)
    other = dataclasses.replace(asked, model=redraw(asked.model, asked.seed))
    values = explainer.explain(asked, wanted).values
    assert torch.equal(values, of.explain(other, wanted).values)
    assert not torch.allclose(values, of.explain(asked, wanted).values)
    assert explainer.kind == "control" and explainer.needs == of.needs and not explainer.offers
    with pytest.raises(
        ValueError,
        match="of must be an explainer of the network alone; GpexAttribution looks at the",
    ):
        method("on_random_network", of=method("gpex_attribution"))


def test_inverted_is_minus(toy, method):
    asked, wanted = toy
    of = method("gradient_x_input")
    values = method("inverted", of=of).explain(asked, wanted).values
    assert torch.equal(values, -of.explain(asked, wanted).values)


def test_constant_is_constant_and_the_input_is_itself(formula, task, query, method, normal):
    x, baseline = normal(3, 2, 5, 4), normal(2, 5, 4, seed=1)
    asked = task(formula(lambda x: x.flatten(1), 40), x, baseline=baseline)
    assert torch.equal(method("constant").explain(asked, query(x)).values, torch.ones_like(x))
    assert torch.equal(method("input_itself").explain(asked, query(x)).values, x - baseline)


def test_blurred_copy_of_a_control_is_a_control(toy, method):
    blurred = method("smoothed", of=method("edge_detector"))
    assert blurred.kind == "control"
    sharp = method("edge_detector").explain(*toy).values
    found = blurred.explain(*toy).values
    assert float(found.flatten(1).std(1).max()) < float(sharp.flatten(1).std(1).max())


def test_random_examples_are_drawn_without_replacement(toy, method):
    asked, wanted = toy
    n_train = len(asked.data.train.y)
    found = method("random_examples", k=n_train).explain(asked, wanted)
    assert torch.equal(found.index.sort(1).values, torch.arange(n_train).expand(len(wanted.x), -1))
    assert (found.weight.diff(dim=1) <= 0).all()
    assert len({tuple(row) for row in found.index.tolist()}) == len(wanted.x)


@pytest.mark.parametrize("k", [0, 25])
def test_impossible_numbers_of_examples_are_refused(toy, method, k):
    with pytest.raises(
        ValueError, match=f"k must be between 1 and the 24 training samples, got {k}"
    ):
        method("random_examples", k=k).explain(*toy)


def test_random_examples_are_uniform(formula, task, query, method):
    x = torch.zeros(2000, 2)
    found = method("random_examples", k=3).explain(
        task(formula(lambda x: x, 2), x, train=x[:12]), query(x)
    )
    counts = found.index.flatten().bincount(minlength=12)
    assert (
        float((counts - 500).abs().max()) < 5 * (6000 * 11 / 144) ** 0.5
    )  # five standard deviations


def test_oracle_is_the_mask(toy, method):
    asked, wanted = toy
    values = method("oracle").explain(asked, wanted).values
    mask = asked.data.truth.mask[: len(wanted.x)]  # the queries are the first test samples
    assert torch.equal(values > 0, mask)
    torch.testing.assert_close(values.flatten(1).sum(1), torch.ones(len(wanted.x)))
    torch.testing.assert_close(values[mask], torch.full((int(mask.sum()),), 1 / 48))


def test_oracle_finds_samples_by_identity(toy, query, method):
    asked, wanted = toy
    reverse = [2, 0]
    swapped = type(wanted)(
        x=wanted.x[reverse], target=wanted.target[reverse], sample=wanted.sample[reverse]
    )
    explainer = method("oracle")
    expected = explainer.explain(asked, wanted).values[reverse]
    assert torch.equal(explainer.explain(asked, swapped).values, expected)


def test_oracle_refuses_what_has_no_truth(toy, formula, task, query, method, normal):
    asked, wanted = toy
    with pytest.raises(
        ValueError,
        match=r"query.sample must hold test samples of 'toy colour images'; \[100, 101\]",
    ):
        method("oracle").explain(asked, query(wanted.x[:2], first=100))
    x = normal(2, 3)
    with pytest.raises(
        ValueError, match="The oracle needs planted truth and the dataset 'known' has none"
    ):
        method("oracle").explain(task(formula(lambda x: x, 3), x), query(x))


def test_controls_that_look_at_nothing_declare_a_blind_role():
    """A control that needs no truth and changes no other map looks at neither the network nor a
    truth.
    """
    classes = [
        plugin.cls for plugin in plugins("method").values() if not issubclass(plugin.cls, Wrapper)
    ]
    for cls in classes:
        looks_at_nothing = cls.kind == "control" and Need.TRUTH not in cls.needs
        assert cls.role.is_blind == looks_at_nothing, cls
        assert (cls.role is not Role.METHOD) == (cls.kind == "control"), cls


def test_a_changed_blind_control_is_blind(method):
    """Blurring edges, or inverting the blurred ones, does not make them see; the inverted oracle
    has seen the truth.
    """
    blurred = method("smoothed", of=method("edge_detector"))
    used = {
        "edges": method("edge_detector"),
        "blurred": blurred,
        "inverted_blurred": method("inverted", of=blurred),
        "blurred_random": method("smoothed", of=method("random_map")),
        "inverted_oracle": method("inverted", of=method("oracle")),
        "blurred_lrp": method("smoothed", of=method("lrp")),
        "lrp": method("lrp"),
    }
    records = method_cards(used)
    assert blind_ids(records) == {"edges", "blurred", "inverted_blurred", "blurred_random"}
    # a blurred random map is no longer a random one
    assert control_ids(records, Role.RANDOM) == set()
    assert control_ids(records, Role.BLURRED) == {"blurred", "blurred_random"}
    changed = {record["method"]: record["of"] for record in records}
    assert changed["inverted_blurred"] == "blurred" and changed["blurred_lrp"] == "lrp"
    assert changed["inverted_oracle"] == ""  # the run has no oracle by itself


def test_a_renamed_random_control_keeps_its_role(method):
    """A third party's class has another name; role and result depend on what it declares."""

    @settings
    class Noise(type(method("random_map"))):
        draws: int = 1

    theirs, ours = Noise(), method("random_map")
    used = {
        "noise": theirs,
        "blurred": method("smoothed", of=theirs),
        "absolute": method("absolute", of=theirs),
        "ours": ours,
    }
    records = {record["method"]: record for record in method_cards(used)}
    assert records["noise"]["role"] == records["ours"]["role"] == "random"
    assert records["noise"]["class"] == "Noise"
    assert records["blurred"]["role"] == "blurred" and records["blurred"]["of"] == "noise"
    assert records["absolute"]["role"] == "control"
    assert all(record["is_blind"] for record in records.values())
    assert control_ids(list(records.values()), Role.RANDOM) == {"noise", "ours"}
    assert blind_ids(list(records.values())) == set(used)


def test_no_role_depends_on_the_name_of_a_class(method):
    made = {"oracle": method("oracle"), "edges": method("edge_detector"), "lrp": method("lrp")}
    made["flipped"] = method("inverted", of=made["oracle"])
    records = method_cards(made)
    renamed = [{**record, "class": "Renamed", "hyperparameters": {}} for record in records]
    for known in (informative.roles(records), informative.roles(renamed)):
        assert known.of(Role.ORACLE) == {"oracle"} and known.of(Role.EDGES) == {"edges"}
        assert known.inverted == {"flipped"} and known.blind == {"edges"}
        assert known.changed == {("oracle", "flipped"): Role.INVERTED}


def test_the_surrogate_of_a_method_is_a_field_of_its_record(method):
    explainer = method("gpex_attribution", surrogate="other")
    records = method_cards({"gp": explainer, "lrp": method("lrp")})
    assert [record["surrogate"] for record in records] == ["other", None]
    assert surrogates_used(records) == {"other"}
