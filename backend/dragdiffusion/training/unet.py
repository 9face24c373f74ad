"""Stage `unet`: the denoiser and the text encoder, trained together on latents of scenes."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPTextModel

from .denoiser import (
    TRAIN_TIMESTEPS,
    UnetRecipe,
    new_scheduler,
    new_text_encoder,
    new_unet,
)
from .export import export_model
from .latent_bank import LatentBank, LatentBatch
from .machine import Machine
from .optimizer import PairedAdam, PairedMuon
from .pair import Partner, SharedWeights
from .run import TrainingRun
from .scene_batches import held_out, to_signed
from .scene_workers import SceneWorkers
from .stage import Pace, PairedStage
from .tokenizer import load_tokenizer, tokenize

HELD_OUT = 64  # scenes that the error is reported for


def train_unet(
    work: Path,
    minutes: float,
    decay_minutes: float = 0,
    *,
    recipe: UnetRecipe | None = None,
    machine: Machine | None = None,
    step_limit: int | None = None,
    start: Path | None = None,
) -> None:
    """Train for `minutes` in all runs together, the last `decay_minutes` with a falling rate.

    Without decay the run can go on at any later time: checkpoints of the decay have other names.
    Where there is no checkpoint, weights come from the exported folder `start`, if given.
    """
    recipe, machine = recipe or UnetRecipe(), machine or Machine()
    if start is not None:
        take_missing_parts(work, start)
    tokenizer = load_tokenizer(work / "tokenizer")
    with machine.scenes(tokenizer=tokenizer) as workers:
        torch.manual_seed(1)
        unet, text_encoder = new_unet(recipe), new_text_encoder(recipe, tokenizer)
        if start is not None:
            load_weights(start, unet, text_encoder)
        if machine.channels_last:
            _compute_channels_last(unet)
        if machine.half_norms:
            norms_in_half(unet)
        tables = _tables(unet, text_encoder)
        weights = SharedWeights([unet, text_encoder], machine.device, processes=machine.processes)

        def train(partner: Partner) -> None:
            optimizer = PairedMuon(
                weights, partner, adam_only=tables, average_decay=recipe.average_decay
            )
            run = TrainingRun("unet", work, minutes, step_limit)
            models = {"unet": unet, "text_encoder": text_encoder}
            stage = UnetStage(run, weights, optimizer, **models, recipe=recipe, workers=workers)
            stage.decay_share = decay_minutes / minutes
            stage.records = machine.records
            stage.run_to_end()

        machine.train(train)


def take_missing_parts(work: Path, exported: Path) -> None:
    """Copy tokenizer and autoencoder of an exported folder where the work folder has none."""
    for part in ("tokenizer", "vae"):
        if not (work / part).exists():
            shutil.copytree(exported / part, work / part)


def load_weights(exported: Path, unet: UNet2DConditionModel, text_encoder: CLIPTextModel) -> None:
    unet.load_state_dict(UNet2DConditionModel.from_pretrained(exported / "unet").state_dict())
    words = CLIPTextModel.from_pretrained(exported / "text_encoder", local_files_only=True)
    text_encoder.load_state_dict(words.state_dict())


def _compute_channels_last(unet: UNet2DConditionModel) -> None:
    """Convolutions follow the layout of what they are given; the weights stay as they are."""

    def lay_out(_layer: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (inputs[0].contiguous(memory_format=torch.channels_last), *inputs[1:])

    for layer in unet.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_pre_hook(lay_out)


def _tables(unet: UNet2DConditionModel, text_encoder: CLIPTextModel) -> set[int]:
    """Weights that are no map between hidden layers: Muon would not suit them."""
    ends = [unet.conv_in.weight, unet.conv_out.weight]
    embeddings = [p for name, p in text_encoder.named_parameters() if "embedding" in name]
    return {id(parameter) for parameter in ends + embeddings}


class _HalfGroupNorm(nn.GroupNorm):
    def forward(self, input: Tensor) -> Tensor:
        weight, bias = self.weight.to(input.dtype), self.bias.to(input.dtype)
        with torch.autocast(input.device.type, enabled=False):
            return functional.group_norm(input, self.num_groups, weight, bias, self.eps)


class _HalfLayerNorm(nn.LayerNorm):
    def forward(self, input: Tensor) -> Tensor:
        weight, bias = self.weight.to(input.dtype), self.bias.to(input.dtype)
        with torch.autocast(input.device.type, enabled=False):
            return functional.layer_norm(input, self.normalized_shape, weight, bias, self.eps)


def norms_in_half(unet: UNet2DConditionModel) -> None:
    """Norms keep the type that they are given; sums inside stay float32.

    Autocast makes a card's norms read and write float32, and what follows them too: most of the
    memory traffic of a step.
    """
    for layer in unet.modules():
        if isinstance(layer, nn.GroupNorm):
            layer.__class__ = _HalfGroupNorm
        elif isinstance(layer, nn.LayerNorm):
            layer.__class__ = _HalfLayerNorm


class Prediction(nn.Module):
    """ε of noisy latents, computed in bfloat16."""

    def __init__(self, unet: UNet2DConditionModel) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, noisy: Tensor, timesteps: Tensor, words: Tensor) -> Tensor:
        # Each weight is used once, so there is nothing to cache.
        with torch.autocast(noisy.device.type, torch.bfloat16, cache_enabled=False):
            predicted: Tensor = self.unet(noisy, timesteps, words).sample
        return predicted.float()


class UnetStage(PairedStage):
    name = "unet"
    decay_share = 0.0  # of the time, at its end
    records = False  # the prediction as a CUDA graph

    def __init__(
        self,
        run: TrainingRun,
        weights: SharedWeights,
        optimizer: PairedAdam,
        *,
        unet: UNet2DConditionModel,
        text_encoder: CLIPTextModel,
        recipe: UnetRecipe,
        workers: SceneWorkers | None,
    ) -> None:
        pace = Pace(recipe.batch_size, recipe.log_every)
        super().__init__(run, weights, optimizer, pace=pace, workers=workers)
        torch.manual_seed(100 + self.partner.rank)
        self.text_encoder = text_encoder
        self.recipe = recipe
        self.averages = [
            copy.deepcopy(model).requires_grad_(False).eval() for model in (unet, text_encoder)
        ]
        weights.show_average_in(self.averages)
        vae = AutoencoderKL.from_pretrained(run.work / "vae").requires_grad_(False).eval()
        self.vae = vae.to(self.device)
        self.tokenizer = load_tokenizer(run.work / "tokenizer")
        self.bank = LatentBank(self.vae, capacity=recipe.bank_capacity)
        self.objective = NoiseObjective(recipe.snr_limit, self.device)
        self.no_caption = tokenize(self.tokenizer, [""]).to(self.device)
        self.prediction: Callable[..., Any] = Prediction(unet)
        self._validation = self._held_out_batch(HELD_OUT)
        self._exported_at = 0.0

    def resume(self) -> None:
        super().resume()
        self._exported_at = self.run.spent_seconds
        while self.bank.ring.size < self.recipe.bank_start and not self.run.stopped:
            if self.workers is None:
                self.bank.add_from(self.stream, self.tokenizer, 20)
            else:
                self._add_to_bank(*self._next_rendered())
        if self.records and not self.run.stopped:
            self._record()
        self.run.spend()

    def batch_loss(self, fraction: float) -> Tensor:  # noqa: ARG002
        count, generator = self.share, self.generator
        self._add_new_scenes(count)
        batch = self.bank.draw(count, generator)
        lots = torch.rand(count, 1, generator=generator, device=self.device)
        tokens = torch.where(lots < self.recipe.caption_dropout, self.no_caption, batch.tokens)
        timesteps = self.objective.stratified_timesteps(count, generator)
        noise = torch.randn(batch.latents.shape, generator=generator, device=self.device)
        batch = LatentBatch(batch.latents, tokens)
        errors = self._errors(self.prediction, self.text_encoder, batch, timesteps, noise)
        return self.objective.weighted(errors, timesteps)

    def _record(self) -> None:
        """A CUDA graph of the prediction and of its gradients: starting them one by one takes a card longer than they do."""
        batch = self.bank.draw(self.share, self.generator)
        timesteps = self.objective.stratified_timesteps(self.share, self.generator)
        words = self.text_encoder(batch.tokens).last_hidden_state.detach().requires_grad_(True)
        inputs = (batch.latents, timesteps, words)
        self.prediction = torch.cuda.make_graphed_callables(
            self.prediction, inputs, allow_unused_input=True
        )

    def _add_new_scenes(self, count: int) -> None:
        """Every few steps some of this process's own, or whatever the workers have rendered."""
        if self.workers is None:
            if self.optimizer.step_count % self.recipe.reuse == 0:
                self.bank.add_from(self.stream, self.tokenizer, count)
        else:
            for images, tokens in self._new_rendered():
                self._add_to_bank(images, tokens)

    def _add_to_bank(self, images: Tensor, tokens: Tensor) -> None:
        self.bank.add(to_signed(images), tokens)

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
        errors = self._errors(Prediction(unet), text_encoder, batch, timesteps, noise)
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
        prediction: Callable[..., Any],
        text_encoder: CLIPTextModel,
        batch: LatentBatch,
        timesteps: Tensor,
        noise: Tensor,
    ) -> Tensor:
        """Squared error of the predicted noise, one number a scene."""
        words = text_encoder(batch.tokens).last_hidden_state  # kept in float32: cheap, and exact
        noisy = self.objective.noisy(batch.latents, noise, timesteps)
        predicted: Tensor = prediction(noisy, timesteps, words)
        return (predicted - noise).square().mean((1, 2, 3))

    def _held_out_batch(self, count: int) -> tuple[LatentBatch, Tensor, Tensor]:
        """Fixed scenes, noise levels from low to high, and noise."""
        bank = LatentBank(self.vae, capacity=count)
        bank.add_from(held_out(count), self.tokenizer, count)
        generator = torch.Generator(self.device).manual_seed(3)
        batch = bank.draw(count, generator)
        timesteps = torch.linspace(10, 990, count, device=self.device).long()
        noise = torch.randn(batch.latents.shape, generator=generator, device=self.device)
        return batch, timesteps, noise


class NoiseObjective:
    """ε-prediction with min-SNR weights."""

    def __init__(self, snr_limit: float, device: torch.device) -> None:
        self.alphas = new_scheduler().alphas_cumprod.to(device)
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
        device = generator.device
        within = torch.rand(count, generator=generator, device=device)
        shares = (torch.arange(count, device=device) + within) / count
        return (shares * TRAIN_TIMESTEPS).long()
