"""A crash, a hang and a memory leak become results."""

import faulthandler
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from gpex_bench.contract import isolation


def fail():
    raise ValueError("no\nluck")


def crash():
    faulthandler.disable()  # pytest's dump of all threads is not wanted here
    os.kill(os.getpid(), signal.SIGSEGV)


def out_of_memory():
    os.kill(os.getpid(), signal.SIGKILL)  # what the kernel does to a process that takes too much


def unavailable():
    import a_package_that_does_not_exist  # noqa: F401


def allocate():
    raise MemoryError("64 GiB")


@pytest.mark.parametrize(
    ("function", "status", "reason"),
    [
        (fail, "failed", "ValueError: no luck"),
        (crash, "failed", "SIGSEGV"),
        (out_of_memory, "memory", "SIGKILL"),
        (allocate, "memory", "64 GiB"),
        (unavailable, "unavailable", "a_package_that_does_not_exist"),
        (lambda: os._exit(3), "failed", "exit code 3"),
        (lambda: (_ for _ in ()).throw(SystemExit(2)), "failed", "SystemExit"),
    ],
    ids=["raises", "segfault", "killed", "memory", "import", "exits", "sys.exit"],
)
def test_failures_are_outcomes(function, status, reason):
    outcome = isolation.run(function, 20.0)
    assert (outcome.status, outcome.value) == (status, None)
    assert reason in outcome.reason
    assert "\n" not in outcome.reason


class Fatal(ValueError):
    """An error that ends the job."""


class MoreFatal(Fatal):
    """A kind of it."""


def test_a_fatal_error_is_raised_with_its_class():
    def break_down():
        raise MoreFatal("what to do")

    with pytest.raises(MoreFatal, match="what to do"):
        isolation.run(break_down, 20.0, fatal=(Fatal,))
    assert isolation.run(break_down, 20.0).status == "failed"
    assert isolation.run(fail, 20.0, fatal=(Fatal,)).status == "failed"


def test_a_hang_is_ended():
    start = time.perf_counter()
    outcome = isolation.run(lambda: time.sleep(60), 0.5)
    assert outcome.status == "timeout"
    assert "explain.timeout_s = 0.5" in outcome.reason
    assert time.perf_counter() - start < 20


def test_without_a_limit_it_may_take_its_time():
    assert isolation.run(lambda: time.sleep(0.3), None).status == "ok"


def test_an_interrupted_parent_does_not_wait_for_the_child(tmp_path):
    note = tmp_path / "child"
    script = (
        "import os, signal, time; from pathlib import Path; "
        # a shell's background jobs ignore it
        "signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from gpex_bench.contract import isolation; "
        f"note = Path({str(note)!r}); "
        "isolation.run(lambda: (note.write_text(str(os.getpid())), time.sleep(300)), None)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    # imports start processes too: the child is the one that leaves a note
    until = time.monotonic() + 120
    while time.monotonic() < until and not note.is_file():
        time.sleep(0.1)
    time.sleep(0.5)
    child = note.read_text()
    assert child
    parent.send_signal(
        signal.SIGINT
    )  # what Ctrl-C is; the child has a session of its own and does not get it
    parent.wait(100)  # on a busy machine it takes a while, but not as long as the child

    # the kernel ends the child of a parent that is gone; on a busy machine that takes a moment
    gone_by = time.monotonic() + 15
    while time.monotonic() < gone_by and Path(f"/proc/{child}").exists():
        time.sleep(0.1)
    assert not Path(f"/proc/{child}").exists()


def test_values_and_memory_come_back():
    size = 200 * 2**20
    outcome = isolation.run(lambda: (np.ones(size, dtype=np.uint8)[:3], os.getpid()), 60.0)
    values, pid = outcome.value
    assert outcome.status == "ok"
    assert values.tolist() == [1, 1, 1]
    assert pid != os.getpid()
    assert 0.8 * size < outcome.peak_bytes < 1.5 * size


def test_the_traceback_is_kept():
    assert "in fail" in isolation.run(fail, 20.0).trace


def test_more_than_one_thread_in_the_parent_does_not_hang_the_child():
    def convolve():
        return (
            torch.nn.functional.conv2d(torch.ones(16, 8, 64, 64), torch.ones(8, 8, 3, 3))
            .sum()
            .item()
        )

    torch.set_num_threads(2)
    try:
        convolve()
        outcome = isolation.run(convolve, 30.0)
    finally:
        torch.set_num_threads(1)
    assert outcome.status == "ok", outcome.reason


def test_nothing_that_a_child_starts_outlives_it():
    def linger():
        threading.Thread(target=time.sleep, args=(60,)).start()
        return subprocess.Popen(["sleep", "60"]).pid

    start = time.perf_counter()
    outcome = isolation.run(linger, 20.0)
    assert time.perf_counter() - start < 15
    assert outcome.status == "ok"
    time.sleep(0.2)
    status = Path(f"/proc/{outcome.value}/status")
    assert not status.exists() or "State:\tZ" in status.read_text()


def test_a_child_that_dies_while_it_sends_is_an_outcome():
    class Deadly:
        def __reduce__(self):
            os.kill(os.getpid(), signal.SIGKILL)

    assert isolation.run(Deadly, 20.0).status == "memory"
