"""Precomputed: maps that were made elsewhere, read from a file.

Scoring maps whoever made them is what a toolkit for their evaluation does (hedstroem2023quantus).
The file has the maps and the samples that they explain (`gpex_bench/families/stored_maps.py`); it
may be an explanation that another run stored. A sample without a map is an error, as are maps of
another shape, of another output, or with NaN.

The maps belong to one network. They cannot be made again for another input, network, output or
seed: what asks for that reads "n/a". Networks of several training seeds need a file each, which
`{seed}` in its name stands for.
"""

from pathlib import Path
from typing import Literal, get_args

from gpex_bench.families.stored_maps import ENDINGS, has_residual, read_maps
from gpex_bench.types import (
    Attribution,
    Explainer,
    Need,
    Query,
    RelativeTo,
    Task,
    demands,
    settings,
)

SEED = "{seed}"
Kind = Literal[
    "gradient",
    "attention",
    "propagation",
    "perturbation",
    "evolutionary",
    "surrogate",
    "control",
    "elsewhere",
]


@settings
class Precomputed(Explainer):
    """Maps of a file, which were made elsewhere.

    Attributes:
        file: .npz or .safetensors with `values` and `sample`, maybe `target` and `residual`.
        dataset: run id of the dataset that they explain; needed where the run has several.
        model: run id of the network that they explain; needed where the run has several.
        kind: of the method that made them.
        relative_to: what they compare an input with.
    """

    reference = "hedstroem2023quantus"
    cost = "none: the maps were made elsewhere"
    is_stored = True

    file: str
    dataset: str | None = None
    model: str | None = None
    kind: Kind = "elsewhere"
    relative_to: str = RelativeTo.UNKNOWN.value

    def __post_init__(self) -> None:
        """Refuse files and words that are not known."""
        if Path(self.file).suffix not in ENDINGS:
            raise ValueError(f"file must end with {' or '.join(ENDINGS)}, got {self.file!r}.")
        demands.one_of(self, kind=get_args(Kind), relative_to=[one.value for one in RelativeTo])

    @property
    def has_each_seed(self) -> bool:  # type: ignore[override]
        """Whether there is a file for each training seed."""
        return SEED in self.file

    @property
    def reads(self) -> tuple[str, ...]:  # type: ignore[override]
        """The file, or the files of all seeds that are there."""
        if not self.has_each_seed:
            return (self.file,)
        pattern = self.file.replace(SEED, "*")
        found = sorted(path.as_posix() for path in Path().glob(pattern))
        return tuple(found) or (self.file,)

    @property
    def offers(self) -> frozenset[Need]:  # type: ignore[override]
        """A residual, if the file has one."""
        has_one = has_residual(Path(self.reads[0]))
        return frozenset({Need.RESIDUAL}) if has_one else frozenset()

    def explain(self, task: Task, query: Query) -> Attribution:
        """Return the maps of the samples."""
        path = Path(self.file.replace(SEED, str(task.seed)))
        return read_maps(path).of(query, task.data)
