"""The benchmark measures what it says.

Its twin of the released code is GPEX, and it runs from end to end.
"""

import subprocess
import sys

import pandas as pd
import pytest
import torch

from gpex_bench.plugins.registry import ROOT
from gpex_bench.surrogates.gp import posterior
from gpex_bench.surrogates.gp.row_store import RowStore
from gpex_bench.surrogates.gpex_fit.refresh import Stored
from gpex_bench.surrogates.gpex_fit.step import Queries, Rows, step


@pytest.fixture
def benchmarks(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))


def test_the_twin_has_the_loss_and_the_gradients_of_the_step(benchmarks):
    from released_twin import ReleasedTwin

    draw = torch.Generator().manual_seed(0)
    norm = 0.1 * torch.nn.functional.normalize(
        torch.randn(400, 3, 5, generator=draw, dtype=torch.float64), dim=2
    )
    rows, new, queries = norm[:300], norm[300:320], norm[320:]
    v = torch.randn(400, 3, 1, generator=draw, dtype=torch.float64)
    index = torch.arange(20)
    store = RowStore((300, 3, 5), "float64")
    store[:] = rows
    policy = Stored(posterior.statistics(rows, v[:300]), store)
    ours, theirs = ([part.clone().requires_grad_() for part in (queries, new)] for _ in range(2))
    zero = torch.zeros(3, dtype=torch.float64)
    twin = ReleasedTwin(rows.clone(), v[:300, :, 0])
    for _ in range(2):  # the second step is after an update
        loss, sums = step(
            policy,
            Rows(index=index, u=ours[1], targets=v[:20]),
            Queries(u=ours[0], v=v[320:]),
            zero,
            "latent",
        )
        released = twin.loss(theirs[0], v[320:, :, 0], index.tolist(), theirs[1])
        loss.backward()
        released.backward()
        twin.update(index.tolist(), theirs[1].detach())
        torch.testing.assert_close(loss, released, rtol=1e-10, atol=0)
        torch.testing.assert_close(sums.a, twin.gram, rtol=1e-10, atol=1e-12)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-7, atol=1e-9 * float(b.grad.abs().max()))


@pytest.mark.slow
def test_the_benchmark_runs_from_end_to_end(tmp_path):
    command = [
        sys.executable,
        str(ROOT / "benchmarks" / "gpex_scale.py"),
        "--scale",
        "0.002",
        "--disk-rows",
        "20000",
    ]
    subprocess.run(
        [*command, "--folder", tmp_path, "--output", tmp_path / "out"],
        check=True,
        capture_output=True,
    )
    table = pd.read_csv(tmp_path / "out" / "table.csv")
    assert table.detail.str.contains("not measured: no GPU").sum() == (
        not torch.cuda.is_available()
    )
    assert table.value.notna().sum() >= len(table) - 1
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {
        "table.csv",
        "table.md",
        "steps.csv",
        "steps.svg",
        "steps.png",
        "provenance.json",
    }
    assert [path.name for path in tmp_path.iterdir()] == ["out"]  # nothing is left behind


@pytest.mark.slow
def test_the_gpu_s_row_runs_on_any_device(benchmarks, tmp_path):
    from scale_measures import network_share

    ours, network = network_share("cpu", tmp_path, batch=4, size=8)
    assert ours > 0
    assert network > 0
