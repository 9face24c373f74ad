"""Makes the pictures and the film of the guide again: real GIMP 3 with the embedded model, driven as in the tests.

python docs/take_screenshots.py            needs GIMP 3 as the tests do (install/gimp_tree.sh)
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
SHOTS = ROOT / "tests" / "output"
PICTURES = ROOT / "docs" / "pictures"
TESTS = (
    "real_daemon.py::test_the_whole_way_with_the_embedded_model",
    "daemon_window.py::test_the_running_daemon_and_its_actions",  # of the tests: its figures are made up
    "model_manager.py::test_download_cancel_resume_verify_repair_and_use",
    "real_daemon.py::test_with_the_embedded_model_a_generated_layer_is_dragged",
)
# What the guide calls it, and what the test does.
WINDOWS = {
    "gimp-dialog": "film-4-dialog",
    "gimp-progress": "film-5-drag-2",
    "gimp-compare": "film-6-result",
    "gimp-generate": "gimp-generate",
    "gimp-re-edit": "gimp-re-edit",
    "daemon-dark": "daemon-dark",
    "models-downloading": "models-downloading",
}
SCREENS = {"gimp-result": "film-7-layer"}
FILM_WIDTH = 800  # pixels
COLOURS = 256
SECONDS = {"film-5": 0.7, "film-6": 2.5, "film-7": 3.5}  # a frame of that name is shown; others:
USUAL_SECONDS = 1.5


def main() -> None:
    tests = [f"tests/gimp/test_gimp_{test}" for test in TESTS]
    subprocess.run([sys.executable, "-m", "pytest", "-q", *tests], cwd=ROOT, check=True)
    for name, taken in (WINDOWS | SCREENS).items():
        shot = Image.open(SHOTS / f"{taken}.png").convert("RGB")
        if name in WINDOWS:
            shot = shot.crop(find_window(shot))
        shot.save(PICTURES / f"{name}.png", optimize=True)
    make_film(sorted(SHOTS.glob("film-*.png")), PICTURES / "gimp-drag.gif")


def find_window(shot: Image.Image) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the active window, by its blue title bar on the left of which it begins."""
    pixels = np.asarray(shot, dtype=int)
    blue = (pixels[..., 2] > 180) & (pixels[..., 2] - pixels[..., 0] > 40)
    rows = np.flatnonzero((blue & (pixels[..., 1] > 120)).sum(axis=1) > 400)
    top = int(rows[0]) - 1
    columns = np.flatnonzero(blue[rows[0] + 1])
    left, right = int(columns[0]) - 1, int(columns[-1]) + 2
    edge = pixels[top + 20 :, left + 1]
    outside = np.abs(edge - edge[0]).max(axis=1) > 24
    bottom = top + 20 + int(np.argmax(outside)) if outside.any() else shot.height
    return left, top, right, bottom


def make_film(frames: list[Path], target: Path) -> None:
    shots = [Image.open(path).convert("RGB") for path in frames]
    sizes = [(FILM_WIDTH, round(shot.height * FILM_WIDTH / shot.width)) for shot in shots]
    small = [
        shot.resize(size, Image.Resampling.LANCZOS) for shot, size in zip(shots, sizes, strict=True)
    ]
    # Median cut, the usual method, has no colour for what is small: the handle, the sun. One palette: no grey flickers.
    together = Image.fromarray(np.vstack([np.asarray(image)[::2, ::2] for image in small]))
    palette = together.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, kmeans=2)
    images = [image.quantize(palette=palette) for image in small]
    seconds = [SECONDS.get(path.name[:6], USUAL_SECONDS) for path in frames]
    images[0].save(
        target,
        save_all=True,
        append_images=images[1:],
        duration=[round(1000 * each) for each in seconds],
        loop=0,
        optimize=True,
    )


if __name__ == "__main__":
    main()
