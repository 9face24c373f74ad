"""Features are tapped, gradients reach the latent only, nothing stays on the model."""

import pytest
import torch

from dragdiffusion.engine.diffusion_model import DiffusionModel
from dragdiffusion.engine.errors import InvalidRequest
from tests.engine.tiny_model import make_model


def _hooks(model: DiffusionModel) -> int:
    return sum(len(module._forward_hooks) for module in model.unet.modules())


def test_stopping_early_changes_neither_features_nor_gradient(any_model: DiffusionModel) -> None:
    prompt = any_model.embed_prompt("a")
    latent = torch.randn(1, 4, 8, 8, requires_grad=True)
    early = any_model.features(latent, 301, prompt, block=1)
    _, whole = any_model.noise_and_features(latent, 301, prompt, block=1)
    torch.testing.assert_close(early, whole)
    gradients = [torch.autograd.grad(f.square().sum(), latent)[0] for f in (early, whole)]
    torch.testing.assert_close(*gradients)
    assert _hooks(any_model) == 0
    assert all(parameter.grad is None for parameter in any_model.unet.parameters())


def test_weights_are_frozen(any_model: DiffusionModel) -> None:
    modules = (any_model.unet, any_model.vae, any_model.text_encoder)
    assert not any(p.requires_grad for module in modules for p in module.parameters())


def test_a_block_that_does_not_exist_is_refused(model: DiffusionModel) -> None:
    with pytest.raises(InvalidRequest, match="feature_block must be below 3"):
        model.features(torch.randn(1, 4, 8, 8), 1, model.embed_prompt(""), block=3)


def test_sizes_come_from_the_configs(any_model: DiffusionModel) -> None:
    latent = any_model.encode(torch.zeros(1, 3, 32, 48))
    assert latent.shape[-2:] == (32 // any_model.vae_factor, 48 // any_model.vae_factor)
    assert any_model.decode(latent).shape == (1, 3, 32, 48)
    assert any_model.working_size == 8 * any_model.vae_factor


@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated")  # torch's own
def test_compiled_blocks_change_neither_noise_nor_gradient() -> None:
    model = make_model()
    latent = torch.randn(1, 4, 8, 8, requires_grad=True)
    prompt = model.embed_prompt("a")

    def noise_and_gradient() -> tuple[torch.Tensor, torch.Tensor]:
        noise = model.predict_noise(latent, 301, prompt)
        return noise, torch.autograd.grad(noise.square().sum(), latent)[0]

    plain = noise_and_gradient()
    torch._dynamo.utils.counters.clear()
    model.compile()
    with torch.compiler.set_stance(force_backend="aot_eager"):  # all but the C++ compiler
        compiled = noise_and_gradient()

    assert torch._dynamo.utils.counters["frames"]["ok"] > 0
    torch.testing.assert_close(compiled, plain)
