"""Runs the workflow on a config: Snakemake, with the Snakefile that comes with the package."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

from gpex_bench.plugins.homes import PROFILES, ROOT, WORKFLOW

SNAKEFILE = WORKFLOW / "Snakefile"
PROFILE = "--workflow-profile"


def run(config_path: Path | str, cores: int, *arguments: str) -> int:
    """Run the workflow in the working folder; return Snakemake's exit status, 0 if all is well.

    Results go to `results/{run}/` of the working folder. What Snakemake prints goes to the standard
    streams.

    Args:
        config_path: a YAML config.
        cores: how many jobs may run at a time.
        arguments: more arguments of Snakemake, such as "--dry-run".

    Raises:
        ValueError: there is no such file, or cores is not positive.
    """
    if not Path(config_path).is_file():
        raise ValueError(
            f"config_path must be a YAML config, got {str(config_path)!r}; looked in {Path.cwd()}."
        )
    if cores < 1:
        raise ValueError(f"cores must be at least 1, got {cores}.")
    return subprocess.run(command(config_path, cores, *arguments), env=environment()).returncode


def command(config_path: Path | str, cores: int, *arguments: str) -> list[str]:
    """Return the command that `run` starts."""
    has_profile = any(one.startswith(PROFILE) for one in arguments)
    profile = [] if has_profile else [PROFILE, str(PROFILES / "default")]
    return [
        sys.executable,
        # The working folder is the user's: a file there must not hide a module of Python's.
        "-P",
        *("-m", "snakemake"),
        *("--snakefile", str(SNAKEFILE)),
        *("--cores", str(cores)),
        *profile,
        *arguments,
        *("--configfile", str(config_path)),
    ]


def environment() -> Mapping[str, str]:
    """Return the environment of the workflow, in which jobs find this very package."""
    installed = {sysconfig.get_path(name) for name in ("purelib", "platlib")}
    if str(ROOT) in installed:
        return os.environ
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
