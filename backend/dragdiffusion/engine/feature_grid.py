"""F(z) on the grid on which points live, read where it is needed and never computed as a whole.

The method resizes the UNet's features bilinearly to the feature grid and reads them bilinearly at q + d. Both are linear
and separable, so a patch is R·F·Cᵀ with R and C the products of two small interpolation matrices: exactly the same
numbers without the resized map (640 × 256 × 256 floats in Stable Diffusion 1.5).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor


class FeatureGrid:
    def __init__(self, features: Float[Tensor, "1 c h w"], rows: int, cols: int) -> None:
        self.rows, self.cols = rows, cols
        self._features = features.float()
        self._row_resize = _resize_matrix(features.shape[-2], rows, features.device)
        self._col_resize = _resize_matrix(features.shape[-1], cols, features.device)

    def read(self, rows: Sequence[float], cols: Sequence[float]) -> Float[Tensor, "1 c p q"]:
        """The patch rows × cols, bilinear between the grid's samples, clamped at its borders."""
        row_weights = _at(rows, self._row_resize)
        col_weights = _at(cols, self._col_resize)
        return row_weights @ self._features @ col_weights.T

    def detach(self) -> FeatureGrid:
        return FeatureGrid(self._features.detach(), self.rows, self.cols)


def _at(positions: Sequence[float], resize: Float[Tensor, "r h"]) -> Float[Tensor, "p h"]:
    wanted = torch.tensor(positions, dtype=torch.float32)
    return _interpolation(wanted, resize.shape[0]).to(resize.device) @ resize


@lru_cache(maxsize=8)
def _resize_matrix(source: int, destination: int, device: torch.device) -> Float[Tensor, "r h"]:
    """Bilinear with pixel centres on pixel centres (align_corners=False)."""
    centres = (torch.arange(destination, dtype=torch.float32) + 0.5) * (source / destination)
    return _interpolation(centres - 0.5, source).to(device)


def _interpolation(positions: Float[Tensor, "p"], size: int) -> Float[Tensor, "p s"]:
    """Row i interpolates linearly between `size` samples at positions[i]."""
    samples = torch.arange(size, dtype=torch.float32)
    inside = positions.clamp(0.0, size - 1.0)
    return (1.0 - (inside[:, None] - samples[None, :]).abs()).clamp(min=0.0)
