"""Reads GIMP's paths. Main thread only."""

from __future__ import annotations

from typing import Any, List, Sequence, Tuple

from plugin.edit_model import Anchor, Stroke


def read_strokes(image: Any) -> Tuple[Stroke, ...]:
    """The strokes of the selected paths; of the only path, where none is selected."""
    paths = image.get_selected_paths() or _only_path(image)
    return tuple(stroke for path in paths for stroke in _strokes(path))


def _only_path(image: Any) -> List[Any]:
    paths = image.get_paths()
    return paths if len(paths) == 1 else []


def _strokes(path: Any) -> List[Stroke]:
    strokes = []
    for number, stroke_id in enumerate(path.get_strokes(), start=1):
        _type, coordinates, closed = path.stroke_get_points(stroke_id)
        strokes.append(Stroke(path.get_name(), number, _anchors(coordinates), bool(closed)))
    return strokes


def _anchors(coordinates: Sequence[float]) -> Tuple[Anchor, ...]:
    """Six numbers an anchor: the control point before it, the anchor, the control point after it."""
    points = list(zip(coordinates[0::2], coordinates[1::2]))
    return tuple(Anchor(*points[start : start + 3]) for start in range(0, len(points), 3))
