"""DragBench folders with drawn pictures, in both layouts.

write_case(tmp_path / "animals" / "cat", layout="pickle", points=[[8, 20], [30, 20]])
"""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dragdiffusion.evaluation.edits import ByteImage

HEIGHT, WIDTH = 48, 64
POINTS = [[8, 20], [30, 22], [10, 30], [32, 32]]


def picture(seed: int = 0) -> ByteImage:
    return np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def mask() -> ByteImage:
    """Not zero where the picture may change: 1, not 255, as some of DragBench's."""
    drawn = np.zeros((HEIGHT, WIDTH), np.uint8)
    drawn[10:40, 4:44] = 1
    return drawn


def write_case(
    folder: Path,
    *,
    layout: str = "json",
    points: Any = POINTS,
    prompt: str = "a drawn picture",
    seed: int = 0,
) -> Path:
    folder.mkdir(parents=True)
    Image.fromarray(picture(seed)).save(folder / "original_image.png")
    content = {"prompt": prompt, "points": points}
    if layout == "pickle":
        with_mask = content | {"mask": mask()}
        (folder / "meta_data.pkl").write_bytes(pickle.dumps(with_mask, protocol=4))
    else:
        (folder / "drag_instruction.json").write_text(json.dumps(content))
        Image.fromarray(mask()).save(folder / "mask.png")
    return folder
