"""From files that a user brings to a report: nothing is edited, nothing is written in the package."""

import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from gpex_bench import cli
from tests.cli.conftest import load

ROOT = Path(__file__).parents[2]


def trained(folder: Path) -> float:
    """Train the user's network as a user would, and return its accuracy on the test rows."""
    arrays = {name: torch.from_numpy(array) for name, array in np.load("photos.npz").items()}
    torch.manual_seed(0)
    network = load(folder / "networks.py").small()
    optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(60):
        loss = torch.nn.functional.cross_entropy(network(arrays["x_train"]), arrays["y_train"])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    torch.save(network.state_dict(), "small.pt")
    with torch.no_grad():
        right = network(arrays["x_test"]).argmax(1) == arrays["y_test"]
    return right.double().mean().item()


def changes_of_the_package() -> str:
    command = ["git", "status", "--porcelain", "gpex_bench", "methods", "workflow", "config"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
def test_a_network_and_arrays_of_ones_own_end_with_a_report(brought, capfd):
    accuracy = trained(brought)
    assert accuracy > 0.5
    before = changes_of_the_package()

    # the three lines that the user writes
    assert cli.main(["init", "mine"]) == 0
    assert cli.main(["check", "--config", "mine"]) == 0
    assert cli.main(["run", "mine", "--cores", "2"]) == 0

    assert f"accuracy {100 * accuracy:.1f} % on 15 test rows" in capfd.readouterr().out
    assert cli.main(["show", "report", "--config", "mine"]) == 0
    assert "results/mine/report.html" in capfd.readouterr().out
    assert "given, not trained" in Path("results/mine/report.html").read_text()
    assert changes_of_the_package() == before

    tables = Path("results/mine/tables")
    outcomes = pd.read_parquet(tables / "outcomes.parquet")
    states = outcomes[outcomes["metric"] == "srg"].set_index("method")["state"]
    of_attributions = states.drop(["gpex_neighbours", "random_examples"])
    assert (of_attributions == "ok").all(), states
    found = pd.read_parquet(tables / "networks.parquet")
    assert found["test_accuracy"].tolist() == [pytest.approx(accuracy)]

    # now that there is a surrogate, what explains through it answers too
    command = ["explain", "-c", "mine", "--method", "gpex_neighbours", "--samples", "1"]
    assert cli.main([*command, "--out", "near.png"]) == 0
    assert Path("near.png").is_file()
    assert cli.main(["show", "ranking", "--config", "mine"]) == 0
    assert "random_map" in capfd.readouterr().out


def test_mistakes_of_a_config_come_before_the_run(brought, capsys):
    assert cli.main(["init", "mine"]) == 0
    text = Path("mine.yaml").read_text().replace("headline: srg", "headline: srgg")
    Path("mine.yaml").write_text(text)
    capsys.readouterr()
    assert cli.main(["run", "mine", "--cores", "1"]) == 2
    assert "Did you mean 'srg'?" in capsys.readouterr().err
    assert not (brought / "results").exists()
