"""The drags while the user edits them, with undo and redo. No GIMP in here.

Where an end of a drag moves, what lies between follows by the similarity that takes the old ends to the new ones, so
that a curve keeps its shape. Taken between its ends, a drag bends, and its ends stay.

    points = Points(state, drags)
    points.press((40, 30), reach=6)      # takes the end or the line that is there; elsewhere a new drag begins
    points.pull((60, 40))
    points.release()                     # one step of undo
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Iterator, List, Optional, Sequence, Tuple

from plugin.edit_model import Drag, LayerState, Point
from plugin.strokes import distance_from_line
from plugin.translation import _

SHORTEST = 1.0  # pixels; a shorter drag is none
CURVE_SPACING = 3.0  # pixels between two points of a curve drawn by hand
BEND_SPACING = 6.0  # pixels between two points of a line that is bent


@dataclass(frozen=True)
class End:
    """One end of a drag."""

    drag: int  # its index
    is_target: bool


@dataclass(frozen=True)
class _Grip:
    """A drag that is taken between its ends."""

    drag: int
    place: Point  # where it was taken
    points: Tuple[Point, ...]  # as they were
    shares: Tuple[float, ...]  # of the pull that each follows: 1 where it was taken, 0 at the ends


@dataclass(frozen=True)
class _State:
    drags: Tuple[Drag, ...]
    selected: Optional[End] = None


class Points:
    """Every change ends in `commit`, a step of undo; between `press` and `release` it is provisional."""

    def __init__(self, layer: LayerState, drags: Sequence[Drag] = ()) -> None:
        self._layer = layer
        self._state = _State(tuple(drags))
        self._undo: List[_State] = []
        self._redo: List[_State] = []
        self._before: Optional[_State] = None  # while a gesture runs
        self._curved = False  # the drag that is drawn follows the pointer
        self._grip: Optional[_Grip] = None
        self._nudged: Optional[End] = None  # by the last step of undo

    @property
    def drags(self) -> Tuple[Drag, ...]:
        return self._state.drags

    @property
    def selected(self) -> Optional[End]:
        return self._state.selected

    @property
    def is_pulling(self) -> bool:
        return self._before is not None

    @property
    def can_undo(self) -> bool:
        return bool(self._undo)

    @property
    def can_redo(self) -> bool:
        return bool(self._redo)

    # ---- with the mouse

    def find(self, point: Point, reach: float) -> Optional[End]:
        """The nearest end within `reach` pixels; of two at one place the target, which lies on top."""
        found: List[Tuple[float, bool, int, End]] = []
        for index, drag in enumerate(self.drags):
            for is_target in (True, False):
                distance = math.dist(point, drag.points[-1 if is_target else 0])
                if distance <= reach:
                    found.append((distance, not is_target, -index, End(index, is_target)))
        return min(found)[-1] if found else None

    def find_line(self, point: Point, reach: float) -> Optional[int]:
        """The drag whose line passes within half of `reach`, by its index, the nearest one: beside it a new one may begin."""
        found = [
            (min(distance_from_line(point, *piece) for piece in _pieces(drag.points)), index)
            for index, drag in enumerate(self.drags)
        ]
        near = [(distance, index) for distance, index in found if distance <= reach / 2]
        return min(near)[1] if near else None

    def press(self, point: Point, reach: float, curved: bool = False) -> bool:
        """Take the end or the line that is there, or begin a new drag; whether a gesture began.

        `curved`: a new drag begins on lines too, and follows the pointer.
        """
        end = self.find(point, reach)
        line = None if end or curved else self.find_line(point, reach)
        if end is None and line is None and not self._layer.contains(point):
            return False
        self._before, self._nudged = self._state, None
        self._curved = curved and end is None
        self._grip = None if line is None else _take(line, self.drags[line].points, point)
        if line is not None:
            self._state = replace(self._state, selected=End(line, True))
        elif end is None:
            drag = Drag(self._next_name(), (point, point))
            self._state = _State((*self.drags, drag), End(len(self.drags), True))
        else:
            self._state = replace(self._state, selected=end)
        return True

    def pull(self, point: Point) -> None:
        if not self.is_pulling:
            return
        if self._grip is not None:
            self._bend(self._grip, point)
        elif self._curved:
            self._lengthen(self._inside(point))
        else:
            self._move(self._inside(point))

    def release(self) -> None:
        before, self._before = self._before, None
        if before is None:
            return
        if self._shortest() < SHORTEST:
            self._state = replace(before, selected=None)
        elif self._state.drags != before.drags:
            self._remember(before)

    def abandon(self) -> None:
        """End the gesture as if it had not been."""
        if self._before is not None:
            self._state, self._before = self._before, None

    # ---- with the keyboard

    def add(self, start: Point, end: Point) -> None:
        before = self._state
        drag = Drag(self._next_name(), (self._inside(start), self._inside(end)))
        self._state = _State((*self.drags, drag), End(len(self.drags), True))
        self._remember(before)

    def nudge(self, dx: float, dy: float) -> None:
        """Move the selected end; several in a row are one step of undo."""
        before, end = self._state, self.selected
        if end is None or self.is_pulling:
            return
        x, y = self._where(end)
        self._move(self._inside((x + dx, y + dy)))
        if self._shortest() < SHORTEST:
            self._state = before
        elif self._nudged != end:
            self._remember(before)
            self._nudged = end

    def select_next(self, by: int = 1) -> bool:
        """Select the next end (by = -1: the one before); false, and nothing selected, past the last."""
        ends = [End(index, target) for index in range(len(self.drags)) for target in (False, True)]
        first = 0 if by > 0 else len(ends) - 1
        index = first if self.selected is None else ends.index(self.selected) + by
        found = ends[index] if 0 <= index < len(ends) else None
        self._state, self._nudged = replace(self._state, selected=found), None
        return found is not None

    # ---- both

    def delete(self, end: Optional[End] = None) -> None:
        """Delete the drag of this end; of the selected one, if none is given."""
        end = end or self.selected
        if end is None or self.is_pulling:
            return
        before = self._state
        self._state = _State(self.drags[: end.drag] + self.drags[end.drag + 1 :])
        self._remember(before)

    def undo(self) -> None:
        if self._undo and not self.is_pulling:
            self._redo.append(self._state)
            self._state, self._nudged = self._undo.pop(), None

    def redo(self) -> None:
        if self._redo and not self.is_pulling:
            self._undo.append(self._state)
            self._state, self._nudged = self._redo.pop(), None

    # ---- inside

    def _remember(self, before: _State) -> None:
        self._undo.append(before)
        self._redo.clear()
        self._nudged = None

    def _where(self, end: End) -> Point:
        return self.drags[end.drag].points[-1 if end.is_target else 0]

    def _inside(self, point: Point) -> Point:
        """The nearest point of the layer."""
        right, bottom = self._layer.width - 0.01, self._layer.height - 0.01
        return min(max(point[0], 0.0), right), min(max(point[1], 0.0), bottom)

    def _shortest(self) -> float:
        ways = (drag.points for drag in self.drags)
        return min((max(math.dist(way[0], p) for p in way) for way in ways), default=SHORTEST)

    def _next_name(self) -> str:
        taken = {drag.stroke for drag in self.drags}
        names = (_("Arrow {number}").format(number=n) for n in range(1, len(taken) + 2))
        return next(name for name in names if name not in taken)

    def _replace(self, index: int, points: Tuple[Point, ...]) -> None:
        drags = list(self.drags)
        drags[index] = replace(drags[index], points=points)
        self._state = replace(self._state, drags=tuple(drags))

    def _lengthen(self, point: Point) -> None:
        index = len(self.drags) - 1
        points = self.drags[index].points
        if points[0] == points[-1] and len(points) == 2:
            points = points[:1]
        if math.dist(points[-1], point) >= CURVE_SPACING:
            self._replace(index, (*points, point))

    def _bend(self, grip: _Grip, to: Point) -> None:
        dx, dy = to[0] - grip.place[0], to[1] - grip.place[1]
        bent = tuple(
            self._inside((x + share * dx, y + share * dy))
            for (x, y), share in zip(grip.points, grip.shares)
        )
        self._replace(grip.drag, bent)

    def _move(self, point: Point) -> None:
        end = self.selected
        if end is None:
            return
        points = self.drags[end.drag].points
        last = len(points) - 1
        new = (points[0], point) if end.is_target else (point, points[last])
        between = _carry(points[1:last], (points[0], points[last]), new)
        self._replace(end.drag, (new[0], *between, new[1]))


def _pieces(points: Sequence[Point]) -> Iterator[Tuple[Point, Point]]:
    return zip(points, points[1:])


def _take(drag: int, points: Tuple[Point, ...], place: Point) -> _Grip:
    """With points close enough to one another to bend smoothly."""
    dense = [points[0]]
    for start, end in _pieces(points):
        count = max(1, math.ceil(math.dist(start, end) / BEND_SPACING))
        dense += [_between(start, end, step / count) for step in range(1, count + 1)]
    ways = [0.0]
    for start, end in _pieces(dense):
        ways.append(ways[-1] + math.dist(start, end))
    nearest = min(range(len(dense)), key=lambda index: math.dist(dense[index], place))
    taken = min(max(ways[nearest], 1e-6), ways[-1] - 1e-6)
    shares = (min(way / taken, (ways[-1] - way) / (ways[-1] - taken)) for way in ways)
    return _Grip(
        drag, place, tuple(dense), tuple(math.sin(share * math.pi / 2) for share in shares)
    )


def _between(start: Point, end: Point, share: float) -> Point:
    return start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1])


def _carry(
    points: Sequence[Point], old: Tuple[Point, Point], new: Tuple[Point, Point]
) -> List[Point]:
    """The points under the similarity that takes the two old points to the two new ones."""
    start, end = (complex(*point) for point in old)
    to, stretch = complex(*new[0]), complex(*new[1]) - complex(*new[0])
    if start == end:
        return [(x + new[0][0] - old[0][0], y + new[0][1] - old[0][1]) for x, y in points]
    carried = [to + (complex(*point) - start) / (end - start) * stretch for point in points]
    return [(point.real, point.imag) for point in carried]
