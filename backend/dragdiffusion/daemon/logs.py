"""The daemon's log: one file in the state folder, bounded in size, only for its owner."""

from __future__ import annotations

import faulthandler
import logging
import logging.handlers
import os
import warnings
from pathlib import Path
from typing import Any, TextIO

from dragdiffusion.settings import Settings

_FORMAT = "%(asctime)s %(levelname)s %(threadName)s %(name)s: %(message)s"
_LINE_BYTES = 512  # of a line of the log, on the average at most
_crashes: list[TextIO] = []  # faulthandler writes to an open file


def start_logging(settings: Settings, folder: Path) -> Path:
    """Log to `daemon.log` in the folder, with at most `settings.log_files` older ones; the file's path."""
    file = folder / "daemon.log"
    handler = _PrivateFile(
        file,
        maxBytes=settings.log_bytes,
        backupCount=settings.log_files,
        encoding="utf-8",
    )
    handler.setFormatter(logging.Formatter(_FORMAT))
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    root.addHandler(handler)
    for chatty in ("httpx", "httpcore", "filelock"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    logging.captureWarnings(True)
    warnings.simplefilter("default")
    _crashes.append(_open_crash_log(folder / "crash.log", settings.log_bytes))
    faulthandler.enable(_crashes[-1])
    return file


class _PrivateFile(logging.handlers.RotatingFileHandler):
    def _open(self) -> Any:
        return open(self.baseFilename, self.mode, encoding=self.encoding, opener=_open_private)


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _open_crash_log(file: Path, max_bytes: int) -> TextIO:
    """What an earlier daemon died of stays in it."""
    full = file.exists() and file.stat().st_size > max_bytes
    return open(file, "w" if full else "a", encoding="utf-8", opener=_open_private)


def stop_logging() -> None:
    """Write and close what start_logging() opened."""
    faulthandler.disable()
    while _crashes:
        _crashes.pop().close()
    logging.shutdown()


def last_lines(file: Path, count: int) -> list[str]:
    """The log's last lines, the oldest first: fewer where they are long or there are not so many."""
    if count == 0:
        return []
    try:
        with file.open("rb") as stream:
            stream.seek(max(0, file.stat().st_size - count * _LINE_BYTES))
            begins_within = stream.tell() > 0
            lines = stream.read().decode("utf-8", errors="replace").splitlines()
    except OSError as error:
        return [f"The log cannot be read: {error}"]
    return lines[1:][-count:] if begins_within else lines[-count:]
