"""The daemon is started when there is none, found when there is one, and outlives who started it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from dragdiffusion.client.connection import Connection, DaemonError
from dragdiffusion.client.launch import find_daemon, find_or_start_daemon
from dragdiffusion.daemon import endpoint as endpoints
from dragdiffusion.daemon.endpoint import Endpoint
from fakes.running import daemon_environment, wait_until

FAKE = (sys.executable, "-m", "fakes.daemon")


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in daemon_environment(tmp_path, idle_exit_minutes=0.5).items():
        monkeypatch.setenv(name, value)


# The process is meant to go on after Popen is forgotten:
@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
def test_it_is_started_once_and_in_a_session_of_its_own() -> None:
    assert find_daemon() is None
    endpoint = find_or_start_daemon(FAKE)
    try:
        assert find_or_start_daemon(("false",)) == endpoint
        if hasattr(os, "getsid"):
            assert os.getsid(endpoint.pid) == endpoint.pid
    finally:
        with Connection(endpoint) as daemon:
            daemon.shut_down()
    wait_until(lambda: find_daemon() is None)


def test_one_that_does_not_start_names_what_it_said(tmp_path: Path) -> None:
    command = (sys.executable, "-c", "raise SystemExit('no such library')")
    with pytest.raises(DaemonError, match=r"daemon-start\.log"):
        find_or_start_daemon(command)
    assert "no such library" in (tmp_path / "state" / "daemon-start.log").read_text()


def test_a_file_of_a_dead_or_foreign_process_is_no_daemon(tmp_path: Path) -> None:
    file = tmp_path / "endpoint.json"
    endpoints.write(file, Endpoint("127.0.0.1:9", "x", 2**22 + 1, "0", ""))
    assert find_daemon() is None
    endpoints.write(file, Endpoint("127.0.0.1:9", "x", os.getpid(), "0", ""))
    assert find_daemon() is None


@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
def test_one_of_another_version_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    old = find_or_start_daemon(FAKE)
    monkeypatch.setattr("dragdiffusion.client.launch.__version__", "another")
    new = find_or_start_daemon(FAKE)
    with Connection(new) as daemon:
        daemon.shut_down()
    assert new.pid != old.pid
