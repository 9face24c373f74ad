"""Finds the user's daemon, or starts one that outlives this program and ends when idle."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import grpc

from dragdiffusion import __version__
from dragdiffusion.client.connection import Connection, DaemonError
from dragdiffusion.daemon import endpoint as endpoints
from dragdiffusion.daemon.endpoint import Endpoint

_START_SECONDS = 60.0
_STOP_SECONDS = 15.0
_ANSWER_SECONDS = 5.0


def find_daemon(answer_seconds: float = _ANSWER_SECONDS) -> Endpoint | None:
    """The daemon that runs and answers, if there is one."""
    endpoint = endpoints.read(endpoints.endpoint_file())
    if endpoint is None or not endpoints.process_lives(endpoint.pid):
        return None
    try:
        with Connection(endpoint) as daemon:
            daemon.status(timeout=answer_seconds)
    except DaemonError:
        return None
    return endpoint


def find_silent_daemon() -> Endpoint | None:
    """One whose process is there, where `find_daemon` finds none: it is starting, very busy, or it hangs."""
    endpoint = endpoints.read(endpoints.endpoint_file())
    lives = endpoint is not None and endpoints.process_lives(endpoint.pid)
    return endpoint if lives else None


def wait_for_answer(seconds: float) -> Endpoint | None:
    """The daemon that is silent now, once it answers; None: it ends, or says nothing for so long."""
    deadline = time.monotonic() + seconds
    while find_silent_daemon() and time.monotonic() < deadline:
        endpoint = find_daemon(deadline - time.monotonic())
        if endpoint is not None:
            return endpoint
        time.sleep(0.05)
    return None


def say_silent(endpoint: Endpoint) -> str:
    return (
        f"The daemon, process {endpoint.pid}, does not answer: it is very busy, or it hangs. Wait a while, or "
        "end it with `dragdiffusion stop`."
    )


def find_or_start_daemon(command: tuple[str, ...] = ()) -> Endpoint:
    """The running daemon; started with `command` (by default this program's own) if there is none."""
    endpoint = find_daemon()
    if endpoint is not None and not _ended_as_outdated(endpoint):
        return endpoint
    folder = endpoints.state_folder()
    endpoints.make_private_folder(folder)
    output = folder / "daemon-start.log"
    process = _start_detached(command or _OWN_COMMAND, output)
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        endpoint = find_daemon()
        if endpoint is not None:
            return endpoint
        if process.poll() not in (None, 0):
            break
        time.sleep(0.05)
    silent = find_silent_daemon()
    told = say_silent(silent) if silent else f"The daemon did not start: see {output}."
    raise DaemonError(told, code=grpc.StatusCode.UNAVAILABLE)


def _ended_as_outdated(endpoint: Endpoint) -> bool:
    """Stop a daemon of another version, unless it is busy: it is used then."""
    if endpoint.version == __version__:
        return False
    with Connection(endpoint) as daemon:
        stops = daemon.shut_down(only_if_idle=True)
    deadline = time.monotonic() + _STOP_SECONDS
    while stops and endpoints.process_lives(endpoint.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return stops


_OWN_COMMAND = (sys.executable, "-m", "dragdiffusion", "serve")


def _start_detached(command: tuple[str, ...], output: Path) -> subprocess.Popen[bytes]:
    """In a session of its own, so that Ctrl-C and a closed terminal do not reach it."""
    apart: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        apart = {"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP}
    with output.open("wb") as stream:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, **apart
        )
