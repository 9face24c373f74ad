"""A DragBench run on the disk: one folder a case, so that a run goes on where it stopped.

OUTPUT/run.json                                  the settings; a run with others is refused
OUTPUT/CATEGORY/CASE/dragged_image.png           as the official evaluation's scripts look for it
OUTPUT/CATEGORY/CASE/instruction.png             the source with mask and arrows
OUTPUT/CATEGORY/CASE/result.json
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dragdiffusion.engine.errors import InvalidRequest

from .annotation import annotate
from .dragbench_cases import DragBenchCase
from .edits import ByteImage, EditOutcome

_RUN, _RESULT, _PICTURE, _INSTRUCTION = (
    "run.json",
    "result.json",
    "dragged_image.png",
    "instruction.png",
)
_MAY_DIFFER = ("device",)


@dataclass(frozen=True)
class Figures:
    """What the pictures show."""

    distances_px: list[float]  # of each handle, from where it is seen to its target
    md_features: str  # by whose features
    image_fidelity: float | None  # 1 - LPIPS; None: not measured


@dataclass(frozen=True)
class CaseResult:
    """One case that was edited."""

    category: str
    name: str
    prompt: str
    fingerprint: str  # of the case's content
    drag_lengths_px: list[float]
    seconds: float
    figures: Figures | None = None  # None: not measured yet

    @property
    def key(self) -> str:
        return f"{self.category}/{self.name}"


class ResultsFolder:
    """See the module's text."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def start(self, settings: Mapping[str, Any]) -> None:
        """Begin a run, or go on with one; InvalidRequest where the folder holds a run with other settings."""
        kept = self.settings()
        differences = _differences(kept, settings) if kept is not None else []
        if differences:
            raise InvalidRequest(
                f"{self.root} holds a run with other settings ({'; '.join(differences[:4])}): "
                "choose another --output, or delete that folder."
            )
        self.root.mkdir(parents=True, exist_ok=True)
        _write_json(self.root / _RUN, dict(kept or {}) | dict(settings))

    def settings(self) -> dict[str, Any] | None:
        """None where no run was begun."""
        content = _read_json(self.root / _RUN)
        if content is None and (self.root / _RUN).exists():
            raise InvalidRequest(f"{self.root / _RUN} is damaged: delete {self.root}.")
        return content

    def keep_edit(self, case: DragBenchCase, outcome: EditOutcome) -> CaseResult:
        result = CaseResult(
            category=case.folder.category,
            name=case.folder.name,
            prompt=case.prompt,
            fingerprint=case.fingerprint(),
            drag_lengths_px=case.drag_lengths_px,
            seconds=outcome.seconds,
        )
        (self.root / result.key).mkdir(parents=True, exist_ok=True)
        drawn = annotate(case.image, case.mask, case.point_pairs, outcome.handle_tracks)
        _write_picture(self.root / result.key / _PICTURE, outcome.image)
        _write_picture(self.root / result.key / _INSTRUCTION, drawn)
        self.keep(result)
        return result

    def keep(self, result: CaseResult) -> None:
        _write_json(self.root / result.key / _RESULT, asdict(result))

    def find(self, case: DragBenchCase) -> CaseResult | None:
        """The result for this very case; None where there is none, or what there is is damaged or of another content."""
        result = self._read(self.root / case.folder.key / _RESULT)
        if result is None or result.fingerprint != case.fingerprint():
            return None
        try:
            intact = self.picture(result).shape == case.image.shape
        except (OSError, SyntaxError, ValueError):
            return None
        return result if intact else None

    def results(self) -> list[CaseResult]:
        """Everything that the folder holds."""
        found = (self._read(path) for path in sorted(self.root.glob(f"*/*/{_RESULT}")))
        return [result for result in found if result is not None]

    def picture(self, result: CaseResult) -> ByteImage:
        """(h, w, 3), what the user gets."""
        return np.asarray(self.photograph(result))

    def photograph(self, result: CaseResult) -> Image.Image:
        return _read_picture(self.root / result.key / _PICTURE)

    def instruction(self, result: CaseResult) -> Image.Image:
        """The source with mask and arrows."""
        return _read_picture(self.root / result.key / _INSTRUCTION)

    def _read(self, path: Path) -> CaseResult | None:
        content = _read_json(path)
        if content is None:
            return None
        try:
            figures = content.pop("figures")
            return CaseResult(**content, figures=Figures(**figures) if figures else None)
        except (KeyError, TypeError):
            return None


def _differences(kept: Mapping[str, Any], settings: Mapping[str, Any]) -> list[str]:
    """ "mode was default, is reference" """
    before, now = _flat(kept), _flat(settings)
    return [
        f"{name} was {before[name]}, is {value}"
        for name, value in now.items()
        if name not in _MAY_DIFFER and name in before and before[name] != value
    ] + sorted(f"{name} is new" for name in set(now) - set(before) if name.startswith("config."))


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """As JSON gives it back, with a dotted name for what is nested."""
    flat: dict[str, Any] = {}
    for name, value in json.loads(json.dumps(settings)).items():
        flat |= (
            _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
        )
    return flat


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Whole or not at all."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(content, indent=2) + "\n", "utf-8")
    part.replace(path)


def _write_picture(path: Path, picture: ByteImage) -> None:
    part = path.with_suffix(".part")
    Image.fromarray(picture).save(part, "PNG")
    part.replace(path)


def _read_picture(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        return picture.convert("RGB")
