"""Stable Diffusion 1.5's exact shape through the real daemon: a few steps of each phase, in both modes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fakes.running import daemon_environment
from fakes.sd15_shape import save_sd15_shape

GIB = 1 << 30
SIDE = 64  # pixels: at 512 a few steps take minutes; test_memory counts what they need there
Edit = Callable[..., tuple[np.ndarray, dict[str, Any]]]


@pytest.fixture(scope="module")
def edit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edit]:
    """Edits a picture of noise by one daemon: what came out, and the report."""
    folder = tmp_path_factory.mktemp("sd15-shape")
    model = save_sd15_shape(folder / "model")
    environment = daemon_environment(folder, idle_exit_minutes=1)
    program = [sys.executable, "-m", "dragdiffusion"]

    def run(picture: np.ndarray, mask: np.ndarray, **settings: object) -> tuple[np.ndarray, Any]:
        Image.fromarray(picture).save(folder / "in.png")
        Image.fromarray(mask).save(folder / "mask.png")
        arguments = ["edit", "in.png", "--mask", "mask.png", "--whole-image"]
        arguments += ["--point", "11,11:16,12", "--set", f"working_size={SIDE}"]
        arguments += ["--model", str(model), "--output", "out.png", "--json", "r.json"]
        arguments += ["--set", "lora_batch_size=1"]
        for name, value in settings.items():
            arguments += [f"--{name.replace('_', '-')}", str(value)]
        done = subprocess.run(
            [*program, *arguments],
            env=environment,
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        with Image.open(folder / "out.png") as result:
            return np.asarray(result), json.loads((folder / "r.json").read_text())

    yield run
    subprocess.run([*program, "stop"], env=environment, cwd=folder, check=True)


@pytest.mark.slow
@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize(
    ("mode", "lora_steps", "drag_steps"), [("default", 0, 2), ("reference", 1, 2)]
)
def test_a_few_steps(edit: Edit, mode: str, lora_steps: int, drag_steps: int) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[6:-6, 6:-6] = 255

    edited, report = edit(
        picture,
        mask,
        mode=mode,
        lora_steps=lora_steps,
        max_drag_steps=drag_steps,
        inversion_strength=0.04,
    )

    print(mode, report["phase_seconds"], report["peak_memory_bytes"] / GIB)
    np.testing.assert_array_equal(edited[mask == 0], picture[mask == 0])
    assert (edited[mask == 255] != picture[mask == 255]).any()
    assert report["drag_steps"] == drag_steps
    assert report["config"]["mode"] == mode
    assert report["peak_memory_bytes"] < 7.5 * GIB  # 6.0, while it is loaded
