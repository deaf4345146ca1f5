"""The page of a run's study, as a section of its report."""

from __future__ import annotations

import re

from markdown_it import MarkdownIt
from markupsafe import Markup

from gpex_bench.report.results import StudyPage

# An image of a figure that lies beside the page.
IMAGE = re.compile(r'<p><img src="([\w.-]+)\.svg" alt="[^"]*" /></p>')


def html(page: StudyPage) -> Markup:
    """Return the page as HTML, with its figures inside."""
    text = MarkdownIt("commonmark", {"html": False}).enable("table").render(page.text)

    # The report has two levels of headings above these.
    text = re.sub(r"(?<=<h|/h)[1-4](?=>)", lambda found: str(int(found[0]) + 2), text)
    text = text.replace("<th>", '<th scope="col">')
    text = text.replace("<table>", '<div class="scroll" tabindex="0" role="group"><table>')
    text = text.replace("</table>", "</table></div>")

    def figure(found: re.Match[str]) -> str:
        return f"<figure>{page.figures.get(found[1], '')}</figure>"

    return Markup(IMAGE.sub(figure, text))
