"""Where a handle is seen in the edited picture, by diffusion features: DragBench's mean distance.

DIFT (Tang et al., arXiv 2306.03881): the picture is noised to timestep 261, and the output of the UNet's up block 1 is
averaged over 8 draws of noise. The handle's feature is compared by cosine with every pixel of the edited picture.
DragBench defines it with Stable Diffusion 2.1; other models give other distances, so a report names the model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from dragdiffusion.engine.ddim import DdimSchedule
from dragdiffusion.engine.diffusion_model import DiffusionModel
from dragdiffusion.engine.feature_grid import FeatureGrid

from .edits import ByteImage, ImagePoint, PointPair

TIMESTEP, BLOCK, DRAWS = 261, 1, 8
_SEED = 42  # the official evaluation's
_LARGEST = 1.5  # times the side on which the model was trained; larger pictures are reduced
_ROWS_AT_ONCE = 16


class FeatureMatcher:
    """Looks for points of one picture in another with the features of `model`."""

    def __init__(self, model: DiffusionModel) -> None:
        self._model = model

    @torch.no_grad()
    def distances_px(
        self,
        source: ByteImage,
        edited: ByteImage,
        point_pairs: Sequence[PointPair],
        prompt: str,
    ) -> list[float]:
        """For each handle and target: from where the handle is seen in `edited` to the target, pixels of the picture.

        Both pictures are (h, w, 3). The same pictures give the same distances, whatever was measured before.
        """
        generator = torch.Generator().manual_seed(_SEED)
        before, after = (self._features(picture, prompt, generator) for picture in (source, edited))
        return [
            math.dist(_find(_feature_at(before, handle), after), target)
            for handle, target in point_pairs
        ]

    def _features(self, picture: ByteImage, prompt: str, generator: torch.Generator) -> FeatureGrid:
        """On the grid of the picture's pixels."""
        model = self._model
        latent = model.encode(self._to_working_image(picture))
        embedded = model.embed_prompt(prompt)
        alpha = DdimSchedule.training_alphas(model.scheduler_config)[TIMESTEP].item()
        total: Tensor | None = None
        for _ in range(DRAWS):
            noise = torch.randn(latent.shape, generator=generator).to(latent.device)
            noised = math.sqrt(alpha) * latent + math.sqrt(1 - alpha) * noise
            drawn = model.features(noised, TIMESTEP, embedded, block=BLOCK)
            total = drawn if total is None else total + drawn
        assert total is not None
        return FeatureGrid(total / DRAWS, picture.shape[0], picture.shape[1])

    def _to_working_image(self, picture: ByteImage) -> Tensor:
        """[-1, 1], (1, 3, h, w): as large as it is, as officially, or what the model can make something of."""
        image = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 127.5 - 1
        side = math.sqrt(picture.shape[0] * picture.shape[1])
        if side <= _LARGEST * self._model.working_size:
            return image.contiguous()
        scale = self._model.working_size / side
        size = [max(self._model.vae_factor, round(length * scale)) for length in image.shape[-2:]]
        return functional.interpolate(image, size, mode="bicubic", antialias=True).clamp(-1, 1)


def _feature_at(features: FeatureGrid, point: ImagePoint) -> Tensor:
    """(1, c, 1, 1), of the pixel in which the point lies."""
    return features.read([float(math.floor(point[1]))], [float(math.floor(point[0]))])


def _find(feature: Tensor, features: FeatureGrid) -> ImagePoint:
    """The middle of the pixel with the most similar feature; the first one of equals."""
    columns = [float(column) for column in range(features.cols)]
    best, place = -math.inf, (0, 0)
    for top in range(0, features.rows, _ROWS_AT_ONCE):
        rows = range(top, min(top + _ROWS_AT_ONCE, features.rows))
        patch = features.read([float(row) for row in rows], columns)
        similarity = functional.cosine_similarity(patch, feature, dim=1)[0]
        index = int(similarity.argmax())
        found = float(similarity.flatten()[index])
        if found > best:
            best, place = found, (rows[index // features.cols], index % features.cols)
    return place[1] + 0.5, place[0] + 0.5
