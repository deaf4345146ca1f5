"""The site of docs: the Markdown of the repository as it is, and the docstrings; `make docs`.

Sphinx runs in the root of the repository, so that links between pages, and to files of the
repository, are the same on the forge and on the site. Nothing is loaded from elsewhere: the theme
brings its fonts and scripts along, and formulas are plain text.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

project = "gpex-bench"
author = "the authors of gpex-bench"
copyright = "its authors, Apache-2.0"

# --- pages ---------------------------------------------------------------------------------------

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "README"
include_patterns = [
    "*.md",
    "docs/**.md",
    "examples/*.md",
    "methods/README.md",
    "config/README.md",
    "results/README.md",
    "results/published/**.md",
]
exclude_patterns = [".*", "site", "build", "dist", "tests", "downloads"]
source_suffix = {".md": "markdown"}
myst_heading_anchors = 3  # `page.md#a-heading`, as the forge has them
templates_path = ["_templates"]

# The table of contents, which stands beside every page; the README has no list of its own.
CONTENTS = {
    "Start": ["docs/quickstart", "docs/bring-your-own", "docs/command-line", "examples/README"],
    "Add": [
        "docs/add",
        "docs/add-a-method",
        "docs/add-a-metric",
        "docs/add-a-dataset",
        "docs/add-a-network",
        "docs/add-a-surrogate",
        "docs/add-a-study",
    ],
    "Look up": [
        "docs/reference",
        "config/README",
        "methods/README",
        "docs/metrics",
        "docs/networks",
        "docs/photographs",
        "docs/artefacts",
        "docs/glossary",
    ],
    "Understand": ["docs/gpex", "docs/agreement", "docs/statistics", "docs/studies"],
    "Work on it": ["CONTRIBUTING", "docs/house", "docs/decisions", "CHANGELOG", "results/README"],
}
# What is listed below a page.
BELOW = {"results/README": "published/**", "examples/README": "*"}


def complete(app, name, source):
    """Add to a page what the forge does without: the table of contents, titles of tables."""
    if name == app.config.root_doc:
        contents = [contents_of(caption, pages) for caption, pages in CONTENTS.items()]
        source[0] += "\n".join(["", *contents])

    if name in BELOW:
        source[0] += "\n" + contents_of("", [BELOW[name]])

    is_published = name.startswith("results/published/")
    if is_published and not source[0].startswith("# "):
        folder, page = name.split("/")[-2:]
        source[0] = f"# {folder}: {page}\n\n{source[0]}"


def contents_of(caption, pages):
    """Return a part of the table of contents; what is written with a star stands for many pages."""
    options = [":hidden:", ":glob:"] + [f":caption: {caption}"] * bool(caption)
    return "\n".join(["```{toctree}", *options, "", *pages, "```", ""])


# --- docstrings ----------------------------------------------------------------------------------

autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
napoleon_numpy_docstring = False
napoleon_attr_annotations = False  # the signature has the types
default_role = "code"  # of `words` in docstrings
STAR = re.compile(r"(`[^`]*`)|\*(?=\w)")


def read_as_written(app, what, *of):
    """Keep stars and colons of docstrings, which would be markup."""
    lines = of[-1]
    for place, line in enumerate(lines):
        if not line.lstrip().startswith((">>>", "...")):
            lines[place] = STAR.sub(lambda found: found[1] or r"\*", line)

    # The words before a colon are not the type of an attribute; an empty comment before them.
    if what in ("attribute", "property"):
        lines[:0] = ["..", ""]


# --- looks ---------------------------------------------------------------------------------------

html_theme = "furo"
html_title = "gpex-bench"
html_copy_source = False
html_show_sphinx = False
# The page that a browser opens first leads on to the README.
html_additional_pages = {"index": "index.html"}


def setup(app):
    """Connect what pages and docstrings get."""
    app.connect("source-read", complete)
    app.connect("autodoc-process-docstring", read_as_written, priority=400)  # before napoleon
