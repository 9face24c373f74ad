"""Stage `quality`: figures and pictures of an exported model on scenes that training never saw."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image
from torch import Tensor

from dragdiffusion.engine.ddim import DdimSchedule
from dragdiffusion.engine.diffusion_model import DiffusionModel
from dragdiffusion.evaluation.lora_identity import rebuild

from .autoencoder import psnr_db, reconstruction_psnr
from .scene_batches import held_out

STEPS, INVERTED_STEPS = 50, 35  # as the paper inverts
PROMPTS = (
    "a blue mountain at day with a sun and a tree",
    "a purple mountain at sunset with a sun and a cloud",
    "a gray mountain at night with a moon",
    "a brown mountain at dawn with a sun and a tree",
    "a person face with black hair, blue background",
    "a orange cat face, teal background",
    "a brown bear face with a red hat, yellow background",
    "a person face with a green hat, purple background",
    "a red flower, blue background",
    "a white flower, gray background",
    "a blue ball on green ground, orange background",
    "a pink ball on gray ground, teal background",
)


def load_pipeline(folder: Path) -> StableDiffusionPipeline:
    pipeline = StableDiffusionPipeline.from_pretrained(folder, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(torch.float32)


def write_quality(folder: Path, destination: Path, scenes: int = 24) -> None:
    """Write quality.json and samples.png of the model in `folder`."""
    destination.mkdir(parents=True, exist_ok=True)
    pipeline = load_pipeline(folder)
    figures = model_figures(pipeline, scenes)
    (destination / "quality.json").write_text(json.dumps(figures, indent=2) + "\n", "utf-8")
    sample_grid(pipeline).save(destination / "samples.png", optimize=True)


@torch.no_grad()
def model_figures(pipeline: StableDiffusionPipeline, scenes: int) -> dict[str, float]:
    images, captions = held_out(scenes).images_and_captions(scenes)
    latents = pipeline.vae.encode(images).latent_dist.mean
    words, _ = pipeline.encode_prompt(captions, "cpu", 1, do_classifier_free_guidance=False)
    return {
        "vae_psnr_db": reconstruction_psnr(pipeline.vae, images),
        "noise_mse": noise_error(pipeline, latents, words),
        "round_trip_psnr_db": round_trip_psnr(pipeline, images, captions),
    }


def noise_error(pipeline: StableDiffusionPipeline, latents: Tensor, words: Tensor) -> float:
    """Mean squared error of ε, noise levels spread evenly from low to high."""
    timesteps = torch.linspace(10, 990, len(latents)).long()
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(3))
    noisy = pipeline.scheduler.add_noise(latents, noise, timesteps)
    predicted = pipeline.unet(noisy, timesteps, words).sample
    return float((predicted - noise).square().mean())


@torch.no_grad()
def round_trip_psnr(
    pipeline: StableDiffusionPipeline,
    images: Tensor,
    captions: list[str],
    *,
    steps: int = STEPS,
    inverted_steps: int = INVERTED_STEPS,
) -> float:
    """The engine's inversion and its way back, reference-latent control left out: what an edit that moves nothing costs."""
    model = DiffusionModel.from_pipeline(
        pipeline, name="judged", family="embedded", device="cpu", dtype=torch.float32
    )
    schedule = DdimSchedule.of(model.scheduler_config, num_steps=steps)
    returned = [
        rebuild(
            model,
            schedule,
            model.encode(image[None]),
            model.embed_prompt(text),
            levels=inverted_steps,
        )
        for image, text in zip(images, captions, strict=True)
    ]
    decoded = torch.cat([model.decode(latent) for latent in returned]).clamp(-1, 1)
    return psnr_db(decoded, images)


def sample_grid(pipeline: StableDiffusionPipeline, columns: int = 6) -> Image.Image:
    """One picture for each prompt, from one seed."""
    pictures = pipeline(
        list(PROMPTS),
        num_inference_steps=40,
        guidance_scale=3.0,
        height=128,
        width=128,
        generator=torch.Generator().manual_seed(4),
        output_type="np",
    ).images
    rows = [
        np.concatenate(list(pictures[start : start + columns]), 1)
        for start in range(0, len(pictures), columns)
    ]
    grid = np.concatenate(rows, 0)
    return Image.fromarray((grid * 255).round().astype(np.uint8))
