"""Uploads: verified, bounded, and never twice."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import numpy as np
import pytest

from dragdiffusion.client.connection import DaemonError, to_pixels
from dragdiffusion.daemon.buffers import name_of
from dragdiffusion.engine.drag_types import Pixels
from dragdiffusion_rpc import drag_pb2 as rpc
from fakes.running import StartDaemon, preparation

MESSAGE_LIMIT = 4 << 20  # of gRPC, unless it is told otherwise


def header_of(pixels: Pixels) -> rpc.BufferReference:
    name = name_of(pixels)
    return rpc.BufferReference(
        sha256=name.sha256, width=name.width, height=name.height, format=rpc.PIXEL_FORMAT_RGBA8
    )


def upload(running: object, parts: list[rpc.UploadRequest]) -> grpc.RpcError:
    """The error that these messages meet."""
    stub, metadata = running.stub()  # type: ignore[attr-defined]
    with pytest.raises(grpc.RpcError) as raised:
        stub.Upload(iter(parts), metadata=metadata)
    return raised.value


def test_over_four_mebibytes_arrive_and_come_back(shared_daemon: StartDaemon) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (1100, 1000, 4), dtype=np.uint8)
    assert pixels.nbytes > MESSAGE_LIMIT
    running = shared_daemon()
    with running.connect() as daemon:
        before = daemon.status().buffer_bytes
        request = preparation(daemon.upload(pixels))
        assert daemon.status().buffer_bytes - before == pixels.nbytes
        request.region.CopyFrom(rpc.Rectangle(width=1000, height=1100))
        events = list(daemon.drag(rpc.DragRequest(preparation=request)))
    header = next(event.edited_image for event in events if event.HasField("edited_image"))
    rows = b"".join(event.pixel_chunk.chunk for event in events if event.HasField("pixel_chunk"))
    assert len(rows) > MESSAGE_LIMIT
    assert to_pixels(header.pixels, rows)[30, 40].tolist() == [*pixels[20, 20, :3], 255]


def test_nothing_is_uploaded_twice(
    shared_daemon: StartDaemon, image: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dragdiffusion.client import connection

    sent: list[object] = []
    upload_requests = connection._upload_requests

    def counted(*arguments: object) -> Iterator[rpc.UploadRequest]:
        for request in upload_requests(*arguments):  # type: ignore[arg-type]
            sent.append(request)
            yield request

    monkeypatch.setattr(connection, "_upload_requests", counted)
    with shared_daemon().connect() as daemon:
        changed = image.copy()
        changed[0, 0] = (9, 8, 7, 6)
        daemon.upload(changed)
        assert len(sent) == 2
        daemon.upload(changed)
    assert len(sent) == 2


def test_damaged_bytes_are_refused(shared_daemon: StartDaemon, image: Pixels) -> None:
    rows = bytearray(image.tobytes())
    rows[100] ^= 1
    parts = [rpc.UploadRequest(header=header_of(image)), rpc.UploadRequest(chunk=bytes(rows))]
    error = upload(shared_daemon(), parts)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "damaged" in error.details()


@pytest.mark.parametrize(("change", "words"), [(-1, "only"), (1, "more")])
def test_a_wrong_length_is_refused(
    change: int, words: str, shared_daemon: StartDaemon, image: Pixels
) -> None:
    rows = image.tobytes()[: min(0, change) or None] + b"x" * max(0, change)
    parts = [rpc.UploadRequest(header=header_of(image)), rpc.UploadRequest(chunk=rows)]
    error = upload(shared_daemon(), parts)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert words in error.details()


def test_a_large_chunk_is_refused(shared_daemon: StartDaemon) -> None:
    pixels = np.zeros((1024, 1024, 4), np.uint8)
    parts = [
        rpc.UploadRequest(header=header_of(pixels)),
        rpc.UploadRequest(chunk=pixels.tobytes()[: 2 << 20]),
    ]
    assert "1 MiB" in upload(shared_daemon(), parts).details()


def test_a_message_over_the_limit_is_refused(shared_daemon: StartDaemon) -> None:
    pixels = np.zeros((2048, 1024, 4), np.uint8)
    parts = [
        rpc.UploadRequest(header=header_of(pixels)),
        rpc.UploadRequest(chunk=pixels.tobytes()),
    ]
    assert upload(shared_daemon(), parts).code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_chunk_without_a_header_is_refused(shared_daemon: StartDaemon) -> None:
    error = upload(shared_daemon(), [rpc.UploadRequest(chunk=b"x")])
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_an_image_over_the_limit_is_refused(start_daemon: StartDaemon, image: Pixels) -> None:
    with (
        start_daemon(max_image_bytes=2000).connect() as daemon,
        pytest.raises(DaemonError, match="max_image_bytes") as raised,
    ):
        daemon.upload(image)
    assert raised.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert raised.value.field == "header"


def test_the_least_recently_used_image_goes(start_daemon: StartDaemon, image: Pixels) -> None:
    images = [np.full_like(image, value) for value in range(3)]
    with start_daemon(buffer_bytes=2 * image.nbytes).connect() as daemon:
        references = [daemon.upload(pixels) for pixels in images]
        assert daemon.status().buffer_bytes == 2 * image.nbytes
        stub, metadata = daemon._stub, daemon._metadata
        question = rpc.FindMissingRequest(buffers=references)
        assert list(stub.FindMissing(question, metadata=metadata).missing) == references[:1]
