"""The strokes of GIMP's paths, and the drags that they are. No GIMP in here."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import List, Sequence, Tuple

from plugin.edit_model import Drag, EditError, LayerState, Point
from plugin.translation import _

CURVE_STEP = 8.0  # pixels between two points taken from a curve
CURVE_POINTS = 64  # at most, a curved segment
FLATNESS = 0.5  # pixels; a Bézier segment that bends less is a straight line


@dataclass(frozen=True)
class Anchor:
    """An anchor of a path with its two Bézier handles, in image pixels."""

    before: Point
    point: Point
    after: Point


@dataclass(frozen=True)
class Stroke:
    path: str  # the path's name
    number: int  # in its path, counted from 1
    anchors: Tuple[Anchor, ...]
    closed: bool = False

    def __str__(self) -> str:
        return _("Stroke {number} of path “{path}”").format(number=self.number, path=self.path)


def to_drags(strokes: Sequence[Stroke], layer: LayerState) -> Tuple[Drag, ...]:
    """One drag a stroke, in layer pixels; or the reason why a stroke is none."""
    if not strokes:
        raise EditError(
            _(
                "Draw a path first: with the Paths tool, click the point to move, then click where it "
                "should go. Shift+click begins the next pair."
            )
        )
    return tuple(_to_drag(stroke, layer) for stroke in strokes)


def _to_drag(stroke: Stroke, layer: LayerState) -> Drag:
    if stroke.closed:
        raise EditError(
            _(
                "{stroke} is closed: a drag needs an open stroke, from the point to move to where it "
                "should go."
            ).format(stroke=stroke)
        )
    if len(stroke.anchors) < 2:
        raise EditError(
            _(
                "{stroke} has only one point: add a second one where the first should go, or delete "
                "it."
            ).format(stroke=stroke)
        )
    points = tuple((x - layer.x, y - layer.y) for x, y in _polyline(stroke.anchors))
    if _length(points) < 1:
        raise EditError(
            _("{stroke} ends where it begins: move its last point to where it should go.").format(
                stroke=stroke
            )
        )
    if not layer.contains(points[0]):
        raise EditError(
            _("{stroke} begins outside layer “{layer}”: begin it on the layer.").format(
                stroke=stroke, layer=layer.name
            )
        )
    if not layer.contains(points[-1]):
        raise EditError(
            _(
                "{stroke} ends outside layer “{layer}”: end it on the layer, or enlarge the "
                "layer (Layer ▸ Layers to Image Size)."
            ).format(stroke=stroke, layer=layer.name)
        )
    return Drag(str(stroke), points)


def _polyline(anchors: Sequence[Anchor]) -> List[Point]:
    points = [anchors[0].point]
    for start, end in zip(anchors, anchors[1:]):
        points.extend(_segment(start.point, start.after, end.before, end.point))
    return points


def _segment(start: Point, leave: Point, arrive: Point, end: Point) -> List[Point]:
    """The points after `start` of a cubic Bézier segment: only `end` where it is straight."""
    if max(distance_from_line(control, start, end) for control in (leave, arrive)) < FLATNESS:
        return [end]
    count = math.ceil(_length((start, leave, arrive, end)) / CURVE_STEP)
    count = max(2, min(CURVE_POINTS, count))
    return [_bezier(start, leave, arrive, end, step / count) for step in range(1, count)] + [end]


def _bezier(start: Point, leave: Point, arrive: Point, end: Point, t: float) -> Point:
    weights = ((1 - t) ** 3, 3 * (1 - t) ** 2 * t, 3 * (1 - t) * t**2, t**3)
    controls = (start, leave, arrive, end)
    return (
        sum(weight * control[0] for weight, control in zip(weights, controls)),
        sum(weight * control[1] for weight, control in zip(weights, controls)),
    )


def distance_from_line(point: Point, start: Point, end: Point) -> float:
    """Distance from the line piece between start and end."""
    along = (end[0] - start[0], end[1] - start[1])
    to_point = (point[0] - start[0], point[1] - start[1])
    squared = along[0] ** 2 + along[1] ** 2
    share = (to_point[0] * along[0] + to_point[1] * along[1]) / squared if squared else 0.0
    share = max(0.0, min(1.0, share))
    return math.dist(to_point, (share * along[0], share * along[1]))


def _length(points: Sequence[Point]) -> float:
    return sum(math.dist(start, end) for start, end in zip(points, points[1:]))
