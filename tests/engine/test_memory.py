"""What an edit, or a picture from a prompt, needs at Stable Diffusion 1.5's shape, tensor by tensor; nothing is computed.

An edit of a few steps gives the peak of every phase; the recorded reference of the steps that were left out is added.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import replace
from threading import Event
from typing import Any

import numpy as np
import pytest
import torch

from dragdiffusion.engine import editor, images
from dragdiffusion.engine.config import DragConfig, Generation, LoraConfig, Mode
from dragdiffusion.engine.diffusion_model import DiffusionModel
from dragdiffusion.engine.drag_types import (
    DragRequest,
    DragStep,
    Pixels,
    Point,
    Rectangle,
    Stage,
    Trajectory,
)
from dragdiffusion.engine.generation import generate
from dragdiffusion.engine.geometry import WorkingSpace
from dragdiffusion.engine.memory_plan import (
    GIB,
    MemoryPlan,
    Policy,
    choose,
    following,
    phase_bytes,
    work_of,
    work_of_generation,
)
from dragdiffusion.models.families import Family
from dragdiffusion.models.profiles import default_config
from engine.tiny_model import run
from fakes.live_bytes import LiveBytes
from fakes.sd15_shape import make_model

BOUND = {torch.bfloat16: 4.5 * GIB, torch.float32: 7 * GIB}
AMPLE = 80 * GIB
PHASES = {
    Stage.ENCODING: "encode",
    Stage.FINE_TUNING: "lora",
    Stage.INVERTING: "inversion",
    Stage.WARPING: "warp",
    Stage.SAMPLING: "denoise",
    Stage.DENOISING: "denoise",
    Stage.COMPOSITING: "decode",
}


def make_request(config: DragConfig, *, masked: bool) -> DragRequest:
    size = config.working_size
    mask = np.zeros((size, size), np.uint8)
    mask[size // 4 : -size // 4, size // 4 : -size // 4] = 255
    start, end = Point(size * 0.4, size * 0.4), Point(size * 0.6, size * 0.5)
    return DragRequest(
        image=np.zeros((size, size, 4), np.uint8),
        trajectories=(Trajectory((start, end)),),
        mask=mask if masked else None,
        prompt="",
        config=config,
        region=Rectangle(0, 0, size, size),
    )


def measured(live: LiveBytes, model: DiffusionModel, request: DragRequest) -> dict[str, int]:
    """The most bytes of each phase, the weights included."""
    config = request.config
    short = replace(
        config,
        lora=replace(config.lora, steps=min(1, config.lora.steps)),
        num_inference_steps=3,
        max_drag_steps=2,
        drag_steps_per_timestep=min(1, config.drag_steps_per_timestep),
    )
    request = replace(request, config=short)
    peaks: dict[str, int] = {}
    live.take_peak()
    opening = editor.open_session(model, request, stop=Event())
    session = run(_noted(opening, live, peaks))
    left_out = config.num_inverted_steps - session.branch.top_level
    recorded = [tensor for layer in session.branch.key_values[-1] for tensor in layer]
    kept = [torch.empty_like(tensor) for tensor in recorded for _ in range(left_out)]
    peaks["inversion"] += sum(tensor.nbytes for tensor in kept)
    live.take_peak()
    run(_noted(editor.drag(session, request, stop=Event()), live, peaks))
    return peaks


def _noted(
    work: Generator[Any, None, Any], live: LiveBytes, peaks: dict[str, int]
) -> Generator[Any, None, Any]:
    while True:
        try:
            event = next(work)
        except StopIteration as end:
            return end.value
        phase = "drag" if isinstance(event, DragStep) else PHASES[event.stage]
        peaks[phase] = max(live.take_peak(), peaks.get(phase, 0))
        yield event


@pytest.fixture(scope="module", params=[torch.bfloat16, torch.float32], ids=["bf16", "fp32"])
def sd15(request: pytest.FixtureRequest) -> Iterator[tuple[LiveBytes, DiffusionModel]]:
    with LiveBytes() as live:
        yield live, make_model(request.param, device=torch.device("meta"))


@pytest.fixture(autouse=True)
def _no_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    size = 2048
    picture = np.zeros((size, size, 3), np.uint8)

    def to_region_pixels(_picture: torch.Tensor, space: WorkingSpace) -> Pixels:
        return picture[: space.region.height, : space.region.width]

    monkeypatch.setattr(images, "to_region_pixels", to_region_pixels)
    monkeypatch.setattr(images, "to_pixels", lambda _picture: picture)


def config_of(mode: Mode, **changes: Any) -> DragConfig:
    return replace(default_config(mode, Family.SD1), **changes)


def compare(
    plan: MemoryPlan, counted: dict[str, int], estimates: dict[str, float], *, closely: bool
) -> None:
    print(
        plan, {phase: f"{n / GIB:.2f} {estimates[phase] / GIB:.2f}" for phase, n in counted.items()}
    )
    assert set(counted) == set(estimates)
    for phase, peak in counted.items():
        assert peak <= 1.03 * estimates[phase], phase
        if closely:
            assert peak == pytest.approx(estimates[phase], rel=0.1), phase


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "size", "masked", "policy"),
    [
        (Mode.DEFAULT, 512, True, Policy.AUTO),
        (Mode.REFERENCE, 512, False, Policy.AUTO),
        (Mode.DEFAULT, 768, True, Policy.LOW),
    ],
)
def test_every_phase_keeps_the_bound_and_the_estimate(
    sd15: tuple[LiveBytes, DiffusionModel], mode: Mode, size: int, masked: bool, policy: Policy
) -> None:
    live, model = sd15
    config = replace(default_config(mode, Family.SD1), working_size=size, lora=LoraConfig())
    request = make_request(config, masked=masked)
    work = work_of(model, request)
    plan = choose(work, available_bytes=AMPLE, policy=policy)
    estimates = phase_bytes(work, plan.savings, margin=1.0)
    with following(model, plan.savings):
        counted = measured(live, model, request)
    if size == 512:
        assert max(counted.values()) <= BOUND[model.dtype]
    compare(plan, counted, estimates, closely=masked)  # without, the drag needs less


@pytest.mark.slow
@pytest.mark.parametrize(("side", "policy"), [(512, Policy.AUTO), (768, Policy.LOW)])
def test_a_picture_from_a_prompt_keeps_the_estimate(
    sd15: tuple[LiveBytes, DiffusionModel], side: int, policy: Policy
) -> None:
    live, model = sd15
    generation = Generation(num_inference_steps=2, width=side, height=side)
    work = work_of_generation(model, generation)
    plan = choose(work, available_bytes=AMPLE, policy=policy)
    estimates = phase_bytes(work, plan.savings, margin=1.0)
    counted: dict[str, int] = {}
    with following(model, plan.savings):
        live.take_peak()
        run(_noted(generate(model, generation, stop=Event()), live, counted))
    compare(plan, counted, estimates, closely=True)
