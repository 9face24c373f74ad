"""Stage `vae`: the autoencoder between 128 x 128 images and 4 x 32 x 32 latents."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn

from .autoencoder import (
    AutoencoderRecipe,
    AutoencoderStage,
    reconstruction_loss,
    reconstruction_psnr,
    train_autoencoder,
)
from .machine import Machine
from .run import TrainingRun
from .scene_batches import SceneStream, random_crops

CROP_SIZE = 64  # px; crops see more variety per second of computing
CROP_SHARE = 0.7  # of the time; then whole images, as the model will meet them


@dataclass(frozen=True, slots=True)
class VaeRecipe(AutoencoderRecipe):
    channels: tuple[int, ...] = (16, 32, 64)
    batch_size: int = 8
    learning_rate: float = 1.5e-3
    warmup_steps: int = 40
    average_decay: float = 0.999
    kl_weight: float = 1e-4
    log_every: int = 250


def new_vae(recipe: VaeRecipe) -> AutoencoderKL:
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * len(recipe.channels),
        up_block_types=("UpDecoderBlock2D",) * len(recipe.channels),
        block_out_channels=recipe.channels,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        mid_block_add_attention=False,
        sample_size=128,
        scaling_factor=1.0,
    )


def train_vae(
    work: Path,
    minutes: float,
    *,
    recipe: VaeRecipe | None = None,
    machine: Machine | None = None,
    step_limit: int | None = None,
) -> None:
    """Train for the given time in all, then fold the latents' statistics in and save."""
    recipe = recipe or VaeRecipe()
    new_run = partial(TrainingRun, VaeStage.name, work, minutes, step_limit)

    def begin() -> AutoencoderKL:
        torch.manual_seed(0)
        return new_vae(recipe)

    train_autoencoder(VaeStage, begin, new_run, recipe=recipe, machine=machine or Machine())


class VaeStage(AutoencoderStage):
    name = "vae"
    recipe: VaeRecipe

    @staticmethod
    def trained_parts(vae: AutoencoderKL) -> list[nn.Module]:
        return [vae]

    def batch_loss(self, fraction: float) -> Tensor:
        images = self.images(self.share)
        if fraction < CROP_SHARE:
            images = random_crops(images, CROP_SIZE, self.generator)
        return vae_loss(self.vae, images, self.recipe.kl_weight)

    def learning_rate(self, fraction: float) -> float:
        """Warm-up, then a cosine over the time budget down to 2 %."""
        cosine = 0.5 * (1 + math.cos(math.pi * fraction))
        rate = self.recipe.learning_rate * self.warmup(self.recipe.warmup_steps)
        return rate * (0.02 + 0.98 * cosine)

    def finish(self) -> None:
        """Fold and save the finished autoencoder in diffusers format."""
        vae = copy.deepcopy(self.average)
        scenes = SceneStream(self.stream.next_seed).images(256).to(self.device)
        fold_latent_statistics(vae, scenes)
        vae.save_pretrained(self.run.work / "vae")
        self.run.log(f"vae finished, PSNR {reconstruction_psnr(vae, self.validation):.2f} dB")


def vae_loss(vae: AutoencoderKL, images: Tensor, kl_weight: float) -> Tensor:
    """Of the reconstruction, + KL."""
    with torch.autocast(images.device.type, torch.bfloat16):
        posterior = vae.encode(images).latent_dist
        decoded = vae.decode(posterior.sample()).sample
    mean, log_variance = posterior.mean.float(), posterior.logvar.float()
    divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
    return reconstruction_loss(decoded.float(), images) + kl_weight * divergence


@torch.no_grad()
def fold_latent_statistics(vae: AutoencoderKL, images: Tensor) -> None:
    """Make every latent channel mean 0, deviation 1 by changing the two 1 x 1 convolutions.

    `scaling_factor` can then be 1.0, and per-channel statistics need no extra configuration.
    """
    latents = torch.cat([vae.encode(part).latent_dist.mean for part in images.split(16)])
    mean, deviation = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
    channels = len(mean)
    to_latent, from_latent = vae.quant_conv, vae.post_quant_conv
    to_latent.weight[:channels] /= deviation[:, None, None, None]
    to_latent.bias[:channels] = (to_latent.bias[:channels] - mean) / deviation
    to_latent.bias[channels:] -= 2 * deviation.log()  # the second half is the log-variance
    from_latent.bias += from_latent.weight[:, :, 0, 0] @ mean
    from_latent.weight *= deviation[None, :, None, None]
