"""Pages of studies: how templates write numbers, names, tables and figures."""

import jinja2
import pandas as pd
import pytest

from gpex_bench.studies import answer


@pytest.fixture
def page(tmp_path, monkeypatch):
    """Return what a template becomes."""

    def fill(template, **content):
        (tmp_path / "toy").mkdir(exist_ok=True)
        (tmp_path / "toy/sentences.md.j2").write_text(template)
        monkeypatch.setattr(answer, "HERE", tmp_path)
        return answer.page("toy", **content)

    return fill


def test_filters_write_numbers_and_names(page):
    row = {"mean": 0.5, "low": 0.4, "high": 0.6, "gain": 1.0, "gain_low": 0.5, "gain_high": 1.5}
    text = page("{{ row | estimate }}; {{ row | estimate('gain') }}", row=row)
    assert text == "0.500 [0.400, 0.600]; 1.00 [0.50, 1.50]\n"
    assert page("{{ 0.123 | percent }} {{ names | listed }}", names=["a", "b", "c"]) == (
        "12 % a, b and c\n"
    )
    assert page("{{ ['a'] | listed('or') }}") == "a\n"
    assert page("{{ 0.0004 | p_value }} {{ 0.04 | p_value }}") == "< 0.001 0.040\n"
    assert page("{{ 12 | count }} {{ missing | count }}", missing=float("inf")) == "12 –\n"


def test_a_table_and_a_figure_are_markdown(page):
    frame = pd.DataFrame({"method": ["a"], "score": [1]})
    text = page("{{ frame | markdown }}\n\n\n\n{{ image('curve', 'Scores') }}\n\n", frame=frame)
    assert (
        text
        == "| method | score |\n| ------ | ----- |\n| a      | 1     |\n\n![Scores](curve.svg)\n"
    )


def test_a_name_that_was_not_given_is_an_error(page):
    with pytest.raises(jinja2.UndefinedError, match="missing"):
        page("{{ missing }}")
