"""A flower on a bent stem with one leaf."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from .drawing_lots import Lots
from .primitives import (
    PALETTE,
    PIXEL_X,
    PIXEL_Y,
    SIZE,
    Ellipse,
    Finish,
    FloatArray,
    Segment,
    blend,
    coverage,
    draw_disc,
    draw_ellipse,
    draw_segment,
    rgb,
    smooth_noise,
    vertical_gradient,
    window,
)

KeyPoints = dict[str, tuple[float, float]]

STEM_COLOUR = rgb(0.22, 0.50, 0.20)
STEM_PIECES = 8


@dataclass(frozen=True, slots=True)
class Flower:
    """Lengths in pixels, angles in radians."""

    noise_seed: int
    backdrop: str
    petals: str
    heart: str
    head_x: float
    head_y: float
    radius: float
    foot_x: float
    turn: float
    leaf_side: int  # -1 left, 1 right
    ground_y: float

    @classmethod
    def sample(cls, lots: Lots) -> Flower:
        return cls(
            noise_seed=lots.seed(),
            backdrop=lots.one_of(("blue", "pink", "yellow", "teal", "gray")),
            petals=lots.one_of(("red", "orange", "pink", "purple", "white", "blue")),
            heart=lots.one_of(("yellow", "brown")),
            head_x=lots.between(26, 102),
            head_y=lots.between(28, 66),
            radius=lots.between(17, 26),
            foot_x=lots.between(44, 84),
            turn=lots.between(0, 2 * np.pi / 6),
            leaf_side=lots.sign(),
            ground_y=lots.between(104, 114),
        )

    @property
    def caption(self) -> str:
        return f"a {self.petals} flower, {self.backdrop} background"

    def paint(self) -> tuple[FloatArray, KeyPoints]:
        canvas = _backdrop(self)
        _paint_ground(canvas, self)
        _paint_stem(canvas, self)
        _paint_head(canvas, self)
        return canvas, {"flower": (self.head_x, self.head_y)}


def _backdrop(flower: Flower) -> FloatArray:
    colour = PALETTE[flower.backdrop]
    return vertical_gradient(colour * 0.5 + 0.45, colour * 0.35 + 0.62) + 0.035 * smooth_noise(
        flower.noise_seed, 6
    )


def _paint_ground(canvas: FloatArray, flower: Flower) -> None:
    horizon = flower.ground_y + 2 * np.sin(PIXEL_X * 0.06 + flower.foot_x)
    depth = np.clip((PIXEL_Y - flower.ground_y) / 24, 0, 1)[..., None]
    grain = smooth_noise(flower.noise_seed + 1, 11)
    colour = PALETTE["green"] * 0.8 * (1.15 - 0.5 * depth) + 0.03 * grain
    blend(canvas, window(0, 0, SIZE, SIZE), coverage(horizon - PIXEL_Y), colour)


def _stem_points(flower: Flower) -> list[tuple[float, float]]:
    """A quadratic Bézier curve that leaves the ground upright and ends in the head."""
    foot_y = flower.ground_y + 6
    middle_y = (foot_y + flower.head_y) / 2
    points = []
    for share in np.linspace(0, 1, STEM_PIECES + 1):
        start, middle, end = (1 - share) ** 2, 2 * share * (1 - share), share**2
        x = (start + middle) * flower.foot_x + end * flower.head_x
        points.append((float(x), float(start * foot_y + middle * middle_y + end * flower.head_y)))
    return points


def _paint_stem(canvas: FloatArray, flower: Flower) -> None:
    points = _stem_points(flower)
    for start, end in pairwise(points):
        draw_segment(canvas, Segment(start, end, 2.1, 2.1), STEM_COLOUR)
    x, y = points[3]
    side = flower.leaf_side
    leaf = Ellipse(x + side * 9, y - 3, 10, 4, tilt=-side * 0.5)
    draw_ellipse(canvas, leaf, STEM_COLOUR * 1.15, Finish(light=0.3))


def _paint_head(canvas: FloatArray, flower: Flower) -> None:
    """Six petals: a circle whose radius swings six times a turn."""
    x, y, radius = flower.head_x, flower.head_y, flower.radius
    reach = radius + 3
    where = window(x - reach, y - reach, x + reach, y + reach)
    dx, dy = PIXEL_X[where] - x, PIXEL_Y[where] - y
    from_heart = np.sqrt(dx * dx + dy * dy + 1e-6)
    swing = np.cos(6 * (np.arctan2(dy, dx) + flower.turn))
    # The outline is oblique to the radius between petals: 0.75 makes the ramp one pixel wide.
    distance = (from_heart - radius * (0.74 + 0.26 * swing)) * 0.75
    shade = 0.72 + 0.36 * from_heart / radius - 0.08 * (1 - swing) - 0.12 * dy / radius
    colour = np.clip(PALETTE[flower.petals] * shade[..., None], 0, 1)
    blend(canvas, where, coverage(distance), colour)
    draw_disc(canvas, (x, y), radius * 0.34, PALETTE[flower.heart], Finish(light=0.45))
