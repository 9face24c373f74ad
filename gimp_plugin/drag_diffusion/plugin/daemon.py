"""Finds the daemon, starts it if nobody answers, and drags with it. No GIMP in here.

The installer tells the command in daemon.json, beside the plug-in's entry file:
    {"command": ["/home/me/.local/share/dragdiffusion/venv/bin/dragdiffusion", "serve"],
     "endpoint_file": "/path"}                      the second only where the rule below cannot work (Snap)
The environment variable DRAGDIFFUSION_DAEMON_COMMAND, a command line, takes its place.

The endpoint file, JSON, written by the daemon:
    1. the environment variable DRAGDIFFUSION_ENDPOINT_FILE, else daemon.json's "endpoint_file";
    2. in the state folder, ~/.local/state/dragdiffusion on Linux, ~/Library/Application Support/dragdiffusion on macOS,
       %LOCALAPPDATA%\\dragdiffusion on Windows: endpoint.json, on Linux endpoint-HOST.json, since machines may share a home.
"""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, AsyncIterator, Callable, Dict, List, Mapping, Optional, Tuple

from google.protobuf.json_format import ParseError

from plugin import client
from plugin.client import DaemonError, DaemonHangs, DaemonUnreachable, Endpoint, RefusedRequest
from plugin.edit_model import Edit, Progress
from plugin.translation import _

START_SECONDS = 180.0  # a cold disk and a slow computer: torch alone takes half a minute to import
POLL_SECONDS = 0.2
FIND_SECONDS = 20.0  # without an answer: it hangs
PLUGIN_FOLDER = Path(__file__).resolve().parent.parent
FLATPAK = Path("/.flatpak-info")  # there in Flatpak's sandbox only
# GIMP's own Python, or an AppImage's libraries, must not reach the daemon's.
FOREIGN_VARIABLES = ("PYTHONHOME", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "GI_TYPELIB_PATH")


async def prepare(edit: Edit, installation: Installation) -> AsyncIterator[Any]:
    """Prepare the picture for drags with the daemon, which is started first if it does not run."""
    async for event in _or_as_any_other(edit, client.prepare, installation):
        yield event


async def drag(edit: Edit, installation: Installation) -> AsyncIterator[Any]:
    """Drag with the daemon, which is started first if it does not run."""
    async for event in _or_as_any_other(edit, client.drag, installation):
        yield event


async def finish(edit: Edit, installation: Installation) -> AsyncIterator[Any]:
    """Take what this edit's drag has reached. Nothing to tell: the drag's own events do."""
    endpoint = read_endpoint(installation.endpoint_file)
    if endpoint is not None:
        await client.finish(endpoint, edit.edit_id)
    nothing: Tuple[Any, ...] = ()
    for event in nothing:
        yield event


async def _or_as_any_other(
    edit: Edit, call: Callable[[Endpoint, Edit], AsyncIterator[Any]], installation: Installation
) -> AsyncIterator[Any]:
    """The call's events. A generated picture that the daemon makes otherwise by now is dragged as any other."""
    try:
        async for event in with_daemon(installation, lambda found: call(found, edit)):
            yield event
    except (RefusedRequest, ParseError):
        if edit.generated is None:
            raise
        plain = replace(edit, generated=None)
        async for event in with_daemon(installation, lambda found: call(found, plain)):
            yield event


async def with_daemon(
    installation: Installation, call: Callable[[Endpoint], AsyncIterator[Any]]
) -> AsyncIterator[Any]:
    """The call's events, with the daemon that runs or is started for it."""
    yield Progress(_("Looking for the daemon …"), 0.0)
    endpoint = await find(installation)
    if endpoint is None:
        yield Progress(_("Starting the daemon …"), 0.0)
        endpoint = await start(installation)
    async for event in call(endpoint):
        yield event


async def find(installation: Installation) -> Optional[Endpoint]:
    """The daemon that runs, if one does; DaemonHangs if it does not answer."""
    endpoint = read_endpoint(installation.endpoint_file)
    if endpoint is None:
        return None
    try:
        status = await client.get_status(endpoint, FIND_SECONDS)
    except DaemonUnreachable:
        return None
    client.check_version(status.version)
    return endpoint


def check_installed(installation: Installation) -> None:
    """DaemonError if there is nothing to start."""
    if not installation.command:
        raise DaemonError(
            _(
                "The daemon is not installed: run the installer of DragDiffusion for GIMP "
                "(install/install.py), then try again."
            )
        )


async def start(installation: Installation, *, replace: bool = False) -> Endpoint:
    """Start the daemon and wait until it answers; DaemonError with the end of its log if it does not.

    `replace`: the one that runs is ended by force first.
    """
    check_installed(installation)
    process = _spawn(installation, ("--replace",) if replace else ())
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        endpoint = None
        with suppress(DaemonHangs):  # it may take long to begin, and one that is replaced does hang
            endpoint = await find(installation)
        if endpoint is not None:
            return endpoint
        if process.poll() not in (None, 0):
            break
        await asyncio.sleep(POLL_SECONDS)
    reason = _last_line(installation.log_file)
    told = _("The daemon did not start: {reason}") if reason else _("The daemon did not start.")
    raise DaemonError(f"{told.format(reason=reason)} {client.log_sentence(installation.log_file)}")


# ---- where things are ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Installation:
    """What the plug-in needs to know to reach the daemon."""

    command: Tuple[str, ...]  # empty: the daemon is not installed
    endpoint_file: Path
    log_file: Path  # what the daemon says while it starts
    environment: Mapping[str, str]


def read_installation(
    folder: Path = PLUGIN_FOLDER,
    environment: Mapping[str, str] = os.environ,
    platform: str = sys.platform,
    sandbox: Path = FLATPAK,
) -> Installation:
    """What daemon.json and the environment say."""
    told = _read_json(folder / "daemon.json")
    line = environment.get("DRAGDIFFUSION_DAEMON_COMMAND")
    command = shlex.split(line) if line else [str(part) for part in told.get("command", [])]
    variables = dict(environment)
    if "endpoint_file" in told:
        variables.setdefault("DRAGDIFFUSION_ENDPOINT_FILE", str(told["endpoint_file"]))
    if sandbox.exists():
        shared = str(endpoint_file(variables, platform))
        command = _leave_sandbox(
            command, variables.setdefault("DRAGDIFFUSION_ENDPOINT_FILE", shared)
        )
    return Installation(
        tuple(command),
        endpoint_file(variables, platform),
        state_folder(variables, platform) / "daemon-start.log",
        variables,
    )


def _leave_sandbox(command: List[str], endpoint: str) -> List[str]:
    """The endpoint file is named, since the variables of Flatpak's sandbox do not reach out of it."""
    variable = f"--env=DRAGDIFFUSION_ENDPOINT_FILE={endpoint}"
    return command and ["flatpak-spawn", "--host", variable, *command]


def endpoint_file(
    environment: Mapping[str, str] = os.environ, platform: str = sys.platform
) -> Path:
    override = environment.get("DRAGDIFFUSION_ENDPOINT_FILE")
    if override:
        return Path(override)
    name = f"endpoint-{socket.gethostname()}" if platform == "linux" else "endpoint"
    return state_folder(environment, platform) / f"{name}.json"


def state_folder(environment: Mapping[str, str] = os.environ, platform: str = sys.platform) -> Path:
    home = Path(environment.get("HOME") or Path.home())
    if platform == "win32":
        local = environment.get("LOCALAPPDATA")
        return (Path(local) if local else home / "AppData" / "Local") / "dragdiffusion"
    if platform == "darwin":
        return home / "Library" / "Application Support" / "dragdiffusion"
    return home / ".local" / "state" / "dragdiffusion"


def read_endpoint(path: Path) -> Optional[Endpoint]:
    """The endpoint in the file; None where there is no (readable, complete) one."""
    fields = _read_json(path)
    try:
        return Endpoint(
            address=str(fields["address"]),
            token=str(fields["token"]),
            version=str(fields.get("version", "")),
            log_file=str(fields.get("log_file", "")),
            pid=int(fields.get("pid", 0)),
        )
    except (KeyError, TypeError, ValueError):
        return None


def _read_json(path: Path) -> Dict[str, Any]:
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return fields if isinstance(fields, dict) else {}


# ---- the process -----------------------------------------------------------------------------------


def _spawn(installation: Installation, options: Tuple[str, ...]) -> "subprocess.Popen[bytes]":
    """Start the daemon on its own: it outlives the plug-in, which GIMP ends after each call."""
    installation.log_file.parent.mkdir(parents=True, exist_ok=True)
    command = [*installation.command, *options]
    try:
        with installation.log_file.open("wb") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=_daemon_environment(installation.environment),
                cwd=str(Path.home()),
                close_fds=True,
                **_detached(),
            )
    except OSError as error:
        raise DaemonError(
            _(
                "The daemon could not be started: {program}: {reason}. Run the installer of "
                "DragDiffusion for GIMP again (install/install.py)."
            ).format(program=command[0], reason=error.strerror)
        ) from error


def _detached() -> Dict[str, Any]:
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


def _daemon_environment(environment: Mapping[str, str]) -> Dict[str, str]:
    foreign = set(FOREIGN_VARIABLES)
    if "APPIMAGE" in environment or "APPDIR" in environment:
        foreign.add("LD_LIBRARY_PATH")
    return {name: value for name, value in environment.items() if name not in foreign}


def _last_line(log: Path) -> str:
    told = [line.strip() for line in read_log(log) if line.strip()]
    return told[-1][:300] if told else ""


def read_log(log: Path) -> List[str]:
    """Its lines; none where it cannot be read."""
    try:
        return log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
