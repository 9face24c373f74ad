"""The README's first command on a fresh home: everything set up, a drag done for real, everything gone again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]


def run_install(home: Path, *options: str) -> str:
    """What install.sh printed; its exit status must be 0."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("XDG_", "DRAGDIFFUSION_", "VIRTUAL_ENV"))
    }
    done = subprocess.run(
        ["bash", str(ROOT / "install" / "install.sh"), *options],
        env=environment | {"HOME": str(home)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_install_twice_drag_and_uninstall(tmp_path: Path) -> None:
    demo = tmp_path / ".local" / "share" / "dragdiffusion" / "demo"

    first = run_install(tmp_path, "--yes")

    assert str(demo / "after.png") in first
    before = np.asarray(Image.open(demo / "before.png").convert("RGB"), dtype=int)
    after = np.asarray(Image.open(demo / "after.png").convert("RGB"), dtype=int)
    changed = np.abs(before - after).max(axis=2) > 0
    assert 0.02 < changed.mean() < 0.6  # something moved, and only in the selection
    if os.geteuid() == 0:
        assert "Dragged by GIMP 3" in first

    again = run_install(tmp_path, "--yes", "--no-demo")

    assert "Ready" in again

    run_install(tmp_path, "--uninstall", "--purge")

    assert not (tmp_path / ".local" / "share" / "dragdiffusion").exists()
    assert not (tmp_path / ".local" / "bin" / "dragdiffusion").is_symlink()
    assert list(tmp_path.rglob("plug-ins/drag_diffusion")) == []


def test_uninstalling_removes_prepared_images_and_keeps_models(tmp_path: Path) -> None:
    home = tmp_path / ".local" / "share" / "dragdiffusion"
    program = home / "venv" / "bin" / "dragdiffusion"
    program.parent.mkdir(parents=True)
    program.write_text(
        f'#!/bin/sh\nPYTHONPATH={ROOT}/backend:{ROOT}/protos exec {sys.executable} -m dragdiffusion "$@"\n'
    )
    program.chmod(0o755)
    (home / "models").mkdir()
    prepared = tmp_path / ".cache" / "dragdiffusion" / "prepared"
    prepared.mkdir(parents=True)
    (prepared / f"{'a' * 64}.prepared").write_bytes(b"made from a picture")

    said = run_install(tmp_path, "--uninstall")

    assert "1 prepared image is removed" in said
    assert not prepared.parent.exists()
    assert not program.exists()
    assert (home / "models").exists()


def test_an_unknown_option_is_refused() -> None:
    done = subprocess.run(
        ["bash", str(ROOT / "install" / "install.sh"), "--everything"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "unrecognized arguments: --everything" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_gimp_of_flatpak_is_not_said_to_be_missing(tmp_path: Path) -> None:
    def tell() -> str:
        return subprocess.run(
            [sys.executable, "-c", "import install; print(install.tell(''))"],
            cwd=ROOT / "install",
            env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    assert "GIMP 3 was not found" in tell()
    (tmp_path / ".var" / "app" / "org.gimp.GIMP" / "config" / "GIMP" / "3.0").mkdir(parents=True)
    assert "it was used here" in tell()
