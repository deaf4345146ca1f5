import pytest
import torch

from gpex_bench.types import Posterior


def test_shapes_are_enforced():
    with pytest.raises(Exception, match="variance"):
        Posterior(mean=torch.zeros(2, 3), variance=torch.zeros(2, 4))
