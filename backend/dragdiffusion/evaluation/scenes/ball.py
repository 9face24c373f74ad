"""A ball that rests on the ground or floats above its shadow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .drawing_lots import Lots
from .primitives import (
    BACKDROPS,
    PALETTE,
    PIXEL_X,
    PIXEL_Y,
    SIZE,
    Ellipse,
    Finish,
    FloatArray,
    blend,
    coverage,
    draw_disc,
    draw_ellipse,
    rgb,
    smooth_noise,
    vertical_gradient,
    window,
)

KeyPoints = dict[str, tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Ball:
    """Lengths in pixels, angles in radians."""

    noise_seed: int
    backdrop: str
    ground: str
    colour: str
    x: float
    height: float  # of the ball's lowest point above the ground
    radius: float
    horizon: float  # y of the ground's far edge
    depth: float  # y distance from the horizon to the ball's foot
    banded: bool
    band_tilt: float

    @classmethod
    def sample(cls, lots: Lots) -> Ball:
        return cls(
            noise_seed=lots.seed(),
            backdrop=lots.one_of(BACKDROPS),
            ground=lots.one_of(("green", "brown", "gray", "teal", "yellow")),
            colour=lots.one_of(("red", "orange", "blue", "purple", "pink", "white", "green")),
            x=lots.between(24, 104),
            height=lots.between(0, 1) ** 1.5 * 40,
            radius=lots.between(13, 24),
            horizon=lots.between(66, 84),
            depth=lots.between(4, 24),
            banded=lots.chance(0.5),
            band_tilt=lots.between(-0.6, 0.6),
        )

    @property
    def caption(self) -> str:
        return f"a {self.colour} ball on {self.ground} ground, {self.backdrop} background"

    @property
    def foot_y(self) -> float:
        """y of the point on the ground below the ball."""
        return self.horizon + self.depth + 4

    @property
    def y(self) -> float:
        return self.foot_y - self.radius - self.height

    def paint(self) -> tuple[FloatArray, KeyPoints]:
        canvas = _backdrop(self)
        _paint_ground(canvas, self)
        _paint_shadow(canvas, self)
        draw_disc(canvas, (self.x, self.y), self.radius, PALETTE[self.colour], Finish(light=0.75))
        if self.banded:
            _paint_band(canvas, self)
        return canvas, {"ball": (self.x, self.y)}


def _backdrop(ball: Ball) -> FloatArray:
    colour = PALETTE[ball.backdrop]
    return vertical_gradient(colour * 0.6 + 0.38, colour * 0.7 + 0.18) + 0.03 * smooth_noise(
        ball.noise_seed, 6
    )


def _paint_ground(canvas: FloatArray, ball: Ball) -> None:
    nearness = np.clip((PIXEL_Y - ball.horizon) / (SIZE - ball.horizon), 0, 1)[..., None]
    grain = smooth_noise(ball.noise_seed + 1, 11)
    colour = PALETTE[ball.ground] * (0.70 + 0.32 * nearness) + 0.05 + 0.025 * grain
    everywhere = window(0, 0, SIZE, SIZE)
    blend(canvas, everywhere, coverage(ball.horizon - PIXEL_Y), colour)


def _paint_shadow(canvas: FloatArray, ball: Ball) -> None:
    """The higher the ball, the softer and fainter its shadow."""
    shape = Ellipse(ball.x + 5 + ball.height * 0.15, ball.foot_y, ball.radius, ball.radius * 0.26)
    finish = Finish(softness=5 + ball.height * 0.15, opacity=0.75 / (1 + ball.height / 40))
    draw_ellipse(canvas, shape, PALETTE[ball.ground] * 0.28, finish)


def _paint_band(canvas: FloatArray, ball: Ball) -> None:
    radius = ball.radius
    reach = radius + 1
    where = window(ball.x - reach, ball.y - reach, ball.x + reach, ball.y + reach)
    dx, dy = PIXEL_X[where] - ball.x, PIXEL_Y[where] - ball.y
    across = np.cos(ball.band_tilt) * dy - np.sin(ball.band_tilt) * dx
    inside_ball = coverage(np.sqrt(dx * dx + dy * dy) - radius)
    inside_band = coverage(np.abs(across + 0.004 * dx * dx) - radius * 0.18)
    light = (0.85 + 0.3 * (-0.55 * dx - 0.75 * dy) / radius)[..., None]
    colour = np.clip(rgb(0.97, 0.95, 0.90) * light, 0, 1)
    blend(canvas, where, inside_band * inside_ball, colour)
