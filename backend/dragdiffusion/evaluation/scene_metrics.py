"""How far a drag got, judged by the picture alone.

The tracked handle points are never used: a tracker reports success where nothing moved. The moved
part is looked for in the result by its appearance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .edits import ByteImage, ImagePoint, PointPair
from .scene_cases import DragCase

FloatImage = NDArray[np.float32]

SUCCESS_PX = 3.0
SUCCESS_SHARE = 0.10  # of the drag's length
_PSNR_LIMIT_DB = 60.0  # reported where two pictures are equal


@dataclass(frozen=True, slots=True)
class CaseFigures:
    mean_distance_px: float  # from where each part is to where it should be
    start_distance_px: float  # the same before the edit: the drag's length
    success: bool
    truth_psnr_db: float  # whole image
    inside_psnr_db: float  # the same, inside the mask only
    outside_mae: float  # 0..255, uncomposited picture against the source, outside the mask


def measure(case: DragCase, image: ByteImage, raw: ByteImage) -> CaseFigures:
    """Figures of one edit; `raw` is the model's picture before compositing."""
    distances = [math.dist(locate(image, case, pair), pair[1]) for pair in case.point_pairs]
    inside = case.mask > 0
    return CaseFigures(
        mean_distance_px=float(np.mean(distances)),
        start_distance_px=case.drag_length,
        success=max(distances) <= max(SUCCESS_PX, SUCCESS_SHARE * case.drag_length),
        truth_psnr_db=psnr_db(image, case.truth),
        inside_psnr_db=psnr_db(image[inside], case.truth[inside]),
        outside_mae=float(np.abs(_levels(raw) - _levels(case.image))[~inside].mean()),
    )


def psnr_db(result: ByteImage, truth: ByteImage) -> float:
    error = float(np.square(_levels(result) - _levels(truth)).mean())
    return min(_PSNR_LIMIT_DB, 10 * math.log10(255**2 / max(error, 1e-9)))


def locate(image: ByteImage, case: DragCase, point_pair: PointPair) -> ImagePoint:
    """Where the part that should go from handle to target is seen in `image`.

    The part has two known appearances: round the handle in the source and round the target in the
    truth (a lip that closes, a nose that turns look different there). Whichever is found with the
    smaller difference says where the part is.
    """
    handle, target = point_pair
    found = [
        _find(image, case, case.image, handle),
        _find(image, case, case.truth, target),
    ]
    return min(found, key=lambda place: place.difference).point


@dataclass(frozen=True, slots=True)
class _Found:
    point: ImagePoint
    difference: float


def _find(image: ByteImage, case: DragCase, shown: ByteImage, point: ImagePoint) -> _Found:
    """Template matching of what `shown` has at `point`, in the mask's neighbourhood of `image`.

    Bell-shaped weights let the part count more than its background.
    """
    reach = round(case.part_radius)
    column, row = math.floor(point[0]), math.floor(point[1])
    template = _patch(_features(shown), row, column, reach)
    rows, columns = _search_range(case.mask)
    field = _padded(_features(image), rows, columns, reach)
    cost = _matching_cost(field, template, _bell(reach, case.part_radius * 0.6))
    best_row, best_column = _refined_minimum(cost)
    place = (
        point[0] + columns.start + best_column - column,
        point[1] + rows.start + best_row - row,
    )
    return _Found(place, float(cost.min()))


def _levels(image: ByteImage) -> FloatImage:
    return image.astype(np.float32)


def _features(image: ByteImage) -> FloatImage:
    """Colour, and colour gradients that do not depend on the background's brightness: (h, w, 9)."""
    colour = _levels(image) / 255
    down, right = np.gradient(colour, axis=(0, 1))
    features: FloatImage = np.concatenate([colour, 2 * down, 2 * right], -1).astype(np.float32)
    return features


def _patch(features: FloatImage, row: int, column: int, reach: int) -> FloatImage:
    """The square of side 2 reach + 1 round a pixel; the border's pixels are repeated outside."""
    padded = np.pad(features, ((reach, reach), (reach, reach), (0, 0)), mode="edge")
    return padded[row : row + 2 * reach + 1, column : column + 2 * reach + 1]


def _search_range(mask: ByteImage) -> tuple[slice, slice]:
    """Rows and columns of the mask's bounding box: a part cannot leave the mask."""
    rows, columns = np.nonzero(mask)
    return slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)


def _padded(features: FloatImage, rows: slice, columns: slice, reach: int) -> FloatImage:
    """The search range and a border of `reach` pixels round it."""
    padded = np.pad(features, ((reach, reach), (reach, reach), (0, 0)), mode="edge")
    return padded[rows.start : rows.stop + 2 * reach, columns.start : columns.stop + 2 * reach]


def _bell(reach: int, deviation: float) -> FloatImage:
    """Gaussian weights with sum 1: (2 reach + 1, 2 reach + 1)."""
    offset = np.arange(-reach, reach + 1)
    line = np.exp(-(offset**2) / (2 * deviation**2))
    bell: FloatImage = (np.outer(line, line) / line.sum() ** 2).astype(np.float32)
    return bell


def _matching_cost(field: FloatImage, template: FloatImage, weights: FloatImage) -> FloatImage:
    """Weighted squared difference of the template at every place: one row of places at a time."""
    height, width, _ = template.shape
    windows = np.lib.stride_tricks.sliding_window_view(field, (height, width), axis=(0, 1))
    pattern = template.transpose(2, 0, 1)
    rows = [
        np.einsum("xchw,hw->x", np.square(row - pattern), weights, optimize=True) for row in windows
    ]
    return np.stack(rows)


def _refined_minimum(cost: FloatImage) -> tuple[float, float]:
    """Row and column of the minimum, to a fraction of a pixel by a parabola on each axis."""
    row, column = np.unravel_index(int(cost.argmin()), cost.shape)
    return (
        row + _parabola_offset(cost[:, column], int(row)),
        column + _parabola_offset(cost[row], int(column)),
    )


def _parabola_offset(line: FloatImage, place: int) -> float:
    if not 0 < place < len(line) - 1:
        return 0.0
    before, here, after = (float(value) for value in line[place - 1 : place + 2])
    curvature = before - 2 * here + after
    return 0.5 * (before - after) / curvature if curvature > 0 else 0.0
