"""An evaluation in a process of its own: its folder, what is sent to it, how it is waited for."""

from __future__ import annotations

import atexit
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import cloudpickle

from gpex_bench.library.runs import Run, read_marker, write_marker
from gpex_bench.run.alone import LOG, Request, environment

LOCK = ".evaluate.lock"
PATIENCE = 5.0  # seconds that the processes of a cancelled evaluation have to end


def start(request: Request, overwrite: bool, is_shown: bool) -> Run:
    """Return a run that is being made, or that was finished before."""
    identity = identity_of(request)
    run = Run(request.folder, str(request.written["headline"]))
    _check_folder(request.folder, identity, overwrite)
    if run.is_done:
        return run

    content = _packed(request)
    write_marker(request.folder, evaluation=identity, finished=False)

    log = request.folder / LOG
    log.parent.mkdir(parents=True, exist_ok=True)
    reader, writer = os.pipe()

    # Held by the process, so that no other one writes here.
    lock = os.open(request.folder / LOCK, os.O_CREAT | os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    with log.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "gpex_bench.run.alone", str(writer)],
            stdin=subprocess.PIPE,
            stdout=errors,
            stderr=errors,
            env=environment(),
            pass_fds=[writer, lock],  # the lock is held until the process ends
            start_new_session=True,
        )
    os.close(writer)
    os.close(lock)

    atexit.register(run.cancel)
    run.follow(process, os.fdopen(reader), is_shown)
    _send(process, content)
    return run


def _send(process: subprocess.Popen[bytes], content: bytes) -> None:
    """Send the request; a process that died says so in its log."""
    if process.stdin is None:
        return
    try:
        process.stdin.write(content)
        process.stdin.close()
    except BrokenPipeError:
        return


def waited(run: Run) -> Run:
    """Return a run when it is done; one that is interrupted ends."""
    try:
        return run.wait()
    except KeyboardInterrupt:
        run.cancel()
        raise


def _packed(request: Request) -> bytes:
    """Return the request as bytes; classes of a notebook or a script go along.

    Raises:
        ValueError: something in the network cannot be sent to another process.
    """
    modules = _not_importable(request)
    try:
        for module in modules:
            cloudpickle.register_pickle_by_value(module)
        content: bytes = cloudpickle.dumps(request)
    except Exception as error:
        raise ValueError(
            f"network cannot be sent to the process of the evaluation ({type(error).__name__}: "
            f"{error}); leave out what holds open files, locks or compiled code, such as "
            "torch.compile, before you wrap it."
        ) from error
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)
    return content


def _not_importable(request: Request) -> list[ModuleType]:
    """Return the modules of what people brought that another process cannot import by name.

    Such as those of a file that was loaded by its path. Of `__main__` this is known anyway, and
    plug-ins are found there as here.
    """
    (given,) = request.objects["model"].values()
    brought: list[Any] = list(given.model.modules())
    for kind in ("method", "metric", "surrogate"):
        brought += request.objects[kind].values()

    names = {type(part).__module__ for part in brought}
    others = [name for name in sorted(names) if not name.startswith(("gpex_bench", "__main__"))]
    loaded = [name for name in others if name in sys.modules]
    return [sys.modules[name] for name in loaded if not _is_found(name)]


def _is_found(name: str) -> bool:
    """Return whether a module is found by its name, in the file that it was loaded from."""
    parent, _, _ = name.rpartition(".")
    path = getattr(sys.modules[parent], "__path__", ()) if parent in sys.modules else None

    loaded = getattr(sys.modules[name], "__file__", None)
    for finder in sys.meta_path:
        spec = finder.find_spec(name, path)
        if spec is not None:
            return spec.origin == loaded
    return False


def identity_of(request: Request) -> str:
    """Return a hash of all that the results depend on: content, settings, and our code."""
    steps = request.schedule().steps()
    jobs = [
        [order.rule, dict(order.wildcards), {**order.params, "command": ""}]
        for chains in steps
        for chain in chains
        for order in chain
    ]
    return hashlib.sha256(json.dumps(jobs, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _check_folder(folder: Path, identity: str, overwrite: bool) -> None:
    """Check that a folder is free, or has this evaluation; remove another one if asked to.

    Raises:
        ValueError: it has something else, or is being written.
    """
    if not folder.exists() or not any(folder.iterdir()):
        return

    marker = read_marker(folder)
    if marker is None:
        raise ValueError(
            f"folder {folder} has files that are no evaluation of this kind; give another folder."
        )
    if _stays_locked(folder):
        raise ValueError(f"folder {folder} is being written by an evaluation; wait or cancel it.")
    if marker.get("evaluation") == identity:
        return
    if not overwrite:
        raise ValueError(
            f"folder {folder} has another evaluation: of other data, another network, other "
            "settings or an earlier version of the code; give another folder, or overwrite=True."
        )
    shutil.rmtree(folder)


def _stays_locked(folder: Path) -> bool:
    """Return whether a process goes on writing into a folder; a cancelled one ends soon."""
    last = time.monotonic() + PATIENCE
    while _is_locked(folder):
        if time.monotonic() > last:
            return True
        time.sleep(0.1)
    return False


def _is_locked(folder: Path) -> bool:
    """Return whether a process is writing into a folder."""
    if not (folder / LOCK).is_file():
        return False
    handle = os.open(folder / LOCK, os.O_RDWR)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False
