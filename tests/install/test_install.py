"""The README's first command on a fresh home: everything set up, a drag done for real, everything gone again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
TREE_SCRIPT = ROOT / "install" / "gimp_tree.sh"
FEATHER = 4  # pixels, as demo_gimp.py feathers


def run_install(home: Path, *options: str, **environ: str) -> str:
    """What install.sh printed; its exit status must be 0."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("XDG_", "DRAGDIFFUSION_", "VIRTUAL_ENV"))
    }
    done = subprocess.run(
        ["bash", str(ROOT / "install" / "install.sh"), *options],
        env=environment | {"HOME": str(home)} | environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def in_tree() -> Iterator[dict[str, str]]:
    """Keeps away from what a user has in GIMP's tree: a profile and a copy of the demonstration of our own. Empty: no tree."""
    told = subprocess.run([TREE_SCRIPT, "--where"], capture_output=True, text=True, check=True)
    where = told.stdout.strip()
    if where in ("", "host"):
        yield {}
        return
    folder = Path(tempfile.mkdtemp(prefix="dragdiffusion-tests-", dir=f"{where}/tmp"))
    yield {
        "GIMP_TREE": where,
        "GIMP3_DIRECTORY": str(folder / "profile"),
        "GIMP_TREE_DEMO": str(folder / "demo"),
    }
    shutil.rmtree(folder)


def look_at(demo: Path, *, may_change: np.ndarray) -> None:
    """The sun is at its new place, sky where it was, and nothing else changed."""
    before, after = (
        np.asarray(Image.open(demo / f"{name}.png").convert("RGB"), dtype=int)
        for name in ("before", "after")
    )
    assert (before == after)[~may_change].all()
    scene = json.loads((demo / "scene.json").read_text(encoding="utf-8"))
    (x, y), (new_x, new_y) = (map(int, scene[name]) for name in ("handle", "target"))
    assert np.abs(after[new_y, new_x] - before[y, x]).max() < 12
    assert np.abs(after[y, x] - before[new_y, new_x]).max() < 12


def ellipse(scene: Path) -> np.ndarray:
    """What the demonstration selects in GIMP, with its feather."""
    x, y, width, height = json.loads(scene.read_text(encoding="utf-8"))["selection"]
    rows, columns = np.mgrid[:128, :128] + 0.5
    across = (columns - x - width / 2) / (width / 2 + FEATHER)
    down = (rows - y - height / 2) / (height / 2 + FEATHER)
    return across**2 + down**2 <= 1


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_install_twice_drag_and_uninstall(tmp_path: Path, in_tree: dict[str, str]) -> None:
    demo = tmp_path / ".local" / "share" / "dragdiffusion" / "demo"
    flatpak = tmp_path / ".var" / "app" / "org.gimp.GIMP" / "config"
    profiles = [tmp_path / ".config" / "GIMP" / "3.0", flatpak / "GIMP" / "3.2"]
    for profile in profiles:
        profile.mkdir(parents=True)
    profiles += [Path(in_tree["GIMP3_DIRECTORY"])] if in_tree else []
    plugins = [profile / "plug-ins" / "drag_diffusion" for profile in profiles]

    # No GIMP that can be asked. Nothing is set up by a test, nor taken away: tests/run.sh does that.
    hidden = tmp_path / "hidden" / "gimp-console"
    hidden.parent.mkdir()
    hidden.write_text("#!/bin/sh\nexit 127\n")
    hidden.chmod(0o755)
    path = f"{hidden.parent}:{os.environ['PATH']}"
    first = run_install(tmp_path, "--no-gimp", PATH=path, GIMP_TREE="/nowhere")

    assert "Dragged by dragdiffusion edit" in first
    look_at(demo, may_change=np.asarray(Image.open(demo / "mask.png")) > 0)
    assert all((plugin / "vendor").is_dir() for plugin in plugins[:2])

    again = run_install(tmp_path, "--no-gimp", **in_tree)

    assert str(demo / "before.png") in again
    assert str(demo / "after.png") in again
    assert "close it and start it again" in again
    assert "Filters ▸ Drag Edit…" in again
    assert all((plugin / "vendor").is_dir() for plugin in plugins)
    if os.geteuid() == 0:
        assert "Dragged by GIMP 3" in again
        look_at(demo, may_change=ellipse(demo / "scene.json"))
    if in_tree:
        assert "serve --idle-exit-minutes 0 &" in again
        inside = in_tree["GIMP_TREE_DEMO"].removeprefix(in_tree["GIMP_TREE"])
        assert f"first try: {inside}/before.png" in again
        assert Path(in_tree["GIMP_TREE_DEMO"]).is_dir()
    prompt = json.loads((demo / "scene.json").read_text(encoding="utf-8"))["prompt"]
    guide = (ROOT / "docs" / "user-guide.md").read_text(encoding="utf-8")
    assert f"*Picture shows*: `{prompt}`" in guide

    run_install(tmp_path, "--uninstall", "--purge", **in_tree)

    assert not (tmp_path / ".local" / "share" / "dragdiffusion").exists()
    assert not (tmp_path / ".local" / "bin" / "dragdiffusion").is_symlink()
    assert not any(plugin.exists() for plugin in plugins)
    assert not in_tree or not Path(in_tree["GIMP_TREE_DEMO"]).exists()


def test_uninstalling_removes_prepared_images_and_keeps_models(tmp_path: Path) -> None:
    home = tmp_path / ".local" / "share" / "dragdiffusion"
    program = home / "venv" / "bin" / "dragdiffusion"
    program.parent.mkdir(parents=True)
    program.write_text(
        f'#!/bin/sh\nPYTHONPATH={ROOT}/backend:{ROOT}/protos exec {sys.executable} -m dragdiffusion "$@"\n'
    )
    program.chmod(0o755)
    kept = [home / "models", tmp_path / ".config" / "dragdiffusion"]
    for folder in kept:
        folder.mkdir(parents=True)
    prepared = tmp_path / ".cache" / "dragdiffusion" / "prepared"
    prepared.mkdir(parents=True)
    (prepared / f"{'a' * 64}.prepared").write_bytes(b"made from a picture")

    said = run_install(tmp_path, "--uninstall")

    assert "1 prepared image is removed" in said
    assert not prepared.parent.exists()
    assert not program.exists()
    assert all(folder.is_dir() for folder in kept)
    assert "settings and presets: --uninstall --purge removes them too" in said


def test_purging_removes_all_that_the_installer_made(tmp_path: Path) -> None:
    home = tmp_path / ".local" / "share" / "dragdiffusion"
    profile = tmp_path / ".config" / "GIMP" / "3.0"
    tree = tmp_path / "gimp3-tree"
    made = [home / "models", tmp_path / ".local" / "state" / "dragdiffusion", tree]
    made += [tmp_path / ".config" / "dragdiffusion", profile / "plug-in-settings"]
    for folder in made:
        folder.mkdir(parents=True)
    (tree / ".base").touch()
    last = profile / "plug-in-settings" / "GimpProcedureConfig-plug-in-drag-diffusion.last"
    last.touch()

    said = run_install(tmp_path, "--uninstall", "--purge", GIMP_TREE=str(tree))

    assert tree.is_dir()  # somebody else's
    assert "1.2 GB" not in said
    home.mkdir()
    (home / "gimp-set-up-by-installer").write_text(str(tree))
    said = run_install(tmp_path, "--uninstall")
    assert f"GIMP 3 in {tree} (1.2 GB)" in said
    said = run_install(tmp_path, "--uninstall", "--purge")
    assert "apt autoremove debootstrap" in said
    assert not last.exists()
    assert not any(folder.exists() for folder in (home, *made) if folder.parent != profile)


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
