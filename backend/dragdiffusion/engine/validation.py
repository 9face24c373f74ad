"""What an edit refuses before any work: requests that can never work, each with a sentence that says what to change."""

from __future__ import annotations

import math

import numpy as np

from dragdiffusion.engine import geometry, images
from dragdiffusion.engine.drag_types import DragRequest, Point, Rectangle, Trajectory
from dragdiffusion.engine.errors import InvalidRequest


def validate(request: DragRequest) -> None:
    """Raises InvalidRequest for what can never work."""
    validate_image(request)
    if not request.trajectories:
        raise InvalidRequest(
            "Nothing to drag: set at least one handle point and its target.", field="trajectories"
        )
    for i, trajectory in enumerate(request.trajectories):
        _validate_trajectory(request, trajectory, field=f"trajectories[{i}]")


def validate_image(request: DragRequest) -> None:
    image, mask, region = request.image, request.mask, request.region
    if image.ndim != 3 or image.shape[2] != 4 or image.dtype != np.uint8 or not image.size:
        raise InvalidRequest("The image must be RGBA with 8 bits a channel.", field="image")
    if mask is not None and mask.shape != image.shape[:2]:
        raise InvalidRequest(
            f"The mask is {_size(mask)} pixels, the image {_size(image)}: they must be of one size.",
            field="mask",
        )
    if mask is not None and not mask.any():
        raise InvalidRequest(
            "The mask is empty, so nothing may change: select what may, or use no mask.",
            field="mask",
        )
    whole = Rectangle(0, 0, image.shape[1], image.shape[0])
    if region is not None and not _encloses(whole, region):
        raise InvalidRequest("The region must lie inside the image.", field="region")
    if region is not None and mask is not None and not images.crop(mask, region).any():
        raise InvalidRequest("The mask is empty inside the region.", field="region")
    _validate_generation(request)


def _validate_generation(request: DragRequest) -> None:
    generation = request.generation
    if generation is None:
        return
    height, width = request.image.shape[:2]
    if (width, height) != (generation.width, generation.height):
        raise not_this_image()
    if request.region not in (None, Rectangle(0, 0, width, height)):
        raise InvalidRequest(
            "A generated image is worked on as a whole: leave the region unset.", field="region"
        )
    if request.config != generation.settle(request.config):
        raise InvalidRequest(
            "The hyper-parameters are not those of a drag on a generated image.",
            field="hyper_parameters",
        )


def not_this_image() -> InvalidRequest:
    return InvalidRequest(
        "This is not, pixel for pixel, the image that the model makes from this prompt, seed and settings: "
        "generate it again, or drag it as any other image, without saying how it was made.",
        field="generation",
    )


def _validate_trajectory(request: DragRequest, trajectory: Trajectory, *, field: str) -> None:
    height, width = request.image.shape[:2]
    if not all(math.isfinite(number) for point in trajectory.points for number in point):
        raise InvalidRequest("Every point must have finite coordinates.", field=field)
    handle = trajectory.handle
    if not geometry.contains(Rectangle(0, 0, width, height), handle):
        raise InvalidRequest(f"The handle {_place(handle)} is outside the image.", field=field)
    if not geometry.contains(geometry.plan_region(request), handle):
        raise InvalidRequest(f"The handle {_place(handle)} is outside the region.", field=field)
    if request.mask is None:
        return
    if not request.mask[geometry.pixel_under(handle, width=width, height=height)]:
        raise InvalidRequest(
            f"The handle {_place(handle)} is outside the mask, where nothing may change.",
            field=field,
        )


def _encloses(outer: Rectangle, inner: Rectangle) -> bool:
    return (
        min(inner.width, inner.height) > 0
        and inner.x >= outer.x
        and inner.y >= outer.y
        and inner.right <= outer.right
        and inner.bottom <= outer.bottom
    )


def _place(point: Point) -> str:
    return f"({point.x:.0f}, {point.y:.0f})"


def _size(pixels: np.ndarray) -> str:
    return f"{pixels.shape[1]} × {pixels.shape[0]}"
