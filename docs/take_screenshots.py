"""Makes the pictures of the user guide again: real GIMP 3 with the embedded model, driven as in the tests.

python docs/take_screenshots.py            needs GIMP 3 as the tests do (install/gimp_tree.sh)
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
TESTS = (
    "tests/gimp/test_gimp_window.py::test_the_whole_way_with_the_embedded_model",
    "tests/gimp/test_gimp_daemon_window.py::test_the_running_daemon_and_its_actions",
    "tests/gimp/test_gimp_model_manager.py::test_download_cancel_resume_verify_repair_and_use",
)
DIALOG = (150, 78, 1131, 781)  # where the window manager puts it
NAMES = {
    "gimp-dialog": DIALOG,
    "gimp-progress": DIALOG,
    "gimp-compare": DIALOG,
    "gimp-result": None,
    "daemon-dark": (320, 245, 960, 833),  # with a daemon of the tests, whose figures are made up
    "models-downloading": (330, 157, 952, 742),
}


def main() -> None:
    subprocess.run([sys.executable, "-m", "pytest", *TESTS], cwd=ROOT, check=True)
    for name, part in NAMES.items():
        shot = Image.open(ROOT / "tests" / "output" / f"{name}.png").convert("RGB")
        target = ROOT / "docs" / "pictures" / f"{name}.png"
        shot.crop(part).save(target, optimize=True)
        print(target)


if __name__ == "__main__":
    main()
