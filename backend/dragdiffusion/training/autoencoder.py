"""What the stages `vae` and `decoder` share: both train some parts of one autoencoder on pictures."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn

from .machine import Machine
from .optimizer import PairedAdam
from .pair import Partner, SharedWeights
from .run import TrainingRun
from .scene_batches import held_out
from .scene_workers import SceneWorkers
from .stage import Pace, PairedStage


@dataclass(frozen=True, slots=True)
class AutoencoderRecipe:
    batch_size: int
    learning_rate: float  # the highest
    warmup_steps: int
    average_decay: float
    log_every: int


class AutoencoderStage(PairedStage):
    def __init__(
        self,
        run: TrainingRun,
        weights: SharedWeights,
        optimizer: PairedAdam,
        *,
        vae: AutoencoderKL,
        recipe: AutoencoderRecipe,
        workers: SceneWorkers | None,
    ) -> None:
        pace = Pace(recipe.batch_size, recipe.log_every)
        super().__init__(run, weights, optimizer, pace=pace, workers=workers)
        self.vae, self.recipe = vae, recipe
        self.average = copy.deepcopy(vae).requires_grad_(False)
        weights.show_average_in(self.trained_parts(self.average))
        self.validation = held_out(32).images(32).to(self.device)

    @staticmethod
    @abstractmethod
    def trained_parts(vae: AutoencoderKL) -> list[nn.Module]: ...

    def held_out_figures(self) -> str:
        return f"held-out PSNR {reconstruction_psnr(self.average, self.validation):.2f} dB"


def train_autoencoder(
    stage_of: type[AutoencoderStage],
    begin: Callable[[], AutoencoderKL],
    new_run: Callable[[], TrainingRun],
    *,
    recipe: AutoencoderRecipe,
    machine: Machine,
) -> None:
    """Train the stage's parts of the autoencoder that `begin` gives; each process has a run of its own."""
    with machine.scenes(stage_of.first_seed) as workers:  # before the card is touched
        vae = begin()
        trained = stage_of.trained_parts(vae)
        weights = SharedWeights(trained, machine.device, processes=machine.processes)

        def train(partner: Partner) -> None:
            optimizer = PairedAdam(
                weights, partner, weight_decay=1e-4, average_decay=recipe.average_decay
            )
            run = new_run()
            stage = stage_of(run, weights, optimizer, vae=vae, recipe=recipe, workers=workers)
            stage.run_to_end()

        machine.train(train)


def reconstruction_loss(decoded: Tensor, images: Tensor) -> Tensor:
    """L1 + 2 MSE + half the gradients' L1; the gradient term keeps small edges sharp."""
    error = decoded - images
    horizontal = (error[..., 1:] - error[..., :-1]).abs().mean()
    vertical = (error[..., 1:, :] - error[..., :-1, :]).abs().mean()
    return error.abs().mean() + 2 * error.square().mean() + 0.5 * (horizontal + vertical)


@torch.no_grad()
def reconstruction_psnr(vae: AutoencoderKL, images: Tensor) -> float:
    """Mean PSNR in dB of decode(mean of encode) over images in -1..1."""
    decoded = vae.decode(vae.encode(images).latent_dist.mean).sample.clamp(-1, 1)
    return psnr_db(decoded, images)


def psnr_db(result: Tensor, truth: Tensor) -> float:
    """Mean over the batch; values in -1..1, so the peak is 2."""
    error = ((result - truth) / 2).square().mean((1, 2, 3)).clamp_min(1e-10)
    return float(-10 * error.log10().mean())
