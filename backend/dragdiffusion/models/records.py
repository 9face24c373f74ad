"""What was downloaded of a model, so that it can be verified without the hub: one JSON file beside the models.

    records/owner--model.json    revision, licence, each file's size and hash, and what a verification found damaged
    records/owner--model.lock    held while the model's files are changed or read from end to end

They lie outside the model's folder, which stays as diffusers has it.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Event
from typing import Any

from filelock import FileLock, Timeout

from dragdiffusion.engine.errors import Cancelled, ModelUnavailable

BLOCK_BYTES = 1 << 20
_LOOK_SECONDS = 0.1


@dataclass(frozen=True)
class HubFile:
    """A file of a model on the hub."""

    path: str
    size: int
    sha256: str  # of large files; "" for the others
    git_sha1: str  # of small files: git's hash of "blob SIZE\0" and the content

    def new_digest(self) -> Any:
        """Of the kind that `expected` is; it awaits the content."""
        return hashlib.sha256() if self.sha256 else git_digest(self.size)

    @property
    def expected(self) -> str:
        """Hexadecimal digits; "": not known."""
        return self.sha256 or self.git_sha1


@dataclass(frozen=True)
class Record:
    """Of one model."""

    revision: str
    license: str
    files: tuple[HubFile, ...]
    damaged: tuple[str, ...] = ()  # paths, as the last verification found them

    @property
    def num_bytes(self) -> int:
        return sum(file.size for file in self.files)


def git_digest(size: int) -> Any:
    """SHA-1 that has seen what git puts before a file's content."""
    return hashlib.sha1(f"blob {size}\0".encode("ascii"))


def read(file: Path) -> Record | None:
    """None: there is none, or it cannot be read."""
    try:
        fields = json.loads(file.read_text(encoding="utf-8"))
        return Record(
            fields["revision"],
            fields["license"],
            tuple(HubFile(**entry) for entry in fields["files"]),
            tuple(fields["damaged"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write(file: Path, record: Record) -> None:
    """Whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_name(f"{file.name}.{os.getpid()}.new")
    fresh.write_text(json.dumps(asdict(record), indent=1), encoding="utf-8")
    fresh.replace(file)


def is_whole(folder: Path, record: Record) -> bool:
    """Nothing is known to be damaged, and every file has its size."""
    return not record.damaged and all(
        _size(folder / file.path) == file.size for file in record.files
    )


@contextmanager
def sole_use(
    file: Path, hub_name: str, stop: Event | None = None, patience: float = 2.0
) -> Iterator[None]:
    """The model of this record for one alone; ModelUnavailable if another has it for `patience` seconds."""
    file.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(file.with_suffix(".lock"), thread_local=False)
    deadline = time.monotonic() + patience
    while not lock.is_locked:
        try:
            lock.acquire(timeout=_LOOK_SECONDS)
        except Timeout:
            check_download(stop or Event())
            if time.monotonic() > deadline:
                raise ModelUnavailable(
                    f"{hub_name} is being downloaded, verified or removed by another program: "
                    "wait until that is done, or cancel it there."
                ) from None
    try:
        yield
    finally:
        lock.release()


def check_download(stop: Event) -> None:
    """Cancelled if that is wanted."""
    if stop.is_set():
        raise Cancelled("Cancelled; what has arrived is kept.")


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return -1
