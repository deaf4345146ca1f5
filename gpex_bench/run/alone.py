"""Makes a run in a process of its own, without Snakemake.

The process starts fresh with one thread for each job, as the jobs of the workflow do: what the
process that asks for the run has imported, drawn or put on a GPU changes no number, and forks are
safe. It gets the run on its standard input and says what it does in lines of JSON. Every chain of
jobs runs in a fork; what is there from an earlier attempt at the same run is not made again.
"""

from __future__ import annotations

import ctypes
import json
import os
import pickle
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import connection, get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, BinaryIO

from gpex_bench import config
from gpex_bench.run import artefacts
from gpex_bench.run.orders import Order
from gpex_bench.run.schedule import Chain, Schedule

LOG = "logs/evaluate.log"
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
# see `names.smk`: memory that comes and goes with every batch stays with the process
MEMORY = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_")
DEATH = 1  # PR_SET_PDEATHSIG of Linux
Say = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True)
class Request:
    """What is to be run, in what can be sent to another process."""

    written: Mapping[str, Any]  # a config, as `config.parse` takes it
    objects: Mapping[str, Mapping[str, Any]]  # plug-ins that the config names without a file
    folder: Path
    command: str
    cores: int

    def schedule(self) -> Schedule:
        """Return the jobs of the run; raises ConfigError."""
        checked = config.parse(self.written, self.objects)
        return Schedule(checked, self.folder, self.written, self.command)


class Failed(Exception):
    """A job failed, which ends the run."""


def make(request: Request, say: Say) -> None:
    """Make a run.

    Args:
        request: what is to be run.
        say: gets {"total": jobs} at first, and {"made": name} for each job.

    Raises:
        Failed: a job failed, or the network cannot be used.
    """
    steps = request.schedule().steps()
    say({"total": sum(len(chain) for chains in steps for chain in chains)})

    for chains in steps:
        for made in _together(chains, request.cores):
            say({"made": made})
        for chain in chains:
            _check_networks(chain)


def is_made(order: Order) -> bool:
    """Return whether all files of a job are there; each is whole, or not there at all."""
    if order.rule in ("aggregate", "draw", "report"):
        return False  # quick, and their folders do not say whether they are whole
    files = [file for named in order.outputs.values() for file in named]
    return all(file.is_file() and artefacts.sidecar(file).is_file() for file in files)


def name_of(order: Order) -> str:
    """Return what progress calls a job: "explain lrp", "report"."""
    own = [order.wildcards[key] for key in ("surrogate", "method") if key in order.wildcards]
    return " ".join([order.rule, *own])


def _check_networks(chain: Chain) -> None:
    """Raise Failed for a network that cannot be used: nothing would be computed from it."""
    for order in chain:
        if order.rule != "train":
            continue
        (path,) = order.outputs["network"]
        _, note = artefacts.read_tensors(path)
        if note.get("status", "ok") != "ok":
            artefacts.sidecar(path).unlink()
            path.unlink()
            raise Failed(f"The network cannot be used: {note['reason']}")


# --- forks ----------------------------------------------------------------------------------------


def _together(chains: list[Chain], cores: int) -> Iterator[str]:
    """Make chains, some at a time; yield the name of each job when it is made.

    Raises:
        Failed: one of them failed; the others are ended.
    """
    waiting = list(reversed(chains))
    running: dict[Any, Any] = {}  # forks by the pipes that they send through
    try:
        while waiting or running:
            while waiting and len(running) < cores:
                receiver, process = _started(waiting.pop())
                running[receiver] = process

            for pipe in connection.wait(list(running)):
                message = _received(pipe)
                if message is None:
                    _check_exit(running.pop(pipe))
                elif message.startswith("!"):
                    raise Failed(message[1:])
                else:
                    yield message
    finally:
        for process in running.values():
            process.kill()
            process.join()


def _started(chain: Chain) -> tuple[Connection, Any]:
    """Return a pipe from a new fork that makes a chain, and the fork."""
    context = get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_carry_out, args=(chain, sender))
    process.start()
    sender.close()
    return receiver, process


def _received(pipe: Any) -> str | None:
    """Return the next message of a fork, or None at its end."""
    try:
        return str(pipe.recv())
    except EOFError:
        return None


def _check_exit(process: Any) -> None:
    """Raise Failed for a fork that died."""
    process.join()
    if process.exitcode:
        code = process.exitcode
        name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        hint = "; it may have had too little memory: use fewer cores" if name == "SIGKILL" else ""
        raise Failed(f"A job died: {name}{hint}.")


def _carry_out(chain: Chain, pipe: Connection) -> None:
    """Make the jobs of a chain; say which were made, or which failed and why."""
    from gpex_bench.run import dispatch

    _end_with_parent()
    for order in chain:
        try:
            if not is_made(order):
                dispatch.set_up_logging([_log_of(order)])
                dispatch.carry_out(order)
        except Exception as error:
            pipe.send(f"!{name_of(order)}: {type(error).__name__}: {error}")
            return
        pipe.send(name_of(order))


def _log_of(order: Order) -> str:
    """Return the log file of a job, where its rule has it; its folder is made."""
    parts = [f"seed-{part}" if key == "seed" else part for key, part in order.wildcards.items()]
    path = order.folder.joinpath("logs", order.rule, *parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    return f"{path}.log"


def _end_with_parent() -> None:
    """End this process when the one that started it ends (Linux)."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(DEATH, signal.SIGKILL)


# --- the process ----------------------------------------------------------------------------------


def main(answers: BinaryIO) -> None:
    """Make the run that comes on the standard input; every line of the answers is JSON.

    It ends when nobody reads the answers any more: the other process has ended then.
    """

    def say(message: Mapping[str, Any]) -> None:
        answers.write(json.dumps(message).encode() + b"\n")
        answers.flush()

    try:
        import torch

        from gpex_bench.plugins.registry import KINDS, plugins

        torch.set_num_threads(1)
        for kind in KINDS:
            plugins(kind)  # objects of their classes may be in the request

        _import_what_jobs_use()
        make(pickle.load(sys.stdin.buffer), say)
    except Failed as failure:
        say({"failed": str(failure)})
    except Exception as error:
        say({"failed": f"{type(error).__name__}: {error}"})
        raise
    else:
        say({"finished": True})


def _import_what_jobs_use() -> None:
    """Import what the forks then need not import again."""
    import scipy.stats  # noqa: F401

    from gpex_bench.run import aggregate, cells, pages  # noqa: F401
    from gpex_bench.stages import agree, explain, fit, score  # noqa: F401


def environment() -> dict[str, str]:
    """Return the environment of the process: that of this one, with a thread for each job."""
    folders = [folder or os.getcwd() for folder in sys.path]
    threads = dict.fromkeys(THREADS, "1")
    memory = dict.fromkeys(MEMORY, str(100 * 2**20))
    return {**memory, **os.environ, **threads, "PYTHONPATH": os.pathsep.join(folders)}


if __name__ == "__main__":
    # Under its own name, so that the request's class is the one that the other process sent.
    from gpex_bench.run import alone

    with os.fdopen(int(sys.argv[1]), "wb") as pipe:
        alone.main(pipe)
