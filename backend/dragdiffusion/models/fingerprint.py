"""Tells the weights of a model from those of any other, whatever its name: a model that was trained on is another one.

Reading gigabytes before each start would take seconds, so of a large file the size, the time of its last change and
64 blocks spread over it are taken: training changes every block, and a copy with the same blocks has another time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_WHOLE_BYTES = 64 << 20  # files up to this size are read from beginning to end
_BLOCK_BYTES = 1 << 16
_BLOCKS = 64  # of a larger file


def fingerprint(model: Path) -> str:
    """64 hexadecimal digits of a diffusers folder or a single file; OSError where it cannot be read."""
    digest = hashlib.sha256()
    for file in _files(model):
        status = file.stat()
        large = status.st_size > _WHOLE_BYTES
        changed = status.st_mtime_ns if large else 0
        name = file.relative_to(model).as_posix()
        digest.update(repr((name, status.st_size, changed)).encode())
        with file.open("rb") as stream:
            for block in _spread(stream, status.st_size) if large else _all(stream):
                digest.update(block)
    return digest.hexdigest()


def _files(model: Path) -> list[Path]:
    if model.is_file():
        return [model]
    return sorted(path for path in model.rglob("*") if path.is_file())


def _all(stream: BinaryIO) -> Iterator[bytes]:
    while block := stream.read(1 << 20):
        yield block


def _spread(stream: BinaryIO, size: int) -> Iterator[bytes]:
    """The first block, with the names and shapes of a .safetensors file, the last, and those between."""
    for i in range(_BLOCKS):
        stream.seek((size - _BLOCK_BYTES) * i // (_BLOCKS - 1))
        yield stream.read(_BLOCK_BYTES)
