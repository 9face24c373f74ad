"""Memory that does not suffice, and what of it is freed; the real engine's errors."""

from __future__ import annotations

import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dragdiffusion.daemon.store import Store
from dragdiffusion.daemon.workbench import Edited, Workbench
from dragdiffusion.engine.config import DragConfig, LoraConfig
from dragdiffusion.engine.drag_types import DragRequest, EditedImage, Point, Trajectory
from dragdiffusion.engine.errors import InvalidRequest, OutOfMemory
from dragdiffusion.models.catalogue import Kind, ModelSource
from dragdiffusion.models.families import Family
from fakes.engine import FakeEngine

SOURCE = ModelSource("m", "M", Family.SD1, Kind.FOLDER, "/m")


def request(prompt: str = "") -> DragRequest:
    return DragRequest(
        image=np.zeros((32, 32, 4), np.uint8),
        trajectories=(Trajectory((Point(9, 9), Point(20, 20))),),
        mask=None,
        prompt=prompt,
        config=DragConfig(lora=LoraConfig(steps=0), num_inference_steps=2, max_drag_steps=1),
    )


class Crowded(FakeEngine):
    """Has room for one prepared image only, or for none."""

    def __init__(self, bench_size: int) -> None:
        super().__init__()
        self.room = bench_size
        self.bench: Workbench | None = None
        self.loads = 0
        self.drags = 0

    def load(self, source: ModelSource) -> Any:
        self.loads += 1
        return super().load(source)

    def drag(self, *arguments: Any, **named: Any) -> Generator[Any, None, EditedImage]:
        assert self.bench is not None
        self.drags += 1
        if len(self.bench.sessions) > self.room:
            raise OutOfMemory("There is not enough memory.")
        return (yield from super().drag(*arguments, **named))


def workbench(engine: Crowded) -> Workbench:
    engine.bench = Workbench(engine, 1 << 30, Store(Path("nowhere"), 0))
    return engine.bench


def test_other_prepared_images_make_room() -> None:
    engine = Crowded(1)
    bench = workbench(engine)
    for prompt in ("a", "b"):
        *_, last = bench.drag(SOURCE, request(prompt), threading.Event())
        assert isinstance(last, Edited)
    assert len(bench.sessions) == 1
    assert engine.loads == 1


def test_without_room_all_is_freed_and_the_error_holds_nothing() -> None:
    bench = workbench(Crowded(0))
    with pytest.raises(OutOfMemory, match="not enough") as raised:
        list(bench.drag(SOURCE, request(), threading.Event()))
    assert bench.loaded_model == ""
    assert len(bench.sessions) == 0
    assert raised.value.__context__ is None


def test_the_second_try_is_the_last() -> None:
    engine = Crowded(0)
    with pytest.raises(OutOfMemory):
        list(workbench(engine).drag(SOURCE, request(), threading.Event()))
    assert engine.drags == 2
    assert engine.memory_plan == "everything is saved"


def test_an_invalid_request_does_not_load_the_model() -> None:
    engine = Crowded(1)
    outside = DragRequest(**{**vars(request()), "trajectories": (Trajectory((Point(99, 9),) * 2),)})
    with pytest.raises(InvalidRequest):
        list(workbench(engine).drag(SOURCE, outside, threading.Event()))
    assert engine.loads == 0


def test_sessions_take_a_quarter_of_the_device_at_most() -> None:
    engine = Crowded(1)
    bench = workbench(engine)
    engine.device_memory_bytes = lambda: (6000, 6000)  # type: ignore[method-assign]
    for prompt in ("a", "b"):
        list(bench.prepare(SOURCE, request(prompt), threading.Event()))
    assert bench.sessions.num_bytes == 1000


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("torch.OutOfMemoryError('CUDA out of memory')", OutOfMemory),
        ("MemoryError()", OutOfMemory),
        (
            "RuntimeError('[enforce fail at alloc_cpu.cpp:124] . "
            "DefaultCPUAllocator: can\\'t allocate memory: you tried to allocate 9 bytes.')",
            OutOfMemory,
        ),
        ("RuntimeError('shapes do not match')", RuntimeError),
    ],
)
def test_torch_s_errors_are_told_apart(error: str, expected: type[Exception]) -> None:
    import torch

    from dragdiffusion.daemon.torch_engine import _memory_errors_translated

    raised = eval(error, {"torch": torch})
    with pytest.raises(expected), _memory_errors_translated():
        raise raised
