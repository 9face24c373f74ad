"""`dragdiffusion bench scenes`: drags in rendered scenes, measured against the true result."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from dragdiffusion.commands.bench_engine import BenchEngine, EngineOrder, to_request
from dragdiffusion.commands.outputs import refuse_unwritable, write_json
from dragdiffusion.evaluation.edits import EditOutcome
from dragdiffusion.evaluation.report_html import write_html
from dragdiffusion.evaluation.scene_cases import DragCase
from dragdiffusion.evaluation.scenes_benchmark import (
    CaseReport,
    ScenesReport,
    run_scenes_benchmark,
)


@dataclass(frozen=True)
class BenchOrder:
    """What the command line asks for."""

    count: int = 20
    engine: EngineOrder = field(default_factory=EngineOrder)
    json: Path | None = None
    html: Path | None = None


def run_scenes(order: BenchOrder) -> None:
    refuse_unwritable(order.json)
    refuse_unwritable(order.html and order.html / "index.html")
    engine = BenchEngine(order.engine)
    report = run_scenes_benchmark(
        lambda case: edit_case(engine, case),
        count=order.count,
        seed=order.engine.seed,
        on_case=_print_case,
    )
    _print_summary(report)
    if order.json is not None:
        write_json(order.json, engine.about() | report.to_dict())
    if order.html is not None:
        print(f"Pictures: {write_html(report, order.html)}")


def edit_case(engine: BenchEngine, case: DragCase) -> EditOutcome:
    """One case through the engine."""
    return engine.edit(
        to_request(case.image, case.mask, case.point_pairs, case.caption, engine.config)
    )


def _print_case(report: CaseReport) -> None:
    figures = report.figures
    print(
        f"{report.case.name:<14} {figures.start_distance_px:5.1f} → "
        f"{figures.mean_distance_px:5.1f} px  {figures.truth_psnr_db:5.1f} dB  "
        f"{'reached' if figures.success else 'missed ':<8} {report.outcome.seconds:5.1f} s",
        flush=True,
    )


def _print_summary(report: ScenesReport) -> None:
    print(
        f"{len(report.cases)} cases: {report.mean('start_distance_px'):.1f} → "
        f"{report.mean('mean_distance_px'):.1f} px, {report.success_rate:.0%} reached"
    )
