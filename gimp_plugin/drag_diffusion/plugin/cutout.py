"""The part of a large layer that an edit needs: only that is read from GIMP and sent to the daemon. No GIMP in here.

The daemon works in a square round what is edited, and what lies outside that changes nothing. The part holds that square for
every model, so the result has the same pixels as if the whole layer had been sent. It lies on a coarse grid and stays while it
serves, so that the picture stays prepared while points are moved.
"""

from __future__ import annotations

import math
from typing import Iterable, Optional, Sequence

from plugin.edit_model import Drag, LayerState, Point, Region, Settings

LARGE = 50_000_000  # pixels; a layer with no more is taken whole
SMALLEST_SIDE = 2048  # pixels: enough for models that work at up to 1600 × 1600
CONTEXT = 1.5  # side of the daemon's square ÷ side of what is edited, where a selection tells what that is
CONTEXT_WITHOUT_SELECTION = 3.0
MARGIN = 128  # pixels more than that: the daemon rounds, and points are moved a little
GRID = 256  # pixels; a multiple of the daemon's own
WORTH_IT = 0.5  # of the layer: a larger part is the whole


def is_large(layer: LayerState) -> bool:
    return layer.width * layer.height > LARGE


def whole(layer: LayerState) -> Region:
    return 0, 0, layer.width, layer.height


def plan(
    layer: LayerState,
    selected: Optional[Region],
    drags: Sequence[Drag],
    settings: Settings,
    now: Optional[Region] = None,
) -> Optional[Region]:
    """What has to be read of the layer; None as long as nothing tells where in a large one the edit will be.

    `selected`: the selection's bounds in the layer; None where nothing is selected. `now`: the part that was read, which is
    kept while it serves.
    """
    if not is_large(layer):
        return whole(layer)
    edited = _edited(layer, selected, drags, settings)
    if edited is None:
        return None
    if settings.mode == "reference":  # works on the whole picture, as the paper does
        return whole(layer)
    needed = _needed(layer, edited, CONTEXT_WITHOUT_SELECTION if selected is None else CONTEXT)
    if now is not None and _contains(now, needed):
        return now
    part = _on_grid(layer, needed)
    return part if part[2] * part[3] < WORTH_IT * layer.width * layer.height else whole(layer)


def _edited(
    layer: LayerState, selected: Optional[Region], drags: Sequence[Drag], settings: Settings
) -> Optional[Region]:
    """The bounds of what may change and of all points, inside the layer."""
    points = [point for drag in drags for point in drag.points]
    if selected is not None and selected[2] > 0 and selected[3] > 0:
        softer = max(0, settings.mask_grow) + settings.mask_feather
        x, y, width, height = selected
        points += [(x - softer, y - softer), (x + width + softer, y + height + softer)]
    return bounds(points, layer) if points else None


def _needed(layer: LayerState, edited: Region, context: float) -> Region:
    """The daemon's square at its largest, with a margin."""
    x, y, width, height = edited
    side = max(SMALLEST_SIDE, math.ceil(context * (max(width, height) + MARGIN)))
    left = _placed(x + width / 2 - side / 2, side, layer.width)
    top = _placed(y + height / 2 - side / 2, side, layer.height)
    near = SMALLEST_SIDE // 2  # a selection that is made smaller may be left in any corner
    corners = [
        (min(x - near, left) - MARGIN, min(y - near, top) - MARGIN),
        (
            max(x + width + near, left + side) + MARGIN,
            max(y + height + near, top + side) + MARGIN,
        ),
    ]
    return bounds(corners, layer)


def _placed(start: float, side: int, available: int) -> float:
    """Moved inside, as the daemon does."""
    return min(max(start, 0), max(0, available - side))


def _on_grid(layer: LayerState, region: Region) -> Region:
    x, y, width, height = region
    left, top = x // GRID * GRID, y // GRID * GRID
    right, bottom = (math.ceil(end / GRID) * GRID for end in (x + width, y + height))
    return bounds([(left, top), (right, bottom)], layer)


def bounds(points: Iterable[Point], layer: LayerState) -> Region:
    """The smallest region of the layer that holds the points; those outside count where the layer's edge is nearest."""
    inside = [(min(max(x, 0), layer.width), min(max(y, 0), layer.height)) for x, y in points]
    left, top = math.floor(min(x for x, _y in inside)), math.floor(min(y for _x, y in inside))
    right, bottom = math.ceil(max(x for x, _y in inside)), math.ceil(max(y for _x, y in inside))
    return left, top, right - left, bottom - top


def _contains(outer: Region, inner: Region) -> bool:
    return (
        outer[0] <= inner[0]
        and outer[1] <= inner[1]
        and inner[0] + inner[2] <= outer[0] + outer[2]
        and inner[1] + inner[3] <= outer[1] + outer[3]
    )
