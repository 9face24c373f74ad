"""How well the model knows one picture: what LoRA is for (paper, section 3.2), measured without a drag.

A drag hides it: on pictures like those that the model was trained on, edits look the same with and without LoRA.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from threading import Event

import torch
from jaxtyping import Float
from torch import Tensor

from dragdiffusion.engine import lora
from dragdiffusion.engine.config import DragConfig
from dragdiffusion.engine.ddim import DdimSchedule, guided_noise, invert
from dragdiffusion.engine.diffusion_model import DiffusionModel

_HELD_OUT_SEED = 271828  # of the noise that the error is measured with: training draws other noise
_BATCH = 5


@dataclass(frozen=True)
class Identity:
    """Of one picture after one fine-tuning."""

    noise_error: float  # mean squared error of ε over the timesteps in use, times 1000
    rebuilt_psnr_db: float  # inverted and denoised again without reference-latent control
    process_seconds: float  # of the fine-tuning


def measure_identity(
    model: DiffusionModel, image: Float[Tensor, "1 3 h w"], prompt: str, config: DragConfig
) -> Identity:
    """Fine-tunes on the picture (-1 to 1) as `config` says, and asks what the model knows of it."""
    schedule = DdimSchedule.of_config(model.scheduler_config, config)
    in_use = schedule.timesteps[: config.num_inverted_steps]
    latent, embedded = model.encode(image), model.embed_prompt(prompt)
    began = time.process_time()
    weights: lora.LoraWeights = {}
    for weights in lora.train(  # noqa: B007
        model,
        latent,
        embedded,
        config=config.lora,
        timesteps_in_use=in_use,
        seed=config.seed,
        stop=Event(),
    ):
        pass
    seconds = time.process_time() - began
    with torch.no_grad(), lora.applied(model, lora.detached(weights)):
        error = _noise_error(model, latent, embedded, in_use)
        rebuilt = rebuild(model, schedule, latent, embedded, levels=len(in_use))
        squared = (model.decode(rebuilt) - model.decode(latent)).clamp(-2, 2).square().mean() / 4
    return Identity(1000 * error, float(-10 * squared.log10()), seconds)


def _noise_error(
    model: DiffusionModel,
    latent: Float[Tensor, "1 c h w"],
    prompt: Float[Tensor, "1 tokens d"],
    in_use: tuple[int, ...],
) -> float:
    generator = torch.Generator().manual_seed(_HELD_OUT_SEED)
    batches = torch.tensor(in_use).split(_BATCH)
    losses = [
        float(lora.noise_loss(model, latent, prompt, batch, generator=generator).detach())
        * len(batch)
        for batch in batches
    ]
    return sum(losses) / len(in_use)


def rebuild(
    model: DiffusionModel,
    schedule: DdimSchedule,
    latent: Float[Tensor, "1 c h w"],
    prompt: Float[Tensor, "1 tokens d"],
    *,
    levels: int,
) -> Float[Tensor, "1 c h w"]:
    """What is left of z_0 after inversion through so many levels and denoising from there, with nothing moved."""
    *_, latent = invert(model, schedule, latent, prompt, num_steps=levels, stop=Event())
    for level in range(levels, 0, -1):
        noise = guided_noise(model, schedule, latent, prompt, level=level, guidance_scale=1.0)
        latent = schedule.down(noise, latent, level)
    return latent
