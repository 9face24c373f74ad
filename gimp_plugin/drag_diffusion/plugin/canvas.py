"""Draws the drags on a small picture of the layer, for the windows. No GIMP in here, and no drawing library: GIMP's Python
has none that is on every platform."""

from __future__ import annotations

import math
from typing import Iterable, Sequence, Tuple

from plugin.edit_model import Drag, Point, View, distance_from_line

Colour = Tuple[int, int, int]

HANDLE: Colour = (220, 50, 47)  # red, as the handle points of the paper
TARGET: Colour = (38, 110, 230)  # blue, as its target points
LINE: Colour = (255, 255, 255)
OUTLINE: Colour = (20, 20, 20)
DIMMED = 0.45  # brightness of what may not change
HEAD = 7.0  # length of the arrow's head, pixels
DOT = 3.2  # radius of the handle's dot, pixels


def draw(view: View, drags: Sequence[Drag], handles: Sequence[Point] = ()) -> bytes:
    """The view's pixels with an arrow a drag, and a dot where each handle is now."""
    picture = _Picture(view.width, view.height, bytearray(view.rgb))
    ways = [[view.place(point) for point in drag.points] for drag in drags]
    for way in ways:
        picture.arrow(way)
    for point in [view.place(handle) for handle in handles] or [way[0] for way in ways]:
        picture.dot(point)
    return bytes(picture.rgb)


def dim(rgb: bytes, coverage: bytes) -> bytes:
    """Darken what may not change."""
    shades = [[int(value * level) for value in range(256)] for level in _levels()]
    dimmed = bytearray(rgb)
    for pixel, covered in enumerate(coverage):
        if covered < 255:
            shade = shades[covered]
            for index in range(3 * pixel, 3 * pixel + 3):
                dimmed[index] = shade[dimmed[index]]
    return bytes(dimmed)


def _levels() -> Iterable[float]:
    return (DIMMED + (1 - DIMMED) * coverage / 255 for coverage in range(256))


def _arrow_head(points: Sequence[Point]) -> Tuple[Point, Point]:
    tip = points[-1]
    before = next((p for p in reversed(points) if math.dist(p, tip) > HEAD / 2), points[0])
    angle = math.atan2(tip[1] - before[1], tip[0] - before[0])
    left, right = (angle + math.pi + turn for turn in (0.5, -0.5))
    return (
        (tip[0] + HEAD * math.cos(left), tip[1] + HEAD * math.sin(left)),
        (tip[0] + HEAD * math.cos(right), tip[1] + HEAD * math.sin(right)),
    )


class _Picture:
    def __init__(self, width: int, height: int, rgb: bytearray) -> None:
        self.width, self.height, self.rgb = width, height, rgb

    def arrow(self, points: Sequence[Point]) -> None:
        for colour, radius in ((OUTLINE, 2.0), (LINE, 1.0)):
            self.stroke(points, radius, colour)
        left, right = _arrow_head(points)
        for colour, radius in ((OUTLINE, 2.2), (TARGET, 1.3)):
            self.stroke((left, points[-1], right), radius, colour)

    def dot(self, point: Point) -> None:
        for colour, radius in ((LINE, DOT + 1.2), (HANDLE, DOT)):
            self.stroke((point, point), radius, colour)

    def stroke(self, points: Sequence[Point], radius: float, colour: Colour) -> None:
        for start, end in zip(points, points[1:]):
            self._capsule(start, end, radius, colour)

    def _capsule(self, start: Point, end: Point, radius: float, colour: Colour) -> None:
        """All that is nearer than `radius` to the line from start to end, with a soft edge."""
        margin = radius + 1
        left = max(0, int(min(start[0], end[0]) - margin))
        right = min(self.width, int(max(start[0], end[0]) + margin) + 1)
        top = max(0, int(min(start[1], end[1]) - margin))
        bottom = min(self.height, int(max(start[1], end[1]) + margin) + 1)
        for y in range(top, bottom):
            for x in range(left, right):
                distance = distance_from_line((x + 0.5, y + 0.5), start, end)
                self._blend(3 * (y * self.width + x), colour, radius + 0.5 - distance)

    def _blend(self, index: int, colour: Colour, coverage: float) -> None:
        if coverage <= 0:
            return
        share = min(1.0, coverage)
        for channel in range(3):
            old = self.rgb[index + channel]
            self.rgb[index + channel] = round(old + (colour[channel] - old) * share)
