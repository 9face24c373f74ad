"""Pictures from a prompt, and the way on which they came: a drag on such a picture starts from there.

    generated = yield from generate(model, generation, stop=stop)
    session = yield from editor.open_session(model, request, stop=stop, generated=generated)

Of a real picture the latents z_0 … z_n are found by inversion, by a model that was fine-tuned on it; of a generated one they are
known exactly, and the model knows it already. All the rest is the same.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from threading import Event
from time import perf_counter

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from dragdiffusion.engine import images
from dragdiffusion.engine.config import Generation
from dragdiffusion.engine.ddim import DdimSchedule, guided_noise
from dragdiffusion.engine.diffusion_model import DiffusionModel
from dragdiffusion.engine.drag_types import DragRequest, Pixels, Stage, StageStep
from dragdiffusion.engine.errors import InvalidRequest, check_stop
from dragdiffusion.engine.reference_branch import ReferenceBranch, record_branch
from dragdiffusion.engine.unet_passes import repeated
from dragdiffusion.engine.validation import not_this_image

_ROUNDING = 4  # of 255: by so much another device or precision may round differently


@dataclass(frozen=True, eq=False)
class GeneratedImage:
    """A picture and its sampling trajectory."""

    model_name: str
    generation: Generation
    pixels: Pixels  # (h, w, 3)
    latents: tuple[Float[Tensor, "1 c h w"], ...]  # z_0 … z_T, on the CPU
    phase_seconds: dict[str, float] = field(default_factory=dict)  # "sampling", "decode"

    @property
    def num_bytes(self) -> int:
        latents = sum(latent.numel() * latent.element_size() for latent in self.latents)
        return self.pixels.nbytes + latents


def generate(
    model: DiffusionModel, generation: Generation, *, stop: Event
) -> Generator[StageStep, None, GeneratedImage]:
    """Samples a picture with DDIM; without noise on the way, so that the trajectory leads back."""
    began = perf_counter()
    latents = [_first_noise(model, generation)]
    with repeated(model):
        for latent in _sample(model, generation, latents[0], stop=stop):
            latents.append(latent)
            yield StageStep(Stage.SAMPLING, len(latents) - 1, generation.num_inference_steps)
    sampled = perf_counter()
    pixels = images.to_pixels(model.decode(latents[-1]))
    seconds = {"sampling": sampled - began, "decode": perf_counter() - sampled}
    yield StageStep(Stage.COMPOSITING, 1, 1)
    kept = tuple(latent.cpu() for latent in reversed(latents))
    return GeneratedImage(model.name, generation, pixels, kept, seconds)


def _first_noise(model: DiffusionModel, generation: Generation) -> Float[Tensor, "1 c h w"]:
    """z_T, drawn on the CPU: the same on every device."""
    channels, factor = model.unet.config.in_channels, model.vae_factor
    shape = (1, channels, generation.height // factor, generation.width // factor)
    lots = torch.Generator("cpu").manual_seed(generation.seed)
    return torch.randn(shape, generator=lots).to(model.device)


def _sample(
    model: DiffusionModel, generation: Generation, latent: Float[Tensor, "1 c h w"], *, stop: Event
) -> Iterator[Float[Tensor, "1 c h w"]]:
    """Yields z_{T−1} … z_0."""
    schedule = DdimSchedule.of_config(model.scheduler_config, generation)
    prompts, scale = _embed_prompts(model, generation), generation.guidance_scale
    for level in range(generation.num_inference_steps, 0, -1):
        check_stop(stop)
        noise = guided_noise(model, schedule, latent, prompts, level=level, guidance_scale=scale)
        latent = schedule.down(noise, latent, level)
        yield latent


def _embed_prompts(model: DiffusionModel, generation: Generation) -> Float[Tensor, "b tokens d"]:
    return model.embed_prompts(
        generation.prompt,
        negative_prompt=generation.negative_prompt,
        guided=generation.guidance_scale != 1,
    )


def branch_of_generated(
    model: DiffusionModel, request: DragRequest, generated: GeneratedImage | None, *, stop: Event
) -> Generator[StageStep, None, ReferenceBranch]:
    """The reference branch on the trajectory's latents z_0 … z_n; only keys and values are new."""
    made_by = generated and (generated.model_name, generated.generation)
    if generated is None or made_by != (model.name, request.generation):
        raise InvalidRequest("The image must be generated before it is prepared.")
    _validate_pixels(request, generated)
    config = request.config
    schedule = DdimSchedule.of_config(model.scheduler_config, config)
    num_steps = config.num_inverted_steps
    latents = tuple(latent.to(model.device) for latent in generated.latents[: num_steps + 1])
    prompts = _embed_prompts(model, generated.generation)
    with repeated(model):
        recording = record_branch(model, schedule, latents, prompts, config=config, stop=stop)
        for step, branch in enumerate(recording, start=1):  # noqa: B007
            yield StageStep(Stage.INVERTING, step, num_steps)
    return branch


def _validate_pixels(request: DragRequest, generated: GeneratedImage) -> None:
    difference = np.abs(request.image[..., :3].astype(np.int16) - generated.pixels)
    if difference.max() > _ROUNDING or request.image[..., 3].min() < 255:
        raise not_this_image()
