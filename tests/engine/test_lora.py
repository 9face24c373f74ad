"""Fine-tuning learns, repeats by its seed, and leaves the model as it was."""

from threading import Event

import pytest
import torch

from dragdiffusion.engine import lora
from dragdiffusion.engine.config import LoraConfig
from dragdiffusion.engine.diffusion_model import DiffusionModel
from dragdiffusion.engine.errors import Cancelled
from engine.tiny_model import make_model


def _train(model: DiffusionModel, *, seed: int = 0, steps: int = 3) -> lora.LoraWeights:
    latent = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(5))
    config = LoraConfig(steps=steps, rank=2, learning_rate=1e-2, batch_size=2)
    prompt = model.embed_prompt("a")
    *_, weights = lora.train(model, latent, prompt, config=config, seed=seed, stop=Event())
    return lora.detached(weights)


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
        seed=0,
        stop=stop,
    )
    next(training)
    stop.set()
    with pytest.raises(Cancelled):
        next(training)
    _assert_same(model, before)


def test_a_generator_that_is_dropped_takes_the_adapter_off(model: DiffusionModel) -> None:
    before = _state(model)
    training = lora.train(
        model,
        torch.randn(1, 4, 8, 8),
        model.embed_prompt("a"),
        config=LoraConfig(steps=5, rank=2),
        seed=0,
        stop=Event(),
    )
    next(training)
    training.close()
    _assert_same(model, before)
