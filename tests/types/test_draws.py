import numpy as np
import pytest
import torch

from gpex_bench.types.draws import GOLDEN, _mix, uniform


def test_mix_is_splitmix64():
    # First outputs of the published generator with seed 0.
    states = np.array([(i * GOLDEN) % 2**64 for i in (1, 2, 3)], dtype=np.uint64)
    assert [hex(bits) for bits in _mix(states)] == [
        "0xe220a8397b1dcdaf",
        "0x6e789e6aa1b965f4",
        "0x6c45d188009454f",
    ]


def test_rows_depend_on_purpose_seed_and_sample_only():
    sample = torch.tensor([5, 0, 123456789])
    drawn = uniform("a", 3, sample, 40)
    assert torch.equal(uniform("a", 3, sample[[2]], 40), drawn[[2]])
    assert torch.equal(uniform("a", 3, sample, 10), drawn[:, :10])
    for other in (
        uniform("b", 3, sample, 40),
        uniform("a", 4, sample, 40),
        uniform("a", 3, sample + 1, 40),
    ):
        assert not (other == drawn).any()


@pytest.mark.parametrize("step", [1, 2, 4096])
def test_draws_are_uniform_and_uncorrelated(step):
    drawn = uniform("a", 0, torch.arange(0, 400 * step, step), 500)
    assert drawn.min() >= 0 and drawn.max() < 1
    counts = torch.histc(drawn, 100, 0, 1)
    chi_squared = ((counts - 2000) ** 2 / 2000).sum()
    assert 50 < chi_squared < 160  # 99 degrees of freedom: six standard deviations are 84
    for table in (drawn, drawn.T):
        correlation = torch.corrcoef(table).fill_diagonal_(0)
        assert correlation.abs().max() < 6 / table.shape[1] ** 0.5
