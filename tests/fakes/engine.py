"""An engine that needs no torch: it moves a square of the picture from each handle to its target.

    engine = FakeEngine(step_seconds=0.01)
    for event in engine.drag(session, request, stop=threading.Event()):
        ...

A prompt makes it fail: "fail: memory" (always), "fail: memory at first" (until it saves) or "fail: defect". With `journal` each step is
written to a file as it ends, and of each drag what was asked for.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Generator, Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dragdiffusion.daemon import memory
from dragdiffusion.daemon.workbench import Device
from dragdiffusion.engine.config import Generation
from dragdiffusion.engine.drag_types import (
    DragRequest,
    DragStep,
    EditedImage,
    EditEvent,
    Pixels,
    Point,
    Preview,
    Rectangle,
    Stage,
    StageStep,
    Trajectory,
)
from dragdiffusion.engine.errors import Cancelled, InvalidRequest, OutOfMemory, UnusableArchive
from dragdiffusion.engine.geometry import plan_region
from dragdiffusion.models.catalogue import ModelSource


@dataclass
class FakeSession:
    region: Rectangle
    num_bytes: int = 1000
    phase_seconds: dict[str, float] = field(default_factory=dict)


@dataclass
class FakePicture:
    pixels: Pixels
    num_bytes: int = 1000
    phase_seconds: dict[str, float] = field(default_factory=dict)


class FakeEngine:
    """See the module's text."""

    def __init__(self, step_seconds: float = 0.0, journal: Path | None = None) -> None:
        self._step_seconds = step_seconds
        self._journal = journal
        self._saves = False

    def start(self) -> Device:
        return Device("cpu (fake)", "float32", "0.0", "0.0")

    def load(self, source: ModelSource) -> Any:
        self._note(f"load {source.name}")
        self._saves = False
        return object()

    def validate(self, request: DragRequest) -> None:
        height, width = request.image.shape[:2]
        for index, trajectory in enumerate(request.trajectories):
            x, y = trajectory.handle
            if not (0 <= x <= width and 0 <= y <= height):
                raise InvalidRequest(
                    f"Handle {index + 1} lies outside the image.", field=f"trajectories[{index}]"
                )

    def session_key(self, model_name: str, request: DragRequest) -> Hashable:
        region = plan_region(request)
        image = hashlib.sha256(request.image).hexdigest()
        return model_name, image, region, request.prompt, request.config.lora

    def generate(
        self, model: Any, generation: Generation, *, stop: threading.Event
    ) -> Generator[StageStep, None, FakePicture]:
        del model
        for step in range(1, generation.num_inference_steps + 1):
            self._work(stop, "sample")
            yield StageStep(Stage.SAMPLING, step, generation.num_inference_steps)
        yield StageStep(Stage.COMPOSITING, 1, 1)
        lots = np.random.default_rng(generation.seed)
        shape = (generation.height, generation.width, 3)
        return FakePicture(lots.integers(0, 256, shape, dtype=np.uint8))

    def open_session(
        self,
        model: Any,
        request: DragRequest,
        *,
        stop: threading.Event,
        generated: FakePicture | None = None,
    ) -> Generator[StageStep, None, FakeSession]:
        del model
        if generated is not None and (request.image[..., :3] != generated.pixels).any():
            raise InvalidRequest("This is not the image.", field="generation")
        self._note("open")
        began = time.monotonic()
        yield StageStep(Stage.ENCODING, 1, 1)
        for stage, steps in (
            (Stage.FINE_TUNING, request.config.lora.steps),
            (Stage.INVERTING, 2 * request.config.num_inverted_steps),
        ):
            for step in range(1, steps + 1):
                self._work(stop, stage.value)
                yield StageStep(stage, step, steps)
        seconds = {"inversion": time.monotonic() - began}
        return FakeSession(plan_region(request), 1000, seconds)

    def drag(
        self,
        session: FakeSession,
        request: DragRequest,
        *,
        stop: threading.Event,
        enough: threading.Event | None = None,
    ) -> Generator[EditEvent, None, EditedImage]:
        self._fail_if_asked(request.prompt)
        self._note(f"asked {json.dumps(_asked(request))}")
        began = time.monotonic()
        done, steps = 0, request.config.max_drag_steps
        for step in range(1, steps + 1):
            self._work(stop, "drag")
            done = step
            handles = tuple(_along(way, step / steps) for way in request.trajectories)
            yield DragStep(step, steps, loss=1.0 / step, handles=handles)
            if request.preview_every and step % request.preview_every == 0:
                yield Preview(session.region, request.image[..., :3])
            if enough is not None and enough.is_set():
                break
        for step in range(1, request.config.num_inverted_steps + 1):
            self._work(stop, "denoise")
            yield StageStep(Stage.DENOISING, step, request.config.num_inverted_steps)
        yield StageStep(Stage.COMPOSITING, 1, 1)
        moved = _moved(request)
        left, top, width, height = session.region
        image = moved[top : top + height, left : left + width]
        raw = image[..., :3].copy() if request.include_raw else None
        seconds = {"drag": time.monotonic() - began}
        return EditedImage(session.region, image, raw, done, seconds, taken_early=done < steps)

    def archive_name(self, model: Any, key: Hashable) -> str:
        del model
        return hashlib.sha256(repr(key).encode()).hexdigest()

    def archive(self, session: FakeSession) -> bytes:
        return json.dumps(session.region).encode()

    def restore(
        self, model: Any, request: DragRequest, payload: bytes, *, stop: threading.Event
    ) -> Generator[StageStep, None, FakeSession]:
        del model
        self._note("restore")
        try:
            region = Rectangle(*json.loads(payload))
        except ValueError as error:
            raise UnusableArchive(str(error)) from error
        for step in range(1, request.config.num_inverted_steps + 1):
            self._work(stop, "record")
            yield StageStep(Stage.INVERTING, step, request.config.num_inverted_steps)
        return FakeSession(region, 1000, {"restore": 0.001})

    @property
    def memory_plan(self) -> str:
        return "everything is saved" if self._saves else "nothing is saved"

    def economize(self) -> bool:
        saved_already, self._saves = self._saves, True
        return not saved_already

    def free(self) -> None:
        self._note("free")

    def reset_peak_memory(self) -> None:
        memory.reset_peak()

    def peak_memory_bytes(self) -> int:
        return memory.peak_bytes()

    def device_memory_bytes(self) -> tuple[int, int]:
        return 8 << 30, 4 << 30

    def _work(self, stop: threading.Event, name: str) -> None:
        time.sleep(self._step_seconds)
        self._note(name)
        if stop.is_set():
            self._note("stopped")
            raise Cancelled("The edit was cancelled.")

    def _note(self, text: str) -> None:
        if self._journal is not None:
            with self._journal.open("a", encoding="utf-8") as stream:
                stream.write(text + "\n")

    def _fail_if_asked(self, prompt: str) -> None:
        if prompt == "fail: memory" or (prompt == "fail: memory at first" and not self._saves):
            raise OutOfMemory("There is not enough memory for this edit: select a smaller area.")
        if prompt == "fail: defect":
            raise ZeroDivisionError("a defect")


def _asked(request: DragRequest) -> dict[str, Any]:
    mask = request.mask
    return {
        "prompt": request.prompt,
        "trajectories": [way.points for way in request.trajectories],
        "mask": None if mask is None else hashlib.sha256(mask.tobytes()).hexdigest(),
    }


def _along(way: Trajectory, fraction: float) -> Point:
    x = way.handle.x + (way.target.x - way.handle.x) * fraction
    y = way.handle.y + (way.target.y - way.handle.y) * fraction
    return Point(x, y)


def _moved(request: DragRequest) -> Pixels:
    """Transparent, but for a copy of the 9 × 9 square around each handle at its target."""
    image = request.image
    height, width = image.shape[:2]
    result = np.zeros_like(image)
    for way in request.trajectories:
        for dy in range(-4, 5):
            for dx in range(-4, 5):
                from_x, from_y = int(way.handle.x) + dx, int(way.handle.y) + dy
                to_x, to_y = int(way.target.x) + dx, int(way.target.y) + dy
                inside = 0 <= from_x < width and 0 <= from_y < height
                if inside and 0 <= to_x < width and 0 <= to_y < height:
                    result[to_y, to_x, :3] = image[from_y, from_x, :3]
                    result[to_y, to_x, 3] = 255
    return result
