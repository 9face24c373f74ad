"""Uploaded pixels, named by their content, kept within a bound: the least recently used go first."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from dragdiffusion.engine.drag_types import Pixels
from dragdiffusion.engine.errors import ImageNotFound, InvalidRequest, OutOfMemory

CHUNK_BYTES = 1 << 20


class BufferName(NamedTuple):
    """A pixel buffer by its content."""

    sha256: bytes
    width: int
    height: int
    bytes_per_pixel: int

    @property
    def num_bytes(self) -> int:
        return self.width * self.height * self.bytes_per_pixel


def new_digest(width: int, height: int, bytes_per_pixel: int) -> hashlib._Hash:
    """SHA-256 that has seen the shape and now awaits the rows."""
    return hashlib.sha256(f"{width}x{height}x{bytes_per_pixel}:".encode("ascii"))


def name_of(pixels: Pixels) -> BufferName:
    """The name under which a client uploads these pixels."""
    height, width = pixels.shape[:2]
    bytes_per_pixel = 1 if pixels.ndim == 2 else pixels.shape[2]
    digest = new_digest(width, height, bytes_per_pixel)
    digest.update(np.ascontiguousarray(pixels).data)
    return BufferName(digest.digest(), width, height, bytes_per_pixel)


class BufferStore:
    """At most `max_bytes` of pixels, and no buffer over `max_buffer_bytes`."""

    def __init__(self, max_bytes: int, max_buffer_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._max_buffer_bytes = min(max_buffer_bytes, max_bytes)
        self._buffers: OrderedDict[BufferName, Pixels] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def num_bytes(self) -> int:
        with self._lock:
            return self._total()

    def holds(self, name: BufferName) -> bool:
        """Whether the buffer is here; if so it counts as just used."""
        with self._lock:
            if name not in self._buffers:
                return False
            self._buffers.move_to_end(name)
            return True

    def get(self, name: BufferName, field: str) -> Pixels:
        """The pixels, (h, w, channels) or (h, w); nobody may change them. `field`: what they are in the request."""
        with self._lock:
            if name not in self._buffers:
                raise ImageNotFound(
                    f"The daemon does not hold this {field}: upload it and try again.", field=field
                )
            self._buffers.move_to_end(name)
            return self._buffers[name]

    def receive(self, name: BufferName, chunks: Iterable[bytes]) -> None:
        """Take an upload in, verified by length and SHA-256."""
        self._check_size(name)
        rows = bytearray()
        for chunk in chunks:
            if len(chunk) > CHUNK_BYTES:
                raise InvalidRequest("A chunk of an upload is at most 1 MiB.", field="chunk")
            rows += chunk
            if len(rows) > name.num_bytes:
                raise InvalidRequest(_wrong_length(name, "more"), field="chunk")
        if len(rows) < name.num_bytes:
            raise InvalidRequest(_wrong_length(name, f"only {len(rows)}"), field="chunk")
        digest = new_digest(name.width, name.height, name.bytes_per_pixel)
        digest.update(rows)
        if digest.digest() != name.sha256:
            raise InvalidRequest(
                "The image was damaged on its way to the daemon: its SHA-256 does not match. "
                "Try again.",
                field="header.sha256",
            )
        self._put(name, rows)

    def _check_size(self, name: BufferName) -> None:
        if len(name.sha256) != 32 or name.num_bytes == 0:
            raise InvalidRequest(
                "An upload needs a SHA-256 of 32 bytes, a width, a height and a pixel format.",
                field="header",
            )
        if name.num_bytes > self._max_buffer_bytes:
            raise OutOfMemory(
                f"The image of {name.width} × {name.height} pixels takes "
                f"{name.num_bytes / 2**20:.0f} MiB; the daemon's limit is "
                f"{self._max_buffer_bytes / 2**20:.0f} MiB (setting max_image_bytes). "
                "Crop or scale it down.",
                field="header",
            )

    def _put(self, name: BufferName, rows: bytearray) -> None:
        shape: tuple[int, ...] = (name.height, name.width)
        if name.bytes_per_pixel > 1:
            shape += (name.bytes_per_pixel,)
        with self._lock:
            self._buffers[name] = np.frombuffer(rows, dtype=np.uint8).reshape(shape)
            self._buffers.move_to_end(name)
            while self._total() > self._max_bytes:
                self._buffers.popitem(last=False)

    def _total(self) -> int:
        return sum(name.num_bytes for name in self._buffers)


def _wrong_length(name: BufferName, sent: str) -> str:
    return (
        f"The upload has {sent} bytes; {name.width} × {name.height} pixels of "
        f"{name.bytes_per_pixel} bytes are {name.num_bytes}."
    )
