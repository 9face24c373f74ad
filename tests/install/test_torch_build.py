"""Which PyTorch a machine gets, and when it is replaced."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import pytest

INSTALL = Path(__file__).parents[2] / "install"
XPU = "https://download.pytorch.org/whl/xpu"


@pytest.fixture(autouse=True)
def nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DRAGDIFFUSION_TORCH", raising=False)


def put_nvidia_smi(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


@pytest.mark.parametrize(
    ("script", "build"),
    [
        ("echo 'GPU 0: NVIDIA GeForce RTX 3060 (UUID: GPU-1)'", "cuda"),
        ("echo 'No devices found'", "cpu"),
        ("echo 'GPU: driver not loaded'; exit 9", "cpu"),
    ],
)
def test_an_nvidia_card_whose_driver_answers_gets_the_cuda_build(
    torch_build: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    script: str,
    build: str,
) -> None:
    put_nvidia_smi(tmp_path, monkeypatch, script)
    assert torch_build.chosen_build() == build
    assert torch_build.chosen_build("cpu") == "cpu"
    monkeypatch.setenv("DRAGDIFFUSION_TORCH", XPU)
    assert torch_build.chosen_build() == XPU


def test_what_is_no_build_is_refused(torch_build: ModuleType) -> None:
    with pytest.raises(SystemExit, match="'rocm': it must be cpu, cuda, or the address of an"):
        torch_build.chosen_build("rocm")


@pytest.mark.parametrize(
    ("build", "platform", "wanted", "index"),
    [
        ("cpu", "linux", "torch=={}", "cpu"),  # its "+cpu" outranks what PyPI has
        ("cpu", "win32", "torch=={}", "cpu"),
        ("cpu", "darwin", "torch=={}", ""),
        ("cuda", "linux", "torch=={}", ""),
        ("cuda", "win32", "torch=={}+cu130", "cu130"),
        (XPU, "linux", "torch=={}+xpu", "xpu"),
    ],
)
def test_what_pip_is_asked_for(
    torch_build: ModuleType, build: str, platform: str, wanted: str, index: str
) -> None:
    asked = torch_build.requirement(build, platform)
    assert asked[0] == wanted.format(torch_build.VERSION)
    assert (f"https://download.pytorch.org/whl/{index}" in asked) == bool(index)


def test_another_build_of_the_same_version_is_replaced(torch_build: ModuleType) -> None:
    version = torch_build.VERSION
    assert torch_build.is_installed("cpu", f"{version}+cpu", "linux")
    assert not torch_build.is_installed("cuda", f"{version}+cpu", "linux")
    assert torch_build.is_installed("cuda", f"{version}+cu130", "linux")
    assert torch_build.is_installed(XPU, f"{version}+xpu", "linux")
    assert torch_build.is_installed("cpu", version, "darwin")
    assert not torch_build.is_installed("cpu", "2.6.0+cpu", "linux")
    assert not torch_build.is_installed("cpu", "", "linux")


def test_it_sees_what_is_installed_here(torch_build: ModuleType) -> None:
    assert torch_build.found_version() == version("torch")


def publish(index: Path, version: str) -> str:
    """A wheel named torch, as far as the installer looks into it; the address of an index that has it."""
    folder = index / "torch"
    folder.mkdir(parents=True)
    about = f"torch-{version}.dist-info"
    with zipfile.ZipFile(folder / f"torch-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr("torch/__init__.py", "")
        wheel.writestr("torch/version.py", f"__version__ = '{version}'\n")
        wheel.writestr(
            f"{about}/METADATA", f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\n"
        )
        wheel.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{about}/RECORD", "")
    name = f"torch-{version}-py3-none-any.whl"
    (folder / "index.html").write_text(f'<a href="{name}">{name}</a>', encoding="utf-8")
    return index.as_uri()


@pytest.mark.slow
def test_a_card_that_came_later_gets_its_build(torch_build: ModuleType, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    first, second = (
        publish(tmp_path / tag, f"{torch_build.VERSION}+{tag}") for tag in ("old1", "new2")
    )
    environ = {**os.environ, "PIP_INDEX_URL": first}  # nothing is asked of the network

    def installed() -> str:
        ask = [python, "-c", "import torch.version; print(torch.version.__version__)"]
        return subprocess.run(ask, check=True, capture_output=True, text=True).stdout.strip()

    def run(build: str) -> str:
        """The version that is there then."""
        script = INSTALL / "torch_build.py"
        subprocess.run([python, script, build], check=True, env=environ)
        return installed()

    assert run(first) == f"{torch_build.VERSION}+old1"
    assert run(second) == f"{torch_build.VERSION}+new2"
    (tmp_path / "new2" / "torch" / "index.html").unlink()
    assert run(second) == f"{torch_build.VERSION}+new2"  # nothing is fetched again

    refused = subprocess.run(
        [python, INSTALL / "torch_build.py", (tmp_path / "none3").as_uri()],
        capture_output=True,
        text=True,
        env=environ,
        check=False,
    )
    assert refused.returncode == 1
    assert "could not be installed: see above." in refused.stderr
    assert installed() == f"{torch_build.VERSION}+new2"  # what was there still is
