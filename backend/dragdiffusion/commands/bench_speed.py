"""`dragdiffusion bench speed`: what each phase takes, for a first and a second edit of one picture.

The picture is noise: time does not depend on what it shows. No handle arrives, so every drag step is done. Seconds and
memory are measured (the median of several runs, the highest of them), operations are counted.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

import numpy as np
from rich.console import Console
from rich.table import Table

from dragdiffusion.commands.bench_engine import BenchEngine, EngineOrder, drain
from dragdiffusion.commands.outputs import refuse_unwritable, write_json
from dragdiffusion.daemon.torch_engine import TorchEngine
from dragdiffusion.engine.config import DragConfig, Mode
from dragdiffusion.engine.drag_types import (
    DragRequest,
    EditedImage,
    Point,
    Rectangle,
    Trajectory,
)
from dragdiffusion.evaluation.edit_flops import EditFlops, count_edit, phase_of

R = TypeVar("R")

_PREPARATION = ("encode", "lora", "inversion")
_EDIT = ("warp", "drag", "denoise", "decode")
_PARTS = {"inversion": ("inversion", "recording")}  # phases that are timed as one
_TERA = 1e12
_PAYS = 1.1  # times as fast: less is not worth the minutes that compiling takes


@dataclass(frozen=True)
class SpeedOrder:
    """What the command line asks for."""

    model: str = "embedded"
    mode: Mode = Mode.DEFAULT
    size: int = 0  # side of the picture; 0: the size at which the model works
    mask: bool = True
    lora_steps: int | None = None
    max_drag_steps: int | None = None
    runs: int = 3
    compile: bool = False  # also with compiled blocks
    json: Path | None = None


@dataclass(frozen=True)
class Run:
    """One first and one next edit."""

    first_seconds: float
    next_seconds: float
    phase_seconds: dict[str, float]  # the edit's phases: of the next edit
    phase_peak_bytes: dict[str, int]
    drag_steps: int


@dataclass(frozen=True)
class OtherRuns:
    """The same next edit in another way."""

    first_seconds: float  # with what has to be made ready
    next_seconds: tuple[float, ...]


@dataclass(frozen=True)
class SpeedReport:
    device: str
    dtype: str
    model: str
    title: str
    mode: Mode
    flops: EditFlops
    runs: tuple[Run, ...]
    without_graphs: OtherRuns | None = None  # on a card that has CUDA graphs
    compiled: OtherRuns | None = None

    def seconds(self, phase: str) -> float:
        return median(run.phase_seconds.get(phase, 0.0) for run in self.runs)

    def peak_bytes(self, phase: str) -> int:
        return max(run.phase_peak_bytes.get(phase, 0) for run in self.runs)

    def tera(self, phase: str) -> float:
        return sum(self.flops.total(part) for part in _PARTS.get(phase, (phase,))) / _TERA

    def to_dict(self) -> dict[str, Any]:
        phases = {
            phase: {
                "seconds": self.seconds(phase),
                "tflop": self.tera(phase),
                "peak_memory_bytes": self.peak_bytes(phase),
            }
            for phase in (*_PREPARATION, *_EDIT)
        }
        return {
            "model": self.model,
            "device": self.device,
            "dtype": self.dtype,
            "mode": self.mode.value,
            "phases": phases,
            "flop_per_step": self.flops.step,
            "first_edit": {
                "seconds": median(run.first_seconds for run in self.runs),
                "tflop": self.flops.first_edit / _TERA,
            },
            "next_edit": {
                "seconds": median(run.next_seconds for run in self.runs),
                "tflop": self.flops.next_edit / _TERA,
            },
            "runs": [asdict(run) for run in self.runs],
            "without_graphs": self.without_graphs and asdict(self.without_graphs),
            "compiled": self.compiled and asdict(self.compiled),
        }


def run_speed(order: SpeedOrder) -> None:
    refuse_unwritable(order.json)
    engine = BenchEngine(
        EngineOrder(mode=order.mode, model=order.model, lora_steps=order.lora_steps)
    )
    config = replace(engine.config, arrival_distance=0.0)
    if order.max_drag_steps is not None:
        config = replace(config, max_drag_steps=order.max_drag_steps)
    request = _request(config, order.size or config.working_size, with_mask=order.mask)
    report = SpeedReport(
        device=engine.device.name,
        dtype=engine.device.dtype,
        model=engine.source.name,
        title=engine.source.title,
        mode=order.mode,
        flops=count_edit(engine.model, request),
        runs=tuple(_run(engine.torch_engine, engine.model, request) for _ in range(order.runs)),
    )
    if engine.model.device.type == "cuda" and engine.model.records_passes:
        report = replace(report, without_graphs=_run_without_graphs(engine, request, order.runs))
    if order.compile:
        report = replace(report, compiled=_run_compiled(engine, request, order.runs))
    _print(report)
    if order.json is not None:
        write_json(order.json, report.to_dict() | {"config": asdict(config)})


def _request(config: DragConfig, size: int, *, with_mask: bool) -> DragRequest:
    image = np.random.default_rng(0).integers(0, 256, (size, size, 4), dtype=np.uint8)
    mask = np.zeros((size, size), np.uint8)
    mask[size // 4 : -size // 4, size // 4 : -size // 4] = 255
    ways = (((0.4, 0.4), (0.6, 0.45)), ((0.6, 0.6), (0.4, 0.6)))
    return DragRequest(
        image=image,
        trajectories=tuple(
            Trajectory(tuple(Point(x * size, y * size) for x, y in way)) for way in ways
        ),
        mask=mask if with_mask else None,
        prompt="noise",
        config=config,
        region=Rectangle(0, 0, size, size),
    )


def _run(engine: TorchEngine, model: Any, request: DragRequest) -> Run:
    meter, stop = _PeakMeter(engine), threading.Event()
    began = time.perf_counter()
    session = meter.follow(engine.open_session(model, request, stop=stop))
    meter.follow(engine.drag(session, request, stop=stop))
    prepared = time.perf_counter()
    edited: EditedImage = meter.follow(engine.drag(session, request, stop=stop))
    return Run(
        first_seconds=prepared - began,
        next_seconds=time.perf_counter() - prepared,
        phase_seconds=edited.phase_seconds,
        phase_peak_bytes=meter.peak_bytes,
        drag_steps=edited.drag_steps,
    )


def _run_without_graphs(engine: BenchEngine, request: DragRequest, runs: int) -> OtherRuns:
    engine.model.records_passes = False
    try:
        return _run_again(engine, request, runs)
    finally:
        engine.model.records_passes = True


def _run_compiled(engine: BenchEngine, request: DragRequest, runs: int) -> OtherRuns:
    engine.model.compile()
    return _run_again(engine, request, runs)


def _run_again(engine: BenchEngine, request: DragRequest, runs: int) -> OtherRuns:
    stop, seconds = threading.Event(), []
    session, _ = drain(engine.torch_engine.open_session(engine.model, request, stop=stop))
    for _ in range(1 + runs):
        began = time.perf_counter()
        drain(engine.torch_engine.drag(session, request, stop=stop))
        seconds.append(time.perf_counter() - began)
    return OtherRuns(seconds[0], tuple(seconds[1:]))


@dataclass
class _PeakMeter:
    """The highest memory that each phase needed."""

    engine: TorchEngine
    peak_bytes: dict[str, int] = field(default_factory=dict)

    def follow(self, work: Generator[Any, None, R]) -> R:
        while True:
            self.engine.reset_peak_memory()
            try:
                phase = phase_of(next(work))
            except StopIteration as end:
                result: R = end.value
                return result
            phase = "inversion" if phase == "recording" else phase
            peak = self.engine.peak_memory_bytes()
            self.peak_bytes[phase] = max(peak, self.peak_bytes.get(phase, 0))


def _print(report: SpeedReport) -> None:
    runs = "1 run" if len(report.runs) == 1 else f"median of {len(report.runs)} runs"
    title = f"{report.title} on {report.device}, {report.dtype}, {report.mode.value} mode, {runs}"
    table = Table("phase", title=title)
    for heading in ("TFLOP a step", "TFLOP", "seconds", "peak GiB"):
        table.add_column(heading, justify="right")
    for phase in (*_PREPARATION, *_EDIT):
        table.add_row(
            phase,
            f"{report.flops.step.get(phase, 0) / _TERA:.3f}",
            f"{report.tera(phase):.2f}",
            f"{report.seconds(phase):.2f}",
            f"{report.peak_bytes(phase) / 2**30:.2f}",
            end_section=phase in (_PREPARATION[-1], _EDIT[-1]),
        )
    for name in ("first_edit", "next_edit"):
        whole = report.to_dict()[name]
        table.add_row(
            name.replace("_", " "), "", f"{whole['tflop']:.2f}", f"{whole['seconds']:.2f}", ""
        )
    console = Console()
    console.print(table)
    next_seconds = report.to_dict()["next_edit"]["seconds"]
    if report.without_graphs is not None:
        console.print(_gain_of_graphs(next_seconds, report.without_graphs))
    if report.compiled is not None:
        console.print(_verdict(next_seconds, report.compiled))


def _gain_of_graphs(next_seconds: float, without: OtherRuns) -> str:
    seconds = median(without.next_seconds)
    gain = seconds / next_seconds
    return f"Without CUDA graphs a next edit takes {seconds:.2f} s: they make it {gain:.2f} times as fast."


def _verdict(next_seconds: float, compiled: OtherRuns) -> str:
    gain = next_seconds / median(compiled.next_seconds)
    advice = "set compile = true in settings.toml" if gain > _PAYS else "it does not pay here"
    return (
        f"With compiled blocks a next edit takes {median(compiled.next_seconds):.2f} s ({gain:.2f} times as fast), "
        f"the first one {compiled.first_seconds:.0f} s: {advice}."
    )
