"""Puts the plug-in's pure-Python packages, and the contract generated from drag.proto, into its private vendor folder.

python install/vendor.py [DIR]      DIR: the plug-in's folder; gimp_plugin/drag_diffusion of this checkout unless told

GIMP brings its own Python (3.9 to 3.14, MSYS2 on Windows, signed on macOS), so nothing compiled may come in: the wheels are
pinned by their SHA-256 in gimp_plugin/vendor-requirements.txt, and the result is checked.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLUGIN = ROOT / "gimp_plugin" / "drag_diffusion"
REQUIREMENTS = ROOT / "gimp_plugin" / "vendor-requirements.txt"
CONTRACT = ROOT / "protos" / "dragdiffusion_rpc"
COMPILED = {".so", ".pyd", ".dylib", ".dll", ".pyc"}


def bring_up_to_date(plugin: Path) -> str:
    """At once where nothing changed; what was done."""
    vendor, stamp = plugin / "vendor", _stamp()
    told = vendor / ".stamp"
    if told.is_file() and told.read_text(encoding="utf-8").strip() == stamp:
        return f"The plug-in's packages are up to date: {vendor}"
    fresh = Path(tempfile.mkdtemp(prefix=".vendor-", dir=plugin))
    try:
        _fill(fresh)
        (fresh / ".stamp").write_text(stamp + "\n", encoding="utf-8")
        fresh.chmod(0o755)
        shutil.rmtree(vendor, ignore_errors=True)
        fresh.replace(vendor)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    return f"The plug-in's packages are in {vendor}"


def _stamp() -> str:
    made_of = [REQUIREMENTS, *sorted(CONTRACT.glob("*.py"))]
    return hashlib.sha256(b"".join(path.read_bytes() for path in made_of)).hexdigest()


def _fill(folder: Path) -> None:
    only_pure = "--only-binary=:all: --platform any --implementation py --abi none"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
            *("--no-compile", "--no-deps", "--require-hashes", "--target", str(folder)),
            *(*only_pure.split(), "--python-version", "3.9", "--requirement", str(REQUIREMENTS)),
        ],
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(
            "The plug-in's packages are missing or out of date, and pip could not get them: see above."
        )
    shutil.rmtree(folder / "bin", ignore_errors=True)
    contract = folder / CONTRACT.name
    contract.mkdir()
    for name in ("__init__.py", "drag_pb2.py"):
        shutil.copyfile(CONTRACT / name, contract / name)
    compiled = [str(path) for path in folder.rglob("*") if path.suffix in COMPILED]
    if compiled:
        raise SystemExit(
            "\n".join(["Compiled files came in, which GIMP may not be able to load:", *compiled])
        )


if __name__ == "__main__":
    print(bring_up_to_date(*[Path(folder) for folder in sys.argv[1:]] or [PLUGIN]))
