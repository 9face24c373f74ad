"""Where the daemon listens, told to the clients of the same user in one file that only they can read.

The file, JSON:
    {"address": "127.0.0.1:40123" or "unix:/path", "token": "…", "pid": 4711, "version": "0.1.0", "log_file": "…"}

Its path, the same rule in every client:
    1. the environment variable DRAGDIFFUSION_ENDPOINT_FILE, if set;
    2. in the state folder, ~/.local/state/dragdiffusion on Linux, ~/Library/Application Support/dragdiffusion on macOS,
       %LOCALAPPDATA%\\dragdiffusion on Windows: endpoint.json, on Linux endpoint-HOST.json, since machines may share a home.

So it does not depend on how the user came in: at the desktop, by ssh, cron or su. The running daemon holds a lock on a
file beside it that ends in .lock, so that two that start at once are one, and so that a file whose daemon died is known
to be stale.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

_END_SECONDS = 10.0
_CLOCK_SECONDS = 60.0  # by so much the clock may have been set since


@dataclass(frozen=True)
class Endpoint:
    """How to reach a daemon."""

    address: str
    token: str
    pid: int
    version: str
    log_file: str


class AlreadyRunning(Exception):
    """Another daemon of this user holds the lock."""


def state_folder(environment: Mapping[str, str] = os.environ, platform: str = sys.platform) -> Path:
    """The folder of the logs; the variable DRAGDIFFUSION_STATE_FOLDER puts them elsewhere."""
    override = environment.get("DRAGDIFFUSION_STATE_FOLDER")
    return Path(override) if override else _standard_state_folder(environment, platform)


def _standard_state_folder(environment: Mapping[str, str], platform: str) -> Path:
    home = Path(environment.get("HOME") or Path.home())
    if platform == "win32":
        local = environment.get("LOCALAPPDATA")
        return (Path(local) if local else home / "AppData" / "Local") / "dragdiffusion"
    if platform == "darwin":
        return home / "Library" / "Application Support" / "dragdiffusion"
    return home / ".local" / "state" / "dragdiffusion"


def endpoint_file(
    environment: Mapping[str, str] = os.environ, platform: str = sys.platform
) -> Path:
    """The endpoint file's path by the rule above."""
    override = environment.get("DRAGDIFFUSION_ENDPOINT_FILE")
    if override:
        return Path(override)
    name = f"endpoint-{socket.gethostname()}" if platform == "linux" else "endpoint"
    return _standard_state_folder(environment, platform) / f"{name}.json"


def read(path: Path) -> Endpoint | None:
    """The endpoint in the file; None where there is no (readable, complete) file."""
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        return Endpoint(**{name: fields[name] for name in Endpoint.__dataclass_fields__})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write(path: Path, endpoint: Endpoint) -> None:
    """Write the file at once and whole, readable by its owner only."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".endpoint-")  # 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            json.dump(asdict(endpoint), stream)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def remove(path: Path, endpoint: Endpoint) -> None:
    """Remove the file if it is still ours."""
    if read(path) == endpoint:
        path.unlink(missing_ok=True)


def process_lives(pid: int) -> bool:
    """Whether a process of this number runs; one that has ended is there until its parent asks for it."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except (psutil.NoSuchProcess, ValueError):
        return False


def end(path: Path) -> int | None:
    """End by force the daemon that wrote the file, since it does not answer; its process, None if that is gone."""
    endpoint = read(path)
    if endpoint is None:
        return None
    try:
        process = psutil.Process(endpoint.pid)
        if process.create_time() > path.stat().st_mtime + _CLOCK_SECONDS:
            return None  # another one, which has its number by now
        process.kill()  # one that is stopped takes no other signal
    except (psutil.NoSuchProcess, FileNotFoundError):
        return None
    except psutil.AccessDenied as error:
        raise PermissionError(
            f"The daemon, process {endpoint.pid}, cannot be ended: end it yourself."
        ) from error
    deadline = time.monotonic() + _END_SECONDS
    while process_lives(endpoint.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return endpoint.pid


def lock(path: Path) -> FileLock:
    """Hold the only daemon's place beside the endpoint file; AlreadyRunning if another has it."""
    make_private_folder(path.parent)
    only_one = FileLock(path.with_suffix(".lock"), thread_local=False)
    try:
        only_one.acquire(timeout=0)
    except Timeout as error:
        raise AlreadyRunning(str(path)) from error
    return only_one


def make_private_folder(folder: Path) -> None:
    """Create the folder with rights for its owner only; one that exists keeps its rights."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
