"""What a long fit tells while it runs, and what it keeps in case that it is killed."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor


class Progress:
    """Hears how far a long fit is, and keeps what it needs to go on after it was killed.

    This one forgets both.
    """

    def __call__(self, text: str) -> None:
        """Hear one line."""

    def keep(self, state: Mapping[str, Tensor]) -> None:
        """Keep all that is needed to go on from here, in place of what was kept before."""

    def kept(self) -> Mapping[str, Tensor] | None:
        """Return what was kept last, or None at a fresh start."""
        return None
