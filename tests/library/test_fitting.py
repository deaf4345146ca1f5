"""Surrogates of any network: the numbers of the workflow."""

import pytest
import torch

import gpex_bench as gb
from gpex_bench.models.mlp import Mlp
from gpex_bench.stages.agree import agree
from gpex_bench.stages.fit import fit as in_the_workflow
from gpex_bench.surrogates.agreement.calibration import restored, with_factor
from gpex_bench.types import Progress, Task
from tests.library.conftest import mlp, seeded


@pytest.fixture(scope="module")
def zoo():
    data = gb.dataset("wine")
    return seeded(lambda: Mlp(wide=16).build(data).eval().requires_grad_(False)), data


@pytest.fixture(scope="module")
def fitted(zoo):
    return gb.fit(*zoo, "gpex", seed=3, n_steps=5)


def test_a_fit_is_that_of_the_workflow(zoo, fitted, tmp_path):
    model, data = zoo
    recipe = gb.surrogate("gpex", n_steps=5)
    path = tmp_path / "state.pt"
    outcome = in_the_workflow(
        recipe, model, data, seed=3, progress=Progress(), store=lambda one: torch.save(one, path)
    )
    assert outcome.status == "ok"
    state = torch.load(path)
    own = with_factor(fitted.surrogate.state_dict(), fitted.surrogate.interval_factor)
    assert own.keys() == state.keys() and all(own[name].equal(state[name]) for name in state)

    stored = restored(recipe, model, data, state)
    table, _ = agree(model, stored, data, 3)
    assert fitted.agreement(full=True).equals(table)

    task = Task(model=model, data=data, surrogate=stored, seed=3)
    maps = fitted.explain(data.test.x[:3], seed=3)
    assert maps.values.equal(maps.made.explainer.explain(task, maps.made.query).values)


def test_agreement_has_a_row_for_each_output(zoo, fitted):
    data = zoo[1]
    table = fitted.agreement()
    assert table["split"].tolist() == ["test"] * 4 + ["mixed"] * 4 + ["ood"] * 4
    assert table["head"].tolist()[:4] == [*data.classes, "all"]
    for column in ("r2", "coverage_90"):
        assert table[column][:3].mean() == pytest.approx(table[column][3])
    assert fitted.agreement("ood").equals(table[8:].reset_index(drop=True))
    assert fitted.agreement(data.test).equals(table[:4])

    few = gb.Split(x=data.test.x[:9], y=data.test.y[:9], sample=data.test.sample[:9])
    mean = fitted.surrogate.posterior(few.x).mean.double()
    logits = fitted.network.model()(few.x).double()
    spread = (logits - logits.mean(0)).square().sum(0)
    r2 = 1 - (mean - logits).square().sum(0) / spread
    assert fitted.agreement(few)["r2"][:3].tolist() == pytest.approx(r2.tolist())
    with pytest.raises(ValueError, match="split must be one of test, mixed, ood or a Split"):
        fitted.agreement("train")


def test_neighbours_are_those_of_the_surrogate(zoo, fitted):
    data = zoo[1]
    x = data.test.x[:4]
    near = fitted.neighbours(x, k=3)
    target = fitted.network.model()(x).argmax(1)
    found = fitted.surrogate.neighbours(x, target, 3)
    assert near.index.equal(found.index) and near.weight.equal(found.weight.detach())
    strong = fitted.neighbours(x[0], k=2, by="contribution", target=1)
    share = fitted.surrogate.contribution(x[:1], torch.tensor([1]))
    assert strong.weight.tolist() == pytest.approx(share.topk(2).values[0].tolist())
    assert strong.index.shape == (2,)
    with pytest.raises(ValueError, match="k must be at most the 142 training samples"):
        fitted.neighbours(x, k=500)


def test_a_surrogate_explains_its_own_network_alone(zoo, fitted):
    model, data = zoo
    x = data.test.x[:2]
    maps = gb.explain(model, x, "gpex_attribution", surrogate=fitted)
    assert maps.values.equal(fitted.explain(x).values) and maps.made.surrogate_rows > 0
    other = seeded(lambda: Mlp(wide=16).build(data).eval(), 1)
    with pytest.raises(ValueError, match="fitted to the network that is explained"):
        gb.explain(other, x, "gpex_attribution", surrogate=fitted)
    with pytest.raises(ValueError, match="surrogate has no effect on lrp"):
        gb.explain(model, x, "lrp", surrogate=fitted)

    scores = gb.score(model, x, maps, ["max_sensitivity", "mprt"]).set_index("metric")
    assert set(scores.loc["max_sensitivity", "status"]) == {"ok"}
    assert "gpex is fitted to this one" in scores.loc["mprt", "reason"].iloc[0]


def test_other_surrogates_have_their_own_name(on_table, table):
    fitted = gb.fit(on_table, table, "last_layer")
    assert fitted.agreement("test")["r2"].min() > 0.99
    near = fitted.neighbours(table.test.x[:2], k=2)
    assert near.made.explainer.surrogate == "last_layer"
    assert "last_layer fitted to Sequential on arrays" in repr(fitted)
    assert f"{fitted.seconds:.3g} s" in fitted._repr_html_()
    assert fitted.forward_rows >= len(table.train.x)


def test_fits_refuse_what_does_not_fit(on_table, table):
    bare = gb.Split(x=table.train.x[:0], y=table.train.y[:0], sample=table.train.sample[:0])
    import dataclasses

    with pytest.raises(ValueError, match="must have training samples"):
        gb.fit(on_table, dataclasses.replace(table, train=bare))
    with pytest.raises(ValueError, match="unknown surrogate 'gpx'. Did you mean 'gpex'"):
        gb.fit(on_table, table, "gpx")
    with pytest.raises(ValueError, match="gpex.n_step: unknown parameter"):
        gb.fit(on_table, table, n_step=5)
    with pytest.raises(ValueError, match="classes must name 4 outputs, got 3"):
        gb.fit(seeded(lambda: mlp(4)), table, "last_layer")


def test_a_fit_moves_no_random_state(on_table, table):
    before = torch.get_rng_state()
    weights = [weight.clone() for weight in on_table.parameters()]
    gb.fit(on_table, table, n_steps=2)
    assert torch.get_rng_state().equal(before)
    assert all(map(torch.equal, weights, on_table.parameters()))
