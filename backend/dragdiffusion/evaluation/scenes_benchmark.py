"""Runs drag cases through any editor and gathers the figures.

The editor is a parameter, so that this module needs neither the engine nor the daemon.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from .edits import EditOutcome
from .scene_cases import DragCase, make_cases
from .scene_metrics import CaseFigures, measure


@dataclass(frozen=True, slots=True)
class CaseReport:
    case: DragCase
    outcome: EditOutcome
    figures: CaseFigures

    def to_dict(self) -> dict[str, object]:
        named = {"name": self.case.name, "kind": self.case.kind, "caption": self.case.caption}
        rate, seconds = float(self.figures.success), self.outcome.seconds
        return named | asdict(self.figures) | {"success_rate": rate, "seconds": seconds}


@dataclass(frozen=True, slots=True)
class ScenesReport:
    cases: tuple[CaseReport, ...]

    @property
    def success_rate(self) -> float:
        return float(np.mean([report.figures.success for report in self.cases]))

    def mean(self, figure: str) -> float:
        """Mean of a field of CaseFigures over all cases."""
        return float(np.mean([getattr(report.figures, figure) for report in self.cases]))

    def to_dict(self) -> dict[str, object]:
        return {
            "mean_distance_px": self.mean("mean_distance_px"),
            "start_distance_px": self.mean("start_distance_px"),
            "success_rate": self.success_rate,
            "truth_psnr_db": self.mean("truth_psnr_db"),
            "outside_mae": self.mean("outside_mae"),
            "seconds": float(np.mean([report.outcome.seconds for report in self.cases])),
            "cases": [report.to_dict() for report in self.cases],
        }

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=2)


def run_scenes_benchmark(
    edit: Callable[[DragCase], EditOutcome],
    *,
    count: int,
    seed: int,
    on_case: Callable[[CaseReport], None] | None = None,
) -> ScenesReport:
    """Edit `count` held-out cases; `on_case` hears of each as it is done."""
    reports = []
    for case in make_cases(count, seed):
        outcome = edit(case)
        report = CaseReport(case, outcome, measure(case, outcome.image, outcome.raw))
        reports.append(report)
        if on_case is not None:
            on_case(report)
    return ScenesReport(tuple(reports))
