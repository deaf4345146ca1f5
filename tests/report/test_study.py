"""The page of a study inside the report: its figures are there, and its text is escaped."""

from gpex_bench import report
from gpex_bench.report import study
from tests.vocabulary import report as made_up

TEXT = "**Which?**\n\n![budget](curve.svg)\n\n| a | b |\n| - | - |\n| 1 | <b> |\n"
PAGE = report.StudyPage(name="budget", text=TEXT, figures={"curve": made_up.SVG})


def test_figures_tables_and_text_of_a_study_are_in_its_section():
    html = study.html(PAGE)
    assert "<strong>Which?</strong>" in html and f"<figure>{made_up.SVG}</figure>" in html
    assert '<th scope="col">a</th>' in html and "&lt;b&gt;" in html
    assert "<img" not in html


def test_the_report_links_to_the_study_that_it_holds():
    page = report.render(made_up.results(study=PAGE))
    assert 'href="#study"' in page and '<section id="study">' in page
    assert 'href="#study"' not in report.render(made_up.results())
