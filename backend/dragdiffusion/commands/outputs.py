"""The files that commands write."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dragdiffusion.commands.errors import BadInput


def refuse_unwritable(file: Path | None) -> None:
    """Better now than after minutes of work. Folders that are missing may still be made; None is no file.

    Raises:
        BadInput: it is a folder, lies in something that is none, or may not be written.
    """
    if file is None:
        return
    if file.is_dir():
        raise BadInput(f"{file} is a folder: give the name of a file.")
    place = nearest_existing(file.absolute())
    if place != file.absolute() and not place.is_dir():
        raise BadInput(f"{file} cannot be written: {place} is a file, not a folder.")
    if not os.access(place, os.W_OK):
        raise BadInput(f"{file} cannot be written: you may not change {place}.")


def nearest_existing(path: Path) -> Path:
    """It, or the folder in which the missing ones above it would be made."""
    return next(place for place in (path, *path.parents) if place.exists())


def write_json(file: Path, content: Mapping[str, Any]) -> None:
    """Folders that are missing are made."""
    file.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, indent=2, ensure_ascii=False)
    file.write_text(text + "\n", encoding="utf-8")
