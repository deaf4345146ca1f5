"""BibTeX → the list of references of a report; the library pybtex reads it and decodes TeX."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from pybtex.database import Entry, Person, parse_string
from pybtex.richtext import Text

VENUES = ("journal", "booktitle", "publisher", "school", "howpublished", "institution")
N_AUTHORS = 6  # named in full; the others are counted as "and others"
NO_BREAK_SPACE = "\N{NO-BREAK SPACE}"


def references(bibtex: str, keys: Iterable[str]) -> list[dict[str, str]]:
    """Return the references with these keys, sorted by key.

    A key that the file lacks is listed as "not in the bibliography".

    Raises:
        pybtex.exceptions.PybtexError: the text is not BibTeX, or has a key twice.
    """
    known = parse_string(bibtex, "bibtex").entries

    return [
        {"key": key, "text": reference(known[key]) if key in known else "not in the bibliography"}
        for key in sorted(set(keys))
    ]


def reference(entry: Entry) -> str:
    """Return one reference as plain text: authors, title, venue, year, identifier."""
    field = partial(_field, entry)
    venue = next((field(name) for name in VENUES if name in entry.fields), "")

    if "doi" in entry.fields:
        identifier = f"doi:{field('doi')}"
    elif "eprint" in entry.fields:
        identifier = f"arXiv:{field('eprint')}"
    else:
        identifier = ""

    parts = [authors(entry), field("title"), venue, field("year"), identifier]
    return ". ".join(part.rstrip(".") for part in parts if part) + "."


def authors(entry: Entry) -> str:
    """Return the authors, or the editors where there are none: at most `N_AUTHORS` by name."""
    persons = entry.persons.get("author") or entry.persons.get("editor") or []
    names = [_name(person) for person in persons]

    # BibTeX ends a list that is cut short with "and others".
    is_cut = names[-1:] == ["others"]
    if is_cut:
        names.pop()

    named = ", ".join(names[:N_AUTHORS])
    if is_cut or len(names) > N_AUTHORS:
        return f"{named} and others"
    return named


def _name(person: Person) -> str:
    """Return a name as it is spoken: first name first."""
    parts = [
        *person.first_names,
        *person.middle_names,
        *person.prelast_names,
        *person.last_names,
        *person.lineage_names,
    ]
    return plain(" ".join(parts))


def _field(entry: Entry, name: str) -> str:
    """Return a field as plain text; empty if the entry lacks it."""
    return plain(entry.fields.get(name, ""))


def plain(tex: str) -> str:
    """Return TeX as plain text: accents as letters, without braces and commands."""
    text = str(Text.from_latex(tex))
    return " ".join(text.replace(NO_BREAK_SPACE, " ").split())
