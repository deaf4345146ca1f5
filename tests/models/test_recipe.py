"""The recipe in docs/add-a-dataset.md works as it is written."""

import re

import pytest
import torch

from gpex_bench.models.training import loop
from gpex_bench.plugins.registry import ROOT

PAGE = ROOT / "docs" / "add-a-dataset.md"


def test_blocks_run_and_give_a_good_network(capsys):
    scope: dict = {"__name__": "recipe"}
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(blocks) == 4
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), scope)
    data, model = scope["data"], scope["model"]
    assert torch.equal(model(data.test.x), model.head(model.embed(data.test.x)))
    assert loop.accuracy(model, data.test.x, data.test.y) > 0.9
    assert "test accuracy 9" in capsys.readouterr().out
    with pytest.raises(ValueError, match="n must be at least 20, got 3"):
        scope["Moons"](n=3)
