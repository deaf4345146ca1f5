"""Where a number comes from: content hashes of code and files, versions, hardware."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from gpex_bench.plugins import imports
from gpex_bench.plugins.homes import ROOT, Home, portable, without_folders
from gpex_bench.plugins.imports import closure

PACKAGES = (
    "torch",
    "torchvision",
    "numpy",
    "scipy",
    "gpytorch",
    "linear_operator",
    "laplace-torch",
    "captum",
    "zennit",
    "lime",
    "SALib",
    "scikit-learn",
    "scikit-image",
    "mlxtend",
    "pillow",
)


def sha256(path: Path) -> str:
    """Return the hex SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# A workflow asks for hundreds of fingerprints, whose files are mostly the same: each source file
# is parsed and hashed once in the life of a process.
@cache
def _digest_line(path: Path, home: Home) -> bytes:
    """Return the name of a source file and the hash of its content."""
    return f"{home.label(path)}\0{sha256(path)}\n".encode()


def _files(paths: Iterable[Path]) -> frozenset[tuple[Path, Home]]:
    """Return source files and all they import of their homes and of this package."""
    # links are kept: a file belongs to the folder that it is listed in
    closures = [closure(Path(os.path.abspath(path))) for path in paths]
    return frozenset().union(*closures)


def sources(*paths: Path) -> list[Path]:
    """Return these source files and all they import of their own homes and of this package.

    A home is a folder of drop-ins, an installed package, or this package.
    """
    return sorted({path for path, _ in _files(paths)}, key=str)


@cache
def fingerprint(*paths: Path) -> str:
    """Return a hash of the content of these source files and of all they import, as `sources`.

    Snakemake does not see edits in imported modules, so rules carry this as a parameter. It does
    not depend on where the suite is installed, or on where a folder of drop-ins lies.
    """
    digest = hashlib.sha256()
    for line in sorted(_digest_line(path, home) for path, home in _files(paths)):
        digest.update(line)
    return digest.hexdigest()[:16]


def forget() -> None:
    """Forget the content of source files, so that it is read again."""
    imports.forget()
    _digest_line.cache_clear()
    fingerprint.cache_clear()


# --- files of users ---


def content(reads: Iterable[str]) -> dict[str, str]:
    """Return a hash of the content of each file or folder, by its path as written.

    Of a folder the names and contents of all its files count, but for hidden ones; of a Python file
    what it imports counts too. Dates and permissions do not.

    Args:
        reads: `Source.reads` and the like; the working folder is what they are relative to.

    Raises:
        ValueError: a file cannot be read; names it.
    """
    return {name: _content(name) for name in reads}


def _content(name: str) -> str:
    """Return the hash of one file or folder."""
    path = Path(name).expanduser()
    try:
        if path.is_dir():
            return _of_folder(path)
        return fingerprint(path) if path.suffix == ".py" else _of_file(path)
    except OSError as error:
        raise ValueError(f"{name} cannot be read ({error.strerror}); put it there.") from error


def _of_folder(folder: Path) -> str:
    """Return the hash of the names and contents of the files of a folder."""
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        is_hidden = any(part.startswith((".", "__pycache__")) for part in inside.parts)
        if path.is_file() and not is_hidden:
            line = f"{inside.as_posix()}\0{_of_file(path)}\n"
            total.update(line.encode())
    return total.hexdigest()


def _of_file(path: Path) -> str:
    """Return the hash of a file, which is read once in the life of a process unless it changes."""
    state = path.stat()
    return _of_version(path.resolve(), state.st_size, state.st_mtime_ns)


@cache
def _of_version(path: Path, size: int, changed: int) -> str:
    """Return the hash of a file that has this size and this time of its last change."""
    return sha256(path)


def described(settings: Any) -> str:
    """Return settings and the content of what they read as text, without folders of this machine.

    Equal texts mean equal results: it is a parameter of the workflow's rules.
    """
    reads = getattr(settings, "reads", ())
    text = without_folders(repr(settings), reads)
    found = {portable(name): _content(name) for name in reads}
    return f"{text} reads {dict(sorted(found.items()))}" if found else text


# --- this machine ---


def commit() -> dict[str, str | bool | None]:
    """Return the git commit of a checkout and whether tracked files differ from it; else None."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(ROOT), *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=30
        ).stdout.strip()

    # the suite may be installed inside the repository of another project
    if not (ROOT / ".git").exists():
        return {"commit": None, "dirty": None}
    try:
        dirty = bool(git("status", "--porcelain", "--untracked-files=no"))
        return {"commit": git("rev-parse", "HEAD"), "dirty": dirty}
    except (OSError, subprocess.SubprocessError):
        return {"commit": None, "dirty": None}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")),
        "unknown",
    )


@cache
def environment() -> dict[str, str | int]:
    """Return the versions and the hardware that can change a number; no host name, no path."""

    def of(package: str) -> str:
        try:
            return version(package)
        except PackageNotFoundError:
            return "not installed"

    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count() or 0,
        **{package: of(package) for package in PACKAGES},
    }
