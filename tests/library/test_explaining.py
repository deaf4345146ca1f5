"""Explaining any network: the numbers of the workflow, whatever form the inputs come in."""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import gpex_bench as gb
from gpex_bench.models.mlp import Mlp
from gpex_bench.stages.explain import explain as in_the_workflow
from gpex_bench.stages.queries import queries
from gpex_bench.types import Task
from tests.library.conftest import cnn, mlp, seeded

LIME = {"budget": 60, "n_segments": 8}


@pytest.fixture(scope="module")
def zoo():
    """A network of the suite with its dataset."""
    data = gb.dataset("wine")
    model = seeded(lambda: Mlp(wide=16).build(data).eval())
    return model, data


@pytest.mark.parametrize(
    "name", ["lrp", "expected_gradients", "kernel_shap", "random_map", "random_examples"]
)
def test_numbers_are_those_of_the_workflow(zoo, name):
    """Also of methods that draw, and of those that look at training samples."""
    model, data = zoo
    method = gb.method(name)
    task = Task(model=model, data=data, surrogate=None, seed=2)
    stored = in_the_workflow(method, task, queries(model, data, 5), 60.0)

    sample, x = stored.query.sample, stored.query.x
    rows = gb.Split(x=x, y=torch.zeros(5, dtype=torch.int64), sample=sample)
    for given in (
        gb.explain(model, rows, name, data=data, seed=2),
        gb.explain(model, x.numpy(), name, data=data, seed=2, sample=sample),
    ):
        assert given.target.equal(stored.query.target) and given.sample.equal(sample)
        assert given.made.forward_rows == stored.forward_rows
        for key, array in stored.outcome.value.items():
            assert np.array_equal(getattr(given, key).numpy(), array), key


def test_inputs_come_in_any_form(on_images):
    x = torch.rand(2, 3, 16, 16)
    maps = gb.explain(on_images, x, "gradient_x_input")
    assert maps.values.shape == x.shape and maps.values.dtype == torch.float32
    for same in (x.numpy(), x.double(), x.numpy().astype(">f8"), x.tolist()):
        assert gb.explain(on_images, same, "gradient_x_input").values.equal(maps.values)

    one = gb.explain(on_images, x[1], "gradient_x_input")
    assert one.values.shape == x[1].shape and one.target.shape == one.sample.shape == ()
    assert torch.allclose(one.values, maps.values[1], atol=1e-7)
    assert len(one) == 1 and np.asarray(one).shape == (3, 16, 16)


def test_tables_come_in_frames(on_table, table):
    x = table.test.x[:3]
    frame = pd.DataFrame(x.numpy(), columns=table.features)
    values = gb.explain(on_table, frame, "lrp").values
    assert values.equal(gb.explain(on_table, x, "lrp").values)
    assert gb.explain(on_table, x[0], "lrp").values.shape == (6,)
    assert gb.explain(on_table, frame.iloc[0], "lrp").values.allclose(values[0], atol=1e-6)


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (torch.zeros(2, 3, 16, 16, 1), r"got the shape \(2, 3, 16, 16, 1\): volumes"),
        (torch.tensor(1.0), r"got the shape \(\)"),
        (torch.zeros(0, 6), "none of its axes may be empty"),
        (torch.zeros(1, 3, 16, 16, dtype=torch.uint8), "bytes .* x / 255"),
        (torch.full((2, 6), torch.nan), "12 of 12 entries are NaN"),
        (np.array([["a"] * 6]), "x must hold real numbers, got <U1"),
        (np.full((2, 6), 1e300), "12 of 12 entries are NaN, infinite or too large"),
        (np.ones((2, 6), dtype=complex), "real numbers"),
        ([[1.0, 2.0], [1.0]], "rows of different lengths"),
    ],
)
def test_inputs_that_are_none_are_refused(on_table, x, text):
    with pytest.raises(ValueError, match=text):
        gb.explain(on_table, x)


def test_targets_are_numbers_or_names(on_table, table):
    x = table.test.x[:3]
    largest = on_table(x).argmax(1)
    assert gb.explain(on_table, x, "saliency").target.equal(largest)
    network = gb.wrap(on_table, classes=["a", "b", "c"])
    by_name = gb.explain(network, x, "saliency", target="b")
    assert by_name.target.tolist() == [1, 1, 1]
    for targets in ([0, 1, 2], ["a", "b", "c"], np.array([0, 1, 2]), torch.tensor([0, 1, 2])):
        several = gb.explain(network, x, "saliency", target=targets)
        assert several.target.tolist() == [0, 1, 2]
        assert several.values[1].equal(by_name.values[1])


@pytest.mark.parametrize(
    ("target", "text"),
    [
        (3, "0 ... 2, as the network has 3 outputs, got 3"),
        (-1, "got -1"),
        ([0, 1], r"one for each of the 3 rows of x, got the shape \(2,\)"),
        (1.0, "whole numbers, got torch.float"),
        (True, "whole numbers, got torch.bool"),
        ("d", "name of a class, got 'd'. Known: 0, 1, 2"),
    ],
)
def test_targets_that_are_none_are_refused(on_table, table, target, text):
    with pytest.raises(ValueError, match=text):
        gb.explain(on_table, table.test.x[:3], target=target)


def test_settings_are_checked_as_those_of_a_config(on_table):
    x = torch.ones(1, 6)
    with pytest.raises(ValueError, match="unknown method 'lpr'. Did you mean 'lrp'"):
        gb.explain(on_table, x, "lpr")
    with pytest.raises(ValueError, match="lrp.compsite: .* Did you mean 'composite'"):
        gb.explain(on_table, x, "lrp", compsite="gamma")
    with pytest.raises(ValueError, match="lrp.gamma: .* valid number"):
        gb.explain(on_table, x, "lrp", gamma="much")
    with pytest.raises(ValueError, match=r"settings \(gamma\) go with the name"):
        gb.explain(on_table, x, gb.method("lrp"), gamma=1.0)


def test_wrappers_take_a_method_or_its_name(on_table):
    x = torch.ones(2, 6)
    plain = gb.explain(on_table, x, "gradient_x_input")
    for of in ("gradient_x_input", gb.method("gradient_x_input")):
        squared = gb.explain(on_table, x, "squared", of=of)
        assert squared.values.equal(plain.values.square())
    with pytest.raises(ValueError, match="squared.of: this parameter is required"):
        gb.explain(on_table, x, "squared")
    with pytest.raises(ValueError, match="squared.of: unknown run id of a method 'nothing'"):
        gb.explain(on_table, x, "squared", of="nothing")


def test_what_does_not_apply_is_refused_by_name(on_table, on_images):
    x = torch.ones(1, 6)
    with pytest.raises(gb.Refused, match="grad_cam needs image .it takes images"):
        gb.explain(on_table, x, "grad_cam")
    with pytest.raises(gb.Refused, match="expected_gradients needs training samples .give data="):
        gb.explain(on_table, x, "expected_gradients")
    with pytest.raises(gb.Refused, match="gpex_attribution needs a fitted surrogate: .*gb.fit"):
        gb.explain(on_table, x, "gpex_attribution")
    with pytest.raises(gb.Refused, match="oracle needs truth .give truth="):
        gb.explain(on_images, torch.ones(1, 3, 16, 16), "oracle")
    number = gb.wrap(seeded(lambda: mlp(1)), kind="number")
    with pytest.raises(gb.Refused, match="elime needs probabilities .the network gives a number"):
        gb.explain(number, x, "elime")


def test_a_network_that_cannot_be_read_says_why(table):
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(6, 2)

        def forward(self, x):
            return self.head(torch.fft.fft(x).real.sort(dim=1).values)

    with pytest.raises(gb.Refused, match="operation 'sort' in network .Odd."):
        gb.explain(Odd(), table.test.x[:2], "lrp")
    assert gb.explain(Odd(), table.test.x[:2], "gradient_x_input").values.shape == (2, 6)


def test_baselines_are_said(on_images, pictures):
    x = pictures.test.x[:2]
    assumed = gb.explain(on_images, x, "integrated_gradients", budget=10)
    assert "0 everywhere (none was given)" in repr(assumed)
    black = gb.explain(on_images, x, "integrated_gradients", budget=10, baseline=0.0)
    assert black.values.equal(assumed.values)
    grey = gb.explain(on_images, x, "integrated_gradients", budget=10, baseline=[0.5, 0.5, 0.5])
    whole = torch.full((3, 16, 16), 0.5)
    same = gb.explain(on_images, x, "integrated_gradients", budget=10, baseline=whole)
    assert grey.values.equal(same.values) and not grey.values.equal(black.values)
    with pytest.raises(ValueError, match=r"baseline must be one number, 3 numbers .* got \(2,\)"):
        gb.explain(on_images, x, "integrated_gradients", baseline=[0.0, 1.0])


def test_the_data_gives_baseline_and_names(on_table, table):
    maps = gb.explain(on_table, table.test.x[0], "feature_ablation", data=table)
    assert maps.made.task.data.baseline.equal(table.baseline)
    assert maps.made.task.data.features == table.features
    with pytest.raises(ValueError, match=r"data must have inputs of the shape of x, \(6,\), got"):
        gb.explain(on_table, torch.ones(2, 6), data=gb.dataset("wine"))
    with pytest.raises(ValueError, match="classes must name 4 outputs, got 3"):
        gb.explain(seeded(lambda: mlp(4)), table.test.x, data=table)
    with pytest.raises(ValueError, match="kind of the network, number, got classes"):
        gb.explain(gb.wrap(seeded(lambda: mlp(1)), kind="number"), table.test.x, data=table)


def test_a_known_truth_is_that_of_the_rows(on_images):
    x = torch.rand(2, 3, 16, 16)
    mask = torch.zeros(2, 16, 16)
    mask[0, 3:5, 3:5] = 1
    mask[1, 8:, 8:] = 1
    oracle = gb.explain(on_images, x, "oracle", truth=mask)
    assert (oracle.values.sum(1) > 0).float().equal(mask)
    with pytest.raises(ValueError, match="truth must have the shape of the inputs"):
        gb.explain(on_images, x, "oracle", truth=mask[:, :8])
    with pytest.raises(ValueError, match=r"true \(1\) where the evidence is and false"):
        gb.explain(on_images, x, "oracle", truth=mask * 0.5)
    with pytest.raises(ValueError, match="name some evidence in each input"):
        gb.explain(on_images, x, "oracle", truth=mask * torch.tensor([1, 0])[:, None, None])


def test_the_truth_of_a_dataset_is_found_by_sample():
    data = gb.dataset("shapes", n_train=40, n_test=12)
    network = seeded(lambda: cnn(len(data.classes)))
    order = torch.tensor([7, 2, 9])
    rows = gb.Split(x=data.test.x[order], y=data.test.y[order], sample=data.test.sample[order])
    maps = gb.explain(network, rows, "oracle", data=data)
    assert (maps.values > 0).equal(data.truth.mask[order])
    # rows without identities have no truth, and never that of other rows
    with pytest.raises(gb.Refused, match="needs truth"):
        gb.explain(network, data.test.x[order], "oracle", data=data)
    moved = gb.Split(x=rows.x.flip(3), y=rows.y, sample=rows.sample)
    with pytest.raises(gb.Refused, match="needs truth"):
        gb.explain(network, moved, "oracle", data=data)


def test_maps_that_break_their_promise_are_flagged(on_table):
    """Shapley values by few draws sum to what they should; one step of a path does not."""
    x = 5 * torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    network = seeded(lambda: nn.Sequential(nn.Linear(6, 32), nn.Tanh(), nn.Linear(32, 3)))
    with pytest.warns(gb.UnsoundMaps, match="integrated_gradients: the values of sample"):
        maps = gb.explain(network, x, "integrated_gradients", budget=2)
    assert "off by" in maps.unsound and "UNSOUND" in repr(maps) and "UNSOUND" in maps._repr_html_()
    with pytest.warns(UserWarning, match="srg of integrated_gradients: unsound"):
        scores = gb.score(network, x, maps, "srg")
    assert set(scores["status"]) == {"unsound"} and scores["score"].isna().all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not gb.explain(network, x, "integrated_gradients", budget=400).unsound


def test_a_broken_promise_is_an_error(on_table):
    from gpex_bench.types import Attribution, Explainer, settings

    @settings
    class Wrong(Explainer):
        reference = "none"
        kind = "gradient"
        relative_to = "nothing"
        cost = "none"

        def explain(self, task, query):
            return Attribution(values=query.x[:, :3].clone())

    with pytest.raises(gb.BrokenPromise, match=r"values must have shape \(2, 6\), got \(2, 3\)"):
        gb.explain(on_table, torch.ones(2, 6), Wrong())


def test_the_module_stays_as_it_is_and_no_random_state_moves():
    network = seeded(cnn).train()
    network[0].weight.grad = torch.ones_like(network[0].weight)
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()
    gb.explain(network, torch.rand(2, 3, 16, 16, generator=torch.Generator()), "lime", **LIME)
    assert torch.get_rng_state().equal(before[0]) and np.random.get_state()[1].tolist() == before[1]
    assert network.training and all(weight.requires_grad for weight in network.parameters())
    assert all(tensor.equal(state[name]) for name, tensor in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())


def test_a_network_that_was_trained_after_it_was_wrapped_is_refused():
    module = seeded(mlp)
    x = torch.ones(2, 6)
    network = gb.wrap(module, x)
    before = gb.explain(network, x, "lrp")
    module[0].weight.data += 1
    with pytest.raises(ValueError, match="have changed since it was wrapped"):
        gb.explain(network, x, "lrp")
    assert not gb.explain(module, x, "lrp").values.equal(before.values)
    with pytest.raises(ValueError, match="explains another network"):
        gb.score(module, x, {"before": before}, "srg", target=before.target)


def test_seeds_and_samples_decide_what_is_drawn(on_table):
    x = torch.ones(2, 6)
    draw = gb.explain(on_table, x, "random_map").values
    assert draw.equal(gb.explain(on_table, x, "random_map").values)
    assert not draw.equal(gb.explain(on_table, x, "random_map", seed=1).values)
    moved = gb.explain(on_table, x, "random_map", sample=[1, 0]).values
    assert moved.equal(draw.flip(0))
    for sample in ([0], [0, 0], [0.5, 1.5], [-1, 0]):
        with pytest.raises(ValueError, match="sample must be 2 different whole numbers"):
            gb.explain(on_table, x, "random_map", sample=sample)
    with pytest.raises(ValueError, match="seed must be a whole number"):
        gb.explain(on_table, x, "random_map", seed=-1)


def test_costs_are_counted(on_table):
    maps = gb.explain(on_table, torch.ones(2, 6), "integrated_gradients", budget=10)
    assert (maps.made.forward_rows, maps.made.backward_rows) == (20, 20)
    assert maps.rows == 40 and maps.seconds > 0


def test_outputs_that_are_not_finite_are_refused(on_table):
    network = seeded(mlp)
    network[2].weight.data[0] = torch.nan
    with pytest.raises(ValueError, match="gives NaN for 2 of the 2 inputs"):
        gb.explain(network, torch.ones(2, 6), "saliency")

    x = torch.ones(6, 6)
    x[5] = 1e38  # not among the rows that a network is tried on
    with pytest.raises(ValueError, match=r"NaN or infinity for the rows \[5\]"):
        gb.explain(seeded(lambda: mlp(3).requires_grad_(False)), 3 * x, "saliency")


def test_many_inputs_are_explained_in_parts(on_table, monkeypatch):
    from gpex_bench.library import explaining

    x = torch.randn(30, 6)
    whole = gb.explain(on_table, x, "lrp")
    near = gb.explain(on_table, x, "random_map")
    monkeypatch.setattr(explaining, "N_TOGETHER", 20)
    monkeypatch.setattr(explaining, "EXPLAINED_ROWS", 8)
    parts = gb.explain(on_table, x, "lrp")
    assert torch.allclose(parts.values, whole.values, atol=1e-6)
    assert torch.allclose(parts.residual, whole.residual, atol=1e-6)
    assert parts.made.forward_rows == whole.made.forward_rows
    assert gb.explain(on_table, x, "random_map").values.equal(near.values)


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        ((2, 16, 16, 3), "put the channels first"),
        ((16, 16, 3), "put the channels first"),
        ((5, 16, 16), r"one image of 5 channels; grey images are x\[:, None\]"),
        ((16, 16), "16 rows of a table of 16 columns; one grey image"),
    ],
)
def test_inputs_of_another_form_are_told_what_they_were_taken_for(on_images, shape, text):
    with pytest.raises(ValueError, match=text):
        gb.explain(on_images, torch.rand(shape))


def test_inference_mode_is_left_first(on_table):
    with torch.inference_mode():
        x = torch.ones(2, 6)
        with pytest.raises(ValueError, match="inference_mode"):
            gb.explain(on_table, x)
    assert gb.explain(on_table, x, "integrated_gradients").values.shape == (2, 6)
