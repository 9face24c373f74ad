"""What goes into an edit and what comes out: frozen values, no torch modules.

Two kinds of points never mix: `Point` in pixels of the user's image, continuous, with the centre of the top left pixel
at (0.5, 0.5); and `FeaturePoint` in (row, col) of the feature grid, where integers are the grid's samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dragdiffusion.engine.config import DragConfig, Generation
from dragdiffusion.engine.errors import InvalidRequest

Pixels = npt.NDArray[np.uint8]  # (h, w, channels) or, for masks, (h, w)


class Point(NamedTuple):
    """Image pixels; x to the right, y down; pixel centres at +0.5."""

    x: float
    y: float


class FeaturePoint(NamedTuple):
    """Feature pixels; samples of the grid at integers."""

    row: float
    col: float


class Rectangle(NamedTuple):
    """Image pixels, whole numbers."""

    x: int
    y: int
    width: int
    height: int

    @property
    def right(self) -> int:
        return self.x + self.width

    @property
    def bottom(self) -> int:
        return self.y + self.height


@dataclass(frozen=True)
class Trajectory:
    """The way of one handle point: first the handle, last the target, between them what is to be passed."""

    points: tuple[Point, ...]

    def __post_init__(self) -> None:
        if len(self.points) < 2:
            raise InvalidRequest(
                "A drag needs a handle point and a target point.", field="trajectories"
            )

    @property
    def handle(self) -> Point:
        return self.points[0]

    @property
    def target(self) -> Point:
        return self.points[-1]


@dataclass(frozen=True, eq=False)
class DragRequest:
    """One edit, complete: with the same model it always gives the same picture."""

    image: Pixels  # (h, w, 4) sRGB, straight alpha
    trajectories: tuple[Trajectory, ...]  # empty only where an image is just prepared
    mask: Pixels | None  # (h, w), 255 = may change, between = feather; None: everything may change
    prompt: str
    config: DragConfig
    region: Rectangle | None = None  # where the model works; None: planned from mask and points
    preview_every: int = 0  # iterations between decoded previews; 0: none
    include_raw: bool = False  # also give the model's picture before compositing
    generation: Generation | None = None  # how the image was made; None: not by the model


class Stage(str, Enum):
    """What an edit is busy with, in order."""

    QUEUED = "queued"
    LOADING_MODEL = "loading_model"
    SAMPLING = "sampling"
    WARPING = "warping"
    ENCODING = "encoding"
    FINE_TUNING = "fine_tuning"
    INVERTING = "inverting"
    DRAGGING = "dragging"
    DENOISING = "denoising"
    COMPOSITING = "compositing"


@dataclass(frozen=True)
class StageStep:
    """`step` of `steps` of this stage is done."""

    stage: Stage
    step: int
    steps: int


@dataclass(frozen=True)
class DragStep:
    """One iteration of motion supervision and point tracking is done."""

    step: int  # counted from 1
    max_steps: int
    loss: float
    handles: tuple[Point, ...]  # where each handle is now, image pixels


@dataclass(frozen=True, eq=False)
class Preview:
    """The picture as it would be if dragging stopped now, at the model's working size."""

    region: Rectangle
    image: Pixels  # (h, w, 3)


@dataclass(frozen=True, eq=False)
class EditedImage:
    """The result: what to lay over `region` of the image."""

    region: Rectangle
    image: Pixels  # (region.height, region.width, 4); alpha 0 where nothing changed
    raw: Pixels | None  # (region.height, region.width, 3), the model's picture before compositing
    drag_steps: int
    phase_seconds: dict[str, float]  # "encode", "lora", "inversion", "drag", "denoise", "decode"
    taken_early: bool = False  # the caller had enough before the dragging ended of itself


EditEvent = StageStep | DragStep | Preview
