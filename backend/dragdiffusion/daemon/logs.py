"""The daemon's log: one file in the state folder, bounded in size, only for its owner."""

from __future__ import annotations

import faulthandler
import logging
import logging.handlers
import warnings
from pathlib import Path
from typing import TextIO

from dragdiffusion.settings import Settings

_FORMAT = "%(asctime)s %(levelname)s %(threadName)s %(name)s: %(message)s"
_crashes: list[TextIO] = []  # faulthandler writes to an open file


def start_logging(settings: Settings, folder: Path) -> Path:
    """Log to `daemon.log` in the folder, with at most `settings.log_files` older ones; the file's path."""
    file = folder / "daemon.log"
    handler = logging.handlers.RotatingFileHandler(
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
    _crashes.append((folder / "crash.log").open("w", encoding="utf-8"))
    faulthandler.enable(_crashes[-1])
    return file


def stop_logging() -> None:
    """Write and close what start_logging() opened."""
    faulthandler.disable()
    while _crashes:
        _crashes.pop().close()
    logging.shutdown()
