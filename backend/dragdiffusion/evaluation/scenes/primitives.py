"""Anti-aliased drawing by signed distance, the ground on which every scene is painted.

All functions draw in place on a canvas (float32, SIZE x SIZE x 3, values 0..1). Coordinates are
image pixels as in GIMP paths: x is the left edge of pixel x, so the centre of pixel 0 is 0.5.
A signed distance is negative inside a shape and measured in pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIZE = 128  # pixels, side of a scene
_GRAIN = 0.03  # amplitude of each of its three waves, of 1

FloatArray = NDArray[np.floating[Any]]
Window = tuple[slice, slice]  # (rows, columns) of a canvas

_rows, _columns = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32)
PIXEL_X: FloatArray = _columns + 0.5  # x of every pixel's centre
PIXEL_Y: FloatArray = _rows + 0.5


@dataclass(frozen=True, slots=True)
class Sampling:
    """Where in every pixel the scene is sampled, from its centre, and how wide the sampled spot is (pixels)."""

    right: float = 0.0
    down: float = 0.0
    spot: float = 1.0


_sampling = Sampling()


@contextmanager
def sampled(at: Sampling) -> Iterator[None]:
    """Meanwhile all scenes are painted as seen at these places: spots side by side make a larger picture."""
    global _sampling
    kept = PIXEL_X.copy(), PIXEL_Y.copy(), _sampling
    PIXEL_X[:], PIXEL_Y[:], _sampling = PIXEL_X + at.right, PIXEL_Y + at.down, at
    try:
        yield
    finally:
        PIXEL_X[:], PIXEL_Y[:], _sampling = kept


def rgb(red: float, green: float, blue: float) -> FloatArray:
    """A colour with components 0..1."""
    return np.array((red, green, blue), np.float32)


PALETTE: dict[str, FloatArray] = {
    "red": rgb(0.86, 0.20, 0.18),
    "orange": rgb(0.96, 0.55, 0.14),
    "yellow": rgb(0.98, 0.84, 0.22),
    "green": rgb(0.27, 0.66, 0.31),
    "blue": rgb(0.22, 0.46, 0.86),
    "purple": rgb(0.55, 0.30, 0.75),
    "pink": rgb(0.95, 0.52, 0.68),
    "white": rgb(0.95, 0.94, 0.92),
    "brown": rgb(0.50, 0.32, 0.19),
    "gray": rgb(0.55, 0.57, 0.62),
    "black": rgb(0.13, 0.12, 0.15),
    "teal": rgb(0.15, 0.62, 0.64),
}
BACKDROPS = ("blue", "green", "pink", "yellow", "purple", "orange", "teal", "gray")


@dataclass(frozen=True, slots=True)
class Finish:
    """How a surface is painted."""

    light: float = 0.0  # 0 flat … 1 strongly lit from the upper left
    softness: float = 1.0  # px, width of the edge's ramp
    opacity: float = 1.0


MATTE = Finish()


@dataclass(frozen=True, slots=True)
class Ellipse:
    """Centre and radii in pixels, tilt in radians."""

    x: float
    y: float
    radius_x: float
    radius_y: float
    tilt: float = 0.0


@dataclass(frozen=True, slots=True)
class Segment:
    """A line from start to end with round caps; the thickness may change along it."""

    start: tuple[float, float]
    end: tuple[float, float]
    start_radius: float
    end_radius: float


def window(left: float, top: float, right: float, bottom: float) -> Window:
    """The pixels of a box, cut at the canvas (an empty window where the box is outside)."""
    columns = slice(*np.clip((np.floor(left), np.ceil(right)), 0, SIZE).astype(int).tolist())
    rows = slice(*np.clip((np.floor(top), np.ceil(bottom)), 0, SIZE).astype(int).tolist())
    return rows, columns


def coverage(distance: FloatArray, softness: float = 1.0) -> FloatArray:
    """Share of each sampled spot that a shape covers, from the signed distance to its edge; a softness of 1 is the pixel's own."""
    return np.clip(0.5 - distance / (softness - (1 - _sampling.spot)), 0.0, 1.0)


def blend(canvas: FloatArray, where: Window, cover: FloatArray, colour: FloatArray) -> None:
    """Lay a colour (3, or h w 3) over the window with the given cover (h w)."""
    part = canvas[where]
    part += cover[..., None] * (colour - part)


def draw_ellipse(
    canvas: FloatArray, shape: Ellipse, colour: FloatArray, finish: Finish = MATTE
) -> None:
    """Draw an ellipse; its distance is exact for a disc and close enough near the edge otherwise."""
    margin = max(shape.radius_x, shape.radius_y) + 2 + finish.softness
    where = window(shape.x - margin, shape.y - margin, shape.x + margin, shape.y + margin)
    dx, dy = PIXEL_X[where] - shape.x, PIXEL_Y[where] - shape.y
    colour = _grained(colour, dx, dy)
    along, across = _rotate(dx, dy, shape.tilt)
    unit = np.sqrt((along / shape.radius_x) ** 2 + (across / shape.radius_y) ** 2 + 1e-9)
    distance = (unit - 1) * min(shape.radius_x, shape.radius_y)
    if finish.light:
        colour = _lit(colour, dx / shape.radius_x, dy / shape.radius_y, finish.light)
    blend(canvas, where, coverage(distance, finish.softness) * finish.opacity, colour)


def draw_disc(
    canvas: FloatArray,
    centre: tuple[float, float],
    radius: float,
    colour: FloatArray,
    finish: Finish = MATTE,
) -> None:
    draw_ellipse(canvas, Ellipse(*centre, radius, radius), colour, finish)


def draw_segment(canvas: FloatArray, shape: Segment, colour: FloatArray) -> None:
    (x0, y0), (x1, y1) = shape.start, shape.end
    margin = max(shape.start_radius, shape.end_radius) + 2
    where = window(
        min(x0, x1) - margin, min(y0, y1) - margin, max(x0, x1) + margin, max(y0, y1) + margin
    )
    dx, dy = x1 - x0, y1 - y0
    from_x, from_y = PIXEL_X[where] - x0, PIXEL_Y[where] - y0
    along = np.clip((from_x * dx + from_y * dy) / (dx * dx + dy * dy + 1e-6), 0, 1)
    radius = shape.start_radius + (shape.end_radius - shape.start_radius) * along
    distance = np.sqrt((from_x - along * dx) ** 2 + (from_y - along * dy) ** 2) - radius
    blend(canvas, where, coverage(distance), colour)


def draw_triangle(
    canvas: FloatArray,
    corners: list[tuple[float, float]],
    colour: FloatArray,
    shade: float = 0.0,
) -> None:
    """Draw a triangle; `shade` brightens (> 0) or darkens it towards its lower edge."""
    points = np.array(corners, np.float32)
    (left, top), (right, bottom) = points.min(0), points.max(0)
    where = window(left - 4, top - 4, right + 4, bottom + 4)
    height = (PIXEL_Y[where] - top) / (bottom - top + 1e-6)
    colour = _grained(colour, PIXEL_X[where] - points[0, 0], PIXEL_Y[where] - points[0, 1])
    shaded = np.clip(colour * (1 + shade * (height - 0.5))[..., None], 0, 1)
    blend(canvas, where, coverage(_triangle_distance(points, where)), shaded)


def vertical_gradient(top: FloatArray, bottom: FloatArray, reach: float = 1.0) -> FloatArray:
    """A new canvas that goes from one colour to the other over `reach` of its height."""
    share = np.clip(PIXEL_Y / (SIZE * reach), 0, 1)[..., None]
    return _grained(top * (1 - share) + bottom * share, PIXEL_X, PIXEL_Y)


def smooth_noise(seed: int, cells: int) -> FloatArray:
    """Standard normal noise on cells x cells knots, smoothly interpolated: (SIZE, SIZE, 1)."""
    knots = np.random.default_rng(seed).normal(0, 1, (cells, cells)).astype(np.float32)
    rows = _interpolation_basis(cells, _sampling.down)
    return (rows @ knots @ _interpolation_basis(cells, _sampling.right).T)[..., None]


@lru_cache(maxsize=32)
def _interpolation_basis(cells: int, offset: float) -> FloatArray:
    """Weights (SIZE, cells) of smoothstep interpolation between equidistant knots, so far from the pixels' centres."""
    place = np.linspace(0, cells - 1, SIZE, dtype=np.float32)
    if offset:
        place = np.clip(place + np.float32(offset * (cells - 1) / (SIZE - 1)), 0, cells - 1)
    knot = np.clip(place.astype(int), 0, cells - 2)
    share = place - knot
    share = share * share * (3 - 2 * share)
    basis = np.zeros((SIZE, cells), np.float32)
    rows = np.arange(SIZE)
    basis[rows, knot] = 1 - share
    basis[rows, knot + 1] = share
    return basis


def _grained(colour: FloatArray, dx: FloatArray, dy: FloatArray) -> FloatArray:
    """A texture that belongs to the surface, too fine for whole pixels: only smaller spots show it."""
    if _sampling.spot == 1:
        return colour
    weave = np.sin(5.3 * dx + 2.1 * dy) + np.sin(2.3 * dx - 5.7 * dy) + np.sin(6.1 * dx - 1.3 * dy)
    return colour + _GRAIN * weave[..., None]


def _rotate(dx: FloatArray, dy: FloatArray, tilt: float) -> tuple[FloatArray, FloatArray]:
    if not tilt:
        return dx, dy
    cosine, sine = float(np.cos(tilt)), float(np.sin(tilt))
    return cosine * dx + sine * dy, cosine * dy - sine * dx


def _lit(colour: FloatArray, dx: FloatArray, dy: FloatArray, light: float) -> FloatArray:
    """A rounded surface under a lamp at the upper left; dx, dy in units of the radii."""
    diffuse = 1 - light * 0.45 + light * 0.55 * (-0.55 * dx - 0.75 * dy)
    from_highlight = np.sqrt((dx + 0.38) ** 2 + (dy + 0.42) ** 2) / 0.55
    highlight = np.clip(1 - from_highlight, 0, 1) ** 2 * light * 0.35
    return np.clip(colour * diffuse[..., None] + highlight[..., None], 0, 1)


def _triangle_distance(points: FloatArray, where: Window) -> FloatArray:
    """Largest signed distance to the three edge lines: exact except beyond the corners."""
    first, second = points[1] - points[0], points[2] - points[0]
    winding = np.sign(first[0] * second[1] - first[1] * second[0])
    distances = []
    for index in range(3):
        corner = points[index]
        edge = points[(index + 1) % 3] - corner
        normal = winding * np.array((edge[1], -edge[0])) / (np.hypot(*edge) + 1e-6)
        distances.append(
            (PIXEL_X[where] - corner[0]) * normal[0] + (PIXEL_Y[where] - corner[1]) * normal[1]
        )
    return np.maximum.reduce(distances).astype(np.float32)
