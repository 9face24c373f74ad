"""Makes the pictures of the user guide again: real GIMP 3 with the embedded model, driven as in the tests.

python docs/take_screenshots.py            needs GIMP 3 as the tests do (install/gimp_tree.sh)
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
TEST = "tests/gimp/test_gimp_window.py::test_the_whole_way_with_the_embedded_model"
NAMES = ("gimp-dialog", "gimp-progress", "gimp-compare", "gimp-result")
COLOURS = 256  # enough for a screenshot, and a third of the size


def main() -> None:
    subprocess.run([sys.executable, "-m", "pytest", TEST], cwd=ROOT, check=True)
    for name in NAMES:
        shot = Image.open(ROOT / "tests" / "output" / f"{name}.png").convert("RGB")
        target = ROOT / "docs" / "pictures" / f"{name}.png"
        shot.quantize(COLOURS).save(target, optimize=True)
        print(target)


if __name__ == "__main__":
    main()
