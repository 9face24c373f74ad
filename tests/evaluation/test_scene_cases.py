"""Drag cases and their measure: the truth scores full marks, the untouched picture none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dragdiffusion.evaluation import scene_metrics
from dragdiffusion.evaluation.scene_cases import DragCase, make_cases
from dragdiffusion.evaluation.scene_metrics import measure
from dragdiffusion.evaluation.scenes import SIZE


@pytest.fixture(scope="module")
def cases() -> list[DragCase]:
    return make_cases(20, seed=11)


def test_a_seed_decides_the_cases() -> None:
    first, again, other = make_cases(3, 1), make_cases(3, 1), make_cases(3, 2)
    assert all(np.array_equal(a.image, b.image) for a, b in zip(first, again, strict=True))
    assert [case.point_pairs for case in first] == [case.point_pairs for case in again]
    assert not np.array_equal(first[0].image, other[0].image)


def test_kinds_take_turns(cases: list[DragCase]) -> None:
    kinds = [case.kind for case in cases]
    assert len(set(kinds)) == 10
    assert kinds[:10] == kinds[10:20]
    assert any(len(case.point_pairs) == 2 for case in cases)


def test_masks_cover_what_changes(cases: list[DragCase]) -> None:
    for case in cases:
        difference = np.abs(case.image.astype(int) - case.truth).max(-1)
        assert difference[case.mask == 0].max() <= 16, case.name
        assert difference[case.mask > 0].max() > 16, case.name


def test_points_lie_in_the_picture_and_the_mask(cases: list[DragCase]) -> None:
    for case in cases:
        for pair in case.point_pairs:
            for x, y in pair:
                assert 0 <= x < SIZE, case.name
                assert 0 <= y < SIZE, case.name
                assert case.mask[int(y), int(x)] == 255, case.name


def test_the_truth_is_at_the_target(cases: list[DragCase]) -> None:
    for case in cases:
        figures = measure(case, case.truth, case.image)
        assert figures.mean_distance_px < 0.3, case.name
        assert figures.success
        assert figures.truth_psnr_db == 60
        assert figures.outside_mae == 0


@pytest.mark.parametrize(
    ("drag_length", "allowed"), [(12.0, 3.0), (30.0, 3.0), (31.0, 3.1), (80.0, 8.0)]
)
def test_success_is_within_3_px_or_a_tenth_of_the_drag(
    cases: list[DragCase], monkeypatch: pytest.MonkeyPatch, drag_length: float, allowed: float
) -> None:
    """Every part has to be."""
    pairs = (((0.0, 9.0), (drag_length, 9.0)), ((0.0, 60.0), (drag_length, 60.0)))
    case = replace(cases[0], point_pairs=pairs)
    for off, success in ((allowed - 0.01, True), (allowed + 0.01, False)):
        found = iter([(drag_length, 9.0), (drag_length, 60.0 + off)])
        monkeypatch.setattr(scene_metrics, "locate", lambda *_, found=found: next(found))
        assert measure(case, case.image, case.image).success == success


def test_the_untouched_picture_is_at_the_start(cases: list[DragCase]) -> None:
    figures = [measure(case, case.image, case.image) for case in cases]
    right = [abs(f.mean_distance_px - f.start_distance_px) < 1 for f in figures]
    assert np.mean(right) >= 0.95
    assert not any(f.success for f in figures)


def test_damage_outside_the_mask_is_seen_in_the_raw_picture(cases: list[DragCase]) -> None:
    case = cases[0]
    raw = np.clip(case.image.astype(int) + 10, 0, 255).astype(np.uint8)
    assert measure(case, case.truth, raw).outside_mae > 5
