"""Draws the drags over a picture. No GIMP in here, and no drawing library: GIMP's Python has none that is on every platform.

Every mark is a line of round pens. A row of such a line is one run of pixels, so that it is filled at once and only its soft
edge is computed pixel by pixel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Callable, Iterator, List, Optional, Sequence, Tuple

from plugin.edit_model import Drag, LayerState, PixelBuffer, Point
from plugin.points import End
from plugin.strokes import distance_from_line

Colour = Tuple[int, int, int]

HANDLE: Colour = (220, 50, 47)  # red, as the handle points of the paper
TARGET: Colour = (38, 110, 230)  # blue, as its target points
LINE: Colour = (255, 255, 255)
OUTLINE: Colour = (20, 20, 20)
SELECTED: Colour = (255, 196, 0)
HEAD = 11.0  # length of the arrow's head, pixels
DOT = 4.5  # radius of the handle's dot, pixels


@dataclass(frozen=True)
class Mark:
    """A line drawn with a round pen; one point alone is a dot."""

    points: Tuple[Point, ...]
    radius: float  # pixels
    colour: Colour


@dataclass(frozen=True)
class Bitmap:
    """RGB pixels to draw on, each row `stride` bytes after the one before."""

    width: int
    height: int
    stride: int
    rgb: bytearray


def make_marks(
    drags: Sequence[Drag],
    place: Callable[[Point], Point],
    size: float = 1.0,
    selected: Optional[End] = None,
    handles: Sequence[Point] = (),
) -> List[Mark]:
    """What shows the drags: an arrow each, and a dot where its handle is now.

    `place` takes layer pixels to those of the bitmap; `size` is the bitmap's pixels a GTK pixel.
    """
    ways = [tuple(place(point) for point in drag.points) for drag in drags]
    marks = [mark for way in ways for mark in _arrow(way, size)]
    if selected is not None and selected.drag < len(ways):
        marks += _ring(ways[selected.drag], selected.is_target, size)
    now = [place(handle) for handle in handles] or [way[0] for way in ways]
    return marks + [mark for point in now for mark in _dot(point, size)]


def _arrow(way: Tuple[Point, ...], size: float) -> Iterator[Mark]:
    yield Mark(way, 2.6 * size, OUTLINE)
    yield Mark(way, 1.4 * size, LINE)
    yield from _head(way, size)


def _head(way: Sequence[Point], size: float) -> Iterator[Mark]:
    tip = way[-1]
    before = next((p for p in reversed(way) if math.dist(p, tip) > HEAD * size / 2), way[0])
    angle = math.atan2(tip[1] - before[1], tip[0] - before[0]) + math.pi
    left, right = (
        (
            tip[0] + HEAD * size * math.cos(angle + turn),
            tip[1] + HEAD * size * math.sin(angle + turn),
        )
        for turn in (0.5, -0.5)
    )
    yield Mark((left, tip, right), 3.4 * size, OUTLINE)
    yield Mark((left, tip, right), 2.1 * size, TARGET)


def _ring(way: Tuple[Point, ...], is_target: bool, size: float) -> Iterator[Mark]:
    """Around the selected end."""
    if not is_target:
        yield Mark(way[:1], (DOT + 7.5) * size, OUTLINE)
        yield Mark(way[:1], (DOT + 6) * size, SELECTED)
        return
    *_, head = _head(way, size)
    yield Mark(head.points, 7.4 * size, OUTLINE)
    yield Mark(head.points, 6 * size, SELECTED)
    yield from _head(way, size)


def _dot(point: Point, size: float) -> Iterator[Mark]:
    yield Mark((point,), (DOT + 2.4) * size, OUTLINE)
    yield Mark((point,), (DOT + 1.4) * size, LINE)
    yield Mark((point,), DOT * size, HANDLE)


# ---- pixels ----------------------------------------------------------------------------------------


def draw(bitmap: Bitmap, marks: Sequence[Mark]) -> None:
    for mark in marks:
        ends = mark.points[1:] or mark.points
        for start, end in zip(mark.points, ends):
            _fill(bitmap, start, end, mark.radius, mark.colour)


def _fill(bitmap: Bitmap, start: Point, end: Point, radius: float, colour: Colour) -> None:
    """All that is nearer than `radius` to the line from start to end, with a soft edge."""
    pixel = bytes(colour)
    top = max(0, math.floor(min(start[1], end[1]) - radius - 1))
    bottom = min(bitmap.height, math.ceil(max(start[1], end[1]) + radius + 1))
    for y in range(top, bottom):
        outer = _run(y + 0.5, start, end, radius + 0.5, bitmap.width)
        if outer is None:
            continue
        inner = _run(y + 0.5, start, end, radius - 0.5, bitmap.width) or (outer[1], outer[1])
        row = y * bitmap.stride
        if inner[1] > inner[0]:
            count = inner[1] - inner[0]
            bitmap.rgb[row + 3 * inner[0] : row + 3 * inner[1]] = pixel * count
        for x in (*range(outer[0], inner[0]), *range(inner[1], outer[1])):
            distance = distance_from_line((x + 0.5, y + 0.5), start, end)
            _blend(bitmap.rgb, row + 3 * x, colour, radius + 0.5 - distance)


def _run(
    y: float, start: Point, end: Point, radius: float, width: int
) -> Optional[Tuple[int, int]]:
    """First and last + 1 of the pixels of a row whose middle is nearer than `radius` to the line; they have no gap."""
    if radius <= 0:
        return None
    borders: List[float] = []
    for x, centre in (start, end):
        reach = radius**2 - (y - centre) ** 2
        if reach >= 0:
            borders += [x - math.sqrt(reach), x + math.sqrt(reach)]
    borders += _beside(y, start, end, radius)
    if not borders:
        return None
    first = max(0, math.ceil(min(borders) - 0.5))
    last = min(width, math.floor(max(borders) - 0.5) + 1)
    return (first, last) if last > first else None


def _beside(y: float, start: Point, end: Point, radius: float) -> List[float]:
    """Where the row crosses the rectangle of this half width around the line; empty where it does not."""
    length = math.dist(start, end)
    if length == 0:
        return []
    dx, dy = (end[0] - start[0]) / length, (end[1] - start[1]) / length
    left, right = -math.inf, math.inf
    # |across| ≤ radius and 0 ≤ along ≤ length; both are linear in x.
    for factor, offset, low, high in (
        (-dy, (y - start[1]) * dx, -radius, radius),
        (dx, (y - start[1]) * dy, 0.0, length),
    ):
        if abs(factor) < 1e-9:
            if not low <= offset <= high:
                return []
            continue
        first, second = sorted(((low - offset) / factor, (high - offset) / factor))
        left, right = max(left, first), min(right, second)
    return [start[0] + left, start[0] + right] if left <= right else []


def _blend(rgb: bytearray, index: int, colour: Colour, coverage: float) -> None:
    if coverage <= 0:
        return
    share = min(1.0, coverage)
    for channel in range(3):
        old = rgb[index + channel]
        rgb[index + channel] = round(old + (colour[channel] - old) * share)


# ---- the mask --------------------------------------------------------------------------------------

VEIL: Colour = (24, 28, 40)  # over what may not change
VEIL_ALPHA = 150


def make_veil(coverage: bytes) -> bytes:
    """RGBA that darkens what may not change: the less a pixel may, the more."""
    rgba = bytearray(bytes((*VEIL, 0)) * len(coverage))
    rgba[3::4] = coverage.translate(
        bytes(VEIL_ALPHA - VEIL_ALPHA * value // 255 for value in range(256))
    )
    return bytes(rgba)


def to_gray(coverage: bytes) -> bytes:
    """RGB with the coverage in each channel."""
    rgb = bytearray(3 * len(coverage))
    for channel in range(3):
        rgb[channel::3] = coverage
    return bytes(rgb)


def with_alpha(rgb: bytes, alpha: bytes) -> bytes:
    """RGBA."""
    rgba = bytearray(4 * len(alpha))
    for channel in range(3):
        rgba[channel::4] = rgb[channel::3]
    rgba[3::4] = alpha
    return bytes(rgba)


def thin_out(mask: PixelBuffer, layer: LayerState, step: int) -> Tuple[int, int, bytes]:
    """Every `step`-th pixel of every `step`-th row of the whole layer, 0 where the mask does not reach: width, height, pixels."""
    width, height = -(-layer.width // step), -(-layer.height // step)
    before, above = -(-mask.x // step), -(-mask.y // step)
    rows = [bytes(width)] * above
    for y in range(above * step - mask.y, mask.height, step):
        row = mask.rows[y * mask.width : (y + 1) * mask.width]
        rows.append((bytes(before) + row[before * step - mask.x :: step]).ljust(width, b"\0"))
    return width, height, b"".join(rows).ljust(width * height, b"\0")
