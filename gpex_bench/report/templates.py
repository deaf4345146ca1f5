"""The templates that hold the words of the report. Python decides, a template phrases.

A name ends with the language that the template writes: `.html.j2` is escaped, `.md.j2` and
`.tex.j2` are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import jinja2
from markupsafe import Markup

from gpex_bench.tables.render import escape
from gpex_bench.tables.words import below_one, interval, listed, number

N_NAMED = 4  # names in one list; of a longer one three are named, the others are counted

LOADER = jinja2.PackageLoader("gpex_bench.report", ".")

# LaTeX is full of braces, so its templates mark what is filled in with << and >>.
TEX_DELIMITERS: dict[str, Any] = {
    "variable_start_string": "<<",
    "variable_end_string": ">>",
    "block_start_string": "<%",
    "block_end_string": "%>",
    "comment_start_string": "<#",
    "comment_end_string": "#>",
}


def render(name: str, **content: Any) -> str:
    """Return a template filled with records and frames.

    Raises:
        jinja2.UndefinedError: the template asks for something that was not given.
    """
    return _environment(name.endswith(".tex.j2")).get_template(name).render(**content)


def lines(name: str, **content: Any) -> list[str]:
    """Return the lines that a template writes, without the empty ones: one sentence a line."""
    filled = (line.strip() for line in render(name, **content).splitlines())
    return [line for line in filled if line]


def source(name: str) -> Markup:
    """Return a file beside the templates (style, script) as it is."""
    text, _, _ = LOADER.get_source(_environment(False), name)
    return Markup(text)


@cache
def _environment(is_tex: bool) -> jinja2.Environment:
    """Return the environment with the filters that write numbers and lists."""
    environment = jinja2.Environment(
        loader=LOADER,
        autoescape=lambda name: name is not None and name.endswith(".html.j2"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        **(TEX_DELIMITERS if is_tex else {}),
    )
    environment.filters |= {
        "listed": listed,
        "some": some,
        "number": number,
        "below_one": below_one,
        "rows": rows,
        "duration": duration,
        "p_value": p_value,
        "percent": percent,
        "share": share,
        "tex": escape,
    }
    environment.globals["estimate"] = estimate
    return environment


def some(names: Sequence[str]) -> str:
    """Return up to four names; of more, three and the number of the others."""
    if len(names) <= N_NAMED:
        return listed(names)
    n_first = N_NAMED - 1
    return f"{', '.join(names[:n_first])} and {len(names) - n_first} more"


def rows(count: float) -> str:
    """Write a number of rows through a network: whole from 10 on."""
    return f"{count:,.0f}" if count >= 10 or count == int(count) else f"{count:.1f}"


def duration(seconds: float) -> str:
    """Write a time in seconds, or in milliseconds where that is shorter."""
    if seconds < 0.1:
        return f"{1000 * seconds:.2g}\N{NO-BREAK SPACE}ms"
    return f"{number(seconds)}\N{NO-BREAK SPACE}s"


def estimate(mean: float, low: float, high: float) -> str:
    """Write a mean and its interval, such as "0.812 [0.790, 0.831]"."""
    return " ".join(interval(mean, low, high))


def percent(share: float, places: int = 1) -> str:
    """Write a share in percent, such as "97.8 %"."""
    return f"{100 * share:.{places}f}\N{NO-BREAK SPACE}%"


def share(part: float) -> str:
    """Write a share of any size in percent with two digits, such as "0.0021 %"."""
    return f"{100 * part:.2g}\N{NO-BREAK SPACE}%"


def p_value(chance: float) -> str:
    """Write a p value."""
    return "p < 0.001" if chance < 0.001 else f"p = {chance:.3f}"
