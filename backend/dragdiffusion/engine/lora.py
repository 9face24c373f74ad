"""Identity-preserving fine-tuning on one image (paper, section 3.2): LoRA factors of every attention projection.

The factors are trained through peft and then taken off the UNet again. For inversion, dragging and denoising they are
merged into the weights while `applied` is open: the same numbers with no extra kernels, and the model's own weight
tensors come back untouched.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int64
from peft import LoraConfig as PeftLoraConfig
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from dragdiffusion.engine.config import LoraConfig
from dragdiffusion.engine.ddim import DdimSchedule
from dragdiffusion.engine.diffusion_model import DiffusionModel
from dragdiffusion.engine.errors import check_stop
from dragdiffusion.engine.unet_passes import graphed

_ADAPTER = "identity"
_PROJECTIONS = ["to_q", "to_k", "to_v", "to_out.0"]


class LoraFactors(NamedTuple):
    """ΔW = up · down"""

    down: Float[Tensor, "rank inputs"]
    up: Float[Tensor, "outputs rank"]


LoraWeights = dict[str, LoraFactors]
"""By the projection's module name in the UNet; empty: no fine-tuning."""


def train(
    model: DiffusionModel,
    latent: Float[Tensor, "1 c h w"],
    prompt: Float[Tensor, "1 tokens d"],
    *,
    config: LoraConfig,
    timesteps_in_use: tuple[int, ...],
    seed: int,
    stop: Event,
) -> Iterator[LoraWeights]:
    """Yields the weights after each step: always the same dictionary."""
    generator = torch.Generator().manual_seed(seed)
    with _trainable_adapter(model.unet, config, generator=generator) as weights, graphed(model):
        factors = [factor for pair in weights.values() for factor in pair]
        # Adam divides the gradients' scale out again, all but for ε.
        epsilon = 1e-8 * model.gradient_scale
        optimizer = torch.optim.AdamW(
            factors, lr=config.learning_rate, eps=epsilon, weight_decay=1e-2
        )
        batches = _timesteps(model, config, timesteps_in_use, generator=generator)
        for step in range(config.steps):
            check_stop(stop)
            optimizer.param_groups[0]["lr"] = learning_rate(config, step)
            losses = noise_losses(model, latent, prompt, next(batches), generator=generator)
            _step(optimizer, losses, gradient_scale=model.gradient_scale)
            yield weights


def learning_rate(config: LoraConfig, step: int) -> float:
    """Of a step, counted from 0."""
    if not config.cosine:
        return config.learning_rate
    warm_up = max(1, round(config.steps / 10))
    if step < warm_up:
        return config.learning_rate * (step + 1) / (warm_up + 1)
    passed = (step - warm_up) / (config.steps - warm_up)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * passed))


def _timesteps(
    model: DiffusionModel,
    config: LoraConfig,
    in_use: tuple[int, ...],
    *,
    generator: torch.Generator,
) -> Iterator[Int64[Tensor, "b"]]:
    """A batch a step. Those in use take turns, in an order drawn anew each time: no part is left out by chance."""
    if not config.used_timesteps:
        count = len(DdimSchedule.training_alphas(model.scheduler_config))
        while True:
            yield torch.randint(count, (config.batch_size,), generator=generator)
    waiting = torch.tensor([], dtype=torch.int64)
    while True:
        while len(waiting) < config.batch_size:
            turn = torch.randperm(len(in_use), generator=generator)
            waiting = torch.cat([waiting, torch.tensor(in_use)[turn]])
        yield waiting[: config.batch_size]
        waiting = waiting[config.batch_size :]


def noise_loss(
    model: DiffusionModel,
    latent: Float[Tensor, "1 c h w"],
    prompt: Float[Tensor, "1 tokens d"],
    timesteps: Int64[Tensor, "b"],
    *,
    generator: torch.Generator,
) -> Float[Tensor, ""]:
    """MSE of the UNet's prediction for the latent with noise of these timesteps."""
    losses = noise_losses(model, latent, prompt, timesteps, generator=generator)
    return torch.stack(list(losses)).sum()


@torch.enable_grad()
def noise_losses(
    model: DiffusionModel,
    latent: Float[Tensor, "1 c h w"],
    prompt: Float[Tensor, "1 tokens d"],
    timesteps: Int64[Tensor, "b"],
    *,
    generator: torch.Generator,
) -> Iterator[Float[Tensor, ""]]:
    """The summands of `noise_loss`, one for each pass of the UNet."""
    alphas = DdimSchedule.training_alphas(model.scheduler_config)
    batch_size = len(timesteps)
    noise = torch.randn((batch_size, *latent.shape[1:]), generator=generator).to(model.device)
    alpha = alphas[timesteps].view(-1, 1, 1, 1).to(model.device)
    noisy = alpha.sqrt() * latent + (1 - alpha).sqrt() * noise
    wanted = noise
    if model.scheduler_config.get("prediction_type") == "v_prediction":
        wanted = alpha.sqrt() * noise - (1 - alpha).sqrt() * latent
    for part in torch.arange(batch_size).split(model.savings.lora_samples or batch_size):
        samples, prompts = noisy[part], prompt.expand(len(part), -1, -1)
        prediction = model.predict_noise(samples, timesteps[part].to(model.device), prompts)
        yield mse_loss(prediction, wanted[part]) * (len(part) / batch_size)


@torch.enable_grad()
def _step(
    optimizer: torch.optim.Optimizer,
    losses: Iterator[Tensor],
    *,
    gradient_scale: float,
) -> None:
    """Down the sum of the losses; each has its backward pass before the next is computed."""
    optimizer.zero_grad()
    for loss in losses:
        (loss * gradient_scale).backward()
    optimizer.step()


@contextmanager
def _trainable_adapter(
    unet: Any, config: LoraConfig, *, generator: torch.Generator
) -> Iterator[LoraWeights]:
    """The factors of an adapter that is on the UNet until the context ends."""
    try:
        with torch.random.fork_rng(devices=[]):  # peft fills the factors from the global generator
            unet.add_adapter(_peft_config(config), _ADAPTER)
        weights = _adapter_factors(unet)
        for down, up in weights.values():
            noise = torch.randn(down.shape, generator=generator) / config.rank
            down.data = noise.to(down.device)
            up.data = torch.zeros_like(up, dtype=torch.float32)
        yield weights
    finally:
        unet.unload_lora()
        unet.requires_grad_(False)


def _peft_config(config: LoraConfig) -> PeftLoraConfig:
    names = "|".join(_PROJECTIONS).replace(".", r"\.")
    everywhere = rf"(?:.*\.)?(?:{names})"
    return PeftLoraConfig(
        r=config.rank,
        lora_alpha=config.rank,
        target_modules=rf"up_blocks\.{everywhere}" if config.up_blocks_only else _PROJECTIONS,
    )


def _adapter_factors(unet: Any) -> LoraWeights:
    return {
        name: LoraFactors(layer.lora_A[_ADAPTER].weight, layer.lora_B[_ADAPTER].weight)
        for name, layer in unet.named_modules()
        if isinstance(layer, LoraLayer)
    }


def detached(weights: LoraWeights) -> LoraWeights:
    return {name: LoraFactors(down.detach(), up.detach()) for name, (down, up) in weights.items()}


@contextmanager
def applied(model: DiffusionModel, weights: LoraWeights) -> Iterator[None]:
    """Inside, every projection's weight is W + up · down; after it, W's own tensor is back."""
    projections = {name: model.unet.get_submodule(name) for name in weights}
    found = {name: projection.weight for name, projection in projections.items()}
    try:
        for name, projection in projections.items():
            projection.weight = _merged(found[name], weights[name])
        yield
    finally:
        for name, projection in projections.items():
            projection.weight = found[name]


def _merged(weight: nn.Parameter, factors: LoraFactors) -> nn.Parameter:
    change = factors.up.float() @ factors.down.float()
    merged = (weight.detach().float() + change).to(weight.dtype)
    return nn.Parameter(merged, requires_grad=False)
