"""A ring of encoded scenes: rendering and encoding are paid once, each latent is used some times."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from diffusers import AutoencoderKL
from torch import Tensor
from transformers import CLIPTokenizer

from .scene_batches import SceneStream


def tokenize(tokenizer: CLIPTokenizer, captions: list[str]) -> Tensor:
    """Token numbers (n, length), padded as Stable Diffusion pads."""
    tokens: Tensor = tokenizer(
        captions, padding="max_length", truncation=True, return_tensors="pt"
    ).input_ids
    return tokens


@dataclass(frozen=True, slots=True)
class LatentBatch:
    latents: Tensor  # (n, 4, h, w), drawn from the posterior
    tokens: Tensor  # (n, length)


class LatentBank:
    """The last `capacity` scenes of a stream as posterior mean and deviation."""

    def __init__(
        self, stream: SceneStream, vae: AutoencoderKL, tokenizer: CLIPTokenizer, *, capacity: int
    ) -> None:
        self.stream, self.vae, self.tokenizer = stream, vae, tokenizer
        self.capacity = capacity
        self.size = 0
        self._next = 0
        self._means = self._deviations = self._tokens = torch.empty(0)

    def add(self, count: int) -> None:
        """Render and encode new scenes; the oldest make room."""
        images, captions = self.stream.images_and_captions(count)
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            posterior = self.vae.encode(images).latent_dist
        if not len(self._means):
            self._allocate(posterior.mean.shape[1:])
        places = torch.arange(self._next, self._next + count) % self.capacity
        self._means[places] = posterior.mean.float()
        self._deviations[places] = posterior.std.bfloat16()
        self._tokens[places] = tokenize(self.tokenizer, captions)
        self._next = (self._next + count) % self.capacity
        self.size = min(self.capacity, self.size + count)

    def draw(self, count: int, generator: torch.Generator) -> LatentBatch:
        places = torch.randint(self.size, (count,), generator=generator)
        means = self._means[places]
        noise = torch.randn(means.shape, generator=generator)
        latents = means + self._deviations[places].float() * noise
        return LatentBatch(latents, self._tokens[places].clone())

    def _allocate(self, shape: torch.Size) -> None:
        self._means = torch.empty(self.capacity, *shape)
        self._deviations = torch.empty(self.capacity, *shape, dtype=torch.bfloat16)
        length = self.tokenizer.model_max_length
        self._tokens = torch.empty(self.capacity, length, dtype=torch.long)
