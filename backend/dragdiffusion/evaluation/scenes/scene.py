"""Sample, render, caption and edit scenes: the whole interface to the rendered world.

A scene is a frozen record of its parameters, the seed of its background noise included, so that
an edit re-renders the same picture with one part moved: the exact truth of a drag.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from .ball import Ball
from .drawing_lots import Lots
from .face import Face
from .flower import Flower
from .landscape import Landscape
from .primitives import SIZE, FloatArray, Sampling, sampled

Scene = Landscape | Face | Flower | Ball
SceneT = TypeVar("SceneT", Landscape, Face, Flower, Ball)

KINDS: dict[str, type[Scene]] = {
    "landscape": Landscape,
    "face": Face,
    "flower": Flower,
    "ball": Ball,
}
# Faces and landscapes have most parts, so they are drawn more often.
_URN = ("landscape",) * 3 + ("face",) * 4 + ("flower",) * 2 + ("ball",) * 2

# Training draws seeds below this bound; validation and benchmarks draw at or above it.
FIRST_HELD_OUT_SEED = 2**40


@dataclass(frozen=True, slots=True)
class RenderedScene:
    image: FloatArray  # (SIZE * density, SIZE * density, 3), 0..1
    key_points: dict[str, tuple[float, float]]  # part → (x, y) in units of the scene's pixels

    @property
    def image_bytes(self) -> np.ndarray:
        """The image as uint8."""
        return np.round(self.image * 255).astype(np.uint8)


def sample(seed: int, kind: str | None = None) -> Scene:
    """The scene that the seed stands for, of the given kind or of a drawn one."""
    lots = Lots(seed)
    drawn = lots.one_of(_URN)
    return KINDS[kind or drawn].sample(lots)


def render(scene: Scene, density: int = 1) -> RenderedScene:
    """With `density`² pixels in place of each, and edges as much sharper."""
    image = np.empty((SIZE, density, SIZE, density, 3), np.float32)
    offsets = [(index + 0.5) / density - 0.5 for index in range(density)]
    for row, down in enumerate(offsets):
        for col, right in enumerate(offsets):
            with sampled(Sampling(right, down, spot=1 / density)):
                canvas, key_points = scene.paint()
            image[:, row, :, col] = np.clip(canvas, 0, 1)
    return RenderedScene(image.reshape(SIZE * density, SIZE * density, 3), key_points)


def caption(scene: Scene) -> str:
    return scene.caption


def edit(scene: SceneT, **changes: object) -> SceneT:
    """The same scene with some parameters changed."""
    return dataclasses.replace(scene, **changes)  # type: ignore[arg-type]
