"""The loss that pulls handle points towards their targets (paper, Eq. 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from dragdiffusion.engine.drag_types import FeaturePoint
from dragdiffusion.engine.feature_grid import FeatureGrid
from dragdiffusion.engine.geometry import distance


@dataclass(frozen=True)
class Pull:
    """The patch round `origin` in some reference features is to appear one step from `handle` towards `goal`."""

    handle: FeaturePoint  # h_i^k
    goal: FeaturePoint  # g_i, or the next point of the trajectory
    origin: FeaturePoint  # where the reference patch is: h_i^k (paper) or h_i^0


def motion_supervision_loss(
    features: FeatureGrid, reference: FeatureGrid, pulls: Sequence[Pull], *, radius: int
) -> Float[Tensor, ""]:
    """Σ_i (2·r1+1)² · mean_q,c |F(q + d_i) − sg(reference(q))|, over all q of the square on the grid."""
    terms = [_pull_loss(features, reference, pull, radius=radius) for pull in pulls]
    return torch.stack(terms).sum()


def _pull_loss(
    features: FeatureGrid, reference: FeatureGrid, pull: Pull, *, radius: int
) -> Float[Tensor, ""]:
    to_row, to_col = unit_step(pull.handle, pull.goal)
    rows = _offsets(radius, features.rows, pull.handle.row, pull.origin.row)
    cols = _offsets(radius, features.cols, pull.handle.col, pull.origin.col)
    moved = features.read(
        [pull.handle.row + row + to_row for row in rows],
        [pull.handle.col + col + to_col for col in cols],
    )
    wanted = reference.read(
        [pull.origin.row + row for row in rows], [pull.origin.col + col for col in cols]
    ).detach()
    return (2 * radius + 1) ** 2 * (moved - wanted).abs().mean()


def unit_step(start: FeaturePoint, end: FeaturePoint) -> tuple[float, float]:
    """d_i: one feature pixel towards the end, or less where the end is nearer."""
    length = max(1.0, distance(start, end))
    return (end.row - start.row) / length, (end.col - start.col) / length


def _offsets(radius: int, size: int, *centres: float) -> list[int]:
    """Those of −r…r that stay on the grid round every centre."""
    return [
        offset
        for offset in range(-radius, radius + 1)
        if all(0 <= centre + offset <= size - 1 for centre in centres)
    ]
