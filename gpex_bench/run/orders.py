"""What a job is asked to do: its rule, its files and its parameters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpex_bench.config import Config, parse


@dataclass(frozen=True)
class Order:
    """One job of a run; the rule of the same name describes it to Snakemake."""

    rule: str
    config: Config
    folder: Path  # of the run
    inputs: Mapping[str, Sequence[Path]]  # by name
    outputs: Mapping[str, Sequence[Path]]
    wildcards: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)  # what its results depend on
    written: Mapping[str, Any] = field(default_factory=dict)  # the config, as the report shows it

    @classmethod
    def of(cls, snakemake: Any) -> Order:
        """Return what Snakemake asks of a script."""
        config = parse(snakemake.config)
        return cls(
            rule=snakemake.rule,
            config=config,
            folder=Path("results") / config.run,
            inputs=_named(snakemake.input),
            outputs=_named(snakemake.output),
            wildcards=dict(snakemake.wildcards.items()),
            params=dict(snakemake.params.items()),
            written=snakemake.config,
        )

    @property
    def name(self) -> str:
        """What messages call it: the rule, and the network if it is about one."""
        place = [self.wildcards[key] for key in ("dataset", "model") if key in self.wildcards]
        return " ".join([self.rule, *place])


def _named(files: Any) -> dict[str, list[Path]]:
    """Return the files of a rule by name."""
    return {name: _paths(of_name) for name, of_name in files.items()}


def _paths(files: str | Iterable[str]) -> list[Path]:
    return [Path(files)] if isinstance(files, str) else [Path(file) for file in files]
