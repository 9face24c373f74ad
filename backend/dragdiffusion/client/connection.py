"""A connection to the daemon: uploads what it lacks, then reads what it sends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import grpc
import numpy as np

from dragdiffusion.daemon.buffers import CHUNK_BYTES, name_of
from dragdiffusion.daemon.endpoint import Endpoint
from dragdiffusion.engine.drag_types import Pixels
from dragdiffusion_rpc import drag_pb2 as rpc
from dragdiffusion_rpc.drag_pb2_grpc import DragDiffusionStub

_FORMATS = {4: rpc.PIXEL_FORMAT_RGBA8, 3: rpc.PIXEL_FORMAT_RGB8, 1: rpc.PIXEL_FORMAT_Y8}
_BYTES_PER_PIXEL = {pixel_format: size for size, pixel_format in _FORMATS.items()}
_SHORT_SECONDS = 20.0  # for calls that answer at once
_LONG_SECONDS = 120.0  # for those that wait until the libraries are loaded
_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    # A daemon that hangs is noticed, and the call ends:
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 40_000),
    ("grpc.http2.ping_timeout_ms", 40_000),
    ("grpc.http2.max_pings_without_data", 0),  # no limit
)


class DaemonError(Exception):
    """What the daemon answers instead of a result: a sentence for the user."""

    def __init__(self, message: str, *, code: grpc.StatusCode, field: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.field = field


class Connection:
    """Use as a context manager.

    with Connection(endpoint) as daemon:
        image = daemon.upload(pixels)
        for event in daemon.drag(rpc.DragRequest(...)):
            ...
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._channel = grpc.insecure_channel(endpoint.address, options=_OPTIONS)
        self._stub = DragDiffusionStub(self._channel)
        self._metadata = (("authorization", f"Bearer {endpoint.token}"),)

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._channel.close()

    def upload(self, pixels: Pixels) -> rpc.BufferReference:
        """Let the daemon have these pixels; nothing is sent that it holds already."""
        name = name_of(pixels)
        reference = rpc.BufferReference(
            sha256=name.sha256,
            width=name.width,
            height=name.height,
            format=_FORMATS[name.bytes_per_pixel],
        )
        question = rpc.FindMissingRequest(buffers=[reference])
        with _errors_translated():
            if self._short(self._stub.FindMissing, question).missing:
                self._stub.Upload(_upload_requests(reference, pixels), metadata=self._metadata)
        return reference

    def generate(self, request: rpc.GenerateRequest) -> Iterator[rpc.GenerateEvent]:
        """The events; closing the iterator cancels."""
        return self._stream(self._stub.Generate, request)

    def prepare(self, request: rpc.PrepareRequest) -> Iterator[rpc.PrepareEvent]:
        """The events; closing the iterator cancels."""
        return self._stream(self._stub.Prepare, request)

    def drag(self, request: rpc.DragRequest) -> Iterator[rpc.DragEvent]:
        """The events; closing the iterator cancels."""
        return self._stream(self._stub.Drag, request)

    def finish_drag(self, edit_id: str) -> bool:
        """Let the drag that was sent with this edit_id end now, with what it has; False: there is none."""
        request = rpc.FinishDragRequest(edit_id=edit_id)
        with _errors_translated():
            return self._short(self._stub.FinishDrag, request).running

    def status(
        self, timeout: float = _SHORT_SECONDS, *, log_lines: int = 0
    ) -> rpc.GetStatusResponse:
        request = rpc.GetStatusRequest(log_lines=log_lines)
        with _errors_translated():
            return self._short(self._stub.GetStatus, request, timeout)

    def unload(self) -> bool:
        """Free the model and the prepared images from memory; False: refused, edits wait or run."""
        with _errors_translated():
            return self._short(self._stub.Unload, rpc.UnloadRequest(), _LONG_SECONDS).unloaded

    def clear_store(self) -> rpc.ClearStoreResponse:
        """Remove the prepared images from the disk."""
        with _errors_translated():
            return self._short(self._stub.ClearStore, rpc.ClearStoreRequest())

    def models(self) -> rpc.ListModelsResponse:
        with _errors_translated():
            return self._short(self._stub.ListModels, rpc.ListModelsRequest())

    def download_model(self, name: str, *, full: bool = False) -> Iterator[rpc.DownloadModelEvent]:
        """The events; closing the iterator cancels, and keeps what has arrived."""
        request = rpc.DownloadModelRequest(name=name, full=full)
        return self._stream(self._stub.DownloadModel, request)

    def verify_model(self, name: str) -> Iterator[rpc.VerifyModelEvent]:
        """The events; closing the iterator cancels."""
        return self._stream(self._stub.VerifyModel, rpc.VerifyModelRequest(name=name))

    def remove_model(self, name: str) -> int:
        """Delete a downloaded model; the bytes that are free now."""
        request = rpc.RemoveModelRequest(name=name)
        with _errors_translated():
            return int(self._short(self._stub.RemoveModel, request).freed_bytes)

    def shut_down(self, *, only_if_idle: bool = False) -> bool:
        """False: it is busy and was to stop only if idle."""
        request = rpc.ShutdownRequest(only_if_idle=only_if_idle)
        with _errors_translated():
            return self._short(self._stub.Shutdown, request).stopping

    def _short(self, method: Any, request: Any, timeout: float = _SHORT_SECONDS) -> Any:
        return method(request, metadata=self._metadata, timeout=timeout)

    def _stream(self, method: Any, request: Any) -> Iterator[Any]:
        with _errors_translated():
            call = method(request, metadata=self._metadata)
            try:
                yield from call
            finally:
                call.cancel()


def to_pixels(reference: rpc.BufferReference, rows: bytes) -> Pixels:
    """The pixels of a result: (h, w, channels), or (h, w) for masks."""
    channels = _BYTES_PER_PIXEL[reference.format]
    shape = (reference.height, reference.width, channels)
    pixels = np.frombuffer(rows, np.uint8).reshape(shape)
    return pixels[..., 0] if channels == 1 else pixels


def _upload_requests(reference: rpc.BufferReference, pixels: Pixels) -> Iterator[rpc.UploadRequest]:
    yield rpc.UploadRequest(header=reference)
    rows = np.ascontiguousarray(pixels).reshape(-1)
    for start in range(0, rows.size, CHUNK_BYTES):
        yield rpc.UploadRequest(chunk=rows[start : start + CHUNK_BYTES].tobytes())


@contextmanager
def _errors_translated() -> Iterator[None]:
    try:
        yield
    except grpc.RpcError as error:
        trailers: dict[str, object] = dict(_pairs(error))
        raise DaemonError(
            _sentence(error),
            code=error.code(),
            field=str(trailers.get("dragdiffusion-field", "")),
        ) from error


def _pairs(error: Any) -> Iterator[tuple[str, object]]:
    yield from error.trailing_metadata() or ()


def _sentence(error: Any) -> str:
    details = str(error.details() or "")
    if error.code() is grpc.StatusCode.UNAVAILABLE and not details.startswith("The daemon"):
        return "The daemon ended, hangs or cannot be reached; its log tells why."
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return "The daemon did not answer in time: it is very busy, or it hangs. Wait a while and try again."
    return details or f"The daemon answered {error.code().name}."
