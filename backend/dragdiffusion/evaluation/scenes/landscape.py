"""A mountain landscape: sky, sun or moon, two mountains, ground, perhaps a cloud and a tree."""

from __future__ import annotations

from dataclasses import dataclass

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
    draw_triangle,
    rgb,
    smooth_noise,
    vertical_gradient,
    window,
)

KeyPoints = dict[str, tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Sky:
    zenith: FloatArray
    horizon: FloatArray
    sun: FloatArray
    daylight: float  # brightness of what stands below the sky


SKIES = {
    "day": Sky(rgb(0.30, 0.56, 0.90), rgb(0.80, 0.91, 0.97), rgb(1.0, 0.88, 0.36), 1.0),
    "sunset": Sky(rgb(0.36, 0.25, 0.52), rgb(0.99, 0.62, 0.34), rgb(1.0, 0.45, 0.22), 1.0),
    "dawn": Sky(rgb(0.58, 0.62, 0.86), rgb(0.99, 0.80, 0.76), rgb(1.0, 0.70, 0.45), 1.0),
    "night": Sky(rgb(0.05, 0.07, 0.20), rgb(0.22, 0.25, 0.47), rgb(0.97, 0.96, 0.88), 0.45),
}
SKY_REACH = 0.8  # share of the height over which the sky's gradient runs

# Four puffs make a cloud: offset x, offset y, radius, in pixels at size 1.
CLOUD_PUFFS = ((-13, 2, 7), (-4, -4, 9.5), (7, -1, 8.5), (15, 3, 6))
# Three tiers make a tree: share of the crown's height at which a tier ends, from the lowest up.
TREE_TIERS = (1.0, 0.72, 0.42)


@dataclass(frozen=True, slots=True)
class Landscape:
    """Lengths in pixels; slopes are pixels down per pixel aside."""

    noise_seed: int
    sky: str
    sun_x: float
    sun_y: float
    sun_radius: float
    has_cloud: bool
    cloud_x: float
    cloud_y: float
    cloud_size: float
    peak_x: float
    peak_y: float
    peak_slope: float
    far_peak_x: float
    far_peak_y: float
    ground_y: float
    ground_swell: float
    ground_phase: float  # radians
    has_tree: bool
    tree_x: float
    tree_height: float
    mountain: str
    ground: str

    @classmethod
    def sample(cls, lots: Lots) -> Landscape:
        return cls(
            noise_seed=lots.seed(),
            sky=lots.one_of(tuple(SKIES)),
            sun_x=lots.between(14, 114),
            sun_y=lots.between(14, 50),
            sun_radius=lots.between(9, 14),
            has_cloud=lots.chance(0.5),
            cloud_x=lots.between(18, 110),
            cloud_y=lots.between(14, 44),
            cloud_size=lots.between(0.85, 1.3),
            peak_x=lots.between(22, 106),
            peak_y=lots.between(36, 74),
            peak_slope=lots.between(0.75, 1.25),
            far_peak_x=lots.between(0, 128),
            far_peak_y=lots.between(62, 84),
            ground_y=lots.between(96, 106),
            ground_swell=lots.between(2, 6),
            ground_phase=lots.between(0, 2 * np.pi),
            has_tree=lots.chance(0.65),
            tree_x=lots.between(16, 112),
            tree_height=lots.between(30, 46),
            mountain=lots.one_of(("blue", "gray", "purple", "brown")),
            ground=lots.one_of(("green", "yellow", "white")),
        )

    @property
    def caption(self) -> str:
        extras = ["a moon" if self.is_night else "a sun"]
        extras += ["a cloud"] * self.has_cloud + ["a tree"] * self.has_tree
        return f"a {self.mountain} mountain at {self.sky} with " + " and ".join(extras)

    @property
    def is_night(self) -> bool:
        return self.sky == "night"

    def ground_line(self, x: FloatArray | float) -> FloatArray:
        """y of the ground's upper edge at x."""
        return self.ground_y + self.ground_swell * np.sin(np.multiply(x, 0.05) + self.ground_phase)

    def paint(self) -> tuple[FloatArray, KeyPoints]:
        canvas = _sky(self)
        _paint_sun(canvas, self)
        key_points = {
            "sun": (self.sun_x, self.sun_y),
            "peak": (self.peak_x, self.peak_y + 3),
        }
        if self.has_cloud:
            _paint_cloud(canvas, self)
            key_points["cloud"] = (self.cloud_x, self.cloud_y)
        _paint_far_mountain(canvas, self)
        _paint_near_mountain(canvas, self)
        _paint_ground(canvas, self)
        if self.has_tree:
            key_points["tree"] = _paint_tree(canvas, self)
        return canvas, key_points


def _sky(scene: Landscape) -> FloatArray:
    sky = SKIES[scene.sky]
    noise = smooth_noise(scene.noise_seed, 6)
    return vertical_gradient(sky.zenith, sky.horizon, SKY_REACH) + 0.022 * noise


def _paint_sun(canvas: FloatArray, scene: Landscape) -> None:
    colour = SKIES[scene.sky].sun
    from_centre = np.sqrt((PIXEL_X - scene.sun_x) ** 2 + (PIXEL_Y - scene.sun_y) ** 2)
    strength = 0.3 if scene.is_night else 0.5
    glow = np.exp(-np.clip(from_centre - scene.sun_radius, 0, None) / 10) * strength
    blend(canvas, window(0, 0, SIZE, SIZE), glow, colour)
    draw_disc(canvas, (scene.sun_x, scene.sun_y), scene.sun_radius, colour, Finish(light=0.25))


def _paint_cloud(canvas: FloatArray, scene: Landscape) -> None:
    x, y, size = scene.cloud_x, scene.cloud_y, scene.cloud_size
    where = window(x - 26 * size, y - 16 * size, x + 26 * size, y + 14 * size)
    dx, dy = PIXEL_X[where] - x, PIXEL_Y[where] - y
    distance = np.minimum.reduce(
        [
            np.sqrt((dx - puff_x * size) ** 2 + ((dy - puff_y * size) * 1.15) ** 2) - radius * size
            for puff_x, puff_y, radius in CLOUD_PUFFS
        ]
    )
    colour = rgb(0.42, 0.44, 0.58) if scene.is_night else rgb(0.98, 0.97, 0.98)
    shade = 1 - 0.20 * np.clip((dy + 6 * size) / (14 * size), 0, 1)
    blend(canvas, where, coverage(distance, 2.2) * 0.95, colour * shade[..., None])


def _paint_far_mountain(canvas: FloatArray, scene: Landscape) -> None:
    peak = (scene.far_peak_x, scene.far_peak_y)
    rock = _rock_colour(scene, peak, haze=0.55)
    blend(canvas, window(0, 0, SIZE, SIZE), _mountain_cover(peak, 1.5), rock)


def _paint_near_mountain(canvas: FloatArray, scene: Landscape) -> None:
    peak = (scene.peak_x, scene.peak_y)
    rock = _rock_colour(scene, peak, haze=0.12)
    snow_line = scene.peak_y + 13 + 3.0 * np.sin(PIXEL_X * 0.8 + scene.peak_x)
    snow_cover = coverage(PIXEL_Y - snow_line, 1.5)[..., None]
    brightness = (0.6 if scene.is_night else 1.0) * (1 - 0.18 * _shadow_side(peak)[..., None])
    rock += snow_cover * (rgb(0.96, 0.97, 1.0) * brightness - rock)
    blend(canvas, window(0, 0, SIZE, SIZE), _mountain_cover(peak, scene.peak_slope), rock)


def _mountain_cover(peak: tuple[float, float], slope: float) -> FloatArray:
    """Cover of a cone with slightly jagged flanks."""
    aside = np.abs(PIXEL_X - peak[0])
    jag = 1.6 * np.sin(PIXEL_X * 0.55 + peak[0]) * np.clip(aside / 10, 0, 1)
    flank_y = peak[1] + aside * slope + jag
    return coverage((flank_y - PIXEL_Y) / np.sqrt(1 + slope * slope))


def _shadow_side(peak: tuple[float, float]) -> FloatArray:
    """1 right of the wavy ridge that runs down from the peak, 0 left of it."""
    ridge_x = peak[0] + 4 * np.sin((PIXEL_Y - peak[1]) * 0.16)
    return np.clip(0.5 + (PIXEL_X - ridge_x) / 3, 0, 1)


def _rock_colour(scene: Landscape, peak: tuple[float, float], *, haze: float) -> FloatArray:
    """Lit and shaded flank; haze mixes in the horizon, more towards the mountain's foot."""
    sky = SKIES[scene.sky]
    depth = np.clip((PIXEL_Y - peak[1]) / 60, 0, 1)[..., None]
    shade = (1.06 - 0.42 * _shadow_side(peak)[..., None]) * (1 - 0.12 * depth)
    colour = PALETTE[scene.mountain] * sky.daylight * shade
    colour = colour * (1 - haze) + sky.horizon * haze
    return colour + (sky.horizon - colour) * (0.35 * depth)


def _paint_ground(canvas: FloatArray, scene: Landscape) -> None:
    edge = scene.ground_line(PIXEL_X)
    brightness = 0.4 if scene.is_night else 0.95
    depth = np.clip((PIXEL_Y - edge) / 40, 0, 1)[..., None]
    grain = smooth_noise(scene.noise_seed + 1, 11)
    colour = PALETTE[scene.ground] * brightness * (1.08 - 0.5 * depth) + 0.02 * grain
    blend(canvas, window(0, 0, SIZE, SIZE), coverage(edge - PIXEL_Y), colour)


def _paint_tree(canvas: FloatArray, scene: Landscape) -> tuple[float, float]:
    """Paint the fir tree with its shadow; returns its key point, the middle of the crown."""
    dim = 0.5 if scene.is_night else 1.0
    x, foot_y = scene.tree_x, float(scene.ground_line(scene.tree_x)) + 5
    top_y, crown = foot_y - scene.tree_height, scene.tree_height - 5
    shadow_colour = PALETTE[scene.ground] * 0.45 * (0.4 if scene.is_night else 0.95)
    shadow = Ellipse(x + 3, foot_y + 0.5, scene.tree_height * 0.32, 2.4)
    draw_ellipse(canvas, shadow, shadow_colour, Finish(softness=2.5, opacity=0.7))
    trunk = Segment((x, foot_y - 6), (x, foot_y), 2.2, 2.8)
    draw_segment(canvas, trunk, PALETTE["brown"] * (0.5 if scene.is_night else 0.8))
    for tier, end in enumerate(TREE_TIERS):
        lower_y, upper_y = top_y + crown * end, top_y + crown * max(0.0, end - 0.48)
        half_width = scene.tree_height * 0.36 * (end * 0.75 + 0.25)
        corners = [(x, upper_y), (x + half_width, lower_y), (x - half_width, lower_y)]
        needles = rgb(0.10, 0.36, 0.22) * dim * (1 + 0.12 * tier)
        draw_triangle(canvas, corners, needles, shade=-0.35)
    return x, top_y + scene.tree_height * 0.5
