"""DragBench's cases (Shi et al., arXiv 2306.14435, section 5) from a folder on this machine, in both layouts in use.

    CATEGORY/CASE/original_image.png
    CATEGORY/CASE/meta_data.pkl                          {prompt, points, mask}: as published
    CATEGORY/CASE/drag_instruction.json and mask.png     {prompt, points} and the mask as a picture

`points` are pixels [x, y], handle and target in turn; the mask is not zero where the picture may change.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from dragdiffusion.engine.errors import InvalidRequest

from . import restricted_pickle
from .edits import ByteImage, ImagePoint, PointPair

_IMAGE, _PICKLE, _INSTRUCTION, _MASK = (
    "original_image.png",
    "meta_data.pkl",
    "drag_instruction.json",
    "mask.png",
)


class BrokenCase(InvalidRequest):
    """A case's folder that cannot be used; the text says why."""


@dataclass(frozen=True, slots=True)
class CaseFolder:
    """Where a case lies, not read yet."""

    category: str
    name: str
    path: Path

    @property
    def key(self) -> str:
        return f"{self.category}/{self.name}"


@dataclass(frozen=True, slots=True)
class DragBenchCase:
    """One case; point (0.5, 0.5) is the centre of the top left pixel."""

    folder: CaseFolder
    prompt: str
    image: ByteImage  # (h, w, 3)
    mask: ByteImage  # (h, w), 255 = may change, else 0
    point_pairs: tuple[PointPair, ...]

    @property
    def drag_lengths_px(self) -> list[float]:
        return [math.dist(handle, target) for handle, target in self.point_pairs]

    def fingerprint(self) -> str:
        """Changes with anything that an edit depends on."""
        digest = hashlib.sha256(repr((self.prompt, self.point_pairs, self.image.shape)).encode())
        digest.update(self.image.tobytes())
        digest.update(self.mask.tobytes())
        return digest.hexdigest()[:16]


def find_cases(root: Path, categories: tuple[str, ...] = ()) -> list[CaseFolder]:
    """Every case's folder below `root`, the categories in turn, so that the first few show all of them.

    Raises InvalidRequest where there is none, or a category is not there.
    """
    if not root.is_dir():
        raise InvalidRequest(f"There is no folder {root}.")
    found = [
        CaseFolder(path.parent.name, path.name, path)
        for path in sorted(
            Path(folder) for folder, _, files in os.walk(root.absolute()) if _is_case(files)
        )
    ]
    if not found:
        raise InvalidRequest(
            f"{root} has no DragBench case: a folder with {_IMAGE}, and {_PICKLE} or "
            f"{_INSTRUCTION} and {_MASK}, in a folder for its category."
        )
    _refuse_equal_names(found)
    here = sorted({case.category for case in found})
    unknown = [category for category in categories if category not in here]
    if unknown:
        raise InvalidRequest(
            f"{root} has no category {unknown[0]}; it has {', '.join(here)}.", field="category"
        )
    return _in_turn([case for case in found if not categories or case.category in categories])


def read_case(folder: CaseFolder) -> DragBenchCase:
    """Raises BrokenCase."""
    image = _read_picture(folder.path / _IMAGE, "RGB")
    if (folder.path / _INSTRUCTION).is_file():
        content = _read_json(folder.path / _INSTRUCTION)
        mask: Any = _read_picture(folder.path / _MASK, "L")
    elif (folder.path / _PICKLE).is_file():
        content = _read_pickle(folder.path / _PICKLE)
        mask = content.get("mask")
    else:
        raise BrokenCase(f"it has neither {_PICKLE} nor {_INSTRUCTION}")
    prompt = content.get("prompt", "")
    if not isinstance(prompt, str):
        raise BrokenCase("its prompt is no text")
    return DragBenchCase(
        folder=folder,
        prompt=prompt,
        image=image,
        mask=_checked_mask(mask, image),
        point_pairs=_point_pairs(content.get("points"), image),
    )


def _is_case(files: list[str]) -> bool:
    return any(name in files for name in (_IMAGE, _PICKLE, _INSTRUCTION))


def _refuse_equal_names(found: list[CaseFolder]) -> None:
    by_key: dict[str, CaseFolder] = {}
    for case in found:
        other = by_key.setdefault(case.key, case)
        if other is not case:
            raise InvalidRequest(
                f"{other.path} and {case.path} have the same category and name: "
                "give the folder of one collection."
            )


def _in_turn(cases: list[CaseFolder]) -> list[CaseFolder]:
    """The first of each category, then the second of each."""
    seen: dict[str, int] = {}
    rounds = []
    for case in cases:
        seen[case.category] = seen.get(case.category, -1) + 1
        rounds.append((seen[case.category], case.category, case))
    return [case for _, _, case in sorted(rounds, key=lambda entry: entry[:2])]


def _read_picture(path: Path, mode: str) -> ByteImage:
    try:
        with Image.open(path) as picture:
            return np.asarray(picture.convert(mode))
    except FileNotFoundError as error:
        raise BrokenCase(f"it has no {path.name}") from error
    except (
        OSError,
        SyntaxError,
        ValueError,
        UnidentifiedImageError,
        Image.DecompressionBombError,
    ) as error:
        raise BrokenCase(f"{path.name} is no picture that can be read") from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BrokenCase(f"{path.name} is no JSON that can be read") from error
    return _checked_dictionary(content, path)


def _read_pickle(path: Path) -> dict[str, Any]:
    try:
        content = restricted_pickle.load(path)
    except restricted_pickle.Refused as error:
        raise BrokenCase(f"{path.name} is refused: {error}") from error
    except (OSError, ValueError) as error:
        raise BrokenCase(f"{path.name} cannot be read: {error}") from error
    return _checked_dictionary(content, path)


def _checked_dictionary(content: Any, path: Path) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise BrokenCase(f"{path.name} has no prompt and points")
    return content


def _checked_mask(mask: Any, image: ByteImage) -> ByteImage:
    if not isinstance(mask, np.ndarray) or mask.dtype.kind not in "buif":
        raise BrokenCase("its mask is no array of numbers")
    if mask.ndim == 3:
        mask = mask.any(axis=-1)
    if mask.shape != image.shape[:2]:
        sizes = [" × ".join(map(str, reversed(shape))) for shape in (mask.shape, image.shape[:2])]
        raise BrokenCase(f"its mask is {sizes[0]} pixels and its picture {sizes[1]}")
    if not mask.any():
        raise BrokenCase("its mask is empty: nothing may change")
    return np.where(mask != 0, 255, 0).astype(np.uint8)


def _point_pairs(points: Any, image: ByteImage) -> tuple[PointPair, ...]:
    """Pixel indices become points: the middle of the pixel."""
    try:
        numbers = np.asarray(points, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise BrokenCase("its points are no list of [x, y]") from error
    if numbers.ndim != 2 or numbers.shape[1] != 2 or not np.isfinite(numbers).all():
        raise BrokenCase("its points are no list of [x, y]")
    if len(numbers) % 2 or not len(numbers):
        raise BrokenCase(f"it has {len(numbers)} points: every handle needs a target")
    centres: list[ImagePoint] = [(x + 0.5, y + 0.5) for x, y in numbers.tolist()]
    pairs = tuple(zip(centres[::2], centres[1::2], strict=True))
    for (x, y), _ in pairs:
        if not (0 < x < image.shape[1] and 0 < y < image.shape[0]):
            raise BrokenCase(f"its handle [{x - 0.5:g}, {y - 0.5:g}] is outside the picture")
    return pairs
