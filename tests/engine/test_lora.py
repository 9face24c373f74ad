"""Fine-tuning learns, repeats by its seed, and leaves the model as it was."""

from itertools import count
from threading import Event
from typing import Any

import pytest
import torch
from peft.tuners.lora import LoraModel
from torch.nn.functional import mse_loss

from dragdiffusion.engine import lora
from dragdiffusion.engine.config import LoraConfig
from dragdiffusion.engine.diffusion_model import DiffusionModel
from dragdiffusion.engine.errors import Cancelled
from engine.tiny_model import make_model


def _train(
    model: DiffusionModel,
    *,
    seed: int = 0,
    steps: int = 3,
    in_use: tuple[int, ...] = (1, 301),
    **options: bool,
) -> lora.LoraWeights:
    config = LoraConfig(steps=steps, rank=2, learning_rate=1e-2, batch_size=2, **options)
    prompt = model.embed_prompt("a")
    *_, weights = lora.train(
        model, _latent(), prompt, config=config, timesteps_in_use=in_use, seed=seed, stop=Event()
    )
    return lora.detached(weights)


def _latent() -> torch.Tensor:
    side = 16  # so that the deepest attention has more than one place to attend to, whose weight never changes
    return torch.randn(1, 4, side, side, generator=torch.Generator().manual_seed(5))


def _state(model: DiffusionModel) -> dict[str, torch.Tensor]:
    return {name: weight.clone() for name, weight in model.unet.state_dict().items()}


def _assert_same(model: DiffusionModel, state: dict[str, torch.Tensor]) -> None:
    now = model.unet.state_dict()
    assert now.keys() == state.keys()
    assert all(torch.equal(now[name], state[name]) for name in state)
    assert not any(weight.requires_grad for weight in model.unet.parameters())


def test_training_covers_every_projection_and_takes_the_adapter_off(
    any_model: DiffusionModel,
) -> None:
    before = _state(any_model)
    weights = _train(any_model)
    assert {name.split("attn")[1][2:] for name in weights} == {"to_q", "to_k", "to_v", "to_out.0"}
    assert all(up.abs().sum() > 0 for _, up in weights.values())
    _assert_same(any_model, before)


def test_it_is_adamw_from_where_nothing_is_changed(model: DiffusionModel) -> None:
    """The official code's fine-tuning, as a loop by hand: W + up · down, with up = 0 and down ~ N(0, 1/rank²) at first."""
    trained = _train(model)
    generator = torch.Generator().manual_seed(0)
    projections = {name: model.unet.get_submodule(name) for name in trained}
    factors = {}
    for name, projection in projections.items():
        down = torch.randn(2, projection.in_features, generator=generator) / 2
        factors[name] = (
            down.requires_grad_(),
            torch.zeros(projection.out_features, 2).requires_grad_(),
        )

    def add(projection: Any, inputs: tuple[torch.Tensor], output: torch.Tensor) -> torch.Tensor:
        (down, up), (values,) = by_projection[projection], inputs
        return output + values @ down.T @ up.T

    by_projection = {projection: factors[name] for name, projection in projections.items()}
    hooks = [projection.register_forward_hook(add) for projection in by_projection]
    optimizer = torch.optim.AdamW(
        [factor for pair in factors.values() for factor in pair],
        lr=1e-2,
        betas=(0.9, 0.999),
        weight_decay=1e-2,
        eps=1e-8,
    )
    latent, prompt = _latent(), model.embed_prompt("a").expand(2, -1, -1)
    alphas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000).square().neg().add(1).cumprod(0)
    for _ in range(3):
        timesteps = torch.randint(1000, (2,), generator=generator)
        noise = torch.randn(2, *latent.shape[1:], generator=generator)
        alpha = alphas[timesteps].view(-1, 1, 1, 1)
        noisy = alpha.sqrt() * latent + (1 - alpha).sqrt() * noise
        optimizer.zero_grad()
        mse_loss(model.unet(noisy, timesteps, prompt).sample, noise).backward()
        optimizer.step()
    for hook in hooks:
        hook.remove()

    for name, (down, up) in factors.items():
        torch.testing.assert_close(trained[name].down, down.detach(), rtol=1e-5, atol=1e-7)
        torch.testing.assert_close(trained[name].up, up.detach(), rtol=1e-5, atol=1e-7)


def test_applied_changes_the_output_and_gives_the_weights_back(model: DiffusionModel) -> None:
    weights, before = _train(model), _state(model)
    latent, prompt = torch.randn(1, 4, 8, 8), model.embed_prompt("a")
    with torch.no_grad():
        plain = model.predict_noise(latent, 301, prompt)
        with lora.applied(model, weights):
            tuned = model.predict_noise(latent, 301, prompt)
        assert torch.equal(model.predict_noise(latent, 301, prompt), plain)
    assert not torch.allclose(tuned, plain)
    _assert_same(model, before)


def test_the_seed_decides_and_nothing_else() -> None:
    torch.manual_seed(1)
    first = _train(make_model(), seed=3)
    torch.manual_seed(2)
    again = _train(make_model(), seed=3)
    other = _train(make_model(), seed=4)
    assert all(torch.equal(first[name].up, again[name].up) for name in first)
    assert not all(torch.equal(first[name].up, other[name].up) for name in first)


def test_the_scale_of_the_gradients_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is for half precision, whose small gradients would be 0; a power of two is exact."""
    plain = _train(make_model())
    monkeypatch.setattr(DiffusionModel, "gradient_scale", 1024.0)
    scaled = _train(make_model())
    for name in plain:
        torch.testing.assert_close(scaled[name], plain[name], rtol=0, atol=0)


def test_no_global_random_state_is_used(model: DiffusionModel) -> None:
    before = torch.random.get_rng_state()
    _train(model, steps=1)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_cancelling_takes_the_adapter_off(model: DiffusionModel) -> None:
    before, stop = _state(model), Event()
    training = lora.train(
        model,
        torch.randn(1, 4, 8, 8),
        model.embed_prompt("a"),
        config=LoraConfig(steps=5, rank=2),
        timesteps_in_use=(1, 301),
        seed=0,
        stop=stop,
    )
    next(training)
    stop.set()
    with pytest.raises(Cancelled):
        next(training)
    _assert_same(model, before)


def test_what_fails_while_the_adapter_is_put_on_leaves_the_model(
    model: DiffusionModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, wrap, projections = _state(model), LoraModel._create_and_replace, count(1)

    def wrap_three(*arguments: Any, **options: Any) -> None:
        if next(projections) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        wrap(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(LoraModel, "_create_and_replace", wrap_three)
        with pytest.raises(torch.OutOfMemoryError):
            _train(model)
    _assert_same(model, before)
    assert _train(model)


def test_a_generator_that_is_dropped_takes_the_adapter_off(model: DiffusionModel) -> None:
    before = _state(model)
    training = lora.train(
        model,
        torch.randn(1, 4, 8, 8),
        model.embed_prompt("a"),
        config=LoraConfig(steps=5, rank=2),
        timesteps_in_use=(1, 301),
        seed=0,
        stop=Event(),
    )
    next(training)
    training.close()
    _assert_same(model, before)


def test_timesteps_in_use_take_turns(
    model: DiffusionModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    predict_noise = model.predict_noise

    def noting(latent: torch.Tensor, timestep: torch.Tensor, prompt: torch.Tensor) -> torch.Tensor:
        asked.extend(timestep.tolist())
        return predict_noise(latent, timestep, prompt)

    monkeypatch.setattr(model, "predict_noise", noting)
    _train(model, steps=6, in_use=(1, 301, 501), used_timesteps=True)
    assert sorted(asked[:3]) == sorted(asked[3:6]) == [1, 301, 501]
    assert len(asked) == 12
    asked.clear()
    _train(model, steps=6, in_use=(1, 301, 501))
    assert not set(asked) <= {1, 301, 501}


def test_up_blocks_only_leaves_the_encoder(model: DiffusionModel) -> None:
    weights = _train(model, up_blocks_only=True)
    everywhere = _train(model)
    assert weights.keys() == {name for name in everywhere if name.startswith("up_blocks.")}
    assert len(weights) < len(everywhere)


def test_the_learning_rate_warms_up_and_falls() -> None:
    config = LoraConfig(steps=40, learning_rate=1e-3, cosine=True)
    rates = [lora.learning_rate(config, step) for step in range(40)]
    assert rates.index(max(rates)) == 4
    assert max(rates) == pytest.approx(1e-3)
    assert rates[:5] == sorted(rates[:5])
    assert rates[4:] == sorted(rates[4:], reverse=True)
    assert 0 < rates[-1] < 2e-5
    assert lora.learning_rate(LoraConfig(learning_rate=1e-3), 39) == 1e-3
    assert lora.learning_rate(LoraConfig(steps=1, cosine=True), 0) > 0
