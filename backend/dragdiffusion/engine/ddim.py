"""DDIM without noise: invert() and the denoising step, mirror images of one another.

Latents are counted by level: z_0 is the picture, z_n the most inverted latent; level k has the k-th smallest timestep of
the schedule, and both directions evaluate the UNet at the timestep of the upper level.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from threading import Event
from typing import Any

import torch
from diffusers import DDIMScheduler
from jaxtyping import Float
from torch import Tensor

from dragdiffusion.engine import guidance
from dragdiffusion.engine.config import DragConfig, Generation, TimestepSpacing
from dragdiffusion.engine.diffusion_model import DiffusionModel
from dragdiffusion.engine.errors import check_stop


@dataclass(frozen=True, eq=False)
class DdimSchedule:
    """Timesteps and ᾱ of every level."""

    timesteps: tuple[int, ...]  # of level 1, 2, …
    alphas: Float[Tensor, "levels"]  # ᾱ of level 0, 1, …; on the CPU: scalars
    predicts_velocity: bool

    @classmethod
    def of_config(
        cls, scheduler_config: Mapping[str, Any], config: DragConfig | Generation
    ) -> DdimSchedule:
        steps, spacing = config.num_inference_steps, config.timestep_spacing
        return cls.of(scheduler_config, num_steps=steps, spacing=spacing)

    @classmethod
    def of(
        cls,
        scheduler_config: Mapping[str, Any],
        *,
        num_steps: int,
        spacing: TimestepSpacing = TimestepSpacing.LEADING,
    ) -> DdimSchedule:
        scheduler = DDIMScheduler.from_config(
            dict(scheduler_config),
            clip_sample=False,
            set_alpha_to_one=False,
            steps_offset=1,
            timestep_spacing=spacing.value,
        )
        scheduler.set_timesteps(num_steps)
        ascending = sorted(scheduler.timesteps.tolist())
        alphas = [scheduler.final_alpha_cumprod, *(scheduler.alphas_cumprod[t] for t in ascending)]
        velocity = scheduler.config.prediction_type == "v_prediction"
        return cls(tuple(ascending), torch.stack(alphas).float(), velocity)

    @staticmethod
    def training_alphas(scheduler_config: Mapping[str, Any]) -> Float[Tensor, "timesteps"]:
        return DDIMScheduler.from_config(dict(scheduler_config)).alphas_cumprod

    def of_levels(self, levels: Sequence[int]) -> DdimSchedule:
        """Of these levels alone (ascending), which become 1, 2, …"""
        timesteps = tuple(self.timestep(level) for level in levels)
        return replace(self, timesteps=timesteps, alphas=self.alphas[[0, *levels]])

    def timestep(self, level: int) -> int:
        return self.timesteps[level - 1]

    def noise(
        self,
        prediction: Float[Tensor, "b c h w"],
        latent: Float[Tensor, "b c h w"],
        level: int,
    ) -> Float[Tensor, "b c h w"]:
        """ε from what the UNet predicts at this level."""
        if not self.predicts_velocity:
            return prediction
        alpha = self.alphas[level]
        return alpha**0.5 * prediction + (1 - alpha) ** 0.5 * latent

    def picture(
        self, noise: Float[Tensor, "1 c h w"], latent: Float[Tensor, "1 c h w"], level: int
    ) -> Float[Tensor, "1 c h w"]:
        """The z_0 that a latent of this level stands for."""
        alpha = self.alphas[level]
        return (latent - (1 - alpha) ** 0.5 * noise) / alpha**0.5

    def down(
        self, noise: Float[Tensor, "1 c h w"], latent: Float[Tensor, "1 c h w"], level: int
    ) -> Float[Tensor, "1 c h w"]:
        """z of level − 1 from z of level."""
        return self._move(noise, latent, start=level, end=level - 1)

    def up(
        self, noise: Float[Tensor, "1 c h w"], latent: Float[Tensor, "1 c h w"], level: int
    ) -> Float[Tensor, "1 c h w"]:
        """z of level + 1 from z of level."""
        return self._move(noise, latent, start=level, end=level + 1)

    def _move(
        self,
        noise: Float[Tensor, "1 c h w"],
        latent: Float[Tensor, "1 c h w"],
        *,
        start: int,
        end: int,
    ) -> Float[Tensor, "1 c h w"]:
        picture = self.picture(noise, latent, start)
        return self.alphas[end] ** 0.5 * picture + (1 - self.alphas[end]) ** 0.5 * noise


def invert(
    model: DiffusionModel,
    schedule: DdimSchedule,
    latent: Float[Tensor, "1 c h w"],
    prompt: Float[Tensor, "1 tokens d"],
    *,
    num_steps: int,
    stop: Event,
) -> Iterator[Float[Tensor, "1 c h w"]]:
    """Yields z_1 … z_n."""
    for level in range(num_steps):
        check_stop(stop)
        latent = _step_up(model, schedule, latent, prompt, level=level)
        yield latent


@torch.no_grad()
def _step_up(
    model: DiffusionModel,
    schedule: DdimSchedule,
    latent: Float[Tensor, "1 c h w"],
    prompt: Float[Tensor, "1 tokens d"],
    *,
    level: int,
) -> Float[Tensor, "1 c h w"]:
    prediction = model.predict_noise(latent, schedule.timestep(level + 1), prompt)
    return schedule.up(schedule.noise(prediction, latent, level + 1), latent, level)


@torch.no_grad()
def guided_noise(
    model: DiffusionModel,
    schedule: DdimSchedule,
    latent: Float[Tensor, "1 c h w"],
    prompts: Float[Tensor, "b tokens d"],
    *,
    level: int,
    guidance_scale: float,
) -> Float[Tensor, "1 c h w"]:
    """ε; with classifier-free guidance `prompts` is (negative prompt, prompt)."""
    batch = guidance.for_every_prompt(latent, prompts)
    prediction = model.predict_noise(batch, schedule.timestep(level), prompts)
    return guidance.guided_noise(schedule.noise(prediction, batch, level), guidance_scale)
