"""The whole pipeline on a number, one logit and labels in one run: it ends with one report."""

import pytest
import yaml

from tests.vocabulary.clone import Clone

pytestmark = pytest.mark.slow

TOPICS = '''
"""Texts as counts of words, with any number of topics each; generated."""

import torch
from sklearn.datasets import make_multilabel_classification

from gpex_bench.data.files import splits
from gpex_bench.types import Dataset, Kind, Need, Source, settings


@settings
class Topics(Source):
    """Three topics."""

    offers = frozenset({Need.TABLE})
    kind = Kind.LABELS

    def load(self) -> Dataset:
        """Return counts in standard deviations."""
        counts, topics = make_multilabel_classification(
            200, n_features=8, n_classes=3, n_labels=2, random_state=0
        )
        x, y = torch.from_numpy(counts).float(), torch.from_numpy(topics).long()
        train, test = splits.shuffled(len(x), 50, 0)
        x = (x - x[train].mean(0)) / x[train].std(0)
        return Dataset(
            name="topics",
            train=splits.take(x, y, train),
            test=splits.take(x, y, test),
            classes=("sport", "art", "trade"),
            features=tuple(f"word {column}" for column in range(8)),
            baseline=torch.zeros(8),
            kind=Kind.LABELS,
        )
'''
QUICK = {
    "run": "kinds",
    "seeds": [1],
    "headline": "srg_output",
    "explain": {"samples": 6, "robustness_samples": 2, "fills": [], "timeout_s": 120},
    "networks": [
        {"dataset": "diabetes", "model": "mlp", "surrogates": ["last_layer"]},
        {"dataset": "breast_cancer", "model": "one", "surrogates": ["last_layer"]},
        {"dataset": "topics", "model": "mlp", "surrogates": ["last_layer"]},
    ],
    "datasets": {"diabetes": None, "breast_cancer": None, "topics": None},
    "models": {
        "mlp": {"wide": 16, "training": {"epochs": 4, "learning_rate": 0.01}},
        "one": {
            "model": "mlp",
            "wide": 16,
            "one_logit": True,
            "training": {"epochs": 4, "learning_rate": 0.01},
        },
    },
    "surrogates": {"last_layer": None},
    "methods": {
        "gradient_x_input": None,
        "lime_fast": {"budget": 40},
        "simple_taylor": None,
        "near": {"method": "gpex_neighbours", "surrogate": "last_layer"},
        "random_map": None,
    },
    "metrics": {
        "srg_output": {"metric": "srg", "output": "logit"},
        "deletion": None,
        "average_drop": None,
        "relative_output_stability": None,
        "random_logit": None,
        "class_purity": None,
    },
}


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    clone = Clone(tmp_path_factory.mktemp("clone"))
    (clone.folder / "gpex_bench/data/topics.py").write_text(TOPICS)
    (clone.folder / "config/kinds.yaml").write_text(yaml.safe_dump(QUICK))
    clone.run("--cores", "2", config="config/kinds.yaml")
    return clone


def test_there_is_one_report_in_the_words_of_each_kind(clone):
    page = (clone.folder / "results/kinds/report.html").read_text()
    for words in ("R²", "mean absolute error", "accuracy per label", "macro F1"):
        assert words in page
    networks = clone.table("networks", "kinds").set_index("dataset")
    assert networks["status"].eq("ok").all()
    assert networks.loc["diabetes"].notna()[["test_r2", "test_mae"]].all()
    assert networks.loc[["diabetes", "topics"], "test_accuracy"].isna().all()


def test_nothing_fails_and_what_does_not_apply_says_why(clone):
    cells = clone.table("cells", "kinds")
    assert set(cells["status"]) <= {"ok", "not_applicable"}
    without = cells[cells["status"] == "not_applicable"]
    assert set(zip(without["dataset"], without["method"], strict=True)) == {
        ("diabetes", "simple_taylor")
    }
    skipped = clone.table("skipped", "kinds").query("method == 'gradient_x_input'")
    reasons = skipped.groupby("dataset")["metric"].agg(set).to_dict()
    assert reasons == {
        "breast_cancer": {"random_logit", "class_purity"},
        "diabetes": {"deletion", "average_drop", "random_logit", "class_purity"},
        "topics": {"class_purity"},
    }
    assert not skipped["status"].eq("failed").any()


def test_every_network_has_scores_of_the_headline_and_pictures(clone):
    outcomes = clone.table("outcomes", "kinds")
    headline = outcomes[(outcomes["metric"] == "srg_output") & (outcomes["state"] == "ok")]
    assert set(headline["dataset"]) == {"diabetes", "breast_cancer", "topics"}
    drawn = {path.stem for path in (clone.folder / "results/kinds/figures").glob("*.svg")}
    for place in ("diabetes_mlp", "breast_cancer_one", "topics_mlp"):
        assert {f"gallery_{place}", f"neighbours_{place}_near", f"removal_{place}"} <= drawn
