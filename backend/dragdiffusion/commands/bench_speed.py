"""`dragdiffusion bench speed`: seconds and memory of each phase, for a first and a second edit of one picture.

The picture is noise: time does not depend on what it shows. No handle arrives, so every drag step is done.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dragdiffusion.commands.bench_engine import drain
from dragdiffusion.daemon.torch_engine import TorchEngine
from dragdiffusion.engine.config import DragConfig, Mode
from dragdiffusion.engine.drag_types import DragRequest, EditedImage, Point, Rectangle, Trajectory
from dragdiffusion.models import catalogue
from dragdiffusion.models.profiles import default_config
from dragdiffusion.settings import Settings


@dataclass(frozen=True)
class SpeedOrder:
    """What the command line asks for."""

    model: str = "embedded"
    mode: Mode = Mode.DEFAULT
    size: int = 0  # side of the picture; 0: the size at which the model works
    mask: bool = True
    lora_steps: int | None = None
    max_drag_steps: int | None = None
    json: Path | None = None


@dataclass(frozen=True)
class Measurement:
    """One edit."""

    name: str
    seconds: float
    phase_seconds: dict[str, float]
    peak_memory_bytes: int
    drag_steps: int


def run_speed(order: SpeedOrder) -> None:
    engine = TorchEngine(Settings())
    device = engine.start()
    source = catalogue.resolve(order.model)
    model = engine.load(source)
    config = _config(order, source)
    request = _request(config, order.size or config.working_size, with_mask=order.mask)
    stop = threading.Event()
    session: Any = None

    def first() -> EditedImage:
        nonlocal session
        session, _ = drain(engine.open_session(model, request, stop=stop))
        return second()

    def second() -> EditedImage:
        return drain(engine.drag(session, request, stop=stop))[0]

    measurements = [_measured("first edit", engine, first), _measured("next edit", engine, second)]
    print(f"{source.title} on {device.name}, {device.dtype}, {order.mode.value} mode")
    for measurement in measurements:
        _print(measurement)
    if order.json is not None:
        about = {"model": source.name, **asdict(device), "config": asdict(config)}
        edits = [asdict(measurement) for measurement in measurements]
        order.json.write_text(json.dumps(about | {"edits": edits}, indent=2) + "\n", "utf-8")


def _config(order: SpeedOrder, source: catalogue.ModelSource) -> DragConfig:
    config = replace(default_config(order.mode, source.family), arrival_distance=0.0)
    if order.lora_steps is not None:
        config = replace(config, lora=replace(config.lora, steps=order.lora_steps))
    if order.max_drag_steps is not None:
        config = replace(config, max_drag_steps=order.max_drag_steps)
    return config


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


def _measured(name: str, engine: TorchEngine, edit: Callable[[], EditedImage]) -> Measurement:
    engine.reset_peak_memory()
    began = time.perf_counter()
    edited = edit()
    seconds = time.perf_counter() - began
    phases = edited.phase_seconds if name == "first edit" else _of_the_edit(edited.phase_seconds)
    return Measurement(name, seconds, phases, engine.peak_memory_bytes(), edited.drag_steps)


def _of_the_edit(phases: dict[str, float]) -> dict[str, float]:
    """Without those of the session, which the engine repeats."""
    return {name: phases[name] for name in ("drag", "denoise", "decode") if name in phases}


def _print(measurement: Measurement) -> None:
    phases = ", ".join(f"{name} {s:.2f}" for name, s in measurement.phase_seconds.items())
    peak = measurement.peak_memory_bytes / 2**30
    print(
        f"{measurement.name}: {measurement.seconds:.2f} s ({phases}); "
        f"{measurement.drag_steps} drag steps; peak {peak:.2f} GiB"
    )
