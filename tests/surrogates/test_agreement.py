"""Agreement: on surrogates with known answers, on which splits, and for which heads.

The formulas: test_comparison.
"""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from gpex_bench.stages.agree import agree
from gpex_bench.surrogates.agreement import compare as module
from gpex_bench.surrogates.agreement.compare import compare
from gpex_bench.surrogates.agreement.statistics import Outputs, of_classes, over_heads, per_head
from gpex_bench.tables.words import SPLITS
from gpex_bench.types import Posterior, Surrogate
from gpex_bench.types.strata import drawn


class Known(Surrogate):
    """The network's own outputs plus a fixed error, with a given variance."""

    def __init__(self, model, error=0.0, variance=1.0):
        super().__init__()
        self.model, self.error, self.variance = model, error, variance
        self.n_rows = 0

    def posterior(self, x):
        y = self.model.explained(x)
        self.n_rows += len(x)
        wave = torch.sin(50 * x.flatten(1)[:, :1])
        return Posterior(mean=y + self.error * wave, variance=torch.full_like(y, self.variance))

    def offset(self, target): ...


class Ranked(Known):
    """Says that two kernels serve the heads."""

    def effective_rank(self, is_centred=False):
        return torch.tensor([1.5, 3.0]) + is_centred


def value(frame, split, head, statistic):
    return frame[
        (frame.split == split) & (frame["head"] == head) & (frame.statistic == statistic)
    ].value.item()


def of(points, split, column):
    part = points[points.split == split]
    return part.pivot(index="sample", columns="head", values=column).to_numpy()


def test_the_table_holds_the_statistics_of_the_predictions(tiny):
    model, data = tiny.table()
    frame, points = compare(model, Known(model, 0.2, 0.04), data, seed=0, n_mixed=100)
    assert list(frame.columns) == ["split", "head", "statistic", "value"]
    places = ["row", "column"]
    values = ["network", "mean", "variance", "calibrated_variance"]
    assert list(points.columns) == ["split", "sample", "head", *places, *values]
    assert points[places].isna().all(axis=None)
    for split in SPLITS:
        found = Outputs(*(of(points, split, column) for column in ("network", "mean", "variance")))
        table = per_head(found)
        for name, column in table.items():
            for head, expected in zip(data.classes, column, strict=True):
                assert value(frame, split, head, name) == pytest.approx(expected, nan_ok=True), (
                    split,
                    head,
                    name,
                )
        for name, expected in (over_heads(found, table) | of_classes(found)).items():
            assert value(frame, split, "all", name) == pytest.approx(expected, nan_ok=True), (
                split,
                name,
            )
    assert not frame.duplicated(["split", "head", "statistic"]).any()


def test_every_output_is_calculated_once(tiny):
    model, data = tiny.table()
    surrogate = Known(model)
    compare(model, surrogate, data, seed=0, n_mixed=60)
    assert surrogate.n_rows == 40 + 60 + 40


def test_a_missing_gpu_is_no_error(tiny, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    model, data = tiny.table()
    for found, expected in zip(
        agree(model, Known(model), data, 0, "cuda"),
        agree(model, Known(model), data, 0),
        strict=True,
    ):
        pd.testing.assert_frame_equal(found, expected)


def test_a_perfect_surrogate_is_perfect(tiny):
    model, data = tiny.table()
    frame = compare(model, Known(model, 0.0, 0.0), data, seed=0, n_mixed=50)[0]
    perfect = {
        "pearson": 1,
        "r2": 1,
        "rmse_sd": 0,
        "kl": 0,
        "boundary_r2": 1,
        "argmax_agreement": 1,
    }
    perfect |= {"coverage_50": 1, "coverage_90": 1, "boundary_argmax_agreement": 1}
    for statistic, best in perfect.items():
        assert frame[frame.statistic == statistic].value.to_numpy() == pytest.approx(
            best, abs=1e-12
        ), statistic
    assert np.isfinite(frame[frame.statistic == "nll"].value).all()  # rounding bounds the variance
    for statistic in ("auroc", "spearman", "mean_auroc"):
        assert (
            frame[frame.statistic == statistic].value.isna().all()
        )  # there are no errors to be told apart
    accuracy = (model(data.test.x).argmax(1) == data.test.y).float().mean().item()
    assert value(frame, "test", "all", "accuracy_network") == pytest.approx(accuracy)
    assert value(frame, "test", "all", "accuracy_surrogate") == pytest.approx(accuracy)
    assert not (frame[frame.split != "test"].statistic.str.startswith("accuracy")).any()


def test_a_constant_head_is_undefined_and_does_not_spoil_the_mean(tiny):
    model, data = tiny.table()
    model.head.weight[0] = 0
    frame = compare(model, Known(model, 0.1, 1.0), data, seed=0, n_mixed=50)[0]
    for statistic in ("pearson", "r2", "rmse_sd", "nll"):
        assert np.isnan(value(frame, "test", "a", statistic))
    assert value(frame, "test", "a", "coverage_90") == 1
    assert value(frame, "test", "all", "mean_pearson") > 0.5


class Deaf(Known):
    """Gives the same answer whatever it is asked, but for the rounding of float32 on some rows."""

    def __init__(self, model, rounding=0.0):
        super().__init__(model)
        self.rounding = rounding

    def posterior(self, x):
        y = torch.full_like(self.model(x), 3.7)
        y[::3] *= 1 + self.rounding
        return Posterior(mean=y, variance=torch.ones_like(y))


@pytest.mark.parametrize("rounding", [0.0, 1.2e-7])
def test_a_constant_surrogate_of_a_network_that_varies_follows_nothing(tiny, rounding):
    model, data = tiny.table()
    model.head.weight[0] = 0
    frame = compare(model, Deaf(model, rounding), data, seed=0, n_mixed=50)[0]
    for split in SPLITS:
        assert np.isnan(value(frame, split, "a", "pearson"))
        for head in data.classes[1:]:
            assert value(frame, split, head, "pearson") == 0
            assert value(frame, split, head, "r2") < 0
            assert (
                value(frame, split, head, "spearman") == 0
                and value(frame, split, head, "auroc") == 0.5
            )
        assert (
            value(frame, split, "all", "mean_pearson")
            == value(frame, split, "all", "weakest_pearson")
            == 0
        )


def test_the_seed_decides_the_items_and_samples_keep_their_ids(tiny):
    model, data = tiny.table()
    surrogate = Known(model, 0.1, 1.0)
    first, again, other = (
        compare(model, surrogate, data, seed, n_mixed=20)[1] for seed in (0, 0, 1)
    )
    assert first.equals(again)
    for split in ("mixed", "ood"):
        assert not first[first.split == split].equals(other[other.split == split])
    assert first[first.split == "test"].equals(other[other.split == "test"])
    for split in ("test", "ood"):
        assert set(first[first.split == split]["sample"]) == set(data.test.sample.tolist())
    assert len(first) == 3 * (40 + 20 + 40)


def test_figures_get_the_first_items_and_the_statistics_all(tiny, monkeypatch):
    model, data = tiny.table()
    whole = compare(model, Known(model, 0.2), data, seed=0, n_mixed=30)[0]
    monkeypatch.setattr(module, "N_KEPT", 25)
    frame, points = compare(model, Known(model, 0.2), data, seed=0, n_mixed=30)
    assert frame.equals(whole)
    assert points.groupby("split")["sample"].nunique().to_dict() == {
        "test": 25,
        "mixed": 25,
        "ood": 25,
    }
    kept = data.test.sample[drawn(data.test, data.kind, 25)]
    assert set(points[points.split == "test"]["sample"]) == set(kept.tolist())


def test_heads_that_are_no_classes_have_numbers_and_no_accuracy(tiny):
    model, data = tiny.table()
    model.head = nn.Linear(32, 5)
    with torch.no_grad():
        frame = compare(model, Known(model), data, seed=0, n_mixed=20)[0]
    assert set(frame["head"]) == {"0", "1", "2", "3", "4", "all"}
    assert not {"accuracy_network", "kl", "boundary_r2"} & set(frame.statistic)


def test_heads_of_a_map_are_places_even_where_there_are_as_many_classes(tiny):
    model, data = tiny.images()
    model.grid = lambda x: (1, 3)
    frame = compare(model, Known(model, 0.1), data, seed=0, n_mixed=20)[0]
    assert set(frame["head"]) == {"row 1, column 1", "row 1, column 2", "row 1, column 3", "all"}
    assert not {"accuracy_network", "kl", "boundary_r2"} & set(frame.statistic)
    assert "argmax_agreement" in set(frame.statistic)  # of the place that is looked at most


def test_predictions_hold_the_places_of_a_map(tiny):
    model, data = tiny.images()
    model.grid = lambda x: (1, 3)
    points = compare(model, Known(model, 0.1), data, seed=0, n_mixed=20)[1]
    places = points[["head", "row", "column"]].drop_duplicates().to_numpy().tolist()
    assert places == [[f"row 1, column {column}", 1, column] for column in (1, 2, 3)]


def test_effective_ranks_stand_with_the_test_split_one_kernel_for_successive_heads(tiny):
    model, data = tiny.table()
    model.head = nn.Linear(32, 4).requires_grad_(False)
    frame = compare(model, Ranked(model, 0.1), data, seed=0, n_mixed=20)[0]
    ranks = frame[frame.statistic == "effective_rank"]
    assert ranks["head"].tolist() == ["0", "1", "2", "3"] and ranks.value.tolist() == [
        1.5,
        1.5,
        3,
        3,
    ]
    assert set(ranks.split) == {"test"}
    assert value(frame, "test", "all", "mean_effective_rank_centred") == pytest.approx(3.25)
    without = compare(model, Known(model, 0.1), data, seed=0, n_mixed=20)[0]
    assert not without.statistic.str.contains("rank").any()


def test_a_surrogate_of_another_network_is_refused(tiny):
    model, data = tiny.table()
    other = tiny.table()[0]
    other.head = nn.Linear(32, 5)
    with pytest.raises(ValueError, match=r"\(40, 3\).* \(40, 5\)"):
        compare(model, Known(other), data, seed=0)[0]
