"""Stage `decoder`: more training for the decoder alone.

The encoder stays as it is, so that latents, and with them the denoiser, remain valid.
"""

from __future__ import annotations

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
    train_autoencoder,
)
from .machine import Machine
from .run import TrainingRun


@dataclass(frozen=True, slots=True)
class DecoderRecipe(AutoencoderRecipe):
    batch_size: int = 8
    learning_rate: float = 6e-4
    warmup_steps: int = 50
    average_decay: float = 0.998
    log_every: int = 200


def train_decoder(
    work: Path,
    minutes: float,
    *,
    recipe: DecoderRecipe | None = None,
    machine: Machine | None = None,
    step_limit: int | None = None,
) -> None:
    """Fine-tune work/vae for the given time in all and write work/vae-decoder."""
    machine = machine or Machine()
    new_run = partial(TrainingRun, DecoderStage.name, work, minutes, step_limit)

    def begin() -> AutoencoderKL:
        vae = AutoencoderKL.from_pretrained(work / "vae").to(machine.device)
        vae.encoder.requires_grad_(False)
        vae.quant_conv.requires_grad_(False)
        return vae

    recipe = recipe or DecoderRecipe()
    train_autoencoder(DecoderStage, begin, new_run, recipe=recipe, machine=machine)


class DecoderStage(AutoencoderStage):
    name = "decoder"
    first_seed = 2**38  # scenes that the joint training has not seen

    @staticmethod
    def trained_parts(vae: AutoencoderKL) -> list[nn.Module]:
        return [vae.decoder, vae.post_quant_conv]

    def batch_loss(self, fraction: float) -> Tensor:  # noqa: ARG002
        images = self.images(self.share)
        with torch.autocast(self.device.type, torch.bfloat16):
            with torch.no_grad():
                latents = self.vae.encode(images).latent_dist.sample()
            decoded = self.vae.decode(latents).sample
        return reconstruction_loss(decoded.float(), images)

    def learning_rate(self, fraction: float) -> float:
        rate = self.recipe.learning_rate * self.warmup(self.recipe.warmup_steps)
        return rate * 0.5 * (1 + math.cos(math.pi * fraction))

    def finish(self) -> None:
        self.average.save_pretrained(self.run.work / "vae-decoder")
        self.run.log(f"decoder finished, {self.held_out_figures()}")
