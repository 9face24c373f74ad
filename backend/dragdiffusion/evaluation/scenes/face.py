"""The face of a person, a cat or a bear that turns, nods, looks, speaks and may wear a hat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .drawing_lots import Lots
from .primitives import (
    BACKDROPS,
    PALETTE,
    PIXEL_X,
    PIXEL_Y,
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

SKIN_TONES = {
    "light": rgb(0.97, 0.80, 0.68),
    "tan": rgb(0.84, 0.62, 0.45),
    "dark": rgb(0.52, 0.35, 0.25),
}
LIP_COLOUR = rgb(0.42, 0.08, 0.10)
TONGUE_COLOUR = rgb(0.88, 0.36, 0.38)
BLUSH_COLOUR = rgb(0.95, 0.45, 0.42)


@dataclass(frozen=True, slots=True)
class Face:
    """Lengths in pixels; yaw, pitch and smile -1..1; opening of eyes and mouth 0..1."""

    noise_seed: int
    species: str
    backdrop: str
    x: float
    y: float
    radius: float
    aspect: float  # height of the head over its width
    yaw: float
    pitch: float
    eye_opening: float
    mouth_opening: float
    smile: float
    has_hat: bool
    hat_height: float
    skin_tone: str
    hair: str
    fur: str
    shirt: str
    hat: str

    @classmethod
    def sample(cls, lots: Lots) -> Face:
        return cls(
            noise_seed=lots.seed(),
            species=lots.one_of(("person", "cat", "bear")),
            backdrop=lots.one_of(BACKDROPS),
            x=lots.between(46, 82),
            y=lots.between(56, 74),
            radius=lots.between(27, 36),
            aspect=lots.between(0.98, 1.15),
            yaw=lots.between(-1, 1),
            pitch=lots.between(-1, 1),
            eye_opening=lots.between(0.35, 1),
            mouth_opening=lots.between(0, 1) if lots.chance(0.75) else 0.0,
            smile=lots.between(-0.6, 1),
            has_hat=lots.chance(0.5),
            hat_height=lots.between(16, 34),
            skin_tone=lots.one_of(tuple(SKIN_TONES)),
            hair=lots.one_of(("black", "brown", "orange", "yellow")),
            fur=lots.one_of(("orange", "gray", "brown", "white")),
            shirt=lots.one_of(("red", "blue", "green", "white", "purple")),
            hat=lots.one_of(("red", "blue", "green", "purple", "black")),
        )

    @property
    def caption(self) -> str:
        subject = (
            f"a {self.species} face" if self.is_person else f"a {self.fur} {self.species} face"
        )
        if self.has_hat:
            subject += f" with a {self.hat} hat"
        elif self.is_person:
            subject += f" with {self.hair} hair"
        return f"{subject}, {self.backdrop} background"

    @property
    def is_person(self) -> bool:
        return self.species == "person"

    @property
    def radius_y(self) -> float:
        return self.radius * self.aspect

    @property
    def middle_x(self) -> float:
        """x of the face's middle line, which the yaw moves across the head."""
        return self.x + self.yaw * self.radius * 0.30

    @property
    def middle_y(self) -> float:
        return self.y + self.pitch * self.radius * 0.12

    @property
    def skin(self) -> FloatArray:
        return SKIN_TONES[self.skin_tone] if self.is_person else PALETTE[self.fur] * 0.9 + 0.06

    def paint(self) -> tuple[FloatArray, KeyPoints]:
        canvas = _backdrop(self)
        _paint_body(canvas, self)
        _paint_behind_head[self.species](canvas, self)
        head = Ellipse(self.x, self.y, self.radius, self.radius_y)
        draw_ellipse(canvas, head, self.skin, Finish(light=0.42))
        _paint_complexion(canvas, self)
        key_points: KeyPoints = {"head": (self.x, self.y)}
        for side, name in ((-1, "left_eye"), (1, "right_eye")):
            key_points[name] = _paint_eye(canvas, self, side)
        key_points["nose"] = _paint_nose(canvas, self)
        key_points |= _paint_mouth(canvas, self)
        if self.has_hat:
            key_points["hat"] = _paint_hat(canvas, self)
        return canvas, key_points


def _backdrop(face: Face) -> FloatArray:
    colour = PALETTE[face.backdrop]
    return vertical_gradient(colour * 0.55 + 0.42, colour * 0.85 + 0.05) + 0.03 * smooth_noise(
        face.noise_seed, 6
    )


def _paint_body(canvas: FloatArray, face: Face) -> None:
    draw_ellipse(canvas, Ellipse(face.x, 138, 44, 38), PALETTE[face.shirt], Finish(light=0.35))
    top, bottom = (face.x, face.y + face.radius_y * 0.7), (face.x, 106.0)
    neck = Segment(top, bottom, face.radius * 0.30, face.radius * 0.34)
    draw_segment(canvas, neck, face.skin * 0.82)


def _paint_hair_and_ears(canvas: FloatArray, face: Face) -> None:
    behind_x, radius = face.x - face.yaw * 2, face.radius
    hair = Ellipse(behind_x, face.y - 4, radius * 1.12, face.radius_y * 1.10)
    draw_ellipse(canvas, hair, PALETTE[face.hair], Finish(light=0.3))
    for side in (-1, 1):
        ear = Ellipse(behind_x + side * radius * 0.98, face.y + 3, radius * 0.17, radius * 0.22)
        draw_ellipse(canvas, ear, face.skin * 0.9)


def _paint_cat_ears(canvas: FloatArray, face: Face) -> None:
    y, height = face.y, face.radius_y
    for side in (-1, 1):
        x = face.x + side * face.radius * 0.62 - face.yaw * 3
        reach = side * face.radius
        outer = [
            (x + reach * 0.22, y - height * 1.32),
            (x + reach * 0.32, y - height * 0.35),
            (x - reach * 0.48, y - height * 0.72),
        ]
        inner = [
            (x + reach * 0.18, y - height * 1.15),
            (x + reach * 0.20, y - height * 0.50),
            (x - reach * 0.26, y - height * 0.76),
        ]
        draw_triangle(canvas, outer, face.skin * 0.85)
        draw_triangle(canvas, inner, PALETTE["pink"] * 0.95)


def _paint_bear_ears(canvas: FloatArray, face: Face) -> None:
    radius = face.radius
    for side in (-1, 1):
        x = face.x + side * radius * 0.74 - face.yaw * 3
        outer_y, inner_y = face.y - face.radius_y * 0.78, face.y - face.radius_y * 0.76
        draw_disc(canvas, (x, outer_y), radius * 0.34, face.skin * 0.85, Finish(light=0.25))
        draw_disc(canvas, (x, inner_y), radius * 0.19, PALETTE["pink"] * 0.8 + 0.1)


_paint_behind_head = {
    "person": _paint_hair_and_ears,
    "cat": _paint_cat_ears,
    "bear": _paint_bear_ears,
}


def _paint_complexion(canvas: FloatArray, face: Face) -> None:
    """Fringe and blush of a person, the pale snout of an animal."""
    x, y, radius = face.middle_x, face.middle_y, face.radius
    if not face.is_person:
        snout = Ellipse(x, y + radius * 0.40, radius * 0.52, radius * 0.40)
        draw_ellipse(canvas, snout, np.clip(face.skin * 0.5 + 0.5, 0, 1), Finish(light=0.15))
        return
    if not face.has_hat:
        _paint_fringe(canvas, face)
    for side in (-1, 1):
        cheek = Ellipse(x + side * radius * 0.55, y + radius * 0.26, radius * 0.17, radius * 0.12)
        draw_ellipse(canvas, cheek, BLUSH_COLOUR, Finish(softness=4, opacity=0.40))


def _paint_fringe(canvas: FloatArray, face: Face) -> None:
    """Hair on the forehead: inside the head, above a parabola that follows the yaw."""
    radius, radius_y = face.radius, face.radius_y
    where = window(face.x - radius - 2, face.y - radius_y - 2, face.x + radius + 2, face.y)
    dx, dy = PIXEL_X[where] - face.x, PIXEL_Y[where] - face.y
    from_head = (np.sqrt((dx / radius) ** 2 + (dy / radius_y) ** 2) - 1) * radius
    lower_edge = -radius_y * 0.48 - 2 + 0.144 / radius * (PIXEL_X[where] - face.middle_x) ** 2
    cover = np.minimum(coverage(from_head), coverage(dy - lower_edge))
    blend(canvas, where, cover, PALETTE[face.hair] * 0.95)


def _paint_eye(canvas: FloatArray, face: Face, side: int) -> tuple[float, float]:
    radius, opening = face.radius, face.eye_opening
    x, y = face.middle_x + side * radius * 0.40, face.middle_y - radius * 0.15
    white = Ellipse(x, y, radius * 0.19, radius * 0.22 * opening + 0.6)
    draw_ellipse(canvas, white, PALETTE["white"])
    look_x, pupil_radius = x + face.yaw * radius * 0.05, radius * 0.125
    pupil = Ellipse(look_x, y, pupil_radius, min(pupil_radius, radius * 0.22 * opening + 0.4))
    draw_ellipse(canvas, pupil, PALETTE["black"])
    glint = (look_x - 1.2, y - 1.2 * opening)
    draw_disc(canvas, glint, 1.1, PALETTE["white"], Finish(opacity=opening))
    brow_y, outer_drop = y - radius * 0.30, 0.5
    left = (x - radius * 0.17, brow_y - (outer_drop if side < 0 else 0))
    right = (x + radius * 0.17, brow_y - (outer_drop if side > 0 else 0))
    draw_segment(canvas, Segment(left, right, 1.1, 1.1), face.skin * 0.4)
    return x, y


def _paint_nose(canvas: FloatArray, face: Face) -> tuple[float, float]:
    radius = face.radius
    x, y = face.middle_x + face.yaw * radius * 0.05, face.middle_y + radius * 0.13
    if face.is_person:
        draw_ellipse(
            canvas, Ellipse(x, y, radius * 0.10, radius * 0.13), face.skin * 0.8, NOSE_SKIN
        )
    else:
        draw_ellipse(
            canvas, Ellipse(x, y, radius * 0.15, radius * 0.10), PALETTE["black"], NOSE_FUR
        )
    return x, y


NOSE_SKIN = Finish(light=0.2)
NOSE_FUR = Finish(light=0.1)


def _paint_mouth(canvas: FloatArray, face: Face) -> KeyPoints:
    """Lips are parabolas over the half width; the smile bends both, the opening parts them."""
    radius, x = face.radius, face.middle_x
    half_width, opening = radius * 0.40, face.mouth_opening * radius * 0.24
    rest_y, bend = face.middle_y + radius * 0.46, face.smile * radius * 0.10
    where = window(
        x - half_width - 4, rest_y - radius * 0.35, x + half_width + 4, rest_y + radius * 0.6
    )
    aside = np.clip((PIXEL_X[where] - x) / half_width, -1.2, 1.2)
    y, bulge = PIXEL_Y[where], 1 - aside * aside
    line_y = rest_y + bend * (1 - 2 * aside * aside)
    upper_y, lower_y = line_y - opening * 0.25 * bulge, line_y + opening * 1.3 * bulge
    from_corner = (np.abs(aside) - 1) * half_width
    lips = np.maximum.reduce([upper_y - 1.3 - y, y - lower_y - 1.3, from_corner])
    blend(canvas, where, coverage(lips), LIP_COLOUR)
    if opening > 2:
        tongue_edge = from_corner + 0.2 * half_width
        tongue = np.maximum.reduce([lower_y - opening * 0.55 - y, y - lower_y, tongue_edge])
        blend(canvas, where, coverage(tongue, 1.5), TONGUE_COLOUR)
    return {
        "mouth": (x, rest_y + bend + opening * 0.5),
        "lip": (x, rest_y + bend + opening * 1.3),
    }


def _paint_hat(canvas: FloatArray, face: Face) -> tuple[float, float]:
    """A top hat with band and brim; its key point lies just below the upper edge."""
    x, radius, colour = face.x, face.radius, PALETTE[face.hat]
    brim_y = face.y - face.radius_y * 0.62
    top_y = brim_y - face.hat_height
    where = window(x - radius * 0.8, top_y - 3, x + radius * 0.8, brim_y + 2)
    dx, dy = PIXEL_X[where] - x, PIXEL_Y[where] - brim_y
    from_side = np.abs(dx) - radius * 0.66 + dy * 0.06
    crown = np.maximum.reduce([from_side, top_y - PIXEL_Y[where], dy])
    shade = 1.05 - 0.4 * np.clip(dx / radius + 0.4, 0, 1)
    blend(canvas, where, coverage(crown), np.clip(colour * shade[..., None], 0, 1))
    band = Segment((x - radius * 0.61, brim_y - 3), (x + radius * 0.61, brim_y - 3), 2.4, 2.4)
    draw_segment(canvas, band, colour * 0.5 + 0.35)
    brim = Ellipse(x, brim_y + 1, radius * 1.05, 4.0)
    draw_ellipse(canvas, brim, colour * 0.8, Finish(light=0.3))
    return x, top_y + 4
