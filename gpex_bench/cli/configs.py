"""Options of several commands, and the file that `--config` means."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

CONFIG = typer.Option(
    "--config", "-c", metavar="FILE", help="Config of a run: a file, or the name before .yaml."
)
NETWORK = typer.Option(
    metavar="NAME", help="Run id of the network, or dataset/model; may be left out for one network."
)
SAMPLES = typer.Option(
    metavar="LIST", help="Samples of the test split, such as 3,17; or `drawn`: those of the run."
)
SEED = typer.Option(help="Seed of the network's training; otherwise the first of the config.")


def found(written: str) -> Path:
    """Return the file of a config that is given by its path or by its name.

    Raises:
        ValueError: there is none; names the places that were looked at.
    """
    places = [Path(written)]
    if not written.endswith((".yaml", ".yml")):
        places += [Path(f"{written}.yaml"), Path("config") / f"{written}.yaml"]
    for place in places:
        if place.is_file():
            return place

    tried = ", ".join(map(str, places))
    raise ValueError(
        f"{written}: cannot be read: there is no file {tried}. Give the path of a config, or write "
        "one with `gpex-bench init`."
    )


def run_name(path: Path) -> str:
    """Return the name of the run of a config; the rest of the config is not checked.

    Raises:
        ValueError: the file cannot be read, or does not name a run.
    """
    name = _written(path).get("run")
    if name is None:
        raise ValueError(f"{path}: must have the key `run`, the name of the run.")
    return str(name)


def folders(path: Path) -> tuple[str, ...]:
    """Return the folders of plug-ins that a config names; the rest of it is not checked.

    Raises:
        ValueError: the file cannot be read, or the key `plugins` is no list.
    """
    named = _written(path).get("plugins") or []
    if not isinstance(named, list):
        raise ValueError(f"{path}: plugins must be a list of folders, got {named!r}.")
    return tuple(map(str, named))


def _written(path: Path) -> dict[str, Any]:
    """Return what a config says, unchecked."""
    import yaml

    try:
        written = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror}); give a config.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: is not YAML: {error}") from error
    if not isinstance(written, dict):
        raise ValueError(f"{path}: must be a mapping of config keys, such as `run`.")
    return written
