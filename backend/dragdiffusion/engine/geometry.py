"""The only place where coordinates change space; and the region on which the model works.

    image pixels  --region-->  region pixels  --scale-->  working pixels  --feature_scale-->  feature pixels

The working image is the region, scaled to whole pixels and padded at its right and bottom border to the multiple that
the VAE needs. Padding is cut off again after decoding, so nothing is ever stretched by a fraction of a pixel.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, floor, hypot, sqrt

import numpy as np

from dragdiffusion.engine.config import DragConfig, Fit
from dragdiffusion.engine.drag_types import DragRequest, FeaturePoint, Pixels, Point, Rectangle

_WHOLE_IMAGE = 1.25  # images up to this times the working size are not worth cropping
_CONTEXT = 1.5  # side of the region ÷ side of what is edited, where a mask tells what that is
_CONTEXT_WITHOUT_MASK = 3.0
_SNAP = 32  # pixels; small changes of the selection keep the region, and with it the preparation


@dataclass(frozen=True)
class WorkingSpace:
    """Every coordinate space of one edit and the ways between them."""

    region: Rectangle  # image pixels
    width: int  # working pixels, without padding
    height: int
    padded_width: int
    padded_height: int
    feature_scale: float  # feature pixels ÷ working pixels
    pixel_centres: bool

    @property
    def feature_rows(self) -> int:
        return max(1, int(self.padded_height * self.feature_scale))

    @property
    def feature_cols(self) -> int:
        return max(1, int(self.padded_width * self.feature_scale))

    def handle_to_feature(self, point: Point) -> FeaturePoint:
        """A handle is always on the feature grid."""
        return self.on_grid(self.to_feature(point))

    def on_grid(self, point: FeaturePoint) -> FeaturePoint:
        """The nearest place on the feature grid."""
        row, col = point
        return FeaturePoint(
            min(max(row, 0.0), self.feature_rows - 1.0), min(max(col, 0.0), self.feature_cols - 1.0)
        )

    def to_working(self, point: Point) -> tuple[float, float]:
        """(row, col) in working pixels, continuous: the first pixel's centre is (0.5, 0.5)."""
        return (
            (point.y - self.region.y) * self.height / self.region.height,
            (point.x - self.region.x) * self.width / self.region.width,
        )

    def to_feature(self, point: Point) -> FeaturePoint:
        """Targets may lie outside the picture: they give a direction."""
        y, x = self.to_working(point)
        if self.pixel_centres:
            return FeaturePoint(y * self.feature_scale - 0.5, x * self.feature_scale - 0.5)
        # The official code multiplies the pixel's index and rounds, ties to even.
        return FeaturePoint(
            float(round((y - 0.5) * self.feature_scale)),
            float(round((x - 0.5) * self.feature_scale)),
        )

    def to_image(self, point: FeaturePoint) -> Point:
        if self.pixel_centres:
            x, y = (point.col + 0.5) / self.feature_scale, (point.row + 0.5) / self.feature_scale
        else:
            x, y = point.col / self.feature_scale + 0.5, point.row / self.feature_scale + 0.5
        return Point(
            self.region.x + x * self.region.width / self.width,
            self.region.y + y * self.region.height / self.height,
        )


def working_space_of(request: DragRequest, *, multiple: int) -> WorkingSpace:
    """Of the region that is planned for the request."""
    return plan_working_space(plan_region(request), request.config, multiple=multiple)


def plan_working_space(region: Rectangle, config: DragConfig, *, multiple: int) -> WorkingSpace:
    """`multiple`: what the sides of the VAE's input must be a multiple of."""
    scale = _scale(region, config)
    width, height = max(1, round(region.width * scale)), max(1, round(region.height * scale))
    return WorkingSpace(
        region=region,
        width=width,
        height=height,
        padded_width=ceil(width / multiple) * multiple,
        padded_height=ceil(height / multiple) * multiple,
        feature_scale=config.feature_scale,
        pixel_centres=config.pixel_centres,
    )


def _scale(region: Rectangle, config: DragConfig) -> float:
    if config.fit is Fit.WIDTH:
        return min(1.0, config.working_size / region.width)
    return config.working_size / sqrt(region.width * region.height)


def plan_region(request: DragRequest) -> Rectangle:
    """Where the model works: the whole image, or in a large one the surroundings of what is edited.

    The trajectories matter only where the mask does not enclose them, so that an image can be prepared before they exist.
    """
    height, width = request.image.shape[:2]
    whole = Rectangle(0, 0, width, height)
    if request.region is not None:
        return request.region
    size = request.config.working_size
    if request.config.fit is Fit.WIDTH or max(width, height) <= _WHOLE_IMAGE * size:
        return whole
    focus = _focus(request, whole)
    if focus is None:
        return whole
    context = _CONTEXT if request.mask is not None else _CONTEXT_WITHOUT_MASK
    side = max(size, round(context * max(focus.width, focus.height)))
    return _square_around(focus, side, whole)


def _focus(request: DragRequest, whole: Rectangle) -> Rectangle | None:
    masked = mask_bounds(request.mask) if request.mask is not None else None
    points = [point for trajectory in request.trajectories for point in trajectory.points]
    if masked is not None and all(contains(masked, point) for point in points):
        return _snapped(masked, whole)
    corners = [] if masked is None else [Point(*masked[:2]), Point(masked.right, masked.bottom)]
    around = _bounds([*corners, *points], whole)
    return None if around is None else _snapped(around, whole)


def _square_around(focus: Rectangle, side: int, whole: Rectangle) -> Rectangle:
    width, height = min(side, whole.width), min(side, whole.height)
    x = focus.x + (focus.width - width) // 2
    y = focus.y + (focus.height - height) // 2
    x, y = min(max(x, 0), whole.width - width), min(max(y, 0), whole.height - height)
    return Rectangle(x, y, width, height)


def _snapped(inner: Rectangle, whole: Rectangle) -> Rectangle:
    left, top = inner.x // _SNAP * _SNAP, inner.y // _SNAP * _SNAP
    right = min(ceil(inner.right / _SNAP) * _SNAP, whole.right)
    bottom = min(ceil(inner.bottom / _SNAP) * _SNAP, whole.bottom)
    return Rectangle(left, top, right - left, bottom - top)


def _bounds(points: Iterable[Point], whole: Rectangle) -> Rectangle | None:
    inside = [
        (min(max(x, 0.0), float(whole.width)), min(max(y, 0.0), float(whole.height)))
        for x, y in points
    ]
    if not inside:
        return None
    left, top = floor(min(x for x, _ in inside)), floor(min(y for _, y in inside))
    right, bottom = ceil(max(x for x, _ in inside)), ceil(max(y for _, y in inside))
    left, top = min(left, whole.width - 1), min(top, whole.height - 1)
    return Rectangle(left, top, max(1, right - left), max(1, bottom - top))


def mask_bounds(mask: Pixels) -> Rectangle | None:
    """Of what may change; None: nothing may."""
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return None
    left, top = int(cols[0]), int(rows[0])
    return Rectangle(left, top, int(cols[-1]) + 1 - left, int(rows[-1]) + 1 - top)


def contains(rectangle: Rectangle, point: Point) -> bool:
    """Its border included: a point on the right edge belongs to the last pixel."""
    return rectangle.x <= point.x <= rectangle.right and rectangle.y <= point.y <= rectangle.bottom


def pixel_under(point: Point, *, width: int, height: int) -> tuple[int, int]:
    """(row, col) of the pixel in which the point lies."""
    return min(max(floor(point.y), 0), height - 1), min(max(floor(point.x), 0), width - 1)


def distance(start: FeaturePoint, end: FeaturePoint) -> float:
    return hypot(end.row - start.row, end.col - start.col)
