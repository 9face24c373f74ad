"""GIMP's paths to strokes, and drags to a path. Main thread only."""

from __future__ import annotations

from typing import Any, List, Sequence, Tuple

from gi.repository import Gimp

from plugin.edit_model import Drag, EditError, LayerState
from plugin.strokes import Anchor, Stroke
from plugin.translation import _

KEPT_NAME = _("Drag points")


def read_strokes(image: Any) -> Tuple[Stroke, ...]:
    """The strokes of the selected paths; of the only path, where none is selected."""
    paths = image.get_selected_paths() or _only_path(image)
    return tuple(stroke for path in paths for stroke in _strokes(path))


def check_choice(image: Any) -> None:
    """Where there are several paths, the selected one is meant; EditError where none is."""
    if len(image.get_paths()) > 1 and not image.get_selected_paths():
        raise EditError(
            _("No path is selected: select the path to drag along in the Paths dialog.")
        )


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


def insert_path(image: Any, drags: Sequence[Drag], layer: LayerState) -> None:
    """Keep the drags as a path, selected, so that the next drag finds them."""
    path = Gimp.Path.new(image, KEPT_NAME)
    for drag in drags:
        corners = [(x + layer.x, y + layer.y) for x, y in drag.points]
        coordinates = [number for corner in corners for number in 3 * corner]
        path.stroke_new_from_points(Gimp.PathStrokeType.BEZIER, coordinates, False)
    image.insert_path(path, None, 0)
    image.set_selected_paths([path])
