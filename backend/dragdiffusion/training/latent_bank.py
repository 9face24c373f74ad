"""A ring of encoded scenes: rendering and encoding are paid once, each latent is used some times."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from diffusers import AutoencoderKL
from torch import Tensor
from transformers import CLIPTokenizer

from .scene_batches import SceneStream
from .tokenizer import tokenize


@dataclass(frozen=True, slots=True)
class LatentBatch:
    latents: Tensor  # (n, 4, h, w), drawn from the posterior
    tokens: Tensor  # (n, length)


class Ring:
    """The last `capacity` rows of some tensors, on the tensors' device."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.size = 0
        self._next = 0
        self._rows: tuple[Tensor, ...] = ()

    def add(self, *rows: Tensor) -> None:
        """New rows, as many of each tensor; the oldest make room."""
        if not self._rows:
            self._rows = tuple(row.new_empty(self.capacity, *row.shape[1:]) for row in rows)
        count = len(rows[0])
        places = torch.arange(self._next, self._next + count, device=rows[0].device) % self.capacity
        for kept, row in zip(self._rows, rows, strict=True):
            kept[places] = row
        self._next = (self._next + count) % self.capacity
        self.size = min(self.capacity, self.size + count)

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        places = torch.randint(self.size, (count,), generator=generator, device=generator.device)
        return tuple(kept[places] for kept in self._rows)


class LatentBank:
    """The last `capacity` scenes as posterior mean and deviation, on the autoencoder's device."""

    def __init__(self, vae: AutoencoderKL, *, capacity: int) -> None:
        self.vae = vae
        self.ring = Ring(capacity)

    @torch.no_grad()
    def add(self, images: Tensor, tokens: Tensor) -> None:
        """Encode scenes (n, 3, SIZE, SIZE) in -1..1 and their captions' tokens."""
        with torch.autocast(images.device.type, torch.bfloat16):
            posterior = self.vae.encode(images).latent_dist
        self.ring.add(posterior.mean.float(), posterior.std.bfloat16(), tokens)

    def add_from(self, stream: SceneStream, tokenizer: CLIPTokenizer, count: int) -> None:
        """Render new scenes here and encode them."""
        images, captions = stream.images_and_captions(count)
        device = self.vae.device
        self.add(images.to(device), tokenize(tokenizer, captions).to(device))

    def draw(self, count: int, generator: torch.Generator) -> LatentBatch:
        means, deviations, tokens = self.ring.draw(count, generator)
        noise = torch.randn(means.shape, generator=generator, device=generator.device)
        return LatentBatch(means + deviations.float() * noise, tokens.long())
