"""What an edit at Stable Diffusion 1.5's shape takes of a card; and what happens where that is not there."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
import torch

from dragdiffusion.daemon.store import Store
from dragdiffusion.daemon.torch_engine import TorchEngine
from dragdiffusion.daemon.workbench import Edited, Workbench
from dragdiffusion.engine import editor
from dragdiffusion.engine.config import Mode
from dragdiffusion.engine.diffusion_model import DiffusionModel
from dragdiffusion.engine.drag_types import DragRequest
from dragdiffusion.engine.errors import OutOfMemory
from dragdiffusion.engine.low_memory import NO_SAVINGS
from dragdiffusion.engine.memory_plan import (
    GIB,
    MemoryPlan,
    Policy,
    choose,
    following,
    model_bytes,
    phase_bytes,
    work_of,
)
from dragdiffusion.models import catalogue
from dragdiffusion.models.catalogue import ModelSource
from dragdiffusion.settings import Settings
from gpu.card import (
    ABOUT_MEMORY,
    DEVICE,
    HALF,
    MIB,
    NEEDS_CARD,
    ON_CARD,
    allocated,
    bench,
    free,
    limited_to,
    masked_request,
    mean_difference,
    occupied_but_for,
    phase_peaks,
    report,
    scene,
    scene_request,
    sd15,
    sd15_config,
)

pytestmark = NEEDS_CARD

AMPLE = 80 * GIB
BOUND = {2: 4.5 * GIB, 4: 7.0 * GIB}
LEFT_OVER = 8 * MIB  # small matrices that are kept for the next edit
LIBRARIES = 96 * MIB  # what cuBLAS takes for itself on the largest cards


@pytest.fixture(scope="module")
def half_model() -> DiffusionModel:
    return sd15(getattr(torch, HALF))


def plan_of(model: DiffusionModel, request: DragRequest, policy: Policy) -> MemoryPlan:
    return choose(work_of(model, request), available_bytes=AMPLE, policy=policy)


def peaks_of(model: DiffusionModel, request: DragRequest, plan: MemoryPlan) -> dict[str, int]:
    peaks: dict[str, int] = {}
    free()
    with following(model, plan.savings):
        session = phase_peaks(editor.open_session(model, request, stop=Event()), peaks)
        phase_peaks(editor.drag(session, request, stop=Event()), peaks)
    return peaks


def table(
    model: DiffusionModel, request: DragRequest, plan: MemoryPlan, peaks: dict[str, int]
) -> dict[str, Any]:
    estimates = phase_bytes(work_of(model, request), plan.savings, margin=1.0)
    rows = {
        name: {"measured GiB": round(n / GIB, 2), "counted GiB": round(estimates[name] / GIB, 2)}
        for name, n in peaks.items()
    }
    return {"plan": str(plan), **rows}


@pytest.mark.parametrize("dtype", [HALF, "float32"])
def test_every_phase_keeps_the_bound_and_the_plan(dtype: str) -> None:
    before = allocated()
    model = sd15(getattr(torch, dtype))
    request = masked_request(sd15_config(levels=None if ON_CARD else 2))
    plan = plan_of(model, request, Policy.AUTO)
    peaks = {name: n - before for name, n in peaks_of(model, request, plan).items()}
    found = table(model, request, plan, peaks)
    report(f"memory-{dtype}", found | {"before": round(before / GIB, 2)})
    assert set(peaks) == {"encode", "lora", "inversion", "warp", "drag", "denoise", "decode"}
    assert max(peaks.values()) <= BOUND[model.dtype.itemsize], found
    assert max(peaks.values()) <= plan.needed_bytes + LIBRARIES, found


def test_every_saving_together_needs_less_in_every_phase(half_model: DiffusionModel) -> None:
    request = masked_request(sd15_config(levels=12 if ON_CARD else 2))
    ample, low = (plan_of(half_model, request, policy) for policy in (Policy.HIGH, Policy.LOW))
    by_ample, by_low = (peaks_of(half_model, request, plan) for plan in (ample, low))
    found = table(half_model, request, low, by_low)
    report("memory-low", found)
    assert all(by_low[name] < n or not ON_CARD for name, n in by_ample.items()), (by_ample, found)
    assert max(by_low.values()) <= low.needed_bytes + LIBRARIES, found
    assert_at_home(half_model)


def assert_at_home(model: DiffusionModel) -> None:
    """Every part is on the device, and no saving on."""
    parts = (model.unet, model.vae, model.text_encoder)
    devices = {weight.device.type for part in parts for weight in part.parameters()}
    assert devices == {model.device.type}
    assert model.savings == NO_SAVINGS
    assert not model.unet.is_gradient_checkpointing


def test_every_saving_together_gives_the_same_picture() -> None:
    pictures = {}
    for memory in ("high", "low"):
        engine = bench("float32", mode=Mode.FAST, memory=memory)
        case = scene("ball")
        pictures[memory] = engine.edit(scene_request(case, engine.config)).raw
        assert_at_home(engine.model)
        if memory == "low":
            assert "activations are computed twice" in engine.torch_engine.memory_plan
            parked = "VAE and text encoder wait in the computer's memory"
            assert (parked in engine.torch_engine.memory_plan) == ON_CARD
    difference = mean_difference(pictures["high"], pictures["low"])
    report("low-picture", {"mean difference of 255": difference})
    assert difference <= 0.5


def test_tiles_need_less(half_model: DiffusionModel) -> None:
    latent = torch.zeros(1, 4, 128, 128) if ON_CARD else torch.zeros(1, 4, 16, 16)
    peaks = {}
    for tiled in (False, True):
        with following(half_model, type(NO_SAVINGS)(tiled=tiled)):
            phases: dict[str, int] = {}
            phase_peaks(_decoded(half_model, latent), phases)
            peaks[tiled] = phases["decode"]
    report("memory-tiles", {str(tiled): round(n / GIB, 2) for tiled, n in peaks.items()})
    assert peaks[True] < peaks[False] or not ON_CARD


def _decoded(model: DiffusionModel, latent: torch.Tensor) -> Generator[Any, None, None]:
    picture = model.decode(latent)
    assert picture.isfinite().all()
    yield editor.StageStep(editor.Stage.COMPOSITING, 1, 1)


# ---- where it is not there ---------------------------------------------------------------------------------------


class GivenModel(TorchEngine):
    """Works with a model that is there already; what an edit that found no memory left on the computer comes back, as when it is loaded anew."""

    def __init__(self, model: DiffusionModel) -> None:
        super().__init__(Settings(device=DEVICE, dtype=HALF, memory="auto"))
        self._given = model

    def load(self, source: ModelSource) -> DiffusionModel:
        del source
        self._policy = self._settings.memory
        for part in (self._given.unet, self._given.vae, self._given.text_encoder):
            part.to(self._given.device)
        return self._given


@pytest.fixture
def workbench(half_model: DiffusionModel, tmp_path: Path) -> Iterator[Workbench]:
    before = allocated()
    workbench = Workbench(GivenModel(half_model), session_bytes=GIB, store=Store(tmp_path, 0))
    yield workbench
    workbench.release()
    assert_at_home(half_model)
    assert allocated() - before <= LEFT_OVER


def drag(workbench: Workbench, request: DragRequest) -> Edited:
    *_, edited = workbench.drag(catalogue.resolve("embedded"), request, Event())
    assert isinstance(edited, Edited)
    assert np.ptp(edited.image.image[..., 3]) == 255  # the mask's inside is there
    return edited


def between_low_and_ample(model: DiffusionModel, request: DragRequest) -> int:
    """Bytes beside the model that are enough with every saving, and not without."""
    ample, low = (plan_of(model, request, policy) for policy in (Policy.AUTO, Policy.LOW))
    needed = max(phase_bytes(work_of(model, request), ample.savings, margin=1.0).values())
    assert low.needed_bytes < needed
    return int(low.needed_bytes + needed) // 2 - model_bytes(model)


@pytest.fixture
def short_request() -> DragRequest:
    return masked_request(sd15_config(levels=6, lora_steps=2))


@ABOUT_MEMORY
def test_memory_that_runs_out_in_the_middle_is_saved(
    workbench: Workbench,
    half_model: DiffusionModel,
    short_request: DragRequest,
    caplog: pytest.LogCaptureFixture,
) -> None:
    room = between_low_and_ample(half_model, short_request)
    with limited_to(room), caplog.at_level(logging.WARNING):
        edited = drag(workbench, short_request)
    run = edited.run
    report("short-in-the-middle", {"GiB free": round(room / GIB, 2), "plan": run.memory_plan})
    assert "It is tried once more, in less memory." in caplog.text
    assert "activations are computed twice" in run.memory_plan


@ABOUT_MEMORY
def test_a_card_that_others_use_is_planned_for(
    workbench: Workbench, half_model: DiffusionModel, short_request: DragRequest
) -> None:
    room = between_low_and_ample(half_model, short_request)
    with occupied_but_for(room):
        edited = drag(workbench, short_request)
    report("short-before", {"GiB free": round(room / GIB, 2), "plan": edited.run.memory_plan})
    assert "computer's memory" in edited.run.memory_plan or "slower" in edited.run.memory_plan


@ABOUT_MEMORY
def test_what_cannot_be_done_is_explained_and_the_next_edit_works(
    workbench: Workbench, short_request: DragRequest
) -> None:
    before = allocated()
    with limited_to(40 * MIB):
        explained = refusal(workbench, short_request)
    report("short-for-good", {"sentence": explained})
    assert "select a smaller area" in explained
    assert "GiB needed" in explained
    assert workbench.loaded_model == ""
    assert allocated() - before <= LEFT_OVER
    drag(workbench, short_request)


def refusal(workbench: Workbench, request: DragRequest) -> str:
    try:
        drag(workbench, request)
    except OutOfMemory as error:  # holds on to nothing once it is gone
        return str(error)
    return ""
