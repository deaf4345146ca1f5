"""Progress bars of long work: of rows without a known end, and of a fit that says how far it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tqdm.auto import tqdm

from gpex_bench.types import Progress

DELAY = 2.0  # seconds that work takes before a bar is shown


@contextmanager
def bar(what: str, is_shown: bool = True, total: int | None = None) -> Iterator[Any]:
    """Give a bar that counts; what is done quickly shows none, and none stays.

    Args:
        what: is counted.
        is_shown: whether there is a bar at all.
        total: how many there will be, if it is known.
    """
    off = not is_shown
    shown = tqdm(desc=what, total=total, unit="", delay=DELAY, leave=False, disable=off)
    try:
        yield shown
    finally:
        shown.close()


class Shown(Progress):
    """Progress of a fit, whose last line is shown in a bar."""

    def __init__(self, bar: Any) -> None:
        self.bar = bar

    def __call__(self, text: str) -> None:
        """Show one line."""
        self.bar.set_postfix_str(text, refresh=False)
        self.bar.update()
