"""Scenes as tensors: the training data, rendered when it is needed."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from dragdiffusion.evaluation.scenes import FIRST_HELD_OUT_SEED, Scene, caption, render, sample

FOLLOWER_SEED = 2**39  # first seed of the second training process


class SceneStream:
    """Scenes of consecutive seeds; `next_seed` is all that a checkpoint must keep."""

    def __init__(self, first_seed: int = 0) -> None:
        self.first_seed = self.next_seed = first_seed

    @property
    def drawn(self) -> int:
        return self.next_seed - self.first_seed

    def scenes(self, count: int) -> list[Scene]:
        first = self.next_seed
        self.next_seed += count
        return [sample(seed) for seed in range(first, first + count)]

    def images(self, count: int) -> Tensor:
        """(count, 3, SIZE, SIZE) in -1..1."""
        return to_images(self.scenes(count))

    def images_and_captions(self, count: int) -> tuple[Tensor, list[str]]:
        scenes = self.scenes(count)
        return to_images(scenes), [caption(scene) for scene in scenes]


def held_out(count: int) -> SceneStream:
    """A stream whose scenes training never sees."""
    return SceneStream(FIRST_HELD_OUT_SEED + count * 1_000_003)


def to_images(scenes: list[Scene]) -> Tensor:
    """(n, 3, SIZE, SIZE) in -1..1."""
    pictures = np.stack([render(scene).image for scene in scenes])
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).contiguous() * 2 - 1


def to_signed(images: Tensor) -> Tensor:
    """(n, SIZE, SIZE, 3) in 0..255 as (n, 3, SIZE, SIZE) in -1..1."""
    return images.permute(0, 3, 1, 2).float().contiguous() / 127.5 - 1


def random_crops(images: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Two square crops of every image: more variety for the same rendering."""
    device = images.device
    corners = torch.randint(
        images.shape[-1] - size + 1, (2, 2 * len(images), 1), generator=generator, device=device
    )
    rows, columns = corners + torch.arange(size, device=device)
    picks = torch.arange(2 * len(images), device=device) // 2
    crops = images[picks[:, None, None], :, rows[:, :, None], columns[:, None, :]]
    return crops.permute(0, 3, 1, 2).contiguous()
