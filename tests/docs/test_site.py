"""The site of docs: it is built without a warning, and no page loads anything from elsewhere."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.vocabulary.pages import ROOT

pytestmark = pytest.mark.slow
# attributes from which a browser loads something by itself, by element
LOADED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}


class Loaded(HTMLParser):
    """What a page loads, and where its links lead."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        if LOADED.get(tag) in found:
            self.loads.append(found[LOADED[tag]])
        if tag == "a" and "href" in found:
            self.links.append(found["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built as `make docs` builds it."""
    folder = tmp_path_factory.mktemp("site")
    (recipe,) = re.findall(r"sphinx-build (.*) \. site$", (ROOT / "Makefile").read_text(), re.M)
    arguments = recipe.replace(".doctrees", str(folder / "doctrees")).split()
    command = [sys.executable, "-m", "sphinx", *arguments, ".", str(folder / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    assert "--fail-on-warning" in arguments
    return folder / "site"


@pytest.fixture(scope="module")
def html(site):
    """The pages of the site, by path."""
    return {path: Loaded(path.read_text()) for path in sorted(site.rglob("*.html"))}


def test_every_guide_is_a_page(html, site):
    there = {str(path.relative_to(site).with_suffix(".md")) for path in html}
    for folder in (".", "docs", "examples", "config", "methods"):
        for page in (ROOT / folder).glob("*.md"):
            assert str(page.relative_to(ROOT)) in there


def test_no_page_loads_anything_from_elsewhere(html, site):
    assert len(html) > 30
    for path, page in html.items():
        assert not [address for address in page.loads if "//" in address], path
    for path in site.rglob("*.css"):
        found = re.findall(r"@import[^;]*|url\([^)]*\)", path.read_text())
        assert not [part for part in found if "//" in part and "data:" not in part], path


def test_links_between_pages_lead_somewhere(html):
    for path, page in html.items():
        for link in page.links:
            target = link.split("#")[0]
            if target and not re.match(r"[a-z]+:", target):
                assert (path.parent / target).is_file(), (path.name, link)


def test_the_search_knows_the_public_names(site):
    text = (site / "searchindex.js").read_text()
    index = json.loads(text[text.index("{") : text.rindex("}") + 1])
    assert {"explain", "attribut", "surrog"} <= set(index["terms"])  # stems
    named = {entry[4] for entries in index["objects"].values() for entry in entries}
    assert {"Explainer", "Dataset"} <= named


def test_the_first_page_leads_to_the_readme(site):
    assert "url=README.html" in Path(site / "index.html").read_text()
