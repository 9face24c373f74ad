"""Features are tapped, gradients reach the latent only, nothing stays on the model."""

import pytest
import torch

from dragdiffusion.engine.diffusion_model import DiffusionModel
from dragdiffusion.engine.errors import InvalidRequest, ModelUnavailable
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


def _overflowing_model(dtype: torch.dtype) -> DiffusionModel:
    """Its VAE's first convolutions give numbers beyond 65,504, which the norms after them bring back."""
    model = make_model(dtype=dtype)
    with torch.no_grad():
        for convolution in (model.vae.decoder.conv_in, model.vae.encoder.conv_in):
            convolution.weight.mul_(5e4 / float(convolution.weight.abs().max()))
    return model


def test_a_vae_that_overflows_in_half_precision_works_in_float32() -> None:
    exact, half = (_overflowing_model(dtype) for dtype in (torch.float32, torch.float16))
    latent, image = 4 * torch.randn(1, 4, 8, 8), torch.rand(1, 3, 32, 32)

    torch.testing.assert_close(half.decode(latent), exact.decode(latent), rtol=0.02, atol=0.02)
    assert half.vae.dtype is torch.float32
    torch.testing.assert_close(half.encode(image), exact.encode(image), rtol=0.02, atol=0.02)
    assert half.unet.dtype is torch.float16

    sound = make_model(dtype=torch.float16)
    sound.decode(sound.encode(image))
    assert sound.vae.dtype is torch.float16


def test_what_overflowed_before_is_said() -> None:
    half = make_model(dtype=torch.float16)
    for _ in range(2):
        with pytest.raises(ModelUnavailable, match="tiny overflows in float16"):
            half.decode(torch.full((1, 4, 8, 8), torch.nan))
    assert half.vae.dtype is torch.float16


@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated")  # torch's own
def test_compiled_blocks_change_neither_noise_nor_gradient() -> None:
    model = make_model()
    latent = torch.randn(1, 4, 8, 8, requires_grad=True)
    prompt = model.embed_prompt("a")

    def noise_and_gradient() -> tuple[torch.Tensor, torch.Tensor]:
        noise = model.predict_noise(latent, 301, prompt)
        return noise, torch.autograd.grad(noise.square().sum(), latent)[0]

    plain = noise_and_gradient()
    torch._dynamo.reset()  # other tests compile the same blocks
    torch._dynamo.utils.counters.clear()
    model.compile()
    with torch.compiler.set_stance(force_backend="aot_eager"):  # all but the C++ compiler
        compiled = noise_and_gradient()

    assert torch._dynamo.utils.counters["frames"]["ok"] > 0
    torch.testing.assert_close(compiled, plain)
