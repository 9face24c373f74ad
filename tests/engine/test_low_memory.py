"""Every saving gives the same numbers, and the model back as it was found."""

from __future__ import annotations

from dataclasses import replace
from threading import Event

import numpy as np
import pytest
import torch

from dragdiffusion.engine import lora
from dragdiffusion.engine.config import Generation, LoraConfig
from dragdiffusion.engine.diffusion_model import DiffusionModel
from dragdiffusion.engine.drag_types import DragRequest, EditedImage
from dragdiffusion.engine.errors import OutOfMemory
from dragdiffusion.engine.low_memory import NO_SAVINGS, Savings
from dragdiffusion.engine.memory_plan import (
    GIB,
    MemoryPlan,
    Policy,
    Work,
    choose,
    following,
    model_bytes,
    needed_bytes,
    shortage,
    work_of,
    work_of_drag,
    work_of_generation,
)
from engine.tiny_model import Geometry, edit, make_config, make_model, make_request

ALL = Savings(
    lora_samples=1,
    compact_reference=True,
    parked=True,
    reference_on_host=True,
    recomputed=True,
    tiled=True,
)
SD15 = Work(
    cells=64 * 64,
    number_bytes=2,
    prompts=1,
    lora_batch=4,
    unet_bytes=1_719_000_000,
    parts_bytes=413_000_000,
    merged_bytes=187_000_000,
    reference_bytes=896_000_000,
    width=1.0,
    vae_width=1.0,
    has_host=True,
    phases=("encode", "lora", "inversion", "warp", "drag", "denoise", "decode"),
)


def _state(model: DiffusionModel) -> list[object]:
    modules = [*model.unet.modules(), *model.vae.modules()]
    checkpointing = [
        {name: value for name, value in vars(module).items() if "checkpointing" in name}
        for module in modules
    ]
    devices = [part.device for part in (model.unet, model.vae, model.text_encoder)]
    return [checkpointing, devices, model.vae.use_tiling, model.savings]


@pytest.fixture(scope="module", params=Geometry, ids=lambda geometry: geometry.name.lower())
def plain(
    request: pytest.FixtureRequest,
) -> tuple[DiffusionModel, DragRequest, EditedImage]:
    """A model, and what comes of a request without savings."""
    mask = np.full((32, 32), 255, np.uint8)
    mask[24:] = 0
    config = make_config(lora=LoraConfig(steps=1, rank=2, batch_size=2), mask_weight=0.1)
    order = make_request(config, mask=mask, include_raw=True)
    model = make_model(request.param)
    return model, order, edit(model, order)


@pytest.mark.parametrize("saving", ["compact_reference", "recomputed", "parked", "tiled"])
def test_each_saving_gives_the_same_picture(
    plain: tuple[DiffusionModel, DragRequest, EditedImage], saving: str
) -> None:
    model, request, without = plain
    before = _state(model)
    with following(model, replace(NO_SAVINGS, **{saving: True})):
        saved = edit(model, request)
    np.testing.assert_array_equal(saved.raw, without.raw)
    assert _state(model) == before


def test_samples_one_after_the_other_give_the_same_factors(model: DiffusionModel) -> None:
    latent, prompt = torch.randn(1, 4, 8, 8), model.embed_prompt("a")
    config = LoraConfig(steps=2, rank=2, batch_size=3)

    def trained(samples: int) -> lora.LoraWeights:
        with following(model, Savings(lora_samples=samples)):
            *_, weights = lora.train(
                model,
                latent,
                prompt,
                config=config,
                timesteps_in_use=(1, 21, 41),
                seed=0,
                stop=Event(),
            )
        return lora.detached(weights)

    together = trained(0)
    for samples in (1, 2):
        apart = trained(samples)
        for name, factors in together.items():
            # Adam's first steps are as long for the smallest gradient, all rounding, as for any other.
            torch.testing.assert_close(apart[name].up, factors.up, atol=5e-5, rtol=0)


@torch.no_grad()
def test_samples_one_after_the_other_weigh_as_much(model: DiffusionModel) -> None:
    latent, prompt = torch.randn(1, 4, 8, 8), model.embed_prompt("a")
    timesteps = torch.tensor([1, 201, 401, 601, 801])

    def loss(samples: int) -> torch.Tensor:
        with following(model, Savings(lora_samples=samples)):
            lots = torch.Generator().manual_seed(0)
            return lora.noise_loss(model, latent, prompt, timesteps, generator=lots)

    for samples in (1, 2, 4):
        torch.testing.assert_close(loss(samples), loss(0), atol=0, rtol=1e-5)


def test_a_failure_leaves_the_model_as_it_was(model: DiffusionModel) -> None:
    before = _state(model)

    def fail() -> None:
        with following(model, ALL):
            assert model.unet.is_gradient_checkpointing
            raise MemoryError

    with pytest.raises(MemoryError):
        fail()
    assert _state(model) == before


def test_with_room_only_what_is_free_of_charge_is_saved() -> None:
    plan = choose(SD15, available_bytes=80 * GIB)
    assert plan.savings == Savings(lora_samples=2)
    assert plan.needed_bytes < 4.5 * GIB
    assert choose(SD15, available_bytes=1, policy=Policy.HIGH).savings == NO_SAVINGS


def test_less_memory_means_more_savings_until_it_is_refused() -> None:
    plans = [
        choose(SD15, available_bytes=int(gib * GIB)) for gib in (6, 4.8, 4.4, 4, 3.6, 3.2, 2.8)
    ]
    needs = [plan.needed_bytes for plan in plans]
    assert needs == sorted(needs, reverse=True)
    assert all(plan.needed_bytes <= plan.available_bytes for plan in plans)
    slow = [plan.savings.recomputed for plan in plans]
    assert slow == [False] * 6 + [True]  # what costs time comes last
    with pytest.raises(OutOfMemory, match=r"about 2\.6 GiB needed, 2\.2 GiB available"):
        choose(SD15, available_bytes=int(2.2 * GIB))


def test_low_is_the_least_that_can_be_asked() -> None:
    low = choose(SD15, available_bytes=80 * GIB, policy=Policy.LOW)
    assert low.savings == replace(ALL, tiled=False)
    assert needed_bytes(replace(SD15, cells=128 * 128), ALL) < 4 * GIB
    without_host = choose(
        replace(SD15, has_host=False), available_bytes=80 * GIB, policy=Policy.LOW
    )
    assert not without_host.savings.parked
    assert not without_host.savings.reference_on_host


def test_a_larger_working_size_needs_more(model: DiffusionModel) -> None:
    small, large = (
        work_of(model, make_request(make_config(working_size=size))) for size in (32, 64)
    )
    assert large.cells == 4 * small.cells
    assert large.reference_bytes == 4 * small.reference_bytes
    assert needed_bytes(large, NO_SAVINGS) > needed_bytes(small, NO_SAVINGS) > model_bytes(model)


def test_a_prepared_image_is_taken_as_it_is(model: DiffusionModel) -> None:
    request = make_request(make_config(lora=LoraConfig(steps=1, batch_size=64)))
    work = work_of_drag(model, request, session_bytes=1000)
    assert needed_bytes(work, ALL) - needed_bytes(replace(work, reference_bytes=0), ALL) == 1000
    assert needed_bytes(work, NO_SAVINGS) < needed_bytes(work_of(model, request), NO_SAVINGS)


def test_the_plan_is_a_sentence() -> None:
    plan = MemoryPlan(Savings(lora_samples=2, recomputed=True), 3 * GIB, 4 * GIB)
    assert str(plan) == (
        "about 3.0 GiB needed, 4.0 GiB available: LoRA learns from 2 noise samples at a time; "
        "activations are computed twice (slower)"
    )
    assert "select a smaller area" in shortage(SD15, plan)


def test_a_picture_from_a_prompt_needs_what_sampling_and_decoding_take(
    model: DiffusionModel,
) -> None:
    small, large, guided = (
        work_of_generation(model, Generation(width=width, height=64, guidance_scale=scale))
        for width, scale in ((64, 1.0), (128, 1.0), (64, 7.5))
    )
    assert small.cells == 64 * 64 // model.vae_factor**2
    assert (large.cells, guided.prompts) == (2 * small.cells, 2 * small.prompts)
    edit_of_it = work_of(model, make_request(make_config(working_size=64)))
    assert edit_of_it.cells == small.cells
    assert needed_bytes(small, NO_SAVINGS) < needed_bytes(edit_of_it, NO_SAVINGS)


def test_a_large_picture_is_made_in_tiles_or_refused() -> None:
    work = replace(SD15, cells=192 * 192, lora_batch=0, reference_bytes=0, merged_bytes=0)
    work = replace(work, phases=("denoise", "decode"), prompts=2)
    assert choose(work, available_bytes=8 * GIB).savings == NO_SAVINGS
    assert choose(work, available_bytes=4 * GIB).savings == Savings(tiled=True)
    low = choose(work, available_bytes=80 * GIB, policy=Policy.LOW)
    assert str(low).endswith(
        ": VAE and text encoder wait in the computer's memory; the VAE works on tiles (slower)"
    )
    with pytest.raises(OutOfMemory, match=r"for this picture \(.*: make it smaller, choose"):
        choose(work, available_bytes=2 * GIB)
