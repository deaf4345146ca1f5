"""What the pages of the docs say: blocks of code, files to write, lines of configs, commands."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
FENCE = r"^( *)```{language}\n(.*?)^ *```"
# "... this file, `my_plugins/methods/mine.py`:", a blank line, and a block of code
FILE = re.compile(r"`([\w./-]+)`:\n\n( *)```\w+\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str) -> list[str]:
    """Return the code blocks of a page, without the indentation of a list."""
    fence = re.compile(FENCE.format(language=language), re.MULTILINE | re.DOTALL)
    return [_without(indent, text) for indent, text in fence.findall(page.read_text())]


def files(page: Path) -> dict[str, str]:
    """Return the files that a page gives in whole, by the path that it names."""
    found = FILE.findall(page.read_text())
    return {path: _without(indent, text) for path, indent, text in found}


def commands(page: Path) -> list[list[str]]:
    """Return the arguments of each command `gpex-bench` in the shell blocks of a page."""
    lines = "\n".join(blocks(page, "bash")).replace("\\\n", " ").splitlines()
    bare = [line.split("#")[0].split() for line in lines]
    return [words[1:] for words in bare if words[:1] == ["gpex-bench"]]


def _without(indent: str, text: str) -> str:
    """Return text without the indentation of a list."""
    return re.sub(rf"^{indent}", "", text, flags=re.MULTILINE)
