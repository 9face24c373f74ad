"""`dragdiffusion bench scenes`: drags in rendered scenes, measured against the true result.

The engine runs in this process, so that nothing else is measured.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Generator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from dragdiffusion.engine import editor
from dragdiffusion.engine.config import DragConfig, Mode
from dragdiffusion.engine.drag_types import (
    DragRequest,
    DragStep,
    EditedImage,
    Pixels,
    Point,
    Rectangle,
    Trajectory,
)
from dragdiffusion.evaluation.report_html import write_html
from dragdiffusion.evaluation.scene_cases import DragCase
from dragdiffusion.evaluation.scenes_benchmark import (
    CaseReport,
    EditOutcome,
    ScenesReport,
    run_scenes_benchmark,
)
from dragdiffusion.models import catalogue
from dragdiffusion.models.load import load_model, place
from dragdiffusion.models.profiles import default_config
from dragdiffusion.settings import Settings

R = TypeVar("R")


@dataclass(frozen=True)
class BenchOrder:
    """What the command line asks for."""

    count: int = 20
    seed: int = 0
    mode: Mode = Mode.DEFAULT
    model: str = "embedded"
    lora_steps: int | None = None
    json: Path | None = None
    html: Path | None = None


def run_scenes(order: BenchOrder) -> None:
    settings = Settings()
    placement = place(settings.device, settings.dtype)
    source = catalogue.resolve(order.model)
    model = load_model(source, placement)
    config = replace(default_config(order.mode, source.family), seed=order.seed)
    if order.lora_steps is not None:
        config = replace(config, lora=replace(config.lora, steps=order.lora_steps))
    report = run_scenes_benchmark(
        lambda case: edit_case(model, case, config),
        count=order.count,
        seed=order.seed,
        on_case=_print_case,
    )
    _print_summary(report)
    if order.json is not None:
        about = {
            "model": source.name,
            "device": placement.description,
            "dtype": placement.dtype_name,
            "seed": order.seed,
            "config": asdict(config),
        }
        text = json.dumps(about | report.to_dict(), indent=2)
        order.json.write_text(text + "\n", encoding="utf-8")
    if order.html is not None:
        print(f"Pictures: {write_html(report, order.html)}")


def edit_case(model: Any, case: DragCase, config: DragConfig) -> EditOutcome:
    """One case through the engine; prepared afresh."""
    request = to_request(case, config)
    stop = threading.Event()
    began = time.perf_counter()
    session, _ = drain(editor.open_session(model, request, stop=stop))
    edited, events = drain(editor.drag(session, request, stop=stop))
    seconds = time.perf_counter() - began
    steps = [event.handles for event in events if isinstance(event, DragStep)]
    tracks = [[(point.x, point.y) for point in track] for track in zip(*steps, strict=True)]
    assert edited.raw is not None
    return EditOutcome(
        image=_composited(case.image, edited),
        raw=_placed(case.image, edited.raw, edited.region),
        seconds=seconds,
        handle_tracks=tracks,
    )


def to_request(case: DragCase, config: DragConfig) -> DragRequest:
    opaque = np.full((*case.image.shape[:2], 1), 255, np.uint8)
    return DragRequest(
        image=np.concatenate([case.image, opaque], axis=2),
        trajectories=tuple(
            Trajectory((Point(*handle), Point(*target))) for handle, target in case.point_pairs
        ),
        mask=case.mask,
        prompt=case.caption,
        config=config,
        region=Rectangle(0, 0, case.image.shape[1], case.image.shape[0]),
        include_raw=True,
    )


def _composited(image: Pixels, edited: EditedImage) -> Pixels:
    alpha = edited.image[..., 3:].astype(np.float32) / 255
    below = _cut(image, edited.region)
    mixed = np.rint(edited.image[..., :3] * alpha + below * (1 - alpha)).astype(np.uint8)
    return _placed(image, mixed, edited.region)


def _placed(image: Pixels, part: Pixels, region: Rectangle) -> Pixels:
    whole = image.copy()
    _cut(whole, region)[:] = part
    return whole


def _cut(image: Pixels, region: Rectangle) -> Pixels:
    return image[region.y : region.bottom, region.x : region.right]


def drain(work: Generator[Any, None, R]) -> tuple[R, list[Any]]:
    """The generator's result, and what it yielded."""
    events = []
    while True:
        try:
            events.append(next(work))
        except StopIteration as end:
            return end.value, events


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
