"""Held-out drag cases: a rendered scene, what the user drags, and the exact true result.

Points are image pixels as in GIMP paths (x is the left edge of pixel x). The scenes come from
seeds that training never draws.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .edits import ByteImage, ImagePoint, PointPair
from .scenes import FIRST_HELD_OUT_SEED, SIZE, Scene, caption, edit, render, sample
from .scenes.ball import Ball
from .scenes.drawing_lots import Lots
from .scenes.face import Face
from .scenes.flower import Flower
from .scenes.landscape import Landscape

_CHANGED = 0.06  # difference in 0..1 above which a pixel counts as changed by the edit
_BRUSH_MARGIN = 5  # px that a user paints beyond what changes


@dataclass(frozen=True, slots=True)
class DragCase:
    name: str
    kind: str
    caption: str
    image: ByteImage  # (side, side, 3)
    truth: ByteImage  # the same scene with the part moved
    mask: ByteImage  # (side, side), 255 = may change
    point_pairs: tuple[PointPair, ...]
    part_radius: float  # px round a point that shows the part

    @property
    def drag_length(self) -> float:
        """Mean distance from handle to target in pixels."""
        return float(np.mean([math.dist(handle, target) for handle, target in self.point_pairs]))


@dataclass(frozen=True, slots=True)
class _Edit:
    """A scene before and after, and which key points were dragged (offsets in pixels)."""

    before: Scene
    after: Scene
    key_point: str
    part_radius: float
    offsets: tuple[ImagePoint, ...] = ((0.0, 0.0),)


def make_cases(count: int, seed: int, density: int = 1) -> list[DragCase]:
    """`count` cases, the kinds in turn, side SIZE * density; the seed decides everything else."""
    kinds = list(_PROPOSALS)
    return [_make_case(kinds[index % len(kinds)], index, seed, density) for index in range(count)]


def _make_case(kind: str, index: int, seed: int, density: int) -> DragCase:
    """Draw scenes and moves until one stays inside the picture."""
    scene_kind, propose = _PROPOSALS[kind]
    for attempt in range(1000):
        lots = Lots(FIRST_HELD_OUT_SEED + 1 + (seed * 100_003 + index) * 1000 + attempt)
        proposal = propose(sample(lots.seed() + FIRST_HELD_OUT_SEED, scene_kind), lots)
        if proposal is not None:
            case = _case_of(proposal, kind, f"{index:03d}-{kind}")
            return case if density == 1 else _denser(case, proposal, density)
    raise RuntimeError(f"no {kind} case fits the picture")


def _case_of(proposal: _Edit, kind: str, name: str) -> DragCase:
    before, after = render(proposal.before), render(proposal.after)
    handle, target = before.key_points[proposal.key_point], after.key_points[proposal.key_point]
    point_pairs = tuple(
        ((handle[0] + dx, handle[1] + dy), (target[0] + dx, target[1] + dy))
        for dx, dy in proposal.offsets
    )
    changed = np.abs(before.image - after.image).max(-1) > _CHANGED
    return DragCase(
        name=name,
        kind=kind,
        caption=caption(proposal.before),
        image=before.image_bytes,
        truth=after.image_bytes,
        mask=_painted_mask(changed, point_pairs, proposal.part_radius),
        point_pairs=point_pairs,
        part_radius=proposal.part_radius,
    )


def _denser(case: DragCase, proposal: _Edit, density: int) -> DragCase:
    """The same drag in the same scene, in a larger picture."""

    def larger(point: ImagePoint) -> ImagePoint:
        return point[0] * density, point[1] * density

    return replace(
        case,
        image=render(proposal.before, density).image_bytes,
        truth=render(proposal.after, density).image_bytes,
        mask=np.kron(case.mask, np.ones((density, density), np.uint8)),
        point_pairs=tuple((larger(handle), larger(end)) for handle, end in case.point_pairs),
        part_radius=case.part_radius * density,
    )


def _painted_mask(
    changed: NDArray[np.bool_], point_pairs: tuple[PointPair, ...], part_radius: float
) -> ByteImage:
    """What a user would brush: all that changes, and the way from each handle to its target."""
    painted = _dilated(changed, _BRUSH_MARGIN)
    for handle, target in point_pairs:
        painted |= _distance_to_segment(handle, target) < part_radius
    return painted.astype(np.uint8) * 255


def _dilated(region: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    """Grow a region by a square of the given reach in pixels."""
    padded = np.pad(region, reach)
    windows = np.lib.stride_tricks.sliding_window_view
    rows = windows(padded, 2 * reach + 1, 0).max(-1)
    grown: NDArray[np.bool_] = windows(rows, 2 * reach + 1, 1).max(-1)
    return grown


def _distance_to_segment(start: ImagePoint, end: ImagePoint) -> NDArray[np.float64]:
    """Distance of every pixel's centre to a line from start to end."""
    rows, columns = np.mgrid[0:SIZE, 0:SIZE] + 0.5
    dx, dy = end[0] - start[0], end[1] - start[1]
    along = ((columns - start[0]) * dx + (rows - start[1]) * dy) / max(dx * dx + dy * dy, 1e-9)
    along = along.clip(0, 1)
    distance: NDArray[np.float64] = np.hypot(
        columns - start[0] - along * dx, rows - start[1] - along * dy
    )
    return distance


def _inside(value: float, low: float, high: float) -> bool:
    return low < value < high


def _sun(scene: Landscape, lots: Lots) -> _Edit | None:
    """The sun crosses a free sky: no cloud, and no peak in front of it."""
    before = edit(scene, has_cloud=False)
    x = scene.sun_x + lots.sign() * lots.between(14, 28)
    y = scene.sun_y + lots.between(-8, 8)
    lowest = scene.peak_y - 2 - scene.sun_radius
    if not (_inside(x, 14, 114) and _inside(y, 14, 50) and max(y, scene.sun_y) < lowest):
        return None
    return _Edit(before, edit(before, sun_x=x, sun_y=y), "sun", 14)


def _cloud(scene: Landscape, lots: Lots) -> _Edit | None:
    before = edit(scene, has_cloud=True)
    x = scene.cloud_x + lots.sign() * lots.between(14, 28)
    y = scene.cloud_y + lots.between(-6, 6)
    from_sun = min(abs(scene.cloud_x - scene.sun_x), abs(x - scene.sun_x))
    if not (_inside(x, 22, 106) and _inside(y, 16, 40) and from_sun > 34):
        return None
    if max(y, scene.cloud_y) + 12 > scene.peak_y:
        return None
    after = edit(before, cloud_x=x, cloud_y=y)
    width = 8 * scene.cloud_size
    offsets = ((-width, 0.0), (width, 0.0)) if lots.chance(0.5) else ((0.0, 0.0),)
    return _Edit(before, after, "cloud", 13, offsets)


def _peak(scene: Landscape, lots: Lots) -> _Edit | None:
    x = scene.peak_x + lots.sign() * lots.between(0, 12)
    y = scene.peak_y + lots.sign() * lots.between(10, 20)
    clear_of_sun = abs(scene.sun_x - x) > 30 and abs(scene.sun_x - scene.peak_x) > 30
    if not (_inside(x, 22, 106) and _inside(y, 36, 74) and clear_of_sun):
        return None
    before = edit(scene, has_cloud=False, has_tree=False)
    return _Edit(before, edit(before, peak_x=x, peak_y=y), "peak", 10)


def _tree(scene: Landscape, lots: Lots) -> _Edit | None:
    before = edit(scene, has_tree=True)
    x = scene.tree_x + lots.sign() * lots.between(14, 28)
    if not _inside(x, 16, 112):
        return None
    height = scene.tree_height
    two = ((0.0, -height * 0.2), (0.0, height * 0.25))
    offsets = two if lots.chance(0.5) else ((0.0, 0.0),)
    return _Edit(before, edit(before, tree_x=x), "tree", 12, offsets)


def _ball(scene: Ball, lots: Lots) -> _Edit | None:
    x = scene.x + lots.sign() * lots.between(14, 28)
    return _Edit(scene, edit(scene, x=x), "ball", 14) if _inside(x, 24, 104) else None


def _flower(scene: Flower, lots: Lots) -> _Edit | None:
    x = scene.head_x + lots.sign() * lots.between(12, 26)
    y = scene.head_y + lots.between(-10, 10)
    if not (_inside(x, 26, 102) and _inside(y, 28, 66)):
        return None
    return _Edit(scene, edit(scene, head_x=x, head_y=y), "flower", 14)


def _head(scene: Face, lots: Lots) -> _Edit | None:
    """The whole head moves aside, pulled at the nose or at nose and forehead."""
    x = scene.x + lots.sign() * lots.between(10, 18)
    if not _inside(x, 46, 82):
        return None
    forehead = (scene.x - scene.middle_x, -scene.radius * 0.7)
    offsets = ((0.0, 0.0), forehead) if lots.chance(0.5) else ((0.0, 0.0),)
    return _Edit(scene, edit(scene, x=x), "nose", 14, offsets)


def _yaw(scene: Face, lots: Lots) -> _Edit | None:
    yaw = -math.copysign(lots.between(0.4, 1), scene.yaw)
    if abs(yaw - scene.yaw) * scene.radius * 0.35 <= 9:
        return None
    return _Edit(scene, edit(scene, yaw=yaw), "nose", 10)


def _lip(scene: Face, lots: Lots) -> _Edit | None:
    """A mouth opens wide or closes to a slit; always open enough to show the tongue."""
    slit, wide = lots.between(0.28, 0.4), lots.between(0.9, 1.0)
    openings = (slit, wide) if lots.chance(0.5) else (wide, slit)
    before = edit(scene, mouth_opening=openings[0])
    return _Edit(before, edit(before, mouth_opening=openings[1]), "lip", 6)


def _hat(scene: Face, lots: Lots) -> _Edit | None:
    before = edit(scene, has_hat=True)
    height = lots.between(16, 34)
    top = scene.y - scene.radius_y * 0.62 - max(height, scene.hat_height)
    if abs(height - scene.hat_height) <= 8 or top < 4:
        return None
    return _Edit(before, edit(before, hat_height=height), "hat", 9)


_PROPOSALS: dict[str, tuple[str, Callable[..., _Edit | None]]] = {
    "sun": ("landscape", _sun),
    "cloud": ("landscape", _cloud),
    "peak": ("landscape", _peak),
    "ball": ("ball", _ball),
    "flower": ("flower", _flower),
    "head": ("face", _head),
    "yaw": ("face", _yaw),
    "lip": ("face", _lip),
    "tree": ("landscape", _tree),
    "hat": ("face", _hat),
}
