"""`bench lora` asks what the model knows of a picture before and after it learned it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dragdiffusion.commands.bench_lora import SETTINGS, LoraOrder, run_lora
from dragdiffusion.engine.config import LoraConfig, Mode


@pytest.mark.slow
def test_fine_tuning_lowers_the_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    short = LoraConfig(steps=8, batch_size=1, learning_rate=2e-3, used_timesteps=True, cosine=True)
    monkeypatch.setitem(SETTINGS, "short", short)
    order = LoraOrder(
        count=1, mode=Mode.FAST, settings=("none", "short"), json=tmp_path / "new" / "lora.json"
    )
    run_lora(order)
    none, tuned = json.loads((tmp_path / "new" / "lora.json").read_text())["cases"]
    assert (none["setting"], tuned["setting"]) == ("none", "short")
    assert 0 < tuned["noise_error"] < none["noise_error"]
    assert none["gflop"] == 0 < tuned["gflop"]
    assert none["distance_px"] is None
    assert min(none["rebuilt_psnr_db"], tuned["rebuilt_psnr_db"]) > 25
    assert "short" in capsys.readouterr().out
