"""Stable Diffusion 1.5's shape at 512 × 512 through the real daemon: a few steps of each phase."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fakes.running import daemon_environment
from fakes.sd15_shape import save_sd15_shape

GIB = 1 << 30


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("mode", ["default", "reference"])
def test_a_few_steps(mode: str, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> None:
    folder = tmp_path_factory.getbasetemp() / "sd15"
    if not folder.exists():
        save_sd15_shape(folder)
    picture = np.random.default_rng(0).integers(0, 256, (512, 512, 3), dtype=np.uint8)
    Image.fromarray(picture).save(tmp_path / "in.png")
    mask = np.zeros((512, 512), np.uint8)
    mask[100:400, 100:400] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    environment = daemon_environment(tmp_path, idle_exit_minutes=1)
    arguments = ["edit", "in.png", "--mask", "mask.png", "--point", "200,200:260,220"]
    arguments += ["--model", str(folder), "--mode", mode, "-o", "out.png", "--json", "r.json"]
    arguments += ["--lora-steps", "1", "--max-drag-steps", "2", "--inversion-strength", "0.04"]
    arguments += ["--set", "lora_batch_size=1", "--whole-image"]
    program = [sys.executable, "-m", "dragdiffusion"]
    done = subprocess.run(
        [*program, *arguments],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    subprocess.run([*program, "stop"], env=environment, cwd=tmp_path, check=True)
    assert (done.returncode, done.stderr) == (0, "")

    with Image.open(tmp_path / "out.png") as result:
        edited = np.asarray(result)
    np.testing.assert_array_equal(edited[mask == 0], picture[mask == 0])
    assert (edited[mask == 255] != picture[mask == 255]).any()
    report = json.loads((tmp_path / "r.json").read_text())
    print(mode, report["phase_seconds"], report["peak_memory_bytes"] / GIB)
    assert report["drag_steps"] == 2
    assert report["config"]["mode"] == mode
    assert report["peak_memory_bytes"] < 10 * GIB
