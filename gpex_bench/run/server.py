"""Runs jobs in forks of one process that has imported everything: imports cost more than most jobs.

`start` is called when a workflow starts. Each job's script connects to the server, passes it its
standard streams, environment and arguments, and waits for the exit code of the fork. Where no
server can be reached (another machine, a system without Unix sockets) the script runs the job
itself. The fork ends with its script, and the server with the workflow.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import pickle
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

ADDRESS = "GPEX_BENCH_JOB_SERVER"  # environment variable: path of the server's socket
SIZE = 8  # bytes of the length of a message
# Signals that the server ignores: the workflow may wait for its jobs, and the server ends with it.
IGNORED = (signal.SIGINT, signal.SIGTERM)
PATIENCE = 30.0  # seconds a script may take to send its job
# Of the suite, and packages that take long: torchvision (in residual networks) takes two seconds.
IMPORTED = (
    "gpex_bench.run.aggregate",
    "gpex_bench.run.cells",
    "gpex_bench.stages.agree",
    "gpex_bench.stages.explain",
    "gpex_bench.stages.fit",
    "gpex_bench.stages.score",
    "gpex_bench.models.blocks.residual",
    "captum.attr",
    "gpytorch",
    "scipy.stats",
    "skimage.segmentation",
    "sklearn.metrics",
)
SECOND = 1.0  # how often the server looks whether the workflow is still there


def start() -> None:
    """Start the server of a workflow, if the system supports it; jobs may connect at once."""
    if not hasattr(socket, "send_fds") or not hasattr(os, "fork"):
        return
    path = Path(tempfile.mkdtemp(prefix="gpex-bench-")) / "jobs"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(64)
    os.environ[ADDRESS] = str(path)
    command = [
        sys.executable,
        "-m",
        "gpex_bench.run.server",
        str(listener.fileno()),
        str(os.getpid()),
    ]
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    subprocess.Popen(command, pass_fds=[listener.fileno()], env=environment)
    listener.close()


def run(snakemake: Any) -> None:
    """Run a job on the server, or here without one; exits with the job's code if it is not 0."""
    path = os.environ.get(ADDRESS)
    if path is not None:
        with (
            suppress(ConnectionRefusedError, FileNotFoundError),
            socket.socket(socket.AF_UNIX) as server,
        ):
            server.connect(path)
            socket.send_fds(server, [b"-"], [0, 1, 2])
            message = pickle.dumps((os.getcwd(), dict(os.environ), sys.path, snakemake))
            server.sendall(len(message).to_bytes(SIZE, "big") + message)
            answer = server.recv(1)
            if answer != b"\0":
                sys.exit(answer[0] if answer else 1)
            return
    from gpex_bench.run import dispatch

    dispatch.run(snakemake)


def import_once() -> None:
    """Import what most jobs use, so that no fork has to."""
    for name in IMPORTED:
        with suppress(ImportError):
            importlib.import_module(name)

    from gpex_bench.plugins.registry import KINDS, plugins

    for kind in KINDS:
        plugins(kind)


def serve(listener: socket.socket, parent: int) -> None:
    """Fork for every job that connects, until the workflow (process `parent`) has ended."""
    # by the end of a pipe that closes when the fork has ended
    running: dict[int, tuple[socket.socket, int]] = {}
    with selectors.DefaultSelector() as ready:
        ready.register(listener, selectors.EVENT_READ, "new")
        while os.getppid() == parent:
            for key, _ in ready.select(SECOND):
                if key.data == "new":
                    script, _ = listener.accept()
                    try:
                        job, streams = _receive_job(script)
                    except (OSError, EOFError):
                        # a script that ended before it had sent its job
                        script.close()
                        continue
                    pipe, pid = _fork(job, streams, (listener, script))
                    for stream in streams:
                        os.close(stream)
                    running[pipe] = (script, pid)
                    ready.register(pipe, selectors.EVENT_READ, "done")
                    ready.register(script, selectors.EVENT_READ, pid)
                elif key.data == "done":
                    pipe = key.fd
                    script, pid = running.pop(pipe)
                    for file in (pipe, script):
                        with suppress(KeyError):
                            ready.unregister(file)
                    os.close(pipe)
                    _answer(script, pid)
                else:  # the script has ended, and so must the fork
                    ready.unregister(key.fileobj)
                    _kill(key.data)
    for _, pid in running.values():
        _kill(pid)


def _receive_job(script: socket.socket) -> tuple[bytes, list[int]]:
    """Return the job that a script sends, and its streams; raises OSError or EOFError."""
    script.settimeout(PATIENCE)
    _, streams, _, _ = socket.recv_fds(script, 1, 3)
    return _receive(script, int.from_bytes(_receive(script, SIZE), "big")), streams


def _fork(job: bytes, streams: Sequence[int], sockets: Sequence[socket.socket]) -> tuple[int, int]:
    """Return the end of a pipe that closes when the fork ends, and the fork's process id."""
    done, alive = os.pipe()
    pid = os.fork()
    if pid:
        os.close(alive)
        return done, pid
    code = 1
    try:
        os.close(done)
        for other in sockets:
            other.close()
        code = _job(job, streams)
    finally:
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _job(job: bytes, streams: Sequence[int]) -> int:
    """Run the job that a script asks for, as if it ran in the script; return its exit code."""
    os.setsid()  # a group of its own, so that nothing it starts outlives it
    for number in IGNORED:
        signal.signal(number, signal.SIG_DFL)
    with suppress(OSError, AttributeError):  # Linux: end with the server, however that ends
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    for target, stream in enumerate(streams):
        os.dup2(stream, target)
        os.close(stream)
    folder, environment, path, snakemake = pickle.loads(job)
    os.chdir(folder)
    _take(environment)
    sys.path[:] = path
    from gpex_bench.run import dispatch

    try:
        dispatch.run(snakemake)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        return 1
    return 0


def _take(environment: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)


def _receive(script: socket.socket, n_bytes: int) -> bytes:
    """Return the next bytes of a message; raises EOFError if the script ends before."""
    parts = bytearray()
    while len(parts) < n_bytes:
        part = script.recv(min(n_bytes - len(parts), 1 << 20))
        if not part:
            raise EOFError("The script ended before it sent its job; start Snakemake again.")
        parts += part
    return bytes(parts)


def _answer(script: socket.socket, pid: int) -> None:
    """Send a script the exit code of its job; a job that was killed counts as failed."""
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with suppress(OSError):
        script.sendall(bytes([status if 0 <= status < 256 else 1]))
    script.close()


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


if __name__ == "__main__":
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    with socket.socket(fileno=int(sys.argv[1])) as socket_of_jobs:
        import_once()
        address = Path(socket_of_jobs.getsockname())
        serve(socket_of_jobs, int(sys.argv[2]))
    address.unlink()
    address.parent.rmdir()
