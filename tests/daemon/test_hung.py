"""A daemon that hangs, as a process that was really stopped: its calls end, and another one takes its place."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from dragdiffusion.client import connection, launch
from dragdiffusion.client.connection import DaemonError
from dragdiffusion.commands import daemon as commands
from dragdiffusion.daemon import endpoint as endpoints
from dragdiffusion.daemon.endpoint import Endpoint
from dragdiffusion.engine.drag_types import Pixels
from dragdiffusion_rpc import drag_pb2 as rpc
from fakes.running import ROOT, RunningDaemon, StartDaemon, preparation, wait_until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals")


@pytest.fixture(autouse=True)
def _less_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second for an answer, where the commands run in this process."""
    monkeypatch.setattr(launch.find_daemon, "__defaults__", (1.0,))


def hang(running: RunningDaemon) -> RunningDaemon:
    os.kill(running.process.pid, signal.SIGSTOP)
    assert os.waitid(os.P_PID, running.process.pid, os.WSTOPPED)  # all of its threads
    return running


def say(running: RunningDaemon, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "dragdiffusion", *arguments],
        env=running.environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout


def stop_here(running: RunningDaemon, monkeypatch: pytest.MonkeyPatch, busy_seconds: float) -> None:
    """`dragdiffusion stop`, with less patience."""
    for name, value in running.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(commands, "BUSY_SECONDS", busy_seconds)
    assert commands.stop_daemon() == 0


def test_it_is_told_and_stopped(
    start_daemon: StartDaemon, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    running = hang(start_daemon())
    assert f"process {running.process.pid}, does not answer" in say(running, "status")
    stop_here(running, monkeypatch, 2)
    told = capsys.readouterr()
    assert "It has 2 s; then it is ended by force." in told.err
    assert "it was ended by force" in told.out
    assert running.process.wait(timeout=5) == -signal.SIGKILL
    assert say(running, "stop") == "No daemon runs.\n"


def test_one_that_is_only_busy_is_stopped_without_force(
    start_daemon: StartDaemon, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    running = hang(start_daemon())
    goes_on = threading.Timer(3, os.kill, (running.process.pid, signal.SIGCONT))
    goes_on.start()
    stop_here(running, monkeypatch, 30)
    goes_on.join()
    told = capsys.readouterr()
    assert "does not answer: it is busy, or it hangs" in told.err
    assert told.out == "The daemon stops.\n"
    assert running.process.wait(timeout=20) == 0


def test_a_call_that_is_not_answered_in_time_says_so(start_daemon: StartDaemon) -> None:
    running = start_daemon()
    with running.connect() as daemon:
        daemon.status()
        hang(running)
        with pytest.raises(DaemonError, match="did not answer in time: it is very busy"):
            daemon.status(timeout=0.5)
    running.process.kill()


def test_another_one_takes_its_place(start_daemon: StartDaemon) -> None:
    hung = hang(start_daemon())
    second = subprocess.Popen(
        [sys.executable, "-m", "fakes.daemon", "--replace"],
        env=hung.environment,
        stdout=subprocess.DEVNULL,
    )
    assert hung.process.wait(timeout=20) == -signal.SIGKILL
    wait_until(lambda: (found := endpoints.read(hung.endpoint_file)) and found.pid == second.pid)
    second.terminate()
    assert second.wait(timeout=20) == 0


def test_without_a_daemon_there_is_nothing_to_replace(tmp_path: Path) -> None:
    assert endpoints.end(tmp_path / "endpoint.json") is None


def test_a_process_that_only_has_its_number_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "endpoint.json"
    with subprocess.Popen(["sleep", "60"]) as other:
        endpoints.write(file, Endpoint("127.0.0.1:9", "x", other.pid, "0", ""))
        os.utime(file, (0, time.time() - 3600))
        assert endpoints.end(file) is None
        assert other.poll() is None
        os.utime(file)
        assert endpoints.end(file) == other.pid


def test_who_starts_one_is_told(start_daemon: StartDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    running = hang(start_daemon())
    for name, value in running.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(launch, "_START_SECONDS", 1.0)
    start, started = launch._start_detached, list[subprocess.Popen[bytes]]()

    def start_and_keep(command: tuple[str, ...], output: Path) -> subprocess.Popen[bytes]:
        started.append(start(command, output))
        return started[-1]

    monkeypatch.setattr(launch, "_start_detached", start_and_keep)
    with pytest.raises(DaemonError, match=r"hangs\. Wait a while"):
        launch.find_or_start_daemon((sys.executable, "-m", "fakes.daemon"))
    assert started[0].wait(timeout=30) == 0  # it handed over to the first
    running.process.kill()


@pytest.mark.slow
def test_a_drag_ends_where_it_hangs_not_where_it_is_quiet(
    start_daemon: StartDaemon, image: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    sooner = tuple(
        (name, 6_000 if name.endswith("_ms") else value) for name, value in connection._OPTIONS
    )
    monkeypatch.setattr(connection, "_OPTIONS", sooner)
    running = start_daemon(step_seconds=25)  # four looks
    with running.connect() as daemon:
        events = daemon.drag(rpc.DragRequest(preparation=preparation(daemon.upload(image))))
        stages = (event.progress.stage for event in events)
        assert rpc.STAGE_FINE_TUNING in stages  # the first step is over
        hang(running)
        began = time.monotonic()
        with pytest.raises(DaemonError, match="ended, hangs or cannot be reached"):
            list(events)
        assert time.monotonic() - began < 20
    running.process.kill()
