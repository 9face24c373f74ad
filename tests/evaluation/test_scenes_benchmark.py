"""The benchmark takes any editor and reports what its pictures show."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import mean

import pytest

from dragdiffusion.evaluation.edits import EditOutcome
from dragdiffusion.evaluation.report_html import write_html
from dragdiffusion.evaluation.scene_cases import DragCase
from dragdiffusion.evaluation.scenes_benchmark import (
    CaseReport,
    run_scenes_benchmark,
)

FIGURES = (
    "mean_distance_px",
    "start_distance_px",
    "success_rate",
    "truth_psnr_db",
    "outside_mae",
    "seconds",
)


def _perfect(case: DragCase) -> EditOutcome:
    tracks = [[handle, target] for handle, target in case.point_pairs]
    return EditOutcome(case.truth, case.truth, seconds=0.5, handle_tracks=tracks)


def _idle(case: DragCase) -> EditOutcome:
    return EditOutcome(case.image, case.image, seconds=0.1)


def test_report_keys_and_means() -> None:
    heard: list[CaseReport] = []
    report = run_scenes_benchmark(_perfect, count=3, seed=5, on_case=heard.append)
    content = json.loads(report.to_json())
    assert set(content) == {*FIGURES, "cases"}
    assert len(heard) == len(content["cases"]) == 3
    assert content["success_rate"] == 1
    assert content["seconds"] == 0.5
    for case in content["cases"]:
        assert {"name", "kind", "caption", *FIGURES} <= set(case)
        assert case["success"] is True
        assert case["success_rate"] == 1
    for figure in FIGURES:
        assert content[figure] == pytest.approx(mean(case[figure] for case in content["cases"]))


def test_doing_nothing_scores_nothing() -> None:
    report = run_scenes_benchmark(_idle, count=3, seed=5)
    assert report.success_rate == 0
    assert report.mean("mean_distance_px") > 10


def test_page_is_self_contained(tmp_path: Path) -> None:
    report = run_scenes_benchmark(_perfect, count=2, seed=5)
    page = write_html(report, tmp_path / "report").read_text("utf-8")
    assert page.count("data:image/png;base64,") == 6
    assert "src='http" not in page
    assert all(case.case.name in page for case in report.cases)
