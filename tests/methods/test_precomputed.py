"""Maps that were made elsewhere: they score as the method that made them, and are never made up."""

import dataclasses

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from gpex_bench import config
from gpex_bench.config import ConfigError
from gpex_bench.contract import isolation, toys
from gpex_bench.families.stored_maps import read_maps, stored_maps, write_maps
from gpex_bench.measurements import measured
from gpex_bench.plugins.registry import plugins
from gpex_bench.run import artefacts
from gpex_bench.stages.explain import explain
from gpex_bench.tables.words import CANNOT_BE_ASKED
from gpex_bench.types import Case, Need
from gpex_bench.types.demands import Refused

KINDS = ("table", "grey images", "colour images")


def toy(kind):
    """The task and the query of one kind of input."""
    return next((task, query) for name, task, query in toys.tasks(toys.Smooth) if name == kind)


def known(query):
    """Maps that differ for each entry and sample."""
    numbers = torch.arange(query.x.numel(), dtype=torch.float32)
    return numbers.view_as(query.x).sin()


@pytest.fixture
def stored(tmp_path, method):
    """An explainer of these arrays, which are written to a file."""

    def make(name="maps.npz", **arrays):
        path = tmp_path / name
        if path.suffix == ".npz":
            np.savez(path, **arrays)
        else:
            save_file({key: torch.as_tensor(array) for key, array in arrays.items()}, path)
        return method("precomputed", file=str(path))

    return make


# --- what it gives --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["maps.npz", "maps.safetensors"])
def test_maps_are_found_by_sample_in_any_order(stored, kind, name):
    task, query = toy(kind)
    values, order = known(query), torch.randperm(len(query.x), generator=task.generator(0))
    one = stored(name, values=values[order].numpy(), sample=query.sample[order].numpy())
    some = query.rows(torch.tensor([2, 0]))
    assert torch.equal(one.explain(task, query).values, values)
    assert torch.equal(one.explain(task, some).values, values[[2, 0]])


@pytest.mark.parametrize("dtype", ["float64", "float16", "int32", "uint8", ">f4", "bool"])
def test_numbers_of_other_types_are_read_as_float32(stored, dtype):
    task, query = toy("table")
    values = (known(query) > 0).numpy().astype(dtype)
    found = stored(values=values, sample=query.sample.numpy()).explain(task, query).values
    assert found.dtype == torch.float32
    assert np.array_equal(found.numpy(), values.astype(np.float32))


def test_without_samples_the_maps_are_those_of_all_test_rows_in_order(stored):
    task, query = toy("table")
    test = task.data.test
    values = torch.randn(test.x.shape, generator=task.generator(1))
    found = stored(values=values.numpy()).explain(task, query).values
    rows = [test.sample.tolist().index(sample) for sample in query.sample.tolist()]
    assert torch.equal(found, values[rows])

    n_test = len(test.x)
    with pytest.raises(ValueError, match=f"each of the {n_test} test rows.* got {n_test - 1}"):
        stored(values=values[1:].numpy()).explain(task, query)


def test_a_residual_is_offered_and_given(stored):
    task, query = toy("table")
    one = stored(values=known(query), sample=query.sample, residual=query.x[:, 0])
    assert one.offers == {Need.RESIDUAL}
    assert torch.equal(one.explain(task, query).residual, query.x[:, 0])
    assert stored("bare.npz", values=known(query), sample=query.sample).offers == frozenset()


def test_what_is_written_is_read(tmp_path):
    _, query = toy("table")
    maps = stored_maps(known(query), sample=query.sample, target=query.target, where="mine")
    write_maps(tmp_path / "maps" / "mine.safetensors", maps)
    found = read_maps(tmp_path / "maps" / "mine.safetensors")
    assert torch.equal(found.values, maps.values)
    assert torch.equal(found.sample, query.sample)
    assert torch.equal(found.target, query.target)
    assert found.residual is None


# --- what it refuses ------------------------------------------------------------------------------


def test_each_fault_of_a_file_is_named(stored):
    _, query = toy("table")
    task = toy("table")[0]
    values, sample = known(query).numpy(), query.sample.numpy()
    holes = values.copy()
    holes[1, 0] = np.nan
    faults = {
        rf"no map of 1 of the .* that are explained: {sample[-1]}": {
            "values": values[:-1],
            "sample": sample[:-1],
        },
        f"must be finite.*: {sample[1]}": {"values": holes, "sample": sample},
        "float32": {"values": values.astype(float) * 1e300, "sample": sample},
        f"sample in .* names {sample[0]} more than once": {
            "values": values,
            "sample": np.full(len(sample), sample[0]),
        },
        r"must be maps of \(\d+,\).*got \(2,\)": {"values": values[:, :2], "sample": sample},
        r"at least 1 map, got \[\d+\]": {"values": values[:, 0], "sample": sample},
        "no key 'values'.*its keys: index": {"index": values},
        "sample in .* must be whole numbers.*float32": {"values": values, "sample": values[:, 0]},
        r"sample in .* must be \[\d+\], one number for each map, got \[2\]": {
            "values": values,
            "sample": sample[:2],
        },
        "real|complex": {"values": values.astype(complex), "sample": sample},
        "values in .* cannot be read": {"values": values.astype(object), "sample": sample},
        "residual in .* one number for each map": {
            "values": values,
            "sample": sample,
            "residual": values,
        },
    }
    for number, (message, arrays) in enumerate(faults.items()):
        one = stored(f"{number}.npz", **arrays)
        with pytest.raises(ValueError, match=message):
            one.explain(task, query)


def test_maps_of_another_output_are_refused_with_both_numbers(stored):
    task, query = toy("table")
    other = query.target.clone()
    other[1] += 1
    one = stored(values=known(query), sample=query.sample, target=other)
    words = f"sample {int(query.sample[1])} explains output {int(other[1])}, not"
    with pytest.raises(ValueError, match=words):
        one.explain(task, query)


@pytest.mark.parametrize(
    "cut", [lambda v: v[:, 0], lambda v: v[:, :1], lambda v: v.permute(0, 2, 3, 1)]
)
def test_maps_of_usual_other_shapes_get_advice(stored, cut):
    task, query = toy("colour images")
    one = stored(values=cut(known(query)).contiguous(), sample=query.sample)
    with pytest.raises(ValueError, match="repeat each map for the 3 channels|channels first"):
        one.explain(task, query)


@pytest.mark.parametrize("content", [b"", b"not an archive"])
@pytest.mark.parametrize("name", ["other.npz", "other.safetensors"])
def test_files_that_are_none_are_refused(tmp_path, method, name, content):
    task, query = toy("table")
    path = tmp_path / name
    with pytest.raises(ValueError, match=f"{name} does not exist"):
        method("precomputed", file=str(path)).explain(task, query)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"{name} is not a .{path.suffix[1:]} file"):
        method("precomputed", file=str(path)).explain(task, query)
    with pytest.raises(ValueError, match="file must end with"):
        method("precomputed", file="maps.csv")


# --- it cannot be asked again ---------------------------------------------------------------------


def test_other_inputs_are_refused(stored):
    task, query = toy("grey images")
    one = stored(values=known(query), sample=query.sample)
    noisy = dataclasses.replace(query, x=query.x + 0.01)
    with pytest.raises(Refused, match="cannot be asked again"):
        one.explain(task, noisy)


@pytest.mark.parametrize("name", ["squared", "absolute", "inverted", "smoothed", "resized"])
def test_wrappers_that_change_the_map_pass_on_that_it_is_stored(stored, method, name):
    task, query = toy("grey images")
    one = stored(values=known(query), sample=query.sample)
    changed = method(name, of=one, **({"grid": 2} if name == "resized" else {}))
    assert changed.is_stored
    assert changed.reads == one.reads
    found = changed.explain(task, query)
    assert torch.equal(found.values, changed.change(known(query)))


@pytest.mark.parametrize("name", ["translation_averaged", "reseeded", "on_random_network"])
def test_wrappers_that_ask_again_read_not_applicable(stored, method, name):
    task, query = toy("grey images")
    settings = {"reach": 1, "step": 1} if name == "translation_averaged" else {}
    one = method(name, of=stored(values=known(query), sample=query.sample), **settings)
    assert one.is_stored
    found = explain(one, dataclasses.replace(task), query, 60.0)
    assert found.outcome.status == isolation.NOT_APPLICABLE
    assert CANNOT_BE_ASKED in found.outcome.reason

    again = method("squared", of=one)
    with pytest.raises(Refused, match="cannot be asked again"):
        again.explain(task, query)


# --- it scores as the method that made it ---------------------------------------------------------


def test_it_scores_as_the_method_that_made_it(tmp_path, method):
    """By way of a file that a run writes: SRG and infidelity of gradient x input are the same."""
    task, query = toy("colour images")
    explainer = method("gradient_x_input")
    values = explainer.explain(task, query)
    path = tmp_path / "gradient_x_input.safetensors"
    note = {"status": "ok", "explains": "Attribution"}
    artefacts.write_explanation(path, query, {"values": values.values}, note)
    mine = method("precomputed", file=str(path))

    for name in ("srg", "infidelity", "sparseness"):
        metric = plugins("metric")[name].cls()
        scores = []
        for one in (explainer, mine):
            case = Case(task=task, query=query, explanation=one.explain(task, query), explainer=one)
            scores.append(metric.score(measured(case, [metric])))
        torch.testing.assert_close(scores[0], scores[1], rtol=0, atol=1e-6)
        assert bool(scores[0].isfinite().all())


# --- in a config ----------------------------------------------------------------------------------

RAW = {
    "run": "mine",
    "seeds": [1],
    "networks": [{"dataset": "breast_cancer", "model": "mlp"}],
    "datasets": {"breast_cancer": None},
    "models": {"mlp": None},
    "methods": {
        "mine": {"method": "precomputed", "file": "maps.npz"},
        "mine_squared": {"method": "squared", "of": "mine"},
        "saliency": None,
    },
    "metrics": {name: None for name in plugins("metric")},
}
TWO = {
    "networks": [*RAW["networks"], {"dataset": "wine", "model": "mlp"}],
    "datasets": {"breast_cancer": None, "wine": None},
}


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    """The working folder, which has the file that the config names."""
    monkeypatch.chdir(tmp_path)
    np.savez("maps.npz", values=np.zeros((1, 30)), sample=[0])


def parsed(mine=None, **changes):
    methods = RAW["methods"] | {"mine": RAW["methods"]["mine"] | (mine or {})}
    return config.parse(RAW | {"methods": methods} | changes)


def test_metrics_that_ask_again_do_not_apply_and_others_do():
    made = parsed()
    network = made.networks[0]
    for name in RAW["metrics"]:
        metric = made.metric(name)
        reason, of_others = (made.skipped(network, one, name) for one in ("mine", "saliency"))
        assert made.skipped(network, "mine_squared", name) == reason
        if of_others is None:
            assert reason == (CANNOT_BE_ASKED if metric.re_explains else None), name
        else:
            assert reason is not None


def test_maps_of_a_run_with_several_networks_name_theirs():
    with pytest.raises(ConfigError, match=r"methods\.mine: .*2 that .*mlp on wine"):
        parsed(**TWO)
    made = parsed({"dataset": "wine"}, **TWO)
    reasons = [made.not_applicable(network, "mine") for network in made.networks]
    assert reasons == ["has maps of the dataset wine alone", None]
    assert made.not_applicable(made.networks[0], "mine_squared") == reasons[0]
    assert made.not_applicable(made.networks[0], "saliency") is None

    with pytest.raises(ConfigError, match=r"methods\.mine\.model: unknown.*'mpl'.*'mlp'"):
        parsed({"model": "mpl"})


def test_maps_of_networks_of_several_seeds_need_a_file_each():
    with pytest.raises(ConfigError, match=r"methods\.mine: .*2 seeds \[1, 2\].*\{seed\}"):
        parsed(seeds=[1, 2])
    for seed in (1, 2):
        np.savez(f"maps-{seed}.npz", values=np.zeros((1, 30)), sample=[0])
    made = parsed({"file": "maps-{seed}.npz"}, seeds=[1, 2])
    assert made.method("mine").has_each_seed
    assert made.method("mine_squared").has_each_seed


def test_the_file_of_the_seed_is_read(method):
    task, query = toy("table")
    for seed in (1, 2):
        np.savez(f"maps-{seed}.npz", values=known(query) * seed, sample=query.sample)
    one = method("precomputed", file="maps-{seed}.npz")
    assert one.reads == ("maps-1.npz", "maps-2.npz")
    for seed in (1, 2):
        found = one.explain(dataclasses.replace(task, seed=seed), query)
        assert torch.equal(found.values, known(query) * seed)
    with pytest.raises(ValueError, match=r"maps-3\.npz does not exist"):
        one.explain(dataclasses.replace(task, seed=3), query)


@pytest.mark.parametrize("study", ["metric_trust", "retraining"])
def test_studies_that_ask_methods_again_refuse_it(study):
    settings = {"metric_trust": {"perturbations": 1}, "retraining": {"shares": [0.2]}}[study]
    methods = RAW["methods"] | {"random_map": None}
    metrics = {} if study == "retraining" else {"srg": None}
    raw = RAW | {"methods": methods, "metrics": metrics, study: settings}
    with pytest.raises(ConfigError, match=f"methods.mine: cannot be asked again.*{study}"):
        config.parse(raw)
