"""A copy of the tree in which the workflow tests run Snakemake."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import yaml

ROOT = Path(__file__).parents[2]
CONFIG = "config/smoke.yaml"


class Clone:
    """A copy of the tracked files in which Snakemake runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        listed = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        for name in listed.stdout.split():
            if (ROOT / name).is_file() and not name.startswith(
                ("results/published", "docs/figures")
            ):
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, target)
        self.environment = os.environ | {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}

    def start(self, *arguments: str, config: str = CONFIG) -> subprocess.Popen:
        command = [sys.executable, "-m", "snakemake", "--configfile", config, *arguments]
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str, config: str = CONFIG, fails: bool = False) -> str:
        process = self.start(*arguments, config=config)
        output, _ = process.communicate(timeout=900)
        assert (process.returncode != 0) == fails, output[-6000:]
        return output

    def planned(self, config: str = CONFIG, *targets: str) -> dict[str, int]:
        """Return how many jobs of each rule a dry run announces, for all or for these files."""
        output = self.run("-n", "--cores", "1", *targets, config=config)
        table = re.search(r"Job stats:\n.*?\n-+ .*?\n(.*?)\ntotal", output, re.S)
        return (
            {}
            if table is None
            else {row.split()[0]: int(row.split()[1]) for row in table[1].splitlines()}
        )

    def digests(self) -> dict[str, str]:
        """Return the hash of every data file.

        All but sidecars, logs, benchmarks and the report with its costs.
        """
        results = self.folder / "results/smoke"
        return {
            str(path.relative_to(results)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(results.rglob("*"))
            if path.is_file()
            and path.suffix not in (".json", ".log", ".html")
            and path.relative_to(results).parts[0] not in ("logs", "benchmarks")
        }

    def config(self, name: str, **changes: dict) -> str:
        """Write a config that differs from the smoke config and return its name."""
        raw = yaml.safe_load((ROOT / CONFIG).read_text())
        for section, entries in changes.items():
            raw[section] = raw[section] | entries if isinstance(raw.get(section), dict) else entries
        (self.folder / "config" / name).write_text(yaml.safe_dump(raw))
        return f"config/{name}"

    def table(self, name: str, run: str = "smoke") -> pd.DataFrame:
        return pd.read_parquet(self.folder / "results" / run / "tables" / f"{name}.parquet")
