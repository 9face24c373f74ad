"""The user's own sets of settings, kept in a JSON file. No GIMP in here.

{"version": 1, "presets": {"Portraits": {"prompt": "a photo of a face", "mode": "default", …}}}
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, Iterable, List, Mapping

from plugin.edit_model import EditError
from plugin.translation import _

VERSION = 1
Values = Dict[str, Any]  # by the name of the procedure's argument


class Presets:
    """Read when made; each change is written at once."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._presets = _read(file)

    @property
    def names(self) -> List[str]:
        return sorted(self._presets, key=str.casefold)

    def get(self, name: str) -> Values:
        return dict(self._presets[name])

    def save(self, name: str, values: Mapping[str, Any]) -> None:
        name = name.strip()
        if not name:
            raise EditError(_("A preset needs a name: type one, then save again."))
        self._presets[name] = dict(values)
        self._write()

    def delete(self, name: str) -> None:
        del self._presets[name]
        self._write()

    def _write(self) -> None:
        text = json.dumps(
            {"version": VERSION, "presets": self._presets}, ensure_ascii=False, indent=1
        )
        fresh = self._file.with_name(self._file.name + ".new")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_text(text, encoding="utf-8")
            fresh.replace(self._file)
        except OSError as error:
            raise EditError(
                _(
                    "The presets could not be saved in {file}: {reason}. Make room or "
                    "give yourself leave to write there, then save again."
                ).format(file=self._file, reason=error.strerror)
            ) from error


def apply(config: Any, values: Values, names: Iterable[str]) -> None:
    """Set these arguments of a procedure as they were saved; what is missing or cannot be stays as it is."""
    for name in names:
        value, now = values.get(name), config.get_property(name)
        kind = str if now is None else type(now)  # a text that was never set is None
        if isinstance(value, kind):
            config.set_property(name, value)


def _read(file: Path) -> Dict[str, Values]:
    """What is there and makes sense; nothing where nothing does."""
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    presets = told.get("presets") if isinstance(told, dict) else None
    if not isinstance(presets, dict):
        return {}
    return {str(name): values for name, values in presets.items() if isinstance(values, dict)}
