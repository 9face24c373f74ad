"""`dragdiffusion bench scenes`, as a program: with an editor that does nothing, and with the shipped model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from dragdiffusion.cli import app
from dragdiffusion.commands.bench_engine import BenchEngine
from dragdiffusion.engine.config import Mode
from dragdiffusion.engine.drag_types import DragRequest
from dragdiffusion.evaluation.edits import EditOutcome
from dragdiffusion.evaluation.scene_cases import make_cases


def _run(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["bench", "scenes", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.output


def test_options_reach_the_engine_and_both_reports_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[DragRequest] = []

    def edit(_: BenchEngine, request: DragRequest) -> EditOutcome:
        asked.append(request)
        image = request.image[..., :3]
        return EditOutcome(image, image, seconds=0.25)

    monkeypatch.setattr(BenchEngine, "edit", edit)
    file, folder = tmp_path / "kept" / "here" / "figures.json", tmp_path / "pages"
    options = ("--count", 2, "--seed", 5, "--mode", "fast", "--json", file, "--html", folder)

    said = _run(*options)

    cases = make_cases(2, 5)
    for request, case in zip(asked, cases, strict=True):
        assert (request.config.mode, request.config.seed) == (Mode.FAST, 5)
        assert request.prompt == case.caption
        np.testing.assert_array_equal(request.image[..., :3], case.image)
    report = json.loads(file.read_text("utf-8"))
    assert (report["model"], report["seed"], report["config"]["mode"]) == ("embedded", 5, "fast")
    assert report["mean_distance_px"] == pytest.approx(report["start_distance_px"], abs=1)
    assert (report["success_rate"], report["outside_mae"], report["seconds"]) == (0, 0, 0.25)
    assert 0 < report["truth_psnr_db"] < 60
    assert [case["name"] for case in report["cases"]] == ["000-sun", "001-cloud"]
    page = (folder / "index.html").read_text("utf-8")
    assert all(name in page and name in said for name in ("000-sun", "001-cloud"))


@pytest.mark.slow
def test_the_default_mode_is_as_good_as_documented(tmp_path: Path) -> None:
    """One drag of each kind; docs/evaluation.md says what is lost where one of its parts does not work."""
    file = tmp_path / "figures.json"

    _run("--count", 10, "--seed", 2026, "--json", file)

    report = json.loads(file.read_text("utf-8"))
    assert report["config"]["mode"] == "default"
    assert report["mean_distance_px"] < 1  # 0.46
    assert report["success_rate"] >= 0.9  # 1.0
    assert report["truth_psnr_db"] > 33  # 34.3
    assert report["outside_mae"] < 3  # 1.5
