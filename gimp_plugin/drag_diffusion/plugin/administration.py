"""What “About the daemon” shows and does: how the daemon is, freeing what it holds, start and restart. No GIMP in here."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, AsyncIterator, List, Optional, Tuple

from dragdiffusion_rpc import drag_pb2 as rpc
from plugin import __version__, client, daemon
from plugin.client import DaemonError, DaemonHangs, DaemonUnreachable, Endpoint
from plugin.daemon import Installation
from plugin.quantities import duration_text, size_text
from plugin.translation import _, ngettext

LOG_LINES = 200
ANSWER_SECONDS = 10.0
UNLOAD_SECONDS = 120.0  # it waits until the libraries are loaded
STOP_SECONDS = 20.0
POLL_SECONDS = 0.1


@dataclass(frozen=True)
class About:
    """How the daemon is."""

    rows: Tuple[Tuple[str, str], ...] = ()  # what, and how it is; none: no daemon runs
    note: str = ""
    log_file: str = ""
    log: str = ""
    can_unload: bool = False
    can_clear: bool = False
    answers: bool = True

    @property
    def is_running(self) -> bool:
        return bool(self.rows)


@dataclass(frozen=True)
class Said:
    """What an action did, in a sentence."""

    sentence: str


@dataclass(frozen=True)
class Busy:
    """A restart was refused: so many edits wait or run."""

    edits: int


async def about(installation: Installation) -> AsyncIterator[Any]:
    """About: how the daemon is, or that none runs; nothing is started."""
    endpoint = daemon.read_endpoint(installation.endpoint_file)
    try:
        status = await _status(endpoint, LOG_LINES)
    except DaemonHangs:
        assert endpoint is not None
        yield _to_hanging(endpoint)
    else:
        yield About() if status is None else _to_about(status)


async def unload(installation: Installation) -> AsyncIterator[Any]:
    answer = await client.ask(
        _running(installation),
        "Unload",
        rpc.UnloadRequest(),
        rpc.UnloadResponse,
        UNLOAD_SECONDS,
    )
    if answer.unloaded:
        yield Said(_("The model and the prepared pictures have left memory."))
    else:
        yield Said(_("An edit waits or runs: nothing was freed. Try again when it is done."))


async def clear_cache(installation: Installation) -> AsyncIterator[Any]:
    answer = await client.ask(
        _running(installation), "ClearStore", rpc.ClearStoreRequest(), rpc.ClearStoreResponse
    )
    count, size = answer.removed_images, size_text(answer.removed_bytes)
    said = ngettext(
        "{count} prepared picture was removed from the disk: {size} are free.",
        "{count} prepared pictures were removed from the disk: {size} are free.",
        count,
    ).format(count=count, size=size)
    if answer.left_images:
        said += " " + _("Some could not be removed.")
    yield Said(said)


async def start(installation: Installation) -> AsyncIterator[Any]:
    await daemon.start(installation)
    yield Said(_("The daemon was started."))


async def restart(installation: Installation, even_if_busy: bool = False) -> AsyncIterator[Any]:
    """Stop and start; Busy if edits wait or run, unless they are to be thrown away. One that hangs is ended by force."""
    daemon.check_installed(installation)
    endpoint = daemon.read_endpoint(installation.endpoint_file)
    hangs = False
    try:
        status = await _status(endpoint)
        if endpoint is not None and status is not None:
            if not await _stops(endpoint, even_if_busy):
                yield Busy(max(1, status.queue_length))
                return
            await _wait_for_end(installation, endpoint)
    except DaemonHangs:
        hangs = True
    await daemon.start(installation, replace=hangs)
    yield Said(_("The daemon was started anew."))


# ---- inside ----------------------------------------------------------------------------------------


def _running(installation: Installation) -> Endpoint:
    endpoint = daemon.read_endpoint(installation.endpoint_file)
    if endpoint is None:
        raise DaemonError(_("The daemon does not run any more: there is nothing to free."))
    return endpoint


async def _status(endpoint: Optional[Endpoint], log_lines: int = 0) -> Any:
    """None: there is nobody; DaemonHangs: there is one that does not answer."""
    if endpoint is None:
        return None
    request = rpc.GetStatusRequest(log_lines=log_lines)
    try:
        return await client.ask(
            endpoint, "GetStatus", request, rpc.GetStatusResponse, ANSWER_SECONDS
        )
    except DaemonUnreachable:
        return None


async def _stops(endpoint: Endpoint, even_if_busy: bool) -> bool:
    request = rpc.ShutdownRequest(only_if_idle=not even_if_busy)
    try:
        answer = await client.ask(endpoint, "Shutdown", request, rpc.ShutdownResponse)
    except (DaemonHangs, DaemonUnreachable):
        return True  # it went before its answer came, or hangs: the wait for its end tells
    return bool(answer.stopping)


async def _wait_for_end(installation: Installation, endpoint: Endpoint) -> None:
    deadline = time.monotonic() + STOP_SECONDS
    while time.monotonic() < deadline:
        now = daemon.read_endpoint(installation.endpoint_file)
        if now != endpoint or await _status(now) is None:
            return
        await asyncio.sleep(POLL_SECONDS)
    raise DaemonError(
        _("The daemon does not end; its log tells why: {file}").format(file=endpoint.log_file)
    )


def _to_hanging(endpoint: Endpoint) -> About:
    note = _(
        "The daemon does not answer: it is very busy, or it hangs. Restart ends it by force and starts it "
        "anew; what it does is lost, no image changes."
    )
    lines = daemon.read_log(Path(endpoint.log_file))[-LOG_LINES:]
    process = ((_("Process"), str(endpoint.pid)),)
    return About(process, note, endpoint.log_file, "\n".join(lines), answers=False)


def _to_about(status: Any) -> About:
    note = ""
    if status.version.split(".")[:2] != __version__.split(".")[:2]:
        note = _("It is of another version than the plug-in, {version}: restart it.").format(
            version=__version__
        )
    return About(
        _rows(status),
        note,
        status.log_file,
        "\n".join(status.log_lines),
        bool(status.loaded_model or status.prepared_images),
        status.stored_images > 0,
    )


def _rows(status: Any) -> Tuple[Tuple[str, str], ...]:
    device = f"{status.device}, {status.dtype}" if status.engine_ready else _("still starting")
    edits = ngettext("{count} waits or runs", "{count} wait or run", status.queue_length)
    rows: List[Tuple[str, str]] = [
        (_("Version"), status.version),
        (_("Process"), str(status.pid)),
        (_("Running for"), duration_text(status.uptime_seconds)),
        (_("Works on"), device),
        (_("Model in memory"), status.loaded_model or _("none; it is loaded with the next drag")),
        (_("Memory"), _memory(status)),
        (_("Latest edit"), status.memory_plan),
        (_("Edits"), edits.format(count=status.queue_length) if status.queue_length else _("none")),
        (_("Prepared in memory"), _pictures(status.prepared_images, status.prepared_bytes)),
        (_("Prepared on disk"), _on_disk(status)),
        (_("Kept in"), status.store_folder),
    ]
    return tuple((what, how) for what, how in rows if how)


def _memory(status: Any) -> str:
    taken = _("the daemon takes {size}").format(size=size_text(status.process_memory_bytes))
    if not status.device_memory_bytes:
        return taken
    free = _("{free} of {total} are free").format(
        free=size_text(status.device_memory_free_bytes), total=size_text(status.device_memory_bytes)
    )
    return f"{free}; {taken}"


def _pictures(count: int, size: int) -> str:
    if not count:
        return _("none")
    text = ngettext("{count} picture, {size}", "{count} pictures, {size}", count)
    return text.format(count=count, size=size_text(size))


def _on_disk(status: Any) -> str:
    if not status.store_limit_bytes:
        return _("none are kept (setting store_bytes)")
    return _("{pictures} (of at most {limit})").format(
        pictures=_pictures(status.stored_images, status.store_bytes),
        limit=size_text(status.store_limit_bytes),
    )
