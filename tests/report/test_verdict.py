"""Who leads, in data and in words: every verdict is a column of the tables, none is made here."""

import pandas as pd
import pytest

from gpex_bench.report import headline, verdict
from gpex_bench.tables.order import control_ids
from tests.vocabulary import report as made_up

AT = ("d", "m")


def finding(**changes):
    """Return a finding on network d: a leads two others."""
    fields = {
        "dataset": "d",
        "model": "m",
        "place": "d",
        "metric": "srg",
        "leaders": ("a",),
        "unbeaten": ("a",),
        "n_methods": 3,
        "n_variants": 8,
        "first": "a",
        "mean": 0.8,
        "low": 0.7,
        "high": 0.9,
    }
    return verdict.Finding(**{**fields, **changes})


def tables(*answers, pairs=(), controls=("random_map",)):
    """Return the tables of the headline of one network.

    Args:
        answers: method and answer, the best place first.
        pairs: method, other and verdict.
        controls: which come after the methods.
    """
    rows = [*answers, *((name, "") for name in controls)]
    place = {"dataset": "d", "model": "m", "metric": "srg"}
    scores = [
        {
            "method": name,
            "answer": answer,
            "place": at + 1,
            "place_best": at + 1,
            "place_worst": at + 2,
            "score": 1 - 0.1 * at,
            "low": 0.9 - 0.1 * at,
            "high": 1.1 - 0.1 * at,
            "n_variants": 2,
            "is_control": name in controls,
        }
        for at, (name, answer) in enumerate(rows)
    ]
    variants = [
        {
            "method": name,
            "fill": fill,
            "output": "logit",
            "mean": 0.5,
            "place": at,
            "leads": at == 1,
        }
        for fill, order in (("blur", ("a", "b")), ("zero", ("b", "a")))
        for at, name in enumerate(order, start=1)
    ]
    return {
        "headline": pd.DataFrame(scores).assign(**place),
        "headline_pairs": pd.DataFrame(pairs, columns=["method", "other", "verdict"]).assign(
            **place
        ),
        "headline_variants": pd.DataFrame(variants).assign(**place),
    }


METHODS = [
    {"method": name, "kind": kind, "role": role, "is_blind": kind == "control"}
    for name, kind, role in (
        ("a", "gradient", "method"),
        ("b", "gradient", "method"),
        ("c", "gradient", "method"),
        ("random_map", "control", "random"),
    )
]


def found(known, **changes):
    """Return the finding of network d."""
    fields = {"metric": "srg", "methods": METHODS, "rows": {}, "blank": {}, "regimes": {}}
    inputs = verdict.Inputs(headline=headline.read(known, "srg"), **{**fields, **changes})
    (one,) = verdict.findings([AT], inputs)
    return one


def test_leaders_and_the_unbeaten_are_those_of_the_table():
    one = found(tables(("a", "unbeaten"), ("b", "unbeaten"), ("c", "beaten")))
    assert one.state == "unbeaten"
    assert (one.leaders, one.unbeaten, one.n_methods) == ((), ("a", "b"), 3)
    assert (one.first, one.mean) == ("a", 1.0)
    assert one.led_under == (("a", ("blur, logit",)), ("b", ("zero, logit",)))

    led = found(tables(("a", "unbeaten"), ("b", "leads"), ("c", "beaten")))
    assert (led.state, led.leaders, led.first) == ("leads", ("b",), "b")


def test_controls_that_are_as_good_and_methods_behind_are_named():
    pairs = [
        ("a", "random_map", "not shown to differ"),
        ("b", "random_map", "better"),
        ("c", "random_map", "worse"),
    ]
    one = found(tables(("a", "leads"), ("b", "beaten"), ("c", "beaten"), pairs=pairs))
    assert one.controls == ("random_map",)
    assert one.behind == ("c",)
    assert "random_map is better than a, equal to it, or not shown" in verdict.on_one_network(one)

    # The pair may be in the other order.
    turned = [("random_map", "a", "worse"), ("random_map", "c", "better")]
    other = found(tables(("a", "leads"), ("c", "beaten"), pairs=turned))
    assert (other.controls, other.behind) == ((), ("c",))


def test_a_metric_that_is_not_usable_has_no_leader():
    known = tables(("a", "leads"), ("b", "beaten"))
    one = found(known, blank={(*AT, "srg"): "the oracle is worse"})
    assert (one.state, one.leaders, one.first) == ("not_informative", (), "")

    bad = pd.DataFrame([{"dataset": "d", "model": "m", "metric": "srg", "is_informative": False}])
    assert headline.read({**known, "informative": bad}, "srg").networks == []


@pytest.mark.parametrize(
    ("changes", "state", "words"),
    [
        ({}, "leads", ["a 0.800 [0.700, 0.900] leads", "each of 2 others", "8 fills"]),
        ({"leaders": ("a", "b")}, "leads", ["a and b lead together, and are equal"]),
        ({"leaders": (), "unbeaten": ("a", "b")}, "unbeaten", ["none leads", "a and b"]),
        ({"leaders": (), "unbeaten": ()}, "unbeaten", ["each method is beaten"]),
        ({"n_methods": 1}, "alone", ["the only method"]),
        ({"n_methods": 0, "leaders": ()}, "no_score", ["no method has a srg score"]),
        ({"blank": "the oracle is worse"}, "not_informative", ["cannot be used", "is worse"]),
    ],
)
def test_a_sentence_on_each_network_follows_its_state(changes, state, words):
    one = finding(**changes)
    assert one.state == state
    sentence = verdict.on_one_network(one)
    assert all(word in sentence for word in words)
    assert sentence.endswith(".") and "nan" not in sentence
    assert not any(word in sentence for word in ("tied", "told"))


def test_without_a_leader_the_sentence_says_under_which_fill_there_is_one():
    one = finding(leaders=(), unbeaten=("a", "b"), led_under=(("b", ("x", "y")), ("a", ("z",))))
    assert "b under 2 of 8; a under 1 of 8" in verdict.on_one_network(one)
    assert "Under some" not in verdict.on_one_network(finding(led_under=(("a", ("x",)),)))


def test_the_verdict_names_leaders_open_networks_and_blind_controls():
    led = finding(behind=("c",))
    unsure = finding(dataset="e", place="e", leaders=(), unbeaten=("a", "b"))
    blank = finding(dataset="f", place="f", n_methods=0, leaders=(), blank="x")
    whole = verdict.conclude([led, unsure, blank])
    assert (whole.led, whole.open, whole.behind) == ((led,), (unsure,), (led,))
    assert whole.not_informative == ("f",)

    first, second, third, fourth = verdict.sentences(whole, "srg", "symmetric gain")
    assert first.startswith("By srg (symmetric gain), a leads on d")
    assert "on e 2 of 3 methods are beaten by none, a and b" in second
    assert "On f srg cannot be used" in third and "1 of 3 on d" in fourth


def test_a_null_run_names_no_leader():
    whole = verdict.conclude([finding(leaders=(), unbeaten=("a", "b", "c"))])
    (sentence,) = verdict.sentences(whole, "srg")
    assert "no explainer leads" in sentence and "leads on" not in sentence


def test_the_verdict_without_any_score_names_the_reason():
    unscored = finding(n_methods=0, leaders=())
    blank = finding(n_methods=0, leaders=(), blank="x")
    for findings, state in (
        ([unscored], "no_score"),
        ([blank], "not_informative"),
        ([unscored, blank], "no_score"),
    ):
        whole = verdict.conclude(findings)
        assert whole.state == state
        assert len(verdict.sentences(whole, "srg")) == 1


def test_the_verdict_names_the_kinds_of_network():
    plain = finding(regime="trained without occluded inputs")
    occluded = finding(place="e", regime="trained with occluded inputs")
    both = verdict.conclude([plain, occluded])
    assert [kind for kind, _ in both.kinds] == [occluded.regime, plain.regime]
    assert "e is trained with occluded inputs; d is" in verdict.sentences(both, "srg")[-1]
    assert "one kind: trained without" in verdict.sentences(verdict.conclude([plain]), "srg")[-1]


def test_two_networks_on_one_dataset_have_different_names():
    inputs = verdict.Inputs(
        headline=headline.Headline(), metric="srg", methods=(), rows={}, blank={}, regimes={}
    )
    both = verdict.findings([("d", "cnn"), ("d", "mlp"), ("e", "mlp")], inputs)
    assert [one.place for one in both] == ["d (cnn)", "d (mlp)", "e"]


def test_the_verdict_of_a_run_follows_its_table():
    rows = made_up.conclusions()["headline"]
    controls = control_ids(made_up.METHODS)
    known = headline.read(made_up.conclusions(), "srg")
    for at in known.networks:
        own = rows[(rows["dataset"] == at[0]) & ~rows["method"].isin(list(controls))]
        inputs = verdict.Inputs(
            headline=known, metric="srg", methods=made_up.METHODS, rows={}, blank={}, regimes={}
        )
        (one,) = verdict.findings([at], inputs)
        assert set(one.leaders) == set(own.loc[own["answer"] == "leads", "method"])
        assert set(one.unbeaten) >= set(own.loc[own["answer"] == "unbeaten", "method"])
