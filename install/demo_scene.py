"""Writes the sample scene of the demonstration into a folder: before.png, mask.png and scene.json."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from PIL import Image

from dragdiffusion.evaluation.scene_cases import DragCase, make_cases

KIND = "sun"  # what the embedded model does well
SEED = 7
MARGIN = 6  # pixels of selection round what the drag changes


def selection_of(case: DragCase) -> tuple[int, int, int, int]:
    """The ellipse (x, y, width, height) that a user would draw round the part and its new place."""
    box = Image.fromarray(case.mask).getbbox()
    assert box  # a part is moved, so something may change
    left, top, right, bottom = box
    return left - MARGIN, top - MARGIN, right - left + 2 * MARGIN, bottom - top + 2 * MARGIN


def write_scene(folder: Path) -> None:
    case = next(case for case in make_cases(20, SEED) if case.kind == KIND)
    (handle, target) = case.point_pairs[0]
    scene = {
        "handle": [round(value, 1) for value in handle],
        "target": [round(value, 1) for value in target],
        "selection": selection_of(case),
        "prompt": case.caption,
    }
    Image.fromarray(case.image).save(folder / "before.png")
    Image.fromarray(case.mask).save(folder / "mask.png")
    (folder / "scene.json").write_text(json.dumps(scene, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_scene(Path(sys.argv[1]))
