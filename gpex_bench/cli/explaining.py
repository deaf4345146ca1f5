"""`gpex-bench explain`: maps of some inputs, as files and pictures."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gpex_bench.cli import configs

if TYPE_CHECKING:
    from gpex_bench.cli.networks import Ready
    from gpex_bench.library.results import Maps, Neighbours

ARRAYS = (".npy", ".npz", ".safetensors")
N_LISTED = 12  # inputs whose output is named
PICTURES = (".png", ".svg", ".pdf")


Method = Annotated[
    str, typer.Option(metavar="NAME", help="Run id of the config, or any method of the suite.")
]
Images = Annotated[
    list[Path] | None,
    typer.Option(metavar="FILE", help="An image to explain; may be given several times."),
]
Rows = Annotated[Path | None, typer.Option(metavar="FILE.csv", help="Rows of a table to explain.")]
Target = Annotated[
    str | None,
    typer.Option(
        metavar="CLASS", help="Output to explain, by name or number; otherwise the largest."
    ),
]
Out = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FILES",
        help="Files to write: .npy (values), .npz or .safetensors (as `precomputed` reads them), "
        ".png, .svg or .pdf (a picture).",
    ),
]
MoreFiles = Annotated[list[Path] | None, typer.Argument(metavar="FILES", hidden=True)]


def explain(  # noqa: PLR0913 - options of a command
    more: MoreFiles = None,
    *,
    config: Annotated[str, configs.CONFIG],
    method: Method,
    network: Annotated[str | None, configs.NETWORK] = None,
    image: Images = None,
    rows: Rows = None,
    samples: Annotated[str | None, configs.SAMPLES] = None,
    target: Target = None,
    seed: Annotated[int | None, configs.SEED] = None,
    out: Out = None,
) -> None:
    """Explain images, rows of a table, or test samples with one method.

    The network is a given one, or one that a run of the config has trained. Positive values are
    evidence for the explained output.

    Examples:
      gpex-bench explain -c mine.yaml --method lrp --image cat.png --out cat.npy cat.png
      gpex-bench explain -c mine.yaml --method lime --samples 3,17 --out two.npz two.png
      gpex-bench explain -c fair.yaml --method kernel_shap --rows new.csv --out new.npy
      gpex-bench explain -c mine.yaml --method lrp --samples drawn --out lrp.npz
    """
    files = [*(out or []), *(more or [])]
    _check_files(files, is_of_dataset=samples is not None)
    asked = [
        name for name, given in (("image", image), ("rows", rows), ("samples", samples)) if given
    ]
    if len(asked) != 1:
        got = " and ".join(asked) or "none"
        raise ValueError(f"explain needs one of --image, --rows and --samples, got {got}.")

    from gpex_bench.cli.inputs import images, table
    from gpex_bench.cli.networks import ready

    one = ready(configs.found(config), network, seed)
    if image:
        x: Any = images(image, one.data, one.source)
    elif rows is not None:
        x = table(rows, one.data, one.source)
    else:
        x = one.rows(str(samples))

    found = _explained(one, x, method, target)
    typer.echo(f"{one.name}: {found}")
    typer.echo(f"  explained: {_named(found)}")
    for file in files:
        _write(found, file)
        typer.echo(f"{file} is written.")


def _named(found: Maps | Neighbours) -> str:
    """Return which output of each input is explained."""
    from gpex_bench.library.results import named

    samples = found.sample.reshape(-1).tolist()
    targets = found.target.reshape(-1).tolist()
    listed = []
    for sample, target in list(zip(samples, targets, strict=True))[:N_LISTED]:
        listed.append(f"{sample}: {named(found.made.task, target)}")
    return ", ".join(listed) + (", ..." if len(samples) > N_LISTED else "")


def _check_files(files: list[Path], is_of_dataset: bool) -> None:
    """Raise ValueError for files that cannot be written, before anything is computed."""
    for file in files:
        if file.suffix not in (*ARRAYS, *PICTURES):
            known = ", ".join((*ARRAYS, *PICTURES))
            raise ValueError(f"--out must end with one of {known}, got {file}.")
        if not file.parent.is_dir():
            raise ValueError(f"--out: there is no folder {file.parent} for {file.name}; make it.")
        if file.suffix in ARRAYS[1:] and not is_of_dataset:
            raise ValueError(
                f"--out: {file} would hold maps by the samples of the dataset, which --image and "
                "--rows are not; write a .npy."
            )


def _explained(one: Ready, x: Any, method: str, target: str | None) -> Maps | Neighbours:
    """Return the explanation by a method of the config, or of the suite."""
    from gpex_bench.library.explaining import UnsoundMaps
    from gpex_bench.library.explaining import explain as explained
    from gpex_bench.types import Split

    explainer = one.method(method)
    surrogate = None
    if explainer.surrogate is not None:
        surrogate = one.surrogate(explainer.surrogate, x.x if isinstance(x, Split) else x)
    with warnings.catch_warnings():
        # what the maps say of themselves is printed
        warnings.simplefilter("ignore", UnsoundMaps)
        return explained(
            one.model,
            x,
            explainer,
            target=_numbered(target),
            data=one.data,
            surrogate=surrogate,
            seed=one.seed,
        )


def _numbered(target: str | None) -> str | int | None:
    """Return a target as a number where it is one."""
    return int(target) if target is not None and target.isdigit() else target


def _write(found: Maps | Neighbours, file: Path) -> None:
    """Write an explanation to a file.

    Raises:
        ValueError: training samples have no values.
    """
    import numpy as np

    from gpex_bench.library.results import Maps

    if file.suffix in PICTURES:
        found.plot(len(found)).savefig(file)
    elif not isinstance(found, Maps):
        raise ValueError(f"--out: {found.made.method} gives training samples; write a picture.")
    elif file.suffix == ".npy":
        np.save(file, found.numpy())
    else:
        found.save(file)
