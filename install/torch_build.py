"""Puts PyTorch into the environment of the Python that runs this, in the build that suits the machine.

python install/torch_build.py [BUILD]      BUILD: see `chosen_build`; else as the machine has it
"""

from __future__ import annotations

import importlib.util
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

VERSION = "2.13.0"  # the one place that says so
# Of the files that pip installs a quarter is imported here. Python compiles those then, unless it may write nothing.
COMPILE_LATER = () if sys.dont_write_bytecode else ("--no-compile",)
_INDEX = "https://download.pytorch.org/whl"
_CUDA = "cu130"  # of the wheel that PyPI has for Linux; its wheel for Windows is for the CPU


def chosen_build(asked: str = "") -> str:
    """What was asked for, or the variable DRAGDIFFUSION_TORCH says: cpu, cuda, or an index that pytorch.org names.

    Else cuda where an NVIDIA driver answers, and cpu where none does.
    """
    build = asked or os.environ.get("DRAGDIFFUSION_TORCH", "")
    if not build:
        return "cuda" if _nvidia_card_answers() else "cpu"
    if build not in ("cpu", "cuda") and not urlsplit(build).scheme:
        raise SystemExit(
            f"The build of PyTorch is '{build}': it must be cpu, cuda, or the address of an index, "
            f"such as {_INDEX}/xpu."
        )
    return build


def _nvidia_card_answers() -> bool:
    if shutil.which("nvidia-smi") is None:
        return False
    answer = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    return answer.returncode == 0 and "GPU" in answer.stdout


def requirement(build: str, platform: str = sys.platform) -> list[str]:
    """What pip is asked for."""
    pinned = f"torch=={VERSION}"
    if platform == "darwin" or (build == "cuda" and platform != "win32"):
        return [pinned]  # PyPI's own
    if build == "cpu":
        # The index's "+cpu" outranks the plain version, which on Linux brings gigabytes of CUDA.
        return [pinned, "--extra-index-url", f"{_INDEX}/cpu", "--retries", "1", "--timeout", "30"]
    index = f"{_INDEX}/{_CUDA}" if build == "cuda" else build
    return [f"{pinned}+{_tag(build)}", "--extra-index-url", index]


def _tag(build: str) -> str:
    """What follows the "+" in the build's version."""
    return {"cpu": "cpu", "cuda": _CUDA}.get(build) or Path(urlsplit(build).path).name


def is_installed(build: str, found: str, platform: str = sys.platform) -> bool:
    """`found`: the version that is there, "" for none."""
    version, _, tag = found.partition("+")
    return version == VERSION and (platform == "darwin" or tag == _tag(build))


def found_version() -> str:
    """torch.__version__, without importing it."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return ""
    told = Path(spec.origin).with_name("version.py")
    return runpy.run_path(str(told))["__version__"] if told.is_file() else ""


def install(build: str) -> None:
    found = found_version()
    if is_installed(build, found):
        return
    pip = [sys.executable, "-m", "pip", "install", "-qq", *COMPILE_LATER, *requirement(build)]
    # pip takes every build of a version for the same: one that is there has to be replaced by force, which brings no dependencies.
    for options in [["--force-reinstall", "--no-deps"], []] if found else [[]]:
        if subprocess.run([*pip, *options], check=False).returncode != 0:
            raise SystemExit(
                f"PyTorch {VERSION} ({build}) could not be installed: see above. Check the connection, "
                "or choose another build: --cpu, --cuda or --torch-index."
            )


if __name__ == "__main__":
    install(chosen_build(*sys.argv[1:]))
