"""Where what was in a layer lies in it now, after the layer was cut, turned, mirrored or scaled. No GIMP in here.

A record keeps small pieces of the picture, taken where its points are. Where they are found again, bit for bit, they tell how the
picture was cut, turned or mirrored. Scaling changes every pixel: it is told by the layers' sizes and by how the picture looks.
"""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass
from typing import Iterator, List, Optional, Sequence, Tuple

from plugin.edit_model import Drag, LayerState, PixelBuffer, Point, Region

Pieces = Tuple[PixelBuffer, ...]

SIDE = 16  # pixels, of a piece
COUNT = 4  # pieces that are kept
FEWEST_COLOURS = 3  # in a piece: what has fewer may lie anywhere
ENOUGH_COLOURS = 64
NEAR = 48  # pixels round the points where pieces are looked for
SPOTS = 7  # that are tried, across and down
TRIES = 2_000  # places that are looked at for one piece
ROUNDING = 1.5  # pixels by which GIMP's scaled layers may differ from what is computed
LOOK_SIDE = 16  # pixels of the small picture that tells how a layer looks
ALIKE = 8.0  # levels of 255, mean difference of two such pictures


@dataclass(frozen=True)
class Change:
    """What is at (x, y) then is now at scale · (x, y), (y, x) where the sides were swapped, + shift; a negative scale mirrors."""

    swapped: bool = False
    scale: Tuple[float, float] = (1.0, 1.0)
    shift: Tuple[float, float] = (0.0, 0.0)

    def point(self, then: Point) -> Point:
        x, y = reversed(then) if self.swapped else then
        return self.scale[0] * x + self.shift[0], self.scale[1] * y + self.shift[1]

    def drag(self, then: Drag) -> Drag:
        return Drag(then.stroke, tuple(self.point(point) for point in then.points))

    def region(self, then: Region) -> Region:
        x, y, width, height = then
        (x0, y0), (x1, y1) = self.point((x, y)), self.point((x + width, y + height))
        left, right = sorted((round(x0), round(x1)))
        top, bottom = sorted((round(y0), round(y1)))
        return left, top, right - left, bottom - top

    def length(self, then: int) -> int:
        """A number of pixels, without direction."""
        return round(then * math.sqrt(abs(self.scale[0] * self.scale[1])))


UNCHANGED = Change()
TURNS = tuple(
    Change(swapped, (x, y)) for swapped in (False, True) for x in (1.0, -1.0) for y in (1.0, -1.0)
)  # the first is none


# ---- pieces ----------------------------------------------------------------------------------------


def choose(picture: PixelBuffer, drags: Sequence[Drag]) -> Pieces:
    """Pieces of many colours; of those that have enough, the ones nearest to the points."""
    side = min(SIDE, picture.width, picture.height)
    xs = _spots([x for drag in drags for x, _y in drag.points], picture.x, picture.width, side)
    ys = _spots([y for drag in drags for _x, y in drag.points], picture.y, picture.height, side)
    pieces = [cut(picture, (x, y, side, side)) for y in ys for x in xs]
    points = [point for drag in drags for point in drag.points]
    counted = [(_colours(piece), piece) for piece in pieces]
    counted.sort(key=lambda one: (-min(one[0], ENOUGH_COLOURS), _distance(one[1], points)))
    return tuple(piece for colours, piece in counted[:COUNT] if colours >= FEWEST_COLOURS)


def _distance(piece: PixelBuffer, points: Sequence[Point]) -> float:
    x, y = piece.x + piece.width / 2, piece.y + piece.height / 2
    return min(math.dist((x, y), point) for point in points)


def _spots(points: List[float], start: int, length: int, side: int) -> List[int]:
    first = min(max(round(min(points)) - NEAR, start), start + length - side)
    last = min(max(round(max(points)) + NEAR - side, first), start + length - side)
    return sorted({first + (last - first) * n // (SPOTS - 1) for n in range(SPOTS)})


def cut(picture: PixelBuffer, there: Region) -> PixelBuffer:
    x, y, width, height = there
    line, start = 4 * picture.width, 4 * (x - picture.x)
    rows = [
        picture.rows[row * line + start : row * line + start + 4 * width]
        for row in range(y - picture.y, y - picture.y + height)
    ]
    return PixelBuffer(width, height, 4, b"".join(rows), x, y)


def _colours(piece: PixelBuffer) -> int:
    return len(set(memoryview(piece.rows).cast("I")))


def turn(part: PixelBuffer, change: Change) -> PixelBuffer:
    """The part with swapped sides and mirrored, as the change has it; its place and scale are as they were."""
    cells = array("I" if part.channels == 4 else "B", part.rows)
    width, height = part.width, part.height
    if change.swapped:
        lines = [cells[column::width] for column in range(width)]
        width, height = height, width
    else:
        lines = [cells[row * width : (row + 1) * width] for row in range(height)]
    if change.scale[0] < 0:
        lines = [line[::-1] for line in lines]
    if change.scale[1] < 0:
        lines.reverse()
    rows = b"".join(line.tobytes() for line in lines)
    return PixelBuffer(width, height, part.channels, rows, part.x, part.y)


# ---- found again -----------------------------------------------------------------------------------


def bounds(pieces: Pieces) -> Region:
    """A region that holds them all."""
    left, top = min(piece.x for piece in pieces), min(piece.y for piece in pieces)
    right = max(piece.x + piece.width for piece in pieces)
    bottom = max(piece.y + piece.height for piece in pieces)
    return left, top, right - left, bottom - top


def are_in_place(pieces: Pieces, picture: PixelBuffer) -> bool:
    """Whether one at least is where it was."""
    return any(cut(picture, piece.region).rows == piece.rows for piece in pieces)


def find(pieces: Pieces, picture: PixelBuffer, turns: Sequence[Change]) -> Optional[Change]:
    """The turn and the shift with which the pieces are in the whole layer's picture; None: in none, or in several."""
    for one in turns:
        found = {change for piece in pieces for change in _changes(piece, picture, one)}
        if found:
            return found.pop() if len(found) == 1 else None
    return None


def _changes(piece: PixelBuffer, picture: PixelBuffer, one: Change) -> Iterator[Change]:
    """How the piece came to where it is, if that is one place only."""
    places = _places(turn(piece, one), picture)
    if len(places) == 1:
        corner = one.region(piece.region)
        yield Change(one.swapped, one.scale, (places[0][0] - corner[0], places[0][1] - corner[1]))


def _places(piece: PixelBuffer, picture: PixelBuffer) -> List[Tuple[int, int]]:
    """Two at most; none where there is too much to look at."""
    size = 4 * piece.width
    lines = [piece.rows[start : start + size] for start in range(0, len(piece.rows), size)]
    key = max(range(piece.height), key=lambda row: len(set(memoryview(lines[row]).cast("I"))))
    places: List[Tuple[int, int]] = []
    at = -1
    for _try in range(TRIES):
        at = picture.rows.find(lines[key], at + 1)
        if at < 0 or len(places) == 2:
            break
        y, x = divmod(at // 4, picture.width)
        there = x, y - key, piece.width, piece.height
        fits = 0 <= y - key <= picture.height - piece.height and x + piece.width <= picture.width
        if at % 4 == 0 and fits and cut(picture, there).rows == piece.rows:
            places.append(there[:2])
    else:
        return []  # what has not been looked at may hold it too
    return places


# ---- scaled ----------------------------------------------------------------------------------------


def scaled_alike(
    then: LayerState, now: LayerState, region: Region, result: LayerState
) -> Optional[Change]:
    """The scale between the source's two states, if the result, which lay over this region of it, was scaled with it."""
    change = Change(scale=(now.width / then.width, now.height / then.height))
    left, top = change.point((region[0], region[1]))
    right, bottom = change.point((region[0] + region[2], region[1] + region[3]))
    x, y = result.x - now.x, result.y - now.y
    edges = (x, left), (y, top), (x + result.width, right), (y + result.height, bottom)
    return change if all(abs(a - b) <= ROUNDING for a, b in edges) else None


def are_alike(then: bytes, now: bytes) -> bool:
    """Of two looks."""
    if not then or len(then) != len(now):
        return False
    return sum(abs(a - b) for a, b in zip(then, now)) / len(then) <= ALIKE
