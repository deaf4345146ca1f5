"""BibTeX → the list of references of a report."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

ACCENTS = {
    "'": "\N{COMBINING ACUTE ACCENT}",
    "`": "\N{COMBINING GRAVE ACCENT}",
    '"': "\N{COMBINING DIAERESIS}",
    "^": "\N{COMBINING CIRCUMFLEX ACCENT}",
    "~": "\N{COMBINING TILDE}",
    "c": "\N{COMBINING CEDILLA}",
    "v": "\N{COMBINING CARON}",
    "H": "\N{COMBINING DOUBLE ACUTE ACCENT}",
    "u": "\N{COMBINING BREVE}",
    ".": "\N{COMBINING DOT ABOVE}",
    "r": "\N{COMBINING RING ABOVE}",
    "=": "\N{COMBINING MACRON}",
}
SYMBOLS = {
    "ss": "ß",
    "o": "ø",
    "O": "Ø",
    "l": "ł",
    "L": "Ł",
    "ae": "æ",
    "aa": "å",
    "AA": "Å",
    "i": "i",
    "&": "&",
}
VENUES = ("journal", "booktitle", "publisher", "school", "howpublished", "institution")


def entries(bibtex: str) -> dict[str, dict[str, str]]:
    """Return the fields of each entry, by key; text as people read it."""
    found = {}
    for block in re.split(r"(?m)^@", bibtex)[1:]:
        head = re.match(r"\w+\s*\{\s*([^,\s]+)\s*,", block)
        if head is None:
            continue
        fields = re.finditer(r"(\w+)\s*=\s*", block[head.end() :])
        body = block[head.end() :]
        found[head[1]] = {
            field[1].lower(): plain(_value(body[field.end() :]))
            for field in fields
            if _is_field(body, field)
        }
    return found


def _is_field(body: str, field: re.Match[str]) -> bool:
    """Return whether a name and an equals sign stand outside of all braces."""
    before = body[: field.start()]
    return before.count("{") == before.count("}")


def _value(text: str) -> str:
    """Return the value that a text starts with: in braces, in quotes, or a bare word."""
    if not text.startswith("{"):
        bare = re.match(r'"([^"]*)"|([^,}\s]+)', text)
        return "" if bare is None else bare[1] or bare[2] or ""
    depth = 0
    for place, letter in enumerate(text):
        depth += (letter == "{") - (letter == "}")
        if depth == 0:
            return text[1:place]
    return text[1:]


def plain(text: str) -> str:
    """Return TeX as plain text: accents as letters, without braces and commands."""
    text = re.sub(
        r"\\([\"'`^~=.]|[cvHur](?=[\s{]))\s*\{?\\?([A-Za-z])\}?",
        lambda m: m[2] + ACCENTS[m[1]],
        text,
    )
    text = re.sub(r"\\([A-Za-z]+|&)\s*(?:\{\})?", lambda m: SYMBOLS.get(m[1], ""), text)
    text = text.replace("---", "\N{EN DASH}").replace("--", "\N{EN DASH}").replace("~", " ")
    return unicodedata.normalize("NFC", " ".join(re.sub(r"[{}\\]", "", text).split()))


def references(bibtex: str, keys: Iterable[str]) -> list[dict[str, str]]:
    """Return the references with these keys, sorted by key; one that is not in the file says so."""
    known = entries(bibtex)
    return [
        {"key": key, "text": _text(known[key]) if key in known else "not in the bibliography"}
        for key in sorted(set(keys))
    ]


def _text(entry: dict[str, str]) -> str:
    """Write one reference: authors, title, where, year, identifier."""
    authors = entry.get("author", entry.get("editor", "")).split(" and ")
    named = [" ".join(reversed([part.strip() for part in name.split(",", 1)])) for name in authors]
    shown = ", ".join(named[:6]) + (" and others" if len(named) > 6 else "")
    venue = next((entry[name] for name in VENUES if name in entry), "")
    number = (
        f"doi:{entry['doi']}"
        if "doi" in entry
        else f"arXiv:{entry['eprint']}"
        if "eprint" in entry
        else ""
    )
    parts = [shown, entry.get("title", ""), venue, entry.get("year", ""), number]
    return ". ".join(part.rstrip(".") for part in parts if part) + "."
