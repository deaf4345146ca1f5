"""Generated datasets that can be made again with one thing changed."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor

from gpex_bench.types import Source


class PlantedSource(Source):
    """A generated dataset whose planted truth can be tested by intervention."""

    @abstractmethod
    def interventions(self) -> Mapping[str, Float[Tensor, "n_test *feature"]]:
        """Return the test samples with one thing changed each, all else being the same bits.

        "evidence" becomes that of another class; "shortcut", where there is one, gives another
        class away; everything else becomes what it is in another sample.
        """

    @property
    def planted(self) -> frozenset[str]:
        """The interventions that change what the mask marks."""
        return frozenset({"evidence"})
