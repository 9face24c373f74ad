"""The daemon's calls, in pure Python (grpclib): asyncio, in the worker thread only. No GIMP in here."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, AsyncIterator, Callable, Dict, List, NoReturn

from google.protobuf.json_format import MessageToDict
from grpclib.client import Channel, StreamUnaryMethod, UnaryStreamMethod, UnaryUnaryMethod
from grpclib.config import Configuration
from grpclib.const import Status
from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError

from dragdiffusion_rpc import drag_pb2 as rpc
from plugin import __version__, timing, translation, wire
from plugin.edit_model import Edit, Handles, PixelBuffer, Prepared, Progress, Result, View
from plugin.translation import _

CHUNK = 1 << 20  # bytes of pixels a message
WINDOW = 1 << 24  # bytes in flight
SERVICE = "/dragdiffusion.v1.DragDiffusion/"
FIELD_KEY = "dragdiffusion-field"
WATCH_SECONDS = 20.0  # between two looks, during a call, whether the daemon still answers
ANSWER_SECONDS = 60.0  # that it may take then: it works, perhaps on a slow computer
BROKEN = (StreamTerminatedError, ProtocolError, ConnectionError, OSError, asyncio.TimeoutError)

STAGES = {
    rpc.STAGE_QUEUED: _("Waiting for an earlier edit"),
    rpc.STAGE_LOADING_MODEL: _("Loading the model"),
    rpc.STAGE_ENCODING: _("Reading the picture"),
    rpc.STAGE_FINE_TUNING: _("Learning what is in the picture"),
    rpc.STAGE_INVERTING: _("Inverting the picture"),
    rpc.STAGE_DRAGGING: _("Dragging"),
    rpc.STAGE_DENOISING: _("Painting the result"),
    rpc.STAGE_SAMPLING: _("Making a picture"),
    rpc.STAGE_WARPING: _("Moving the parts"),
    rpc.STAGE_COMPOSITING: _("Putting the result into place"),
}


class DaemonError(Exception):
    """A call that failed; the text is a sentence for the user."""


class RefusedRequest(DaemonError):
    """The daemon says that it can never work so."""


class DaemonUnreachable(DaemonError):
    """Nobody answers at the endpoint."""


class DaemonHangs(DaemonError):
    """Somebody is at the endpoint, but does not answer in time."""


@dataclass(frozen=True)
class Endpoint:
    """Where the daemon listens, from its endpoint file."""

    address: str  # "127.0.0.1:PORT" or "unix:/path"
    token: str
    version: str = ""
    log_file: str = ""
    pid: int = 0


async def prepare(endpoint: Endpoint, edit: Edit) -> AsyncIterator[Any]:
    """Do what can be done before the points are known: yield Progress as it comes, and Prepared last."""
    request = wire.to_prepare_request(edit)
    async with _connected(endpoint) as call:
        async for event in call.with_pixels(edit.buffers, lambda: call.prepare(request)):
            yield wire.in_layer(event, edit.image)


async def drag(endpoint: Endpoint, edit: Edit) -> AsyncIterator[Any]:
    """Yield Progress, Handles and View as they come, and the Result last."""
    request = wire.to_drag_request(edit)
    async with _connected(endpoint) as call:
        async for event in call.with_pixels(edit.buffers, lambda: call.drag(request)):
            yield wire.in_layer(event, edit.image)


async def finish(endpoint: Endpoint, edit_id: str) -> bool:
    """Take what the drag of this identity has reached: it ends as usual; whether it runs."""
    async with _connected(endpoint) as call:
        return await call.finish(edit_id)


async def get_status(endpoint: Endpoint, timeout: float = 10.0) -> rpc.GetStatusResponse:
    """Ask the daemon how it is; DaemonHangs if it does not answer within `timeout` seconds."""
    async with _connected(endpoint) as call:
        return await call.get_status(timeout)


async def ask(
    endpoint: Endpoint, method: str, request: Any, answer: Any, timeout: float = 20.0
) -> Any:
    """Call a method that answers once, with a message of class `answer`."""
    async with _connected(endpoint) as call:
        return await asyncio.wait_for(call.unary(method, request, answer), timeout)


async def follow(endpoint: Endpoint, method: str, request: Any, event: Any) -> AsyncIterator[Any]:
    """Call a method that answers with a stream, of messages of class `event`."""
    async with _connected(endpoint) as call:
        async for message in call.stream(method, request, event):
            yield message


def check_version(version: str) -> None:
    """The plug-in and the daemon come from one installation: their first two numbers agree."""
    if version.split(".")[:2] != __version__.split(".")[:2]:
        raise DaemonError(
            _(
                "The plug-in is version {ours}, but the daemon that runs is version {version}: "
                "stop the daemon and run the installer again, so that both are the same."
            ).format(ours=__version__, version=version)
        )


@asynccontextmanager
async def _connected(endpoint: Endpoint) -> AsyncIterator[_Calls]:
    window = Configuration(http2_connection_window_size=WINDOW, http2_stream_window_size=WINDOW)
    if endpoint.address.startswith("unix:"):
        channel = _Channel(path=endpoint.address[len("unix:") :], config=window)
    else:
        host, _colon, port = endpoint.address.rpartition(":")
        channel = _Channel(host.strip("[]"), int(port), config=window)
    calls = _Calls(channel, {"authorization": f"Bearer {endpoint.token}"})
    watch = asyncio.ensure_future(_watch(calls, channel))
    try:
        yield calls
    except GRPCError as error:
        _raise_sentence(error, endpoint)
    except BROKEN as error:
        if isinstance(error, asyncio.TimeoutError) or watch.done():
            raise DaemonHangs(
                _(
                    "The daemon does not answer: it is very busy, or it hangs. Wait a while, or open "
                    "Filters ▸ Drag Edit: About the Daemon… and press Restart."
                )
                + _log_sentence(endpoint)
            ) from error
        raise DaemonUnreachable(
            _(
                "The daemon does not answer any more; the image is as it was. Try again: the daemon is "
                "then started anew."
            )
            + _log_sentence(endpoint)
        ) from error
    finally:
        while not watch.done():  # again, since wait_for may swallow it before Python 3.12
            watch.cancel()
            await asyncio.wait({watch}, timeout=0.1)
        channel.close()


async def _watch(calls: _Calls, channel: Channel) -> None:
    """Ends the connection, and itself, once the daemon answers nothing any more; a call alone would wait for ever."""
    while True:
        await asyncio.sleep(WATCH_SECONDS)
        try:
            await calls.get_status(ANSWER_SECONDS)
        except asyncio.TimeoutError:
            channel.close()
            return
        except (GRPCError, *BROKEN):
            pass  # the call itself tells


def _raise_sentence(error: GRPCError, endpoint: Endpoint) -> NoReturn:
    if error.status is Status.UNAUTHENTICATED:
        raise DaemonError(
            _(
                "The daemon does not accept this plug-in's token: it was started by another program or "
                "user. Stop it, then try again."
            )
        ) from error
    if error.status is Status.UNIMPLEMENTED:
        check_version("unknown")
    if error.status is Status.UNAVAILABLE:
        raise DaemonUnreachable(_in_two_languages(error)) from error
    if error.message:
        kind = RefusedRequest if error.status is Status.INVALID_ARGUMENT else DaemonError
        raise kind(_in_two_languages(error)) from error
    raise DaemonError(
        _("The daemon failed ({status}).").format(status=error.status.name)
        + _log_sentence(endpoint)
    ) from error


def _in_two_languages(error: GRPCError) -> str:
    """The daemon speaks English: in other languages its sentence comes after a general one."""
    general = {
        Status.INVALID_ARGUMENT: _("It cannot be done like this."),
        Status.NOT_FOUND: _("The daemon does not hold the picture any more: try again.")
        if error.details in ("image", "mask")
        else _("There is no such model."),
        Status.FAILED_PRECONDITION: _("The model cannot be used or downloaded."),
        Status.RESOURCE_EXHAUSTED: _("There is not enough memory, or too many edits wait."),
        Status.INTERNAL: _("Something went wrong in the daemon."),
        Status.UNAVAILABLE: _("The daemon is stopping: try again."),
    }.get(error.status, "")
    own = error.message or ""
    if translation.is_english() or not (general and own):
        return own or general
    return _("{sentence} ({details})").format(sentence=general, details=own)


def _log_sentence(endpoint: Endpoint) -> str:
    return " " + log_sentence(endpoint.log_file) if endpoint.log_file else ""


def log_sentence(file: object) -> str:
    return _("Its log: {file}").format(file=file)


class _Channel(Channel):
    async def __connect__(self) -> Any:
        """grpclib does not look whether the connection was lost as it began: the daemon is just ending."""
        protocol = await super().__connect__()
        if protocol.handler.connection_lost:
            raise ConnectionResetError
        return protocol


class _Calls:
    """The methods of one connection."""

    def __init__(self, channel: Channel, metadata: Dict[str, str]) -> None:
        self._channel = channel
        self._metadata = metadata

    async def unary(self, name: str, request: Any, answer: Any) -> Any:
        method: Any = UnaryUnaryMethod(self._channel, SERVICE + name, type(request), answer)
        return await method(request, metadata=self._metadata)

    async def stream(self, name: str, request: Any, event: Any) -> AsyncIterator[Any]:
        """The messages; of an error `details` are the request's field at fault."""
        method: Any = UnaryStreamMethod(self._channel, SERVICE + name, type(request), event)
        opened = method.open(metadata=self._metadata)
        try:
            async with opened as stream:
                await stream.send_message(request, end=True)
                async for message in stream:
                    yield message
        except GRPCError as error:
            error.details = (opened.trailing_metadata or {}).get(FIELD_KEY, "")
            raise

    async def get_status(self, timeout: float) -> rpc.GetStatusResponse:
        call = self.unary("GetStatus", rpc.GetStatusRequest(), rpc.GetStatusResponse)
        return await asyncio.wait_for(call, timeout)

    async def finish(self, edit_id: str) -> bool:
        request = rpc.FinishDragRequest(edit_id=edit_id)
        response = await self.unary("FinishDrag", request, rpc.FinishDragResponse)
        return bool(response.running)

    async def with_pixels(
        self, buffers: Any, make_events: Callable[[], AsyncIterator[Any]]
    ) -> AsyncIterator[Any]:
        """The events of a call whose request names these buffers, uploaded first where needed."""
        await self.upload_missing(buffers)
        try:
            async for event in make_events():
                yield event
        except GRPCError as error:
            # The daemon may have dropped a buffer between the two calls: upload again, once.
            if error.status is not Status.NOT_FOUND or not await self.upload_missing(buffers):
                raise
            async for event in make_events():
                yield event

    async def upload_missing(self, buffers: Any) -> bool:
        """Upload what the daemon does not hold; whether there was anything."""
        request = rpc.FindMissingRequest(buffers=[wire.to_reference(buffer) for buffer in buffers])
        response = await self.unary("FindMissing", request, rpc.FindMissingResponse)
        missing = {reference.sha256 for reference in response.missing}
        for buffer in buffers:
            if buffer.sha256 in missing:
                start = time.monotonic()
                await self._upload(buffer)
                timing.note("uploaded", bytes=len(buffer.rows), took=time.monotonic() - start)
        return bool(missing)

    async def _upload(self, buffer: PixelBuffer) -> None:
        method: Any = StreamUnaryMethod(
            self._channel, SERVICE + "Upload", rpc.UploadRequest, rpc.UploadResponse
        )
        async with method.open(metadata=self._metadata) as stream:
            await stream.send_message(rpc.UploadRequest(header=wire.to_reference(buffer)))
            for start in range(0, len(buffer.rows), CHUNK):
                chunk = buffer.rows[start : start + CHUNK]
                await stream.send_message(rpc.UploadRequest(chunk=chunk))
            await stream.end()
            await stream.recv_message()

    async def prepare(self, request: rpc.PrepareRequest) -> AsyncIterator[Any]:
        async for message in self.stream("Prepare", request, rpc.PrepareEvent):
            kind = message.WhichOneof("event")
            if kind is not None:
                yield _TRANSLATE[kind](getattr(message, kind))

    async def drag(self, request: rpc.DragRequest) -> AsyncIterator[Any]:
        edited = None
        chunks: List[bytes] = []
        async for message in self.stream("Drag", request, rpc.DragEvent):
            kind = message.WhichOneof("event")
            if kind == "edited_image":
                edited = message.edited_image
            elif kind == "pixel_chunk":
                chunks.append(message.pixel_chunk.chunk)
            elif kind is not None:
                yield _TRANSLATE[kind](getattr(message, kind))
        yield _to_result(edited, b"".join(chunks))


# ---- from the wire ---------------------------------------------------------------------------------


def to_progress(progress: rpc.Progress) -> Progress:
    stage = STAGES.get(progress.stage, _("Working"))
    if progress.queue_position > 1:
        told = _("{stage} ({count} before this one) …")
    elif progress.steps > 1 and progress.step:
        told = _("{stage}: step {step} of {steps} …")
    else:
        told = _("{stage} …")
    sentence = told.format(
        stage=stage, count=progress.queue_position, step=progress.step, steps=progress.steps
    )
    eta = progress.eta_seconds if progress.HasField("eta_seconds") else None
    return Progress(sentence, min(1.0, max(0.0, progress.fraction)), eta)


def _to_handles(step: rpc.DragStep) -> Handles:
    points = tuple((point.x, point.y) for point in step.handles)
    return Handles(points, step.step, step.max_steps, step.loss)


def _to_prepared(prepared: rpc.Prepared) -> Prepared:
    region = prepared.region
    return Prepared((region.x, region.y, region.width, region.height))


def _to_view(preview: rpc.Preview) -> View:
    region = preview.region
    scale = preview.width / region.width if region.width else 1.0
    return View(preview.width, preview.height, preview.rgb, region.x, region.y, scale)


_TRANSLATE: Dict[str, Callable[[Any], Any]] = {
    "progress": to_progress,
    "drag_step": _to_handles,
    "preview": _to_view,
    "prepared": _to_prepared,
}


def _to_result(edited: Any, received: bytes) -> Result:
    if edited is None:
        raise DaemonError(_("The daemon ended the edit without a result: see its log."))
    region = edited.region
    size = region.width * region.height * 4
    if len(received) < size:
        raise DaemonError(_("The daemon sent only a part of the result: see its log."))
    return Result(
        region.x,
        region.y,
        PixelBuffer(region.width, region.height, 4, received[:size]),
        json.dumps(MessageToDict(edited.run, preserving_proto_field_name=True)),
    )
