"""A retrained model of the same name is another one; the same files are the same model."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from dragdiffusion.models import catalogue, fingerprint
from dragdiffusion.models.load import load_model, place

TINY = Path(__file__).parents[1] / "parity" / "data" / "model"
WEIGHTS = Path("unet") / "diffusion_pytorch_model.safetensors"


@pytest.fixture(params=[False, True], ids=["whole", "blocks"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model whose weights are read whole, or as if they were too large for that."""
    if request.param:
        monkeypatch.setattr(fingerprint, "_WHOLE_BYTES", 1000)
        monkeypatch.setattr(fingerprint, "_BLOCK_BYTES", 100)
    return Path(shutil.copytree(TINY, tmp_path / "model"))


def _change_last_bytes(folder: Path) -> None:
    with (folder / WEIGHTS).open("r+b") as stream:
        stream.seek(-8, os.SEEK_END)
        stream.write(b"retrained"[:8])


CHANGES: dict[str, Callable[[Path], object]] = {
    "weights": _change_last_bytes,
    "size": lambda folder: os.truncate(folder / WEIGHTS, 4000),
    "configuration": lambda folder: (folder / "unet" / "config.json").write_text("{}"),
    "another-file": lambda folder: (folder / "unet" / "more.json").write_text("{}"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_the_files_shows(folder: Path, change: str) -> None:
    before = fingerprint.fingerprint(folder)
    changed = (folder / WEIGHTS).stat().st_mtime_ns
    CHANGES[change](folder)
    os.utime(folder / WEIGHTS, ns=(changed, changed))
    assert fingerprint.fingerprint(folder) != before


def test_the_same_files_elsewhere_are_the_same(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy", copy_function=shutil.copy2)
    assert fingerprint.fingerprint(copy) == fingerprint.fingerprint(folder)


def test_large_weights_with_another_time_are_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was changed between the blocks that are looked at has at least another time."""
    file = tmp_path / "model.safetensors"
    file.write_bytes(bytes(1 << 20))
    whole = fingerprint.fingerprint(file)
    monkeypatch.setattr(fingerprint, "_WHOLE_BYTES", 1000)
    before = fingerprint.fingerprint(file)
    os.utime(file, ns=(1, 1))
    assert fingerprint.fingerprint(file) != before
    monkeypatch.undo()
    assert fingerprint.fingerprint(file) == whole


def test_the_loaded_model_has_it() -> None:
    model = load_model(catalogue.resolve(str(TINY)), place("cpu"))
    assert model.fingerprint == fingerprint.fingerprint(TINY)
