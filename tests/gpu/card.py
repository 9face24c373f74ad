"""What the tests of a graphics card share.

DRAGDIFFUSION_TEST_DEVICE=cpu runs them without one, a small model in place of the large one, to see that they are right themselves;
what is about the card's memory is left out. Figures are printed (`-s`), and written to the folder DRAGDIFFUSION_TEST_OUTPUT.
"""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from parity.measure import load_model

from dragdiffusion.commands.bench_engine import BenchEngine, EngineOrder, to_request
from dragdiffusion.engine.config import DragConfig, LoraConfig, Mode
from dragdiffusion.engine.diffusion_model import DiffusionModel
from dragdiffusion.engine.drag_types import DragRequest, Point, Rectangle, Trajectory
from dragdiffusion.evaluation.edit_flops import phase_of
from dragdiffusion.evaluation.scene_cases import DragCase, make_cases
from dragdiffusion.models.families import Family
from dragdiffusion.models.profiles import default_config
from fakes.sd15_shape import make_model

DEVICE = os.environ.get("DRAGDIFFUSION_TEST_DEVICE", "cuda:0")
ON_CARD = DEVICE.startswith("cuda")
HALF = "float16" if ON_CARD else "bfloat16"
MIB = 1 << 20
SIDE = 512 if ON_CARD else 64

NEEDS_CARD = [
    pytest.mark.gpu,
    pytest.mark.skipif(ON_CARD and not torch.cuda.is_available(), reason="no CUDA card here"),
]
ABOUT_MEMORY = pytest.mark.skipif(not ON_CARD, reason="is about a card's memory")


def report(name: str, figures: object) -> None:
    text = json.dumps(figures, indent=2)
    print(f"\n{name}: {text}")
    folder = os.environ.get("DRAGDIFFUSION_TEST_OUTPUT")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / f"{name}.json").write_text(text + "\n")


# ---- the embedded model ------------------------------------------------------------------------------------------


def bench(
    dtype: str, *, device: str = DEVICE, mode: Mode = Mode.DEFAULT, memory: str = "auto"
) -> BenchEngine:
    """Edits with the embedded model there; reference mode with a few steps of each kind."""
    settings = {"DEVICE": device, "DTYPE": dtype, "MEMORY": memory}
    environment = {f"DRAGDIFFUSION_{name}": value for name, value in settings.items()}
    with mock.patch.dict(os.environ, environment):
        engine = BenchEngine(EngineOrder(mode=mode, model="embedded"))
    if mode is Mode.REFERENCE:
        lora = replace(engine.config.lora, steps=2, batch_size=1)
        few = {"num_inference_steps": 10, "max_drag_steps": 10}
        engine.config = replace(engine.config, lora=lora, **few)
    return engine


def scene(kind: str) -> DragCase:
    return next(case for case in make_cases(10, seed=0) if case.kind == kind)


def scene_request(case: DragCase, config: DragConfig) -> DragRequest:
    return to_request(case.image, case.mask, case.point_pairs, case.caption, config)


def mean_difference(one: np.ndarray, other: np.ndarray) -> float:
    """In levels of 255."""
    return float(np.abs(one.astype(float) - other).mean())


# ---- Stable Diffusion 1.5's shape --------------------------------------------------------------------------------


def sd15(dtype: torch.dtype) -> DiffusionModel:
    if not ON_CARD:
        return load_model(DEVICE, dtype)
    with torch.random.fork_rng(devices=[torch.device(DEVICE)]):
        torch.manual_seed(0)
        model = make_model(dtype, device=torch.device(DEVICE))
    free()
    return model


def sd15_config(*, levels: int | None = None, lora_steps: int = 3) -> DragConfig:
    """Default mode; with so few levels, also few drag steps."""
    lora = LoraConfig(steps=lora_steps)  # four noise samples at once: what needs most
    config = replace(default_config(Mode.DEFAULT, Family.SD1), lora=lora, working_size=SIDE)
    if levels is None:
        return config
    return replace(config, num_inference_steps=2 * levels, inversion_strength=0.5, max_drag_steps=8)


def masked_request(config: DragConfig) -> DragRequest:
    side = config.working_size
    image = np.random.default_rng(0).integers(0, 256, (side, side, 4), dtype=np.uint8)
    image[..., 3] = 255
    mask = np.zeros((side, side), np.uint8)
    mask[side // 4 : -side // 4, side // 4 : -side // 4] = 255
    way = Trajectory((Point(side * 0.4, side * 0.4), Point(side * 0.6, side * 0.5)))
    return DragRequest(
        image=image,
        trajectories=(way,),
        mask=mask,
        prompt="",
        config=config,
        region=Rectangle(0, 0, side, side),
    )


def phase(event: Any) -> str:
    """Of an edit's events, as the memory plan counts them."""
    name = phase_of(event)
    return "inversion" if name == "recording" else name


def phase_peaks(work: Generator[Any, None, Any], peaks: dict[str, int]) -> Any:
    """The work's result; into `peaks` the most memory of each of its phases."""
    while True:
        reset_peak()
        try:
            event = next(work)
        except StopIteration as end:
            return end.value
        peaks[phase(event)] = max(peak(), peaks.get(phase(event), 0))


# ---- the card's memory -------------------------------------------------------------------------------------------


def allocated() -> int:
    """By torch's tensors, once all that is unused is gone; 0 on a CPU."""
    free()
    return torch.cuda.memory_allocated(DEVICE) if ON_CARD else 0


def free() -> None:
    gc.collect()
    if ON_CARD:
        torch.cuda.synchronize(DEVICE)
        torch._C._cuda_clearCublasWorkspaces()  # they count as tensors
        torch.cuda.empty_cache()


def reset_peak() -> None:
    if ON_CARD:
        torch.cuda.reset_peak_memory_stats(DEVICE)


def peak() -> int:
    return torch.cuda.max_memory_allocated(DEVICE) if ON_CARD else 0


@contextmanager
def limited_to(num_bytes: int) -> Iterator[None]:
    """Inside, torch gets so much more of the card and nothing beyond; nobody is told before."""
    free()
    limit = torch.cuda.memory_reserved(DEVICE) + num_bytes
    total = torch.cuda.get_device_properties(DEVICE).total_memory
    torch.cuda.set_per_process_memory_fraction(limit / total, DEVICE)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, DEVICE)


@contextmanager
def occupied_but_for(num_bytes: int) -> Iterator[None]:
    """Inside, the card is full but for that, as another program may fill it."""
    free()
    there, _ = torch.cuda.mem_get_info(DEVICE)
    taken = torch.empty(there - num_bytes, dtype=torch.uint8, device=DEVICE)
    try:
        yield
    finally:
        del taken
        free()
