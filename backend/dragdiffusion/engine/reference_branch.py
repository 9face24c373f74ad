"""The reference latent at every level, and the edited latent's way down beside it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from threading import Event
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from dragdiffusion.engine import guidance
from dragdiffusion.engine.config import DragConfig
from dragdiffusion.engine.ddim import DdimSchedule, guided_noise
from dragdiffusion.engine.diffusion_model import DiffusionModel
from dragdiffusion.engine.errors import check_stop
from dragdiffusion.engine.low_memory import Savings
from dragdiffusion.engine.reference_latent_control import (
    KeyValue,
    LayerInput,
    ReferenceKeyValues,
    record_reference,
    reference_latent_control,
)


class ReferenceView(NamedTuple):
    """What the drag loop compares with at one level."""

    lower: Float[Tensor, "1 c h w"]  # z⁰ one DDIM step lower
    features: Float[Tensor, "1 f h w"]  # F_0


@dataclass(frozen=True, eq=False)
class ReferenceBranch:
    """Made once per image; no edit changes it."""

    model: DiffusionModel
    schedule: DdimSchedule
    prompts: Float[Tensor, "b tokens d"]  # the prompt; with guidance (negative prompt, prompt)
    guidance_scale: float
    start_layer: int
    latents: tuple[Float[Tensor, "1 c h w"], ...]  # z_0 … z_n
    key_values: tuple[ReferenceKeyValues, ...]  # of level 0 (none), 1, …, n
    feature_block: int = 0  # whose output the views' features are
    views: Mapping[int, ReferenceView] = field(default_factory=dict)  # by level, those known

    @property
    def top_level(self) -> int:
        return len(self.latents) - 1

    def freed(self, level: int) -> ReferenceBranch:
        """The same up to that level, for a latent that is to look otherwise: under no control, it attends to itself.

        It has every second level only: without control, shorter steps add nothing (docs/evaluation.md).
        """
        levels = range(level, 0, -2)[::-1]
        latents = tuple(self.latents[kept] for kept in (0, *levels))
        schedule = self.schedule.of_levels(levels)
        return replace(self, schedule=schedule, latents=latents, key_values=((),) * len(latents))


def record_branch(
    model: DiffusionModel,
    schedule: DdimSchedule,
    inverted: tuple[Float[Tensor, "1 c h w"], ...],
    prompts: Float[Tensor, "b tokens d"],
    *,
    config: DragConfig,
    stop: Event,
) -> Iterator[ReferenceBranch]:
    """Denoises the reference latent from z_n; yields the branch as far as it is known, complete at last."""
    top = len(inverted) - 1
    latents = list(inverted)
    key_values: list[ReferenceKeyValues] = [()] * len(inverted)
    views: dict[int, ReferenceView] = {}
    branch = ReferenceBranch(
        model,
        schedule,
        prompts,
        guidance_scale=config.guidance_scale,
        start_layer=config.reference_start_layer,
        latents=inverted,
        key_values=tuple(key_values),
        feature_block=config.feature_block,
    )
    lowest_dragged = top - _num_dragged_levels(config)
    for level in range(top, 0, -1):
        check_stop(stop)
        view, recorded = _record_step(branch, latents[level], level=level)
        if level > lowest_dragged:
            views[level] = view
        if top - level >= config.reference_start_step:
            key_values[level] = recorded
        if not config.reference_from_inversion:
            latents[level - 1] = view.lower
        branch = replace(
            branch, latents=tuple(latents), key_values=tuple(key_values), views=dict(views)
        )
        yield branch


def _num_dragged_levels(config: DragConfig) -> int:
    """At which the drag loop will look."""
    steps_per_level = config.drag_steps_per_timestep
    return math.ceil(config.max_drag_steps / steps_per_level) if steps_per_level else 1


@torch.no_grad()
def _record_step(
    branch: ReferenceBranch, latent: Float[Tensor, "1 c h w"], *, level: int
) -> tuple[ReferenceView, ReferenceKeyValues]:
    model, schedule = branch.model, branch.schedule
    batch = guidance.for_every_prompt(latent, branch.prompts)
    compact = model.savings.compact_reference

    def look(*inputs: Tensor) -> tuple[Tensor, ...]:
        recording = record_reference(model.unet, start_layer=branch.start_layer, compact=compact)
        with recording as recorded, model.tap(branch.feature_block) as tapped:
            (prediction,) = model.noise_pass(*inputs)
        return prediction, tapped[0], *(tensor for layer in recorded for tensor in layer)

    prediction, features, *recorded = model.run_pass(
        "recording", look, batch, schedule.timestep(level), branch.prompts
    )
    noises = schedule.noise(prediction, batch, level)
    noise = guidance.guided_noise(noises, branch.guidance_scale)
    view = ReferenceView(
        schedule.down(noise, latent, level),
        guidance.guided_features(features, branch.guidance_scale),
    )
    kept = [_stored(tensor, model.savings) for tensor in recorded]
    if compact:
        return view, tuple(LayerInput(tensor) for tensor in kept)
    return view, tuple(map(KeyValue, kept[::2], kept[1::2]))


def _stored(tensor: Tensor, savings: Savings) -> Tensor:
    return tensor.cpu() if savings.reference_on_host else tensor


def _noise(
    branch: ReferenceBranch, latent: Float[Tensor, "1 c h w"], *, level: int
) -> Float[Tensor, "1 c h w"]:
    return guided_noise(
        branch.model,
        branch.schedule,
        latent,
        branch.prompts,
        level=level,
        guidance_scale=branch.guidance_scale,
    )


@torch.no_grad()
def denoise_step(
    branch: ReferenceBranch,
    latent: Float[Tensor, "1 c h w"],
    *,
    level: int,
    lock: Float[Tensor, "1 1 h w"] | None,
) -> Float[Tensor, "1 c h w"]:
    """One DDIM step of the edited latent under reference-latent control; outside `lock` (1: may change) the reference stays."""
    unet = branch.model.unet
    with (
        branch.model.passes.holding(branch.key_values[level]) as reference,
        reference_latent_control(unet, reference, start_layer=branch.start_layer),
    ):
        noise = _noise(branch, latent, level=level)
    lower = branch.schedule.down(noise, latent, level)
    if lock is None:
        return lower
    return lock * lower + (1 - lock) * branch.latents[level - 1]


def denoise(
    branch: ReferenceBranch,
    latent: Float[Tensor, "1 c h w"],
    *,
    level: int,
    lock: Float[Tensor, "1 1 h w"] | None,
    stop: Event,
) -> Iterator[Float[Tensor, "1 c h w"]]:
    """Yields the edited latent at level − 1, level − 2, …, 0."""
    for upper in range(level, 0, -1):
        check_stop(stop)
        latent = denoise_step(branch, latent, level=upper, lock=lock)
        yield latent
