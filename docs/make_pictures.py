"""Makes the README's picture: rendered scenes with the drag drawn in, and below them what the embedded model made of it.

python docs/make_pictures.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from dragdiffusion.commands.bench import edit_case
from dragdiffusion.engine.config import Mode
from dragdiffusion.evaluation.report_html import annotated_source
from dragdiffusion.evaluation.scene_cases import make_cases
from dragdiffusion.evaluation.scene_metrics import measure
from dragdiffusion.evaluation.scenes_benchmark import CaseReport
from dragdiffusion.models import catalogue
from dragdiffusion.models.load import load_model, place
from dragdiffusion.models.profiles import default_config

SEED = 0
SHOWN = ("000-sun", "009-hat", "004-flower", "008-tree", "005-head")
SIDE = 240  # pixels of one picture
GAP = 8
BESIDE_README = Path(__file__).parent / "pictures" / "before-after.png"


def make_before_after() -> Image.Image:
    source = catalogue.resolve("embedded")
    model = load_model(source, place("cpu", "float32"))
    config = default_config(Mode.DEFAULT, source.family)
    cases = [case for case in make_cases(10, SEED) if case.name in SHOWN]
    width = len(cases) * (SIDE + GAP) - GAP
    sheet = Image.new("RGB", (width, 2 * SIDE + GAP), "white")
    for column, case in enumerate(cases):
        outcome = edit_case(model, case, config)
        report = CaseReport(case, outcome, measure(case, outcome.image, outcome.raw))
        for row, pixels in enumerate((annotated_source(report), outcome.image)):
            picture = Image.fromarray(np.asarray(pixels)).resize((SIDE, SIDE), Image.LANCZOS)
            sheet.paste(picture, (column * (SIDE + GAP), row * (SIDE + GAP)))
    return sheet


if __name__ == "__main__":
    make_before_after().save(BESIDE_README, optimize=True)
    print(BESIDE_README)
