"""Makes the pictures of the README and of the command line's page with the embedded model: above each result its source.

python docs/make_pictures.py
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from threading import Event

import numpy as np
from PIL import Image

from dragdiffusion.commands.bench import edit_case
from dragdiffusion.commands.bench_engine import BenchEngine, EngineOrder, drain, to_request
from dragdiffusion.engine.config import Mode
from dragdiffusion.evaluation.annotation import annotate
from dragdiffusion.evaluation.scene_cases import make_cases
from dragdiffusion.models.profiles import defaults

SEED = 0
SHOWN = ("000-sun", "009-hat", "004-flower", "008-tree", "005-head")
GENERATED = (  # prompt, seed, handle, target, what may change: left, top, right, bottom
    ("a blue mountain at day with a sun and a tree", 2, (21, 35), (62, 27), (0, 0, 104, 60)),
    ("a pink ball on gray ground, teal background", 5, (41, 62), (82, 62), (4, 24, 116, 108)),
    ("a orange cat face, teal background", 1, (61, 68), (74, 64), (0, 8, 128, 128)),
    ("a red flower, blue background", 3, (79, 24), (56, 30), (16, 0, 124, 106)),
    ("a brown bear face with a red hat, yellow background", 6, (66, 65), (76, 69), (0, 2, 128, 128)),
)  # fmt: skip
SIDE = 240  # pixels of one picture
GAP = 8
PICTURES = Path(__file__).parent / "pictures"
Pair = tuple[np.ndarray, np.ndarray]


def dragged_scenes(engine: BenchEngine) -> list[Pair]:
    """Rendered scenes with the drag drawn in, and the results."""
    pairs = []
    for case in make_cases(10, SEED):
        if case.name in SHOWN:
            outcome = edit_case(engine, case)
            tracks = outcome.handle_tracks
            drawn = annotate(case.image, case.mask, case.point_pairs, tracks, enlargement=2)
            pairs.append((drawn, outcome.image))
    return pairs


def dragged_generated(engine: BenchEngine) -> list[Pair]:
    """Pictures from prompts with the drag drawn in, and the results."""
    config, default = defaults(Mode.DEFAULT, engine.source)
    pairs = []
    for prompt, seed, handle, target, (left, top, right, bottom) in GENERATED:
        generation = replace(default, prompt=prompt, seed=seed)
        work = engine.torch_engine.generate(engine.model, generation, stop=Event())
        generated, _ = drain(work)
        mask = np.zeros(generated.pixels.shape[:2], np.uint8)
        mask[top:bottom, left:right] = 255
        points = (((float(handle[0]), float(handle[1])), (float(target[0]), float(target[1]))),)
        settled = generation.settle(config)
        request = replace(
            to_request(generated.pixels, mask, points, prompt, settled), generation=generation
        )
        opening = engine.torch_engine.open_session(
            engine.model, request, stop=Event(), generated=generated
        )
        session, _ = drain(opening)
        edited, _ = drain(engine.torch_engine.drag(session, request, stop=Event()))
        result = np.where(edited.image[..., 3:] > 0, edited.image[..., :3], generated.pixels)
        pairs.append((annotate(generated.pixels, mask, points, enlargement=2), result))
    return pairs


def sheet(pairs: Sequence[Pair]) -> Image.Image:
    sheet = Image.new("RGB", (len(pairs) * (SIDE + GAP) - GAP, 2 * SIDE + GAP), "white")
    for column, pair in enumerate(pairs):
        for row, pixels in enumerate(pair):
            picture = Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
            sheet.paste(picture, (column * (SIDE + GAP), row * (SIDE + GAP)))
    return sheet


if __name__ == "__main__":
    engine = BenchEngine(EngineOrder())
    sheet(dragged_scenes(engine)).save(PICTURES / "before-after.png", optimize=True)
    sheet(dragged_generated(engine)).save(PICTURES / "generated.png", optimize=True)
