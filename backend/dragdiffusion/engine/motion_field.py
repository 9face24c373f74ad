"""How every pixel moves, from the few that the user moved: the field along which an edit starts.

The displacement u solves an anisotropic Laplace equation: it is the drag at the handle points, zero where nothing may
change, and between them it flows where the picture is of one piece. Flow is easy between pixels of like colour and
between two that both differ from what surrounds the mask (a ball's stripe belongs to the ball), and hard across edges.
So a part with a clear outline moves as a whole, a part without one is stretched, and handles that pull in different
directions share the pixels between them. The random walker (Grady, 2006) segments by the same equation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

_GRID = 128  # longest side of the grid on which the equation is solved
_HANDLE_RADIUS = 7.0  # of that grid: so much round a handle point moves with it
_EDGE = 10.0  # how fast conductance falls with the squared colour difference ÷ its mean
_LEAK = 1e-4  # conductance across the strongest edge
_SAME_PART = 3.0  # conductance between two pixels that are unlike the surroundings
_LIKENESS = 0.12  # colour difference (of 2) at which a pixel stops being like its surroundings
_SURROUNDINGS = 24  # of that grid: how far round the mask they reach
_NEARNESS = 0.01  # what a pixel of distance counts for, in units of likeness
_SAMPLES = 1024  # pixels of the surroundings are enough to know what they look like
_NEAREST = 5  # pixels of the surroundings that are compared with
_STEEPNESS = 10.0  # a pixel moves nearly as far as its handle, or nearly not
_MAX_ITERATIONS = 600
_STRETCHED_BEHIND = 1.0  # of the drag: so much behind the handle the part is held when it grows
_SQUEEZED_AHEAD = 1.6  # and so much ahead of it when it shrinks


class Way(NamedTuple):
    """A handle point and where it goes, (row, col), continuous: the first pixel's centre is (0.5, 0.5)."""

    handle: tuple[float, float]
    target: tuple[float, float]

    @property
    def displacement(self) -> tuple[float, float]:
        return self.target[0] - self.handle[0], self.target[1] - self.handle[1]

    @property
    def length(self) -> float:
        return (self.displacement[0] ** 2 + self.displacement[1] ** 2) ** 0.5


def motion_field(
    picture: Float[Tensor, "1 3 h w"], editable: Float[Tensor, "1 1 h w"], ways: Sequence[Way]
) -> Float[Tensor, "2 h w"]:
    """Rows and columns by which each pixel of `picture` ([-1, 1]) moves; 0 where `editable` is 0."""
    height, width = picture.shape[-2:]
    shrink = max(1.0, max(height, width) / _GRID)
    size = (max(1, round(height / shrink)), max(1, round(width / shrink)))
    colours = functional.interpolate(picture, size, mode="area")[0]
    inside = functional.adaptive_max_pool2d(editable, size)[0, 0] > 0
    small = [
        Way(_scaled(way.handle, size, (height, width)), _scaled(way.target, size, (height, width)))
        for way in ways
    ]
    coarse = _solve(colours, inside, small)
    scale = torch.tensor([height / size[0], width / size[1]])[:, None, None]
    return functional.interpolate((coarse * scale)[None], (height, width), mode="bilinear")[0]


def reshaped(field: Float[Tensor, "2 h w"], way: Way) -> tuple[Float[Tensor, "2 h w"], ...]:
    """The same motion where the part does not go along as a whole: it is held behind the handle and grows, or ahead and shrinks.

    A lip that goes down opens a mouth or shuts it; the field alone would carry the mouth away.
    """
    rows, cols = _centres(*field.shape[-2:])
    down, right = way.displacement
    along = (rows - way.handle[0]) * down + (cols - way.handle[1]) * right
    along = along / way.length**2  # 0 at the handle, 1 at its target
    grown = (1 + along / _STRETCHED_BEHIND).clamp(0, 1)
    shrunk = (1 - along / _SQUEEZED_AHEAD).clamp(0, 1)
    return field * grown, field * shrunk


def reach_of(ways: Sequence[Way], height: int, width: int) -> Float[Tensor, "1 1 h w"]:
    """What may move where no mask says it: the surroundings of the drags, as wide as the drags are long."""
    rows, cols = _centres(height, width)
    reached = torch.zeros(height, width, dtype=torch.bool)
    for way in ways:
        reach = max(way.length, max(height, width) / 6)
        reached |= _distance_to_way(rows, cols, way) < reach
    return reached.float()[None, None]


def _scaled(
    point: tuple[float, float], size: tuple[int, int], of: tuple[int, int]
) -> tuple[float, float]:
    return point[0] * size[0] / of[0], point[1] * size[1] / of[1]


def _centres(height: int, width: int) -> tuple[Float[Tensor, "h w"], Float[Tensor, "h w"]]:
    rows, cols = torch.meshgrid(
        torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij"
    )
    return rows, cols


def _distance_to_way(
    rows: Float[Tensor, "h w"], cols: Float[Tensor, "h w"], way: Way
) -> Float[Tensor, "h w"]:
    down, right = way.displacement
    along = (rows - way.handle[0]) * down + (cols - way.handle[1]) * right
    along = (along / max(way.length**2, 1e-9)).clamp(0, 1)
    return torch.hypot(rows - way.handle[0] - along * down, cols - way.handle[1] - along * right)


def _solve(
    colours: Float[Tensor, "3 h w"], inside: Bool[Tensor, "h w"], ways: Sequence[Way]
) -> Float[Tensor, "2 h w"]:
    fixed, values = _boundary(inside, ways)
    down, right = _conductances(colours, _unlike_surroundings(colours, inside))
    moved = _harmonic(down, right, fixed, values)
    return _steepened(moved, longest=max(way.length for way in ways))


def _boundary(
    inside: Bool[Tensor, "h w"], ways: Sequence[Way]
) -> tuple[Bool[Tensor, "h w"], Float[Tensor, "2 h w"]]:
    """Where the displacement is known, and what it is there: each pixel round handles follows the nearest one."""
    rows, cols = _centres(*inside.shape)
    fixed, values = ~inside, torch.zeros(2, *inside.shape)
    nearest = torch.full(inside.shape, torch.inf)
    for way in ways:
        away = torch.hypot(rows - way.handle[0], cols - way.handle[1])
        follows = ((away <= _HANDLE_RADIUS) | (away == away.min())) & (away < nearest) & inside
        nearest = torch.where(follows, away, nearest)
        fixed = fixed | follows
        values[:, follows] = torch.tensor(way.displacement)[:, None]
    return fixed, values


def _unlike_surroundings(
    colours: Float[Tensor, "3 h w"], inside: Bool[Tensor, "h w"]
) -> Float[Tensor, "h w"]:
    """0 for pixels that look like what lies round the mask, towards 1 for those that do not."""
    around = _grown(inside, _SURROUNDINGS) & ~inside
    unlike = torch.zeros(inside.shape)
    if not around.any():
        return unlike
    rows, cols = _centres(*inside.shape)
    described = torch.stack([*(colours / _LIKENESS), rows * _NEARNESS, cols * _NEARNESS])
    surroundings = described[:, around]
    surroundings = surroundings[:, :: max(1, surroundings.shape[1] // _SAMPLES)]
    differences = torch.cdist(described[:, inside].T, surroundings.T)
    count = min(_NEAREST, differences.shape[1])
    difference = differences.topk(count, dim=1, largest=False).values.mean(dim=1)
    unlike[inside] = 1 - torch.exp(-(difference**2) / 2)
    return torch.sigmoid((unlike - 0.5) * _STEEPNESS)


def _grown(inside: Bool[Tensor, "h w"], reach: int) -> Bool[Tensor, "h w"]:
    """By a square: rows first, then columns."""
    rows = functional.max_pool2d(inside[None, None].float(), (2 * reach + 1, 1), 1, (reach, 0))
    return functional.max_pool2d(rows, (1, 2 * reach + 1), 1, (0, reach))[0, 0] > 0


def _conductances(
    colours: Float[Tensor, "3 h w"], unlike: Float[Tensor, "h w"]
) -> tuple[Float[Tensor, "gaps w"], Float[Tensor, "h gaps_across"]]:
    """Between each pixel and the one below, and the one to its right."""
    down = (colours[:, 1:] - colours[:, :-1]).square().sum(dim=0)
    right = (colours[:, :, 1:] - colours[:, :, :-1]).square().sum(dim=0)
    mean = torch.cat([down.flatten(), right.flatten()]).mean().clamp(min=1e-9)
    return (
        torch.exp(-_EDGE * down / mean) + _LEAK + _SAME_PART * unlike[1:] * unlike[:-1],
        torch.exp(-_EDGE * right / mean) + _LEAK + _SAME_PART * unlike[:, 1:] * unlike[:, :-1],
    )


def _harmonic(
    down: Float[Tensor, "gaps w"],
    right: Float[Tensor, "h gaps_across"],
    fixed: Bool[Tensor, "h w"],
    values: Float[Tensor, "2 h w"],
) -> Float[Tensor, "2 h w"]:
    """The weighted mean of its neighbours at every free pixel: conjugate gradients with Jacobi preconditioning."""
    free = (~fixed).float()
    degree = _degrees(down, right, fixed.shape)

    def laplacian(field: Tensor) -> Tensor:
        flow = degree * field
        flow[:, 1:] -= down * field[:, :-1]
        flow[:, :-1] -= down * field[:, 1:]
        flow[:, :, 1:] -= right * field[:, :, :-1]
        flow[:, :, :-1] -= right * field[:, :, 1:]
        return flow

    known = values * fixed
    found = torch.zeros_like(values)
    residual = -laplacian(known) * free
    conditioned = residual / degree
    direction, norm = conditioned, (residual * conditioned).sum(dim=(1, 2), keepdim=True)
    tolerance = 1e-8 * norm.max()
    for _ in range(_MAX_ITERATIONS):
        if norm.max() <= tolerance:
            break
        bent = laplacian(direction) * free
        length = norm / (direction * bent).sum(dim=(1, 2), keepdim=True).clamp(min=1e-30)
        found, residual = found + length * direction, residual - length * bent
        conditioned = residual / degree
        last, norm = norm, (residual * conditioned).sum(dim=(1, 2), keepdim=True)
        direction = conditioned + norm / last.clamp(min=1e-30) * direction
    return found * free + known


def _degrees(
    down: Float[Tensor, "gaps w"], right: Float[Tensor, "h gaps_across"], shape: torch.Size
) -> Float[Tensor, "h w"]:
    degree = torch.full(shape, 1e-12)
    degree[1:] += down
    degree[:-1] += down
    degree[:, 1:] += right
    degree[:, :-1] += right
    return degree


def _steepened(moved: Float[Tensor, "2 h w"], *, longest: float) -> Float[Tensor, "2 h w"]:
    """Parts keep their shape: what moves over half as far as its handle moves nearly as far, the rest nearly not."""
    share = moved.norm(dim=0) / max(longest, 1e-9)
    low = torch.sigmoid(torch.tensor(-0.5 * _STEEPNESS))
    steep = ((torch.sigmoid((share - 0.5) * _STEEPNESS) - low) / (1 - 2 * low)).clamp(0, 1)
    return moved * (steep / share.clamp(min=1e-4))
