"""Settings that were tried and not inserted: GIMP itself remembers only those of what went into the image. Main thread only.

They are there when the dialog opens the next time, until something is inserted: then GIMP's are the later ones.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any, List

from gi.repository import GLib

from plugin.edit_model import EditError
from plugin.presets import Presets, apply

NOT_SETTINGS = ("run-mode", "image", "drawables")


def recall(procedure: Any, config: Any) -> None:
    kept, name = _kept(), procedure.get_name()
    if name in kept.names:
        apply(config, kept.get(name), _settings(procedure))


def remember(procedure: Any, config: Any, was_tried: bool, was_inserted: bool) -> None:
    kept, name = _kept(), procedure.get_name()
    with suppress(EditError):  # where nothing can be written nothing is remembered
        if was_inserted and name in kept.names:
            kept.delete(name)
        elif was_tried and not was_inserted:
            values = {setting: config.get_property(setting) for setting in _settings(procedure)}
            kept.save(name, values)


def _settings(procedure: Any) -> List[str]:
    names = [argument.name for argument in procedure.get_arguments()]
    return [name for name in names if name not in NOT_SETTINGS]


def _kept() -> Presets:
    return Presets(Path(GLib.get_user_config_dir()) / "dragdiffusion" / "gimp-tried.json")
