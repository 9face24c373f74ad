"""Finds the handle points again after each step (paper, Eq. 5)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from dragdiffusion.engine.drag_types import FeaturePoint
from dragdiffusion.engine.feature_grid import FeatureGrid


def read_templates(
    original: FeatureGrid, handles: Sequence[FeaturePoint]
) -> list[Float[Tensor, "1 c 1 1"]]:
    """F_0(h_i^0)"""
    return [original.read([handle.row], [handle.col]).detach() for handle in handles]


@torch.no_grad()
def track_points(
    features: FeatureGrid,
    templates: Sequence[Float[Tensor, "1 c 1 1"]],
    handles: Sequence[FeaturePoint],
    *,
    radius: int,
) -> tuple[FeaturePoint, ...]:
    """Each handle's nearest feature in L1 within the square of `radius` round where it was; the first one of equals."""
    windows = [_window(features, handle, radius=radius) for handle in handles]
    nearest = [
        (features.read(rows, cols) - template).abs().sum(dim=1).argmin()
        for (rows, cols), template in zip(windows, templates, strict=True)
    ]
    found = torch.stack(nearest).tolist()  # one wait for the device, not one per handle
    return tuple(
        FeaturePoint(rows[index // len(cols)], cols[index % len(cols)])
        for (rows, cols), index in zip(windows, found, strict=True)
    )


def _window(
    features: FeatureGrid, handle: FeaturePoint, *, radius: int
) -> tuple[list[float], list[float]]:
    return (
        _on_grid(handle.row, radius, features.rows),
        _on_grid(handle.col, radius, features.cols),
    )


def _on_grid(centre: float, radius: int, size: int) -> list[float]:
    around = (centre + offset for offset in range(-radius, radius + 1))
    return [position for position in around if 0 <= position <= size - 1]
