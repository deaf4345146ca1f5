"""Runs a function in a forked child, so that a crash, a hang or a memory leak is a result.

A fork costs about 20 ms, because the parent has imported everything already; the parent must not
have touched CUDA.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import resource
import signal
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import torch

from gpex_bench.types.demands import Refused

PR_SET_PDEATHSIG = 1
OK, FAILED, TIMEOUT, MEMORY, UNAVAILABLE = "ok", "failed", "timeout", "memory", "unavailable"
NOT_APPLICABLE = "not_applicable"  # the function refused its input, which is no failure
UNSOUND = "unsound"  # there is a value, and it breaks the promise of what made it


@dataclass(frozen=True)
class Outcome:
    """What became of a call: its value, or why there is none."""

    status: str  # ok, not_applicable, failed, timeout, memory, unavailable; a stage may add others
    value: Any = None  # what the function returned; must survive pickling
    reason: str = ""  # one line
    trace: str = ""  # the end of the traceback
    wall_seconds: float = 0.0
    peak_bytes: int = 0  # growth of the child's resident memory above the parent's at the fork


def _resident() -> int:
    """Return this process's resident memory in bytes (0 where /proc is missing)."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except OSError:
        return 0


def failure(error: BaseException) -> Outcome:
    """Return the outcome of an error that was raised, with its message in one line.

    What was refused reads as its message alone: it is a statement, and no fault of the code.
    """
    message = " ".join(str(error).split()) or "no message"
    if isinstance(error, Refused):
        return Outcome(NOT_APPLICABLE, reason=message[:500])

    status = FAILED
    if isinstance(error, MemoryError):
        status = MEMORY
    elif isinstance(error, ImportError):
        status = UNAVAILABLE

    reason = f"{type(error).__name__}: {message}"
    trace = "".join(traceback.format_exception(error)[-6:])
    return Outcome(status, reason=reason[:500], trace=trace[-4000:])


def _child(
    function: Callable[[], Any], fatal: tuple[type[Exception], ...], pipe: Connection
) -> None:
    """Call the function and send its outcome to the parent, or the error if it is fatal."""
    os.setsid()  # a group of its own, so that nothing it starts outlives it
    with suppress(OSError, AttributeError):  # Linux: end with the parent, however that ends
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    # The threads of the parent do not exist here; waiting for them would take forever.
    torch.set_num_threads(1)
    start, before = time.perf_counter(), _resident()
    try:
        outcome = Outcome(OK, function())
    except fatal as error:
        pipe.send(error)
        pipe.close()
        return
    except BaseException as error:
        outcome = failure(error)

    wall = time.perf_counter() - start
    peak = max(0, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before)
    pipe.send(Outcome(outcome.status, outcome.value, outcome.reason, outcome.trace, wall, peak))
    pipe.close()


def run(
    function: Callable[[], Any],
    timeout_seconds: float | None,
    *,
    fatal: tuple[type[Exception], ...] = (),
) -> Outcome:
    """Call a function in a forked child.

    Args:
        function: takes nothing; its value must survive pickling.
        timeout_seconds: the child is killed after this long; None waits for as long as it takes.
        fatal: errors that are no outcome of the function. They are raised here, so they must
            survive pickling.

    Returns:
        The outcome. A child that dies of SIGKILL counts as out of memory, because that is how the
        kernel ends a process that takes too much.

    Raises:
        Exception: the function raised one of the `fatal` errors; no other fault of it raises here.
    """
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_child, args=(function, fatal, sender))
    start = time.perf_counter()
    try:
        child.start()
        sender.close()
        try:
            outcome = receiver.recv() if receiver.poll(timeout_seconds) else None
        except (EOFError, OSError):  # it died before or while it sent its outcome
            child.join()
            code = child.exitcode or 0
            name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            status = MEMORY if name == "SIGKILL" else FAILED
            reason, seconds = f"the process died: {name}", time.perf_counter() - start
            outcome = Outcome(status, reason=reason, wall_seconds=seconds)
    finally:  # also when the parent is interrupted, which would otherwise wait for the child
        receiver.close()
        if child.pid is not None:
            _end(child)

    if isinstance(outcome, Exception):
        raise outcome
    if outcome is None:
        reason = f"took longer than explain.timeout_s = {timeout_seconds:g} seconds"
        outcome = Outcome(TIMEOUT, reason=reason, wall_seconds=timeout_seconds or 0.0)
    return outcome


def _end(child: BaseProcess) -> None:
    """End the child and everything it started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid or 0, signal.SIGKILL)
    child.join()
