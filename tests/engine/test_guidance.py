"""Guidance by hand: what the UNet says of each prompt alone, put together with the formulas."""

from threading import Event
from typing import Any

import pytest
import torch
from torch import Tensor

from dragdiffusion.engine import editor
from dragdiffusion.engine.diffusion_model import DiffusionModel
from dragdiffusion.engine.guidance import guided_features, guided_noise
from engine.tiny_model import make_config, make_request, run


def test_features_by_hand() -> None:
    features = torch.tensor([[[[1.0]], [[2.0]]], [[[10.0]], [[20.0]]]])  # two prompts, two channels
    # g = 3: c = 3/5, so the negative prompt weighs 2/5
    by_hand = torch.tensor([[[[0.4]], [[0.8]], [[6.0]], [[12.0]]]])
    torch.testing.assert_close(guided_features(features, 3.0), by_hand)
    # g = 1: c = 1, the negative prompt does not count
    one = torch.tensor([[[[0.0]], [[0.0]], [[10.0]], [[20.0]]]])
    torch.testing.assert_close(guided_features(features, 1.0), one)


def test_noise_by_hand() -> None:
    noise = torch.tensor([1.0, 2.0]).reshape(2, 1, 1, 1)
    assert guided_noise(noise, 7.5).item() == 1 + 7.5 * (2 - 1)


def test_one_prompt_is_left_alone() -> None:
    one = torch.rand(1, 3, 2, 2)
    assert guided_features(one, 7.5) is one
    assert guided_noise(one, 7.5) is one


def _alone(model: DiffusionModel, latent: Tensor, timestep: int, prompt: str) -> tuple[Any, Any]:
    """ε and the output of up block 1 for one prompt."""
    tapped: list[Tensor] = []
    hook = model.unet.up_blocks[1].register_forward_hook(lambda *call: tapped.append(call[2]))
    with torch.no_grad():
        noise = model.unet(latent, timestep, model.embed_prompt(prompt)).sample
    hook.remove()
    return noise, tapped[0]


@pytest.mark.parametrize("recorded", [True, False])
def test_the_loop_sees_both_prompts(model: DiffusionModel, recorded: bool) -> None:
    from dragdiffusion.engine.latent_optimization import _LevelOptimizer

    scale = 4.0
    config = make_config(guidance_scale=scale, mask_weight=0.5)
    mask = make_request().image[..., 3]  # all of it: the mask term is computed
    request = make_request(config, mask=mask)
    session = run(editor.open_session(model, request, stop=Event()))
    branch = session.branch
    level = branch.top_level
    optimizer = _LevelOptimizer(editor.pose(session, request), branch.latents[level], level=level)
    lower, grid = (
        optimizer._reference_view() if recorded else optimizer._look(branch.latents[level])
    )

    timestep = branch.schedule.timestep(level)
    noises, features = zip(
        *(_alone(model, branch.latents[level], timestep, text) for text in ("", request.prompt)),
        strict=True,
    )
    share = scale / (2 * scale - 1)
    by_hand = torch.cat([(1 - share) * features[0], share * features[1]], dim=1)
    torch.testing.assert_close(grid._features.detach(), by_hand, rtol=1e-4, atol=1e-5)
    noise = noises[0] + scale * (noises[1] - noises[0])
    expected = branch.schedule.down(noise, branch.latents[level], level)
    torch.testing.assert_close(lower.detach(), expected, rtol=1e-4, atol=1e-5)
