"""Training of the kernel map.

It goes on where it was, its rates follow the plan, and it says what went wrong.
"""

import math
from types import SimpleNamespace

import pytest
import torch

from gpex_bench.run import cells, checkpoints
from gpex_bench.run.checkpoints import LoggedProgress
from gpex_bench.run.job import Job
from gpex_bench.surrogates.gp import posterior
from gpex_bench.surrogates.gpex import Gpex
from gpex_bench.surrogates.gpex_fit import matching, observation
from gpex_bench.surrogates.gpex_fit.kernel_map import Shape, kernel_map
from gpex_bench.surrogates.gpex_fit.mixing import drawn, mixed
from gpex_bench.surrogates.gpex_paper import GpexPaper
from gpex_bench.types import Progress
from gpex_bench.types.demands import DamagedCheckpoint, ForeignCheckpoint

SMALL = {"dim": 5, "width": 32, "batch_size": 32, "n_refreshed": 24}
LONG = Gpex(n_steps=12, **SMALL)
PAPER = GpexPaper(n_steps=12, second_steps=8, updates=3, **SMALL)


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


class Fragile(LoggedProgress):
    """A progress with a file that is killed after some checkpoints."""

    def __init__(self, output, after):
        super().__init__("test", output)
        self.left = after

    def keep(self, state):
        super().keep(state)
        self.left -= 1
        if self.left == 0:
            raise Killed


@pytest.fixture
def always_kept(monkeypatch):
    monkeypatch.setattr(matching, "KEEP_S", 0.0)


@pytest.mark.parametrize(
    "recipe",
    [LONG, PAPER, Gpex(n_steps=9, statistics="batch", **SMALL)],
    ids=["gpex", "paper", "batch"],
)
@pytest.mark.parametrize("name", ["table", "images"])
def test_a_killed_fit_resumes_to_the_same_bytes(name, recipe, tiny, tmp_path, always_kept):
    model, data = tiny.PROBLEMS[name]()
    whole = recipe.fit(model, data, 3, Progress()).state_dict()
    output = tmp_path / "fit.safetensors"
    for after in (3, 4):  # killed after the third step, and after the fourth of those that are left
        with pytest.raises(Killed):
            recipe.fit(model, data, 3, Fragile(output, after))
    progress = LoggedProgress("test", output)
    resumed = recipe.fit(model, data, 3, progress).state_dict()
    assert resumed.keys() == whole.keys()
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)
    progress.forget()
    assert not [*tmp_path.iterdir()]


def test_a_process_that_is_killed_leaves_a_checkpoint_that_goes_on(tiny, tmp_path, always_kept):
    """The same with a real SIGKILL, in the middle of whatever it is doing."""
    import multiprocessing
    import os
    import signal

    model, data = tiny.table()
    recipe, output = Gpex(n_steps=3000, **SMALL), tmp_path / "fit.safetensors"
    child = multiprocessing.get_context("fork").Process(
        target=recipe.fit, args=(model, data, 3, LoggedProgress("child", output))
    )
    child.start()
    checkpoint = LoggedProgress("test", output).checkpoint
    while child.is_alive() and not checkpoint.exists():
        child.join(0.02)
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    kept = checkpoints.read_checkpoint(checkpoint)
    done = int(kept["done"])
    assert 0 < done < 3000
    lines = []

    class Heard(LoggedProgress):
        def __call__(self, text):
            lines.append(text)
            if not text.startswith(("found", "resumed")):
                raise Killed

    with pytest.raises(Killed):
        recipe.fit(model, data, 3, Heard("test", output))
    assert lines[:2] == [f"found the checkpoint {checkpoint}", f"resumed at step {done}/3000"]


def test_a_foreign_checkpoint_is_refused(tiny, tmp_path, always_kept):
    model, data = tiny.table()
    output = tmp_path / "fit.safetensors"
    with pytest.raises(Killed):
        LONG.fit(model, data, 3, Fragile(output, 2))
    other_network, _ = tiny.table()
    other_network.head.bias += 1
    fits = [
        lambda said: LONG.fit(model, data, 4, said),
        lambda said: LONG.fit(other_network, data, 3, said),
        lambda said: LONG.fit(model, tiny.dataset((6,), n_train=110), 3, said),
        lambda said: Gpex(n_steps=13, **SMALL).fit(model, data, 3, said),
    ]
    for fit in fits:
        with pytest.raises(ForeignCheckpoint):
            fit(LoggedProgress("test", output))
    kept = checkpoints.read_checkpoint(LoggedProgress("test", output).checkpoint)
    del kept["map.readout.weight"]
    checkpoints.write_checkpoint(LoggedProgress("test", output).checkpoint, kept)
    with pytest.raises(DamagedCheckpoint, match=r"readout\.weight"):
        LONG.fit(model, data, 3, LoggedProgress("test", output))


def test_a_damaged_checkpoint_is_refused(tiny, tmp_path, always_kept):
    model, data = tiny.table()
    output = tmp_path / "fit.safetensors"
    with pytest.raises(Killed):
        LONG.fit(model, data, 3, Fragile(output, 2))
    path = LoggedProgress("test", output).checkpoint
    good = path.read_bytes()
    flipped = bytearray(good)
    flipped[-9] ^= 1
    for bad in (good[:-5], b"{", bytes(flipped)):
        path.write_bytes(bad)
        with pytest.raises(DamagedCheckpoint, match=str(path)):
            LONG.fit(model, data, 3, LoggedProgress("test", output))


class Fit(Job):
    """As much of a job as the rule `fit` looks at."""

    def __init__(self, recipe, problem, output):
        self.model, self.data = (lambda path: problem[0]), problem[1]
        self.wildcards, self.name, self.output, self.described = (
            {"surrogate": "gpex", "model": "mlp"},
            "fit",
            output,
            [],
        )
        self.config = SimpleNamespace(
            surrogate=lambda name: recipe, seeds=[3], seeds_of=lambda model: (3,)
        )

    def paths(self, name):
        return [self.output]

    def progress(self, seed, output):
        return LoggedProgress("fit", output)

    def describe(self, path, **entries):
        self.described.append(entries)


@pytest.mark.parametrize("is_damaged", [True, False])
def test_a_bad_checkpoint_ends_the_job_and_is_no_result(tiny, tmp_path, always_kept, is_damaged):
    problem, output = tiny.table(), tmp_path / "fit.safetensors"
    with pytest.raises(Killed):
        LONG.fit(*problem, 4, Fragile(output, 2))  # another seed
    path = LoggedProgress("test", output).checkpoint
    if is_damaged:
        path.write_bytes(b"{")
    with pytest.raises(ValueError, match=str(path)):
        cells.fit(Fit(LONG, problem, output))
    assert not output.exists() and path.exists()
    path.unlink()
    job = Fit(LONG, problem, output)
    cells.fit(job)
    assert job.described[0]["status"] == "ok" and [*tmp_path.iterdir()] == [output]
    cells.fit(diverging := Fit(Gpex(n_steps=50, dim=5, learning_rate=1e30), problem, output))
    assert diverging.described[0]["status"] == "failed"  # a result like any other


def test_learning_rates_rise_and_fall_or_stay(tiny):
    plan = LONG._schedule()
    rates = [plan.rate(step) for step in range(1, plan.total + 1)]
    assert rates[-1] == 0.0
    assert rates[1:] == sorted(rates[1:], reverse=True)
    longer = Gpex(n_steps=100, **SMALL)._schedule()
    rates = [longer.rate(step) for step in range(1, 101)]
    assert rates[:10] == sorted(rates[:10])
    assert rates[9] == max(rates) == 1.0
    assert rates[0] < 0.1
    assert {PAPER._schedule().rate(step) for step in (1, 7, 20)} == {1.0}


def noisy(tiny):
    model, data = tiny.table()
    shape = Shape(n_groups=3, n_heads=3, dim=4, width=16, norm=1.0, slope=1.0, is_noisy=True)
    f = kernel_map(model, data, shape, "network", 0)
    draw = torch.Generator().manual_seed(2)
    f.observation.weight.data = torch.randn(3, 16, generator=draw)
    v = torch.randn(120, 3, generator=draw).double()
    return f, data, v, posterior.statistics(f(data.train.x).detach(), v[..., None])


def test_the_density_of_the_input_noise(tiny):
    """Compared with torch's Normal; the gradient reaches the head alone."""
    f, data, v, sums = noisy(tiny)
    log_noise = torch.tensor([-1.0, 0.5, 0.1]).double()
    pooled = f.pooled(data.test.x)
    state = matching.unit_state(sums, log_noise)
    mean, latent = posterior.predict(state, f.embedded(pooled))
    noise = f.log_variance(pooled).double().exp()
    twin = torch.distributions.Normal(mean, (latent + noise).sqrt()).log_prob(
        v[:40]
    ).mean() + 0.5 * math.log(2 * math.pi)
    loss = observation.density(f, pooled, v[:40], sums, log_noise)
    torch.testing.assert_close(loss, -twin)
    loss.backward()
    assert {name for name, p in f.named_parameters() if p.grad is not None} == {
        "observation.weight",
        "observation.bias",
    }


def test_the_density_of_an_impossible_matrix_and_its_gradient_are_nan(tiny):
    f, data, v, sums = noisy(tiny)
    broken = posterior.Statistics(a=-sums.a, b=sums.b, c=sums.c, count=sums.count)
    loss = observation.density(f, f.pooled(data.test.x), v[:40], broken, torch.zeros(3).double())
    loss.backward()
    assert loss.isnan() and f.observation.weight.grad.isnan().all()


def test_mixtures_are_between_and_beyond_two_rows():
    x = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
    generator = torch.Generator().manual_seed(0)
    points = mixed(x, 4000, generator)
    assert torch.equal(points[:, 0], points[:, 1])
    share = points[:, 0]
    assert share.min() < -0.9
    assert share.max() > 1.9
    assert (
        (share > 1).float().mean() - 1 / 6
    ).abs() < 0.03  # half of the pairs differ, a third of these is beyond 1
    assert sorted(drawn(5, 5, generator).tolist()) == [0, 1, 2, 3, 4]
    assert len(drawn(3, 8, generator)) == 8
    with pytest.raises(ValueError, match="got 0 and 3"):
        mixed(x[:0], 3, generator)


def test_divergence_names_the_step(tiny):
    model, data = tiny.table()
    with pytest.raises(
        FloatingPointError,
        match=r"The loss is not finite at step \d+ of 50 \(or before\); lower learning_rate",
    ):
        Gpex(n_steps=50, dim=5, learning_rate=1e30).fit(model, data, 0, Progress())


def test_a_network_with_nan_outputs_is_refused(tiny):
    model, data = tiny.table()
    model.head.weight[0, 0] = math.nan
    with pytest.raises(ValueError, match="y must be finite, got nan"):
        Gpex(n_steps=1).fit(model, data, 0, Progress())
