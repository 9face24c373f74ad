"""Schedule and round trip."""

from threading import Event

import pytest
import torch

from dragdiffusion.engine.config import TimestepSpacing
from dragdiffusion.engine.ddim import DdimSchedule, guided_noise, invert
from dragdiffusion.engine.diffusion_model import DiffusionModel
from engine.tiny_model import make_model


def _schedule(model: DiffusionModel, num_steps: int = 50) -> DdimSchedule:
    return DdimSchedule.of(model.scheduler_config, num_steps=num_steps)


def test_levels_are_the_official_timesteps(model: DiffusionModel) -> None:
    schedule = _schedule(model)
    assert schedule.timestep(1) == 1
    assert schedule.timestep(35) == 681
    assert schedule.alphas[0] == pytest.approx(1 - 0.00085)  # set_alpha_to_one=False


def test_few_steps_waste_none_on_the_picture_itself(model: DiffusionModel) -> None:
    schedule = DdimSchedule.of(
        model.scheduler_config, num_steps=10, spacing=TimestepSpacing.TRAILING
    )
    assert schedule.timesteps[:4] == (99, 199, 299, 399)
    assert schedule.timesteps[-1] == 999


def test_up_and_down_with_the_same_noise_are_inverse(model: DiffusionModel) -> None:
    schedule = _schedule(model)
    latent, noise = torch.randn(1, 4, 8, 8), torch.randn(1, 4, 8, 8)
    raised = schedule.up(noise, latent, 20)
    torch.testing.assert_close(schedule.down(noise, raised, 21), latent, atol=1e-5, rtol=1e-5)


def test_a_step_over_left_out_levels_is_as_all_of_them_with_the_same_noise(
    model: DiffusionModel,
) -> None:
    schedule = _schedule(model)
    few = schedule.of_levels((2, 5, 7))
    latent, noise = torch.randn(1, 4, 8, 8), torch.randn(1, 4, 8, 8)
    lower = schedule.down(noise, schedule.down(noise, latent, 7), 6)
    torch.testing.assert_close(few.down(noise, latent, 3), lower)
    assert few.timesteps == tuple(schedule.timestep(level) for level in (2, 5, 7))
    assert torch.equal(few.alphas[:2], schedule.alphas[[0, 2]])


@torch.no_grad()
def test_round_trip_returns_to_the_picture() -> None:
    model = make_model()
    schedule, latent = _schedule(model, 50), torch.randn(1, 4, 8, 8)
    prompt = model.embed_prompt("round trip")
    *_, moved = invert(model, schedule, latent, prompt, num_steps=35, stop=Event())
    for level in range(35, 0, -1):
        noise = guided_noise(model, schedule, moved, prompt, level=level, guidance_scale=1.0)
        moved = schedule.down(noise, moved, level)
    assert torch.norm(moved - latent) / torch.norm(latent) < 0.05


def test_a_velocity_model_gives_the_noise_of_its_definition(model: DiffusionModel) -> None:
    config = {**model.scheduler_config, "prediction_type": "v_prediction"}
    schedule = DdimSchedule.of(config, num_steps=50)
    picture, noise = torch.randn(1, 4, 8, 8), torch.randn(1, 4, 8, 8)
    alpha = schedule.alphas[20]
    latent = alpha**0.5 * picture + (1 - alpha) ** 0.5 * noise
    velocity = alpha**0.5 * noise - (1 - alpha) ** 0.5 * picture
    torch.testing.assert_close(schedule.noise(velocity, latent, 20), noise)


def test_guidance_of_one_is_no_guidance(model: DiffusionModel) -> None:
    schedule, latent = _schedule(model), torch.randn(1, 4, 8, 8)
    prompt = model.embed_prompt("a")
    both = torch.cat([model.embed_prompt(""), prompt])
    alone = guided_noise(model, schedule, latent, prompt, level=9, guidance_scale=1.0)
    guided = guided_noise(model, schedule, latent, both, level=9, guidance_scale=1.0)
    assert alone.allclose(guided, atol=1e-5)
    assert not guided_noise(model, schedule, latent, both, level=9, guidance_scale=7.0).allclose(
        alone
    )
