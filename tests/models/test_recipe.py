"""The recipes of docs/add-a-dataset.md and docs/add-a-network.md work as they are written."""

import re

import pytest
import torch

from gpex_bench.models.training import loop
from gpex_bench.plugins.registry import ROOT


def run(page: str) -> dict:
    """Return what the Python blocks of a page define."""
    scope: dict = {"__name__": "recipe"}
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    for block in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL):
        exec(compile(block, page, "exec"), scope)
    return scope


def test_the_network_of_the_recipe_is_good(capsys):
    scope = run("add-a-network.md")
    data, model = scope["data"], scope["model"]
    assert torch.equal(model(data.test.x), model.head(model.embed(data.test.x)))
    assert loop.accuracy(model, data.test.x, data.test.y) > 0.9
    assert "test accuracy 9" in capsys.readouterr().out


def test_the_dataset_of_the_recipe_refuses_bad_settings():
    with pytest.raises(ValueError, match="n must be at least 20, got 3"):
        run("add-a-dataset.md")["Moons"](n=3)
