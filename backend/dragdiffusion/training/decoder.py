"""Stage `decoder`: more training for the decoder alone.

The encoder stays as it is, so that latents, and with them the denoiser, remain valid.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from torch import Tensor

from .machine import Machine
from .optimizer import PairedAdam
from .pair import Partner, SharedWeights
from .run import TrainingRun
from .scene_batches import held_out
from .scene_workers import SceneWorkers
from .stage import Pace, PairedStage
from .vae import reconstruction_loss, reconstruction_psnr


@dataclass(frozen=True, slots=True)
class DecoderRecipe:
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
    recipe, machine = recipe or DecoderRecipe(), machine or Machine()
    with machine.scenes(DecoderStage.first_seed) as workers:
        vae = AutoencoderKL.from_pretrained(work / "vae").to(machine.device)
        vae.encoder.requires_grad_(False)
        vae.quant_conv.requires_grad_(False)
        trained = [vae.decoder, vae.post_quant_conv]
        weights = SharedWeights(trained, machine.device, processes=machine.processes)

        def train(partner: Partner) -> None:
            optimizer = PairedAdam(
                weights, partner, weight_decay=1e-4, average_decay=recipe.average_decay
            )
            run = TrainingRun("decoder", work, minutes, step_limit)
            stage = DecoderStage(run, weights, optimizer, vae=vae, recipe=recipe, workers=workers)
            stage.run_to_end()

        machine.train(train)


class DecoderStage(PairedStage):
    name = "decoder"
    first_seed = 2**38  # scenes that the joint training has not seen

    def __init__(
        self,
        run: TrainingRun,
        weights: SharedWeights,
        optimizer: PairedAdam,
        *,
        vae: AutoencoderKL,
        recipe: DecoderRecipe,
        workers: SceneWorkers | None,
    ) -> None:
        pace = Pace(recipe.batch_size, recipe.log_every)
        super().__init__(run, weights, optimizer, pace=pace, workers=workers)
        self.vae, self.recipe = vae, recipe
        self.average = copy.deepcopy(vae).requires_grad_(False)
        weights.show_average_in([self.average.decoder, self.average.post_quant_conv])
        self.validation = held_out(32).images(32).to(self.device)

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

    def held_out_figures(self) -> str:
        return f"held-out PSNR {reconstruction_psnr(self.average, self.validation):.2f} dB"

    def finish(self) -> None:
        self.average.save_pretrained(self.run.work / "vae-decoder")
        self.run.log(f"decoder finished, {self.held_out_figures()}")
