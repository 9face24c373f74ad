"""The engine does what cannot be left out and nothing more: operations at Stable Diffusion 1.5's exact shape.

The floor, in TFLOP at 512 × 512, of one step of each phase: gradients to the latent alone (or LoRA's factors), the image
encoded once, features read where they are needed, the reference recorded once, without a mask nothing after F(z).
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
import torch

from dragdiffusion.engine import unet_passes
from dragdiffusion.engine.config import DragConfig, LoraConfig, Mode
from dragdiffusion.engine.diffusion_model import DiffusionModel
from dragdiffusion.engine.drag_types import DragRequest, Point, Rectangle, Trajectory
from dragdiffusion.evaluation import edit_flops
from dragdiffusion.evaluation.edit_flops import EditFlops, count_edit
from dragdiffusion.models.families import Family
from dragdiffusion.models.profiles import default_config
from fakes.sd15_shape import make_model

FLOOR = {
    "encode": 1.12,
    "lora": 1.725,  # for each noise sample
    "inversion": 0.80,
    "recording": 0.80,
    "warp": 1.12,  # the VAE's encoder once more
    "drag": 1.73,
    "denoise": 0.79,
    "decode": 2.51,
}
WITHOUT_MASK_TERM = FLOOR | {"drag": 1.27}
TERA = 1e12


@pytest.fixture(scope="module")
def sd15() -> DiffusionModel:
    return make_model(torch.float32, device=torch.device("meta"))


def _request(config: DragConfig, *, mask: bool) -> DragRequest:
    return DragRequest(
        image=np.zeros((512, 512, 4), np.uint8),
        trajectories=(Trajectory((Point(200.5, 200.5), Point(300.5, 260.5))),),
        mask=np.full((512, 512), 255, np.uint8) if mask else None,
        prompt="a picture",
        config=config,
        region=Rectangle(0, 0, 512, 512),
    )


@lru_cache
def _count(model: DiffusionModel, config: DragConfig, *, mask: bool) -> EditFlops:
    return count_edit(model, _request(config, mask=mask))


def _assert_at_the_floor(flops: EditFlops, floor: dict[str, float]) -> None:
    counted = {phase: count / TERA for phase, count in flops.step.items()}
    assert counted == {phase: pytest.approx(floor[phase], rel=0.05) for phase in counted}


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("mask", [True, False])
def test_every_phase_is_at_the_floor(sd15: DiffusionModel, mode: Mode, mask: bool) -> None:
    config = default_config(mode, Family.SD1)
    flops = _count(sd15, config, mask=mask)
    left_out = {"warp"} if mode is Mode.REFERENCE else set()
    if config.lora.steps == 0:
        left_out |= {"lora"}
    assert flops.step.keys() == FLOOR.keys() - left_out
    has_mask_term = mask and config.mask_weight > 0
    floor = FLOOR if has_mask_term else WITHOUT_MASK_TERM
    _assert_at_the_floor(flops, floor | {"lora": floor["lora"] * config.lora.batch_size})


def test_a_second_edit_in_fast_mode_costs_less_than_sixty(sd15: DiffusionModel) -> None:
    flops = _count(sd15, default_config(Mode.FAST, Family.SD1), mask=True)
    assert flops.next_edit / TERA <= 60
    assert flops.next_edit < flops.first_edit


def test_half_precision_is_counted_too(sd15: DiffusionModel) -> None:
    half = make_model(torch.float16, device=torch.device("meta"))
    config = default_config(Mode.FAST, Family.SD1)
    counts = (_count(model, config, mask=True) for model in (sd15, half))
    assert len({count.first_edit for count in counts}) == 1


def test_distilled_weights_save_a_third_of_a_first_edit_in_fast_mode(sd15: DiffusionModel) -> None:
    plain, distilled = (
        _count(sd15, default_config(Mode.FAST, Family.SD1, few_steps=few), mask=True)
        for few in (False, True)
    )
    assert distilled.first_edit < 0.7 * plain.first_edit
    assert distilled.next_edit < 0.85 * plain.next_edit


def test_fine_tuning_in_default_mode_takes_a_quarter(sd15: DiffusionModel) -> None:
    ours, paper = (
        _count(sd15, default_config(mode, Family.SD1), mask=True).total("lora")
        for mode in (Mode.DEFAULT, Mode.REFERENCE)
    )
    assert 0 < ours <= 0.25 * paper


def test_a_whole_edit_in_reference_mode(sd15: DiffusionModel) -> None:
    flops = _count(sd15, default_config(Mode.REFERENCE, Family.SD1), mask=True)
    assert flops.first_edit / TERA == pytest.approx(777, rel=0.05)
    assert flops.next_edit / TERA == pytest.approx(168, rel=0.05)


def test_gradients_to_the_weights_would_be_seen(
    sd15: DiffusionModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_meta = edit_flops._on_meta

    def wasteful(model: DiffusionModel) -> DiffusionModel:
        copy = on_meta(model)
        copy.unet.requires_grad_(True)
        return copy

    def everything(loss: torch.Tensor, latent: torch.Tensor) -> tuple[torch.Tensor | None]:
        loss.backward()
        return (latent.grad,)

    monkeypatch.setattr(edit_flops, "_on_meta", wasteful)
    monkeypatch.setattr(torch.autograd, "grad", everything)
    monkeypatch.setattr(unet_passes, "_can_keep", lambda _model: False)  # their weights learn
    config = replace(default_config(Mode.REFERENCE, Family.SD1), lora=LoraConfig(steps=0))
    flops = _count(sd15, config, mask=True)
    assert flops.step["drag"] / TERA > 1.2 * FLOOR["drag"]
