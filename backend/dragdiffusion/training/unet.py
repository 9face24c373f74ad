"""Stage `unet`: the denoiser and the text encoder, trained together on latents of scenes."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextModel

from .denoiser import (
    TRAIN_TIMESTEPS,
    UnetRecipe,
    new_scheduler,
    new_text_encoder,
    new_unet,
)
from .export import export_model
from .latent_bank import LatentBank, LatentBatch, tokenize
from .optimizer import PairedAdam, PairedMuon
from .pair import Partner, SharedWeights, train_in_pair
from .run import TrainingRun
from .scene_batches import held_out
from .stage import PairedStage
from .tokenizer import load_tokenizer


def train_unet(
    work: Path,
    minutes: float,
    decay_minutes: float = 0,
    *,
    recipe: UnetRecipe | None = None,
    step_limit: int | None = None,
) -> None:
    """Train for `minutes` in all runs together, the last `decay_minutes` with a falling rate.

    Without decay the run can go on at any later time: checkpoints of the decay have other names.
    """
    recipe = recipe or UnetRecipe()
    torch.manual_seed(1)
    tokenizer = load_tokenizer(work / "tokenizer")
    unet, text_encoder = new_unet(recipe), new_text_encoder(recipe, tokenizer)
    weights = SharedWeights([unet, text_encoder])
    tables = _tables(unet, text_encoder)

    def train(partner: Partner) -> None:
        optimizer = PairedMuon(
            weights, partner, adam_only=tables, average_decay=recipe.average_decay
        )
        run = TrainingRun("unet", work, minutes, step_limit)
        stage = UnetStage(
            run, weights, optimizer, unet=unet, text_encoder=text_encoder, recipe=recipe
        )
        stage.decay_share = decay_minutes / minutes
        stage.run_to_end()

    train_in_pair(train)


def _tables(unet: UNet2DConditionModel, text_encoder: CLIPTextModel) -> set[int]:
    """Weights that are no map between hidden layers: Muon would not suit them."""
    ends = [unet.conv_in.weight, unet.conv_out.weight]
    embeddings = [p for name, p in text_encoder.named_parameters() if "embedding" in name]
    return {id(parameter) for parameter in ends + embeddings}


class UnetStage(PairedStage):
    name = "unet"
    decay_share = 0.0  # of the time, at its end

    def __init__(
        self,
        run: TrainingRun,
        weights: SharedWeights,
        optimizer: PairedAdam,
        *,
        unet: UNet2DConditionModel,
        text_encoder: CLIPTextModel,
        recipe: UnetRecipe,
    ) -> None:
        super().__init__(run, weights, optimizer)
        torch.manual_seed(100 + self.partner.rank)
        self.unet, self.text_encoder = unet, text_encoder
        self.recipe = recipe
        self.log_every, self.batch_size = recipe.log_every, recipe.batch_size
        self.averages = [
            copy.deepcopy(model).requires_grad_(False).eval() for model in (unet, text_encoder)
        ]
        weights.show_average_in(self.averages)
        self.vae = AutoencoderKL.from_pretrained(run.work / "vae").requires_grad_(False).eval()
        self.tokenizer = load_tokenizer(run.work / "tokenizer")
        self.bank = LatentBank(self.stream, self.vae, self.tokenizer, capacity=recipe.bank_capacity)
        self.objective = NoiseObjective(recipe.snr_limit)
        self.no_caption = tokenize(self.tokenizer, [""])
        self._validation = self._held_out_batch(64)
        self._exported_at = 0.0

    def resume(self) -> None:
        super().resume()
        self._exported_at = self.run.spent_seconds
        while self.bank.size < self.recipe.bank_start:
            self.bank.add(20)
        self.run.spend()

    def batch_loss(self, fraction: float) -> Tensor:  # noqa: ARG002
        count = self.recipe.batch_size // 2
        if self.optimizer.step_count % self.recipe.reuse == 0:
            self.bank.add(count)
        batch = self.bank.draw(count, self.generator)
        dropped = torch.rand(count, generator=self.generator) < self.recipe.caption_dropout
        batch.tokens[dropped] = self.no_caption
        timesteps = self.objective.stratified_timesteps(count, self.generator)
        noise = torch.randn(batch.latents.shape, generator=self.generator)
        errors = self._errors(self.unet, self.text_encoder, batch, timesteps, noise)
        return self.objective.weighted(errors, timesteps)

    def learning_rate(self, fraction: float) -> float:
        """Warm-up, constant, and a straight fall to 0 in the decay's share of the time."""
        rate = self.recipe.learning_rate * self.warmup(self.recipe.warmup_steps)
        if not self.decay_share:
            return rate
        return rate * min(1.0, (1 - fraction) / self.decay_share)

    def checkpoint_path(self) -> Path:
        """Decaying runs write elsewhere, so that the plateau can be taken up again later."""
        plateau = super().checkpoint_path()
        decaying = plateau.with_name(
            f"unet-decay-{self.run.budget_seconds / 60:.0f}-{self.partner.rank}.pt"
        )
        return decaying if decaying.exists() or self._decays() else plateau

    @torch.no_grad()
    def held_out_figures(self) -> str:
        """Mean squared error of ε over all noise levels, and in four quarters from low to high."""
        self._export_when_due()
        batch, timesteps, noise = self._validation
        unet, text_encoder = self.averages
        errors = self._errors(unet, text_encoder, batch, timesteps, noise)
        quarters = " ".join(f"{part.mean():.4f}" for part in errors.chunk(4))
        return f"held-out MSE {errors.mean():.4f} ({quarters})"

    def finish(self) -> None:
        self.export()
        self.run.log(f"unet finished, {self.held_out_figures()}")

    def export(self) -> None:
        unet, text_encoder = self.averages
        export_model(
            self.run.work,
            vae=self.vae,
            unet=unet,
            text_encoder=text_encoder,
        )

    def _export_when_due(self) -> None:
        if self.run.spent_seconds - self._exported_at >= self.recipe.export_seconds:
            self._exported_at = self.run.spent_seconds
            self.export()

    def _decays(self) -> bool:
        return self.decay_share > 0 and self.run.fraction > 1 - self.decay_share

    def _errors(
        self,
        unet: UNet2DConditionModel,
        text_encoder: CLIPTextModel,
        batch: LatentBatch,
        timesteps: Tensor,
        noise: Tensor,
    ) -> Tensor:
        """Squared error of the predicted noise, one number a scene."""
        words = text_encoder(batch.tokens).last_hidden_state  # kept in float32: cheap, and exact
        noisy = self.objective.noisy(batch.latents, noise, timesteps)
        with torch.autocast("cpu", torch.bfloat16):
            predicted = unet(noisy, timesteps, words).sample
        return (predicted.float() - noise).square().mean((1, 2, 3))

    def _held_out_batch(self, count: int) -> tuple[LatentBatch, Tensor, Tensor]:
        """Fixed scenes, noise levels from low to high, and noise."""
        bank = LatentBank(held_out(count), self.vae, self.tokenizer, capacity=count)
        bank.add(count)
        generator = torch.Generator().manual_seed(3)
        batch = bank.draw(count, generator)
        timesteps = torch.linspace(10, 990, count).long()
        return batch, timesteps, torch.randn(batch.latents.shape, generator=generator)


class NoiseObjective:
    """ε-prediction with min-SNR weights."""

    def __init__(self, snr_limit: float) -> None:
        self.alphas = new_scheduler().alphas_cumprod
        snr = self.alphas / (1 - self.alphas)
        self.weights = snr.clamp_max(snr_limit) / snr

    def noisy(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        alphas = self.alphas[timesteps].view(-1, 1, 1, 1)
        return alphas.sqrt() * latents + (1 - alphas).sqrt() * noise

    def weighted(self, errors: Tensor, timesteps: Tensor) -> Tensor:
        return (errors * self.weights[timesteps]).mean()

    @staticmethod
    def stratified_timesteps(count: int, generator: torch.Generator) -> Tensor:
        """One timestep from each of `count` equal parts: less variance than independent draws."""
        shares = (torch.arange(count) + torch.rand(count, generator=generator)) / count
        return (shares * TRAIN_TIMESTEPS).long()
