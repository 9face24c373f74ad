"""An edit that is cancelled on a card ends within an iteration, and leaves the model and the memory as they were."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import replace
from threading import Event, Timer
from typing import Any

import pytest
import torch
from engine.tiny_model import edit, run

from dragdiffusion.engine import editor
from dragdiffusion.engine.diffusion_model import DiffusionModel
from dragdiffusion.engine.drag_types import DragRequest
from dragdiffusion.engine.editor import EditSession
from dragdiffusion.engine.errors import Cancelled
from gpu.card import HALF, MIB, NEEDS_CARD, allocated, masked_request, phase, report, sd15
from gpu.card import sd15_config as config_of

pytestmark = NEEDS_CARD


@pytest.fixture(scope="module")
def model() -> DiffusionModel:
    """Its first edit is done: what is slow once has been."""
    model = sd15(getattr(torch, HALF))
    edit(model, masked_request(config_of(levels=2, lora_steps=1)))
    return model


@pytest.fixture(scope="module")
def request_() -> DragRequest:
    return masked_request(config_of(levels=20, lora_steps=0))


@pytest.fixture(scope="module")
def session(model: DiffusionModel, request_: DragRequest) -> EditSession:
    return run(editor.open_session(model, request_, stop=Event()))


@pytest.mark.parametrize("where", ["lora", "inversion"])
def test_while_the_image_is_prepared(
    model: DiffusionModel, request_: DragRequest, where: str
) -> None:
    steps = 80 if where == "lora" else 1
    config = replace(request_.config, lora=replace(request_.config.lora, steps=steps))
    request, stop = replace(request_, config=config), Event()
    _check(model, editor.open_session(model, request, stop=stop), where, stop)


@pytest.mark.parametrize("where", ["drag", "denoise"])
def test_while_it_is_edited(
    model: DiffusionModel, session: EditSession, request_: DragRequest, where: str
) -> None:
    steps = 200 if where == "drag" else 1
    config, stop = replace(request_.config, max_drag_steps=steps), Event()
    work = editor.drag(session, replace(request_, config=config), stop=stop)
    _check(model, work, where, stop)


def _check(model: DiffusionModel, work: Generator[Any, None, Any], where: str, stop: Event) -> None:
    memory, weights = allocated(), _checksums(model)
    seconds = _seconds_to_end(work, where, stop)
    report(f"cancel-{where}", {"seconds": round(seconds, 3)})
    assert seconds < 1
    assert _checksums(model) == weights
    assert allocated() - memory <= 8 * MIB


def _seconds_to_end(work: Generator[Any, None, Any], where: str, stop: Event) -> float:
    """From the stop, which comes in the middle of that phase, to when the device is idle."""
    while phase(next(work)) != where:
        pass
    pressed: list[float] = []

    def press() -> None:
        pressed.append(time.perf_counter())
        stop.set()

    timer = Timer(0.01, press)
    timer.start()
    try:
        run(work)
    except Cancelled:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter() - pressed[0]
    raise AssertionError("it went on to its end")


def _checksums(model: DiffusionModel) -> dict[str, float]:
    """Of every weight of the UNet, by name: none is added or changed."""
    named = dict(model.unet.named_parameters())
    sums = torch.stack([weight.double().abs().sum() for weight in named.values()])
    return dict(zip(named, sums.tolist(), strict=True))
