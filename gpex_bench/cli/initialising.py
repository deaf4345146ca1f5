"""`gpex-bench init`: a first config for the files of the working folder."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from gpex_bench.cli.starting.data import FoundData
    from gpex_bench.cli.starting.networks import FoundNetwork

IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


Name = Annotated[
    str, typer.Argument(metavar="NAME", help="Name of the run; the config is NAME.yaml.")
]
Data = Annotated[
    str | None,
    typer.Option(
        metavar="PATH", help=".npz, .safetensors, .csv, or a folder of images or .npy files."
    ),
]
Target = Annotated[
    str | None, typer.Option(metavar="COLUMN", help="Column of a .csv that is predicted.")
]
Builder = Annotated[
    str | None,
    typer.Option(metavar="FILE.py:NAME", help="Class or function that makes the network."),
]
Weights = Annotated[
    str | None, typer.Option(metavar="FILE", help="Its weights: .pt, .pth or .safetensors.")
]
Normalise = Annotated[
    str | None,
    typer.Option(
        metavar="MEAN/STD",
        help="Of the network's inputs: imagenet, or such as .5/.25 or .4,.5,.4/.2,.2,.2.",
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace a config that is already there.")]


def init(  # noqa: PLR0913 - options of a command
    name: Name,
    *,
    data: Data = None,
    target: Target = None,
    network: Builder = None,
    weights: Weights = None,
    normalise: Normalise = None,
    force: Force = False,
) -> None:
    """Write a commented config for the data and the network in the working folder.

    What no option names is looked for: one file of data, one .py file with a torch.nn.Module and
    one file of weights. Without data it is a template with every key explained. Your files stay as
    they are, and nothing else is written.

    Examples:
      gpex-bench init mine
      gpex-bench init mine --data photos.npz --network net.py:Net --weights net.pt
      gpex-bench init fair --data fair.csv --target affairs
    """
    path = _path(name)
    if path.exists() and not force:
        raise ValueError(f"{path} is already there; choose another name, or --force replaces it.")

    from gpex_bench.cli.starting.data import find_data
    from gpex_bench.cli.starting.networks import find_network

    scale = None if normalise is None else _normalise(normalise)
    found = find_data(data, target)
    made = find_network(network, weights, None if found is None else found.data)
    text, notes = _text(path, found, made, scale)
    path.write_text(text)

    typer.echo(f"{path} is written.")
    for line in [*_found(found, made), *notes]:
        typer.echo(f"  {line}")
    typer.echo(f"Next: gpex-bench check --config {path}, then gpex-bench run {path}")


def _path(name: str) -> Path:
    """Return where the config goes; raises ValueError if no run can have its name."""
    path = Path(name if name.endswith((".yaml", ".yml")) else f"{name}.yaml")
    if not re.fullmatch("[a-z0-9_]+", path.stem):
        raise ValueError(
            f"NAME must be small letters, digits and underscores, got {path.stem!r}; results go to "
            "a folder of this name."
        )
    if not path.parent.is_dir():
        raise ValueError(f"NAME: there is no folder {path.parent}; make it first.")
    return path


def _normalise(written: str) -> dict[str, Any]:
    """Return mean and standard deviation."""
    if written == "imagenet":
        return IMAGENET
    try:
        mean, std = ([float(one) for one in part.split(",")] for part in written.split("/"))
    except ValueError as error:
        raise ValueError(
            f"--normalise must be imagenet, or mean/std such as .5/.25 with one number or one a "
            f"channel, got {written!r}."
        ) from error
    return {"mean": mean, "std": std}


def _text(
    path: Path, data: FoundData | None, network: FoundNetwork | None, scale: dict[str, Any] | None
) -> tuple[str, list[str]]:
    """Return the text of the config, without the methods that do not apply, and what is amiss."""
    from gpex_bench.cli.starting.text import config_text

    text = config_text(path, data, network, normalise=scale)
    if data is None:
        return text, ["no data was found: replace the names that begin with my_"]
    if data.problem:
        return text, [f"to be mended: {data.problem}"]
    try:
        refused = _refused(text)
    except Exception as error:
        from gpex_bench.cli.checked_config import reason_of

        return text, [f"to be mended: {reason_of(error)}"]
    return config_text(path, data, network, normalise=scale, refused=refused), []


def _refused(text: str) -> dict[str, str]:
    """Return the methods of a config that do not apply to its network, and why."""
    import yaml

    from gpex_bench import config as configs
    from gpex_bench.cli import checked_config
    from gpex_bench.stages.prepare import prepare

    config = configs.parse(yaml.safe_load(text))
    network = config.networks[0]
    refused = {}
    for method in config.entries["method"]:
        reason = config.not_applicable(network, method)
        if reason is not None:
            refused[method] = reason
    data = prepare(config.dataset(network.dataset), config.is_trained_on(network.dataset))
    return {**refused, **checked_config.tried(config, network, data).refused}


def _found(data: FoundData | None, network: FoundNetwork | None) -> list[str]:
    """Return what the config is about."""
    from gpex_bench.cli.starting.networks import FILL_IN
    from gpex_bench.contract.offers import contents

    lines = []
    if data is not None:
        where = next(iter(data.settings.values()))
        what = "" if data.data is None else f", {contents(data.data)[0]}"
        lines = [f"data: {where}{what}"]
        lines += [f"  {note}" for note in data.notes]
    if network is not None:
        lines.append(f"network: {network.build}, weights: {network.weights or 'none'}")
        gaps = [key for key, value in network.arguments.items() if value == FILL_IN]
        if gaps:
            lines.append(f"  fill in the arguments {', '.join(gaps)}")
    return lines
