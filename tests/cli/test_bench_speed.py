"""`bench speed` measures, counts and reports."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from dragdiffusion.commands.bench_speed import SpeedOrder, run_speed


def test_every_phase_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    order = SpeedOrder(lora_steps=1, max_drag_steps=2, runs=1, json=tmp_path / "new" / "speed.json")
    run_speed(order)
    report = json.loads((tmp_path / "new" / "speed.json").read_text())
    phases = report["phases"]
    assert list(phases) == ["encode", "lora", "inversion", "warp", "drag", "denoise", "decode"]
    for figures in phases.values():
        assert figures["seconds"] > 0
        assert figures["tflop"] > 0
        assert figures["peak_memory_bytes"] > 1 << 26
    assert sum(figures["tflop"] for figures in phases.values()) == pytest.approx(
        report["first_edit"]["tflop"]
    )
    assert report["runs"][0]["drag_steps"] == 2
    assert report["device"]
    assert report["compiled"] is report["without_graphs"] is None
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("TFLOP", "next edit", "GiB", "1 run"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated")  # torch's own
def test_compiled_blocks_are_tried_where_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "speed.json"
    model = Path(__file__).parents[1] / "parity" / "data" / "model"  # few blocks
    order = SpeedOrder(str(model), lora_steps=1, max_drag_steps=1, runs=1, compile=True, json=path)

    with torch.compiler.set_stance(force_backend="aot_eager"):  # all but the C++ compiler
        run_speed(order)

    compiled = json.loads(path.read_text())["compiled"]
    assert compiled["first_seconds"] > 0
    assert len(compiled["next_seconds"]) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert "With compiled blocks a next edit takes" in shown
    assert ("set compile = true" in shown) != ("it does not pay here" in shown)
