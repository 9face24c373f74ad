"""The engine as the benchmarks use it: in this process, so that nothing else is measured; and every case prepared afresh."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from dragdiffusion.daemon.torch_engine import TorchEngine
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
from dragdiffusion.evaluation.edits import ByteImage, EditOutcome, PointPair
from dragdiffusion.models import catalogue
from dragdiffusion.models.profiles import defaults
from dragdiffusion.settings import Settings

R = TypeVar("R")


@dataclass(frozen=True)
class EngineOrder:
    """What the command line says about every edit."""

    seed: int = 0
    mode: Mode = Mode.DEFAULT
    model: str = "embedded"
    lora_steps: int | None = None


class BenchEngine:
    """A model, loaded when the first edit needs it, and the settings of every edit."""

    def __init__(self, order: EngineOrder) -> None:
        self.source = catalogue.resolve(order.model)
        self.config = _config(order, self.source)
        self.torch_engine = TorchEngine(Settings())
        self.device = self.torch_engine.start()

    def about(self) -> dict[str, Any]:
        """For a report: what made its figures."""
        return {
            "model": self.source.name,
            "device": self.device.name,
            "dtype": self.device.dtype,
            "seed": self.config.seed,
            "config": asdict(self.config),
        }

    @cached_property
    def model(self) -> Any:
        return self.torch_engine.load(self.source)

    def release(self) -> None:
        """Make room for another model; the next edit loads this one again."""
        self.__dict__.pop("model", None)
        self.torch_engine.free()

    def edit(self, request: DragRequest) -> EditOutcome:
        """One edit from pixels to pixels; `request` must include the raw picture."""
        stop = threading.Event()
        model = self.model  # loading is not part of the edit
        began = time.perf_counter()
        session, _ = drain(self.torch_engine.open_session(model, request, stop=stop))
        edited, events = drain(self.torch_engine.drag(session, request, stop=stop))
        seconds = time.perf_counter() - began
        steps = [event.handles for event in events if isinstance(event, DragStep)]
        tracks = [[(point.x, point.y) for point in track] for track in zip(*steps, strict=True)]
        assert edited.raw is not None
        image = request.image[..., :3]
        return EditOutcome(
            image=_composited(image, edited),
            raw=_placed(image, edited.raw, edited.region),
            seconds=seconds,
            handle_tracks=tracks,
        )


def to_request(
    image: ByteImage,
    mask: ByteImage,
    point_pairs: tuple[PointPair, ...],
    prompt: str,
    config: DragConfig,
) -> DragRequest:
    """An opaque picture (h, w, 3) with mask (h, w); the region is planned as for an artist's edit."""
    opaque = np.full((*image.shape[:2], 1), 255, np.uint8)
    return DragRequest(
        image=np.concatenate([image, opaque], axis=2),
        trajectories=tuple(
            Trajectory((Point(*handle), Point(*target))) for handle, target in point_pairs
        ),
        mask=mask,
        prompt=prompt,
        config=config,
        include_raw=True,
    )


def drain(work: Generator[Any, None, R]) -> tuple[R, list[Any]]:
    """The generator's result, and what it yielded."""
    events = []
    while True:
        try:
            events.append(next(work))
        except StopIteration as end:
            return end.value, events


def _config(order: EngineOrder, source: catalogue.ModelSource) -> DragConfig:
    config = replace(defaults(order.mode, source).drag, seed=order.seed)
    if order.lora_steps is not None:
        config = replace(config, lora=replace(config.lora, steps=order.lora_steps))
    return config


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
