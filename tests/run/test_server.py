"""The job server runs jobs as their scripts would, answers with their exit codes, and lets none outlive its script."""

import multiprocessing
import os
import signal
import socket
import sys
import time
from pathlib import Path

import pytest

from gpex_bench.run import dispatch, server

FORK = multiprocessing.get_context("fork")


def pretend(order):
    """Do what the test says in place of a job."""
    what, path = order
    if what == "say":
        Path(path).write_text(f"{os.getcwd()} {os.environ['GREETING']} {os.getpid()}")
        print("heard", flush=True)
    elif what == "fail":
        raise ValueError("it failed")
    elif what == "exit":
        sys.exit(3)
    elif what == "sleep":
        Path(path).write_text(str(os.getpid()))
        time.sleep(60)
    elif what == "die":
        os.kill(os.getpid(), signal.SIGKILL)


def serve(listener, parent):
    """Serve with the streams of a plain process, not those that pytest has put in their place."""
    sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
    server.serve(listener, parent)


@pytest.fixture
def running(tmp_path, monkeypatch):
    monkeypatch.setattr(dispatch, "run", pretend)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "jobs"))
    listener.listen(4)
    process = FORK.Process(target=serve, args=(listener, os.getpid()))
    process.start()
    listener.close()
    monkeypatch.setenv(server.ADDRESS, str(tmp_path / "jobs"))
    yield process
    process.terminate()
    process.join()


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def written(path, seconds=10.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if path.exists() and path.read_text():
            return path.read_text()
        time.sleep(0.02)
    raise AssertionError(f"{path} was not written")


def test_a_job_runs_elsewhere_with_the_scripts_folder_environment_and_streams(
    running, tmp_path, monkeypatch, capfd
):
    monkeypatch.setenv("GREETING", "something")
    monkeypatch.chdir(tmp_path)
    server.run(("say", str(tmp_path / "report")))
    folder, greeting, pid = (tmp_path / "report").read_text().split()
    assert (folder, greeting) == (str(tmp_path), "something")
    assert int(pid) not in (os.getpid(), running.pid)
    assert capfd.readouterr().out == "heard\n"


@pytest.mark.parametrize(("what", "code"), [("fail", 1), ("exit", 3), ("die", 1)])
def test_a_failing_job_is_a_failing_script(running, what, code, capfd):
    with pytest.raises(SystemExit) as stop:
        server.run((what, ""))
    assert stop.value.code == code
    assert ("ValueError: it failed" in capfd.readouterr().err) == (what == "fail")
    server.run(("nothing", ""))  # the server goes on


def test_a_job_ends_with_its_script(running, tmp_path):
    script = FORK.Process(target=server.run, args=(("sleep", str(tmp_path / "pid")),))
    script.start()
    pid = int(written(tmp_path / "pid"))
    assert alive(pid)
    script.kill()
    script.join()
    end = time.monotonic() + 10
    while alive(pid) and time.monotonic() < end:
        time.sleep(0.02)
    assert not alive(pid)


def test_without_a_server_the_script_does_the_job(tmp_path, monkeypatch):
    monkeypatch.setattr(dispatch, "run", pretend)
    monkeypatch.setenv("GREETING", "something")
    for address in (None, str(tmp_path / "nobody")):
        monkeypatch.delenv(server.ADDRESS, raising=False)
        if address is not None:
            monkeypatch.setenv(server.ADDRESS, address)
        server.run(("say", str(tmp_path / "report")))
        assert (tmp_path / "report").read_text().split()[2] == str(os.getpid())
