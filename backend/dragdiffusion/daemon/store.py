"""Prepared images on disk: one file each, in a folder of the user's, within a bound; the least recently used go first.

    store = Store(folder, max_bytes)
    payload = store.read(name, stop)             # None: not there, or not to be trusted
    store.write_later(name, lambda: payload)     # on a thread of its own
    store.close()                                # when all is written

`name` is 64 hexadecimal digits that stand for everything that the payload depends on. A file is

    "DRAGPREP" · SHA-256 of name and payload · payload

so one that is damaged, cut off or renamed is noticed; it is removed then, and the image prepared anew. Files come into
being whole (another name, then renamed), and are read whole before anything depends on them: any number of daemons and
commands may share the folder. Where the disk does not let it, nothing is kept, and the log says so; edits go on.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import BinaryIO, NamedTuple

from dragdiffusion.engine.errors import check_stop

_MAGIC = b"DRAGPREP"
_DIGEST_BYTES = 32
_BLOCK_BYTES = 4 << 20  # read between two looks at the stop event
_SUFFIX = ".prepared"
_UNFINISHED = ".unfinished-"  # prefix
_FORGOTTEN_SECONDS = 3600.0  # an unfinished file of this age is nobody's any more
_log = logging.getLogger(__name__)


class Usage(NamedTuple):
    """What is on disk."""

    images: int
    num_bytes: int


class Store:
    """At most `max_bytes` in the folder, which is made when it is needed; 0: nothing is kept, nor read."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.folder = folder.expanduser()
        self.max_bytes = max_bytes
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        if max_bytes:
            self._writer.submit(self._tidy)

    def holds(self, name: str) -> bool:
        return self.max_bytes > 0 and self._file(name).is_file()

    def read(self, name: str, stop: Event) -> bytes | None:
        """The payload, which becomes the most recently used; Cancelled if `stop` is set meanwhile."""
        if not self.max_bytes:
            return None
        try:
            with self._file(name).open("rb") as stream:
                payload = _checked(stream, name, self.max_bytes, stop)
        except FileNotFoundError:
            return None
        except OSError as error:
            _log.warning("prepared image %s cannot be read: %s", name[:12], error)
            return None
        if payload is None:
            self.discard(name, "its checksum is wrong")
        else:
            self._touch(name)
        return payload

    def discard(self, name: str, why: str) -> None:
        """Remove what cannot be used."""
        _log.warning(
            "prepared image %s on disk is not used, it is prepared anew: %s", name[:12], why
        )
        _remove(self._file(name))

    def write_later(self, name: str, make: Callable[[], bytes]) -> None:
        """Keep what `make` returns, called on another thread."""
        if self.max_bytes:
            self._writer.submit(self._write, name, make)

    def usage(self) -> Usage:
        sizes = [size for _, size, _ in self._entries()]
        return Usage(len(sizes), sum(sizes))

    def clear(self) -> Usage:
        """Remove every prepared image; what was removed."""
        removed = [size for _, size, file in self._entries() if _remove(file)]
        for file in self.folder.glob(f"{_UNFINISHED}*"):
            _remove(file)
        return Usage(len(removed), sum(removed))

    def close(self) -> None:
        """Wait until everything is written."""
        self._writer.shutdown(wait=True)

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}{_SUFFIX}"

    def _entries(self) -> list[tuple[int, int, Path]]:
        """(time of last use, bytes, file), the least recently used first."""
        entries = []
        for file in self.folder.glob(f"*{_SUFFIX}"):
            try:
                status = file.stat()
            except OSError:  # another process has just removed it
                continue
            entries.append((status.st_mtime_ns, status.st_size, file))
        return sorted(entries)

    def _touch(self, name: str) -> None:
        try:
            _use_now(self._file(name))
        except OSError as error:
            _log.info("prepared image %s keeps its age: %s", name[:12], error)

    # ---- on the store's thread ----

    def _write(self, name: str, make: Callable[[], bytes]) -> None:
        began = time.monotonic()
        try:
            # In a thread that ends: beside one more that has called torch, OpenMP's threads take twice as long to meet.
            with ThreadPoolExecutor(max_workers=1) as short_lived:
                payload = short_lived.submit(make).result()
            size = len(_MAGIC) + _DIGEST_BYTES + len(payload)
            if size > self.max_bytes:
                _log.info("prepared image %s is not kept on disk: too large", name[:12])
                return
            self._make_room(size)
            self._put(name, payload)
        except OSError as error:  # above all: the disk is full
            _log.warning("prepared image %s is not kept on disk: %s", name[:12], error)
        except Exception:
            _log.exception("prepared image %s is not kept on disk", name[:12])
        else:
            seconds = time.monotonic() - began
            _log.info("prepared image %s kept: %.1f MB, %.2f s", name[:12], size / 1e6, seconds)

    def _put(self, name: str, payload: bytes) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor, unfinished = tempfile.mkstemp(dir=self.folder, prefix=_UNFINISHED)  # 0600
        try:
            # Not synchronised with the disk: if the power fails, the checksum tells.
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(_MAGIC + _digest(name, payload))
                stream.write(payload)
            _use_now(Path(unfinished))
            Path(unfinished).replace(self._file(name))
        except BaseException:
            _remove(Path(unfinished))
            raise

    def _make_room(self, size: int) -> None:
        entries = self._entries()
        total = sum(entry_size for _, entry_size, _ in entries)
        for _, entry_size, file in entries:
            if total + size <= self.max_bytes:
                return
            total -= entry_size if _remove(file) else 0

    def _tidy(self) -> None:
        """What a daemon that was killed left, and what is over a bound that was lowered."""
        try:
            for file in self.folder.glob(f"{_UNFINISHED}*"):
                if time.time() - file.stat().st_mtime > _FORGOTTEN_SECONDS:
                    _remove(file)
            self._make_room(0)
        except OSError as error:
            _log.warning("the folder of prepared images cannot be tidied: %s", error)


def _checked(stream: BinaryIO, name: str, max_bytes: int, stop: Event) -> bytes | None:
    """The payload; None where it is not what was written under this name."""
    begin = stream.read(len(_MAGIC) + _DIGEST_BYTES)
    if not begin.startswith(_MAGIC) or os.fstat(stream.fileno()).st_size > max_bytes:
        return None
    digest, payload = hashlib.sha256(name.encode()), bytearray()
    check_stop(stop)
    while block := stream.read(_BLOCK_BYTES):
        check_stop(stop)
        digest.update(block)
        payload += block
    return bytes(payload) if digest.digest() == begin[len(_MAGIC) :] else None


def _digest(name: str, payload: bytes) -> bytes:
    digest = hashlib.sha256(name.encode())
    digest.update(payload)
    return digest.digest()


def _use_now(file: Path) -> None:
    """Finer than the system's own stamps, so that the order of use is never in doubt."""
    now = time.time_ns()
    os.utime(file, ns=(now, now))


def _remove(file: Path) -> bool:
    """False: it stays, for instance because another process reads it and the system does not let it go."""
    try:
        file.unlink(missing_ok=True)
    except OSError as error:
        _log.info("%s stays: %s", file.name, error)
        return False
    return True
