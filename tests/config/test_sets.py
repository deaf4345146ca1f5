"""Sets of settings that are laid over a config."""

from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

from gpex_bench import config

ROOT = Path(__file__).parents[2]


@pytest.fixture
def laid_over():
    """The default config with the thorough set over it, merged as Snakemake does."""
    raw = yaml.safe_load((ROOT / "config/default.yaml").read_text())
    over = yaml.safe_load((ROOT / "config/sets/thorough.yaml").read_text())
    merged = raw | over
    for section in ("explain", "metrics"):
        merged[section] = raw[section] | over[section]
    return raw, over, merged


def test_the_thorough_set_is_a_config_with_costlier_metrics(laid_over):
    raw, over, merged = laid_over
    plain, thorough = config.parse(raw), config.parse(merged)
    assert thorough.run != plain.run and set(over["metrics"]) <= set(raw["metrics"])

    for name in over["metrics"]:
        before, after = asdict(plain.metric(name)), asdict(thorough.metric(name))
        counts = [key for key in before if key.startswith("n_")]
        assert all(after[key] >= before[key] for key in counts)
        assert before != after
