import pytest
import torch

from gpex_bench.types import Posterior
from tests.vocabulary import datasets


def test_shapes_are_enforced():
    with pytest.raises(Exception, match="variance"):
        Posterior(mean=torch.zeros(2, 3), variance=torch.zeros(2, 4))


def test_a_dataset_shows_itself_in_a_line():
    x = torch.zeros(4, 2)
    text = repr(datasets.dataset(datasets.split(x), datasets.split(x, first=4), classes=3))
    assert "4 training and 4 test rows of 2" in text and "tensor" not in text
