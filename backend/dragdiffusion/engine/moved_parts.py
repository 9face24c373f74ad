"""The parts as they are put at their targets before the first drag step, and a second look at what a short drag meant.

A nudge may be meant to move its part or to reshape it: a lip that goes down opens a mouth or shuts it. Where the model finds
the picture odd in which the part has moved as a whole, those are tried in which it has shrunk or grown.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from functools import partial
from math import ceil
from threading import Event
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from dragdiffusion.engine import images, motion_field
from dragdiffusion.engine.drag_types import DragRequest, Stage, StageStep
from dragdiffusion.engine.geometry import WorkingSpace
from dragdiffusion.engine.latent_optimization import DragProblem
from dragdiffusion.engine.latent_warp import warped_latent
from dragdiffusion.engine.motion_field import Way
from dragdiffusion.engine.plausibility import prediction_error
from dragdiffusion.engine.reference_branch import denoise

_HOLD = 2.0  # working pixels: a drag no longer than that keeps its handle where it is
_NUDGE = 1 / 16  # of the working picture's longer side: so short a drag may be meant to reshape
_ODD = 1.2  # times the source's prediction error: the model did not expect such a picture
_RESHAPED_FROM = 0.8  # of the levels: the warp has the shape already, and noise would lose it


class Motion(NamedTuple):
    """The working picture, what of it may change, and by how many rows and columns each pixel moves."""

    picture: Float[Tensor, "1 3 h w"]
    editable: Float[Tensor, "1 1 h w"]
    field: Float[Tensor, "2 h w"]
    nudge: Way | None  # the only drag, where that is a short one


def find_motion(request: DragRequest, space: WorkingSpace) -> Motion:
    picture = images.to_working_image(request.image, space)
    ways = [
        Way(space.to_working(trajectory.handle), space.to_working(trajectory.target))
        for trajectory in request.trajectories
    ]
    if request.mask is None:
        editable = motion_field.reach_of(ways, *picture.shape[-2:])
    else:
        editable = images.to_working_mask(request.mask, space)
    going = [way for way in ways if way.length > _HOLD]
    is_nudge = len(going) == 1 and going[0].length <= _NUDGE * max(picture.shape[-2:])
    field = motion_field.motion_field(picture, editable, ways)
    return Motion(picture, editable, field, nudge=going[0] if is_nudge else None)


def warped(problem: DragProblem, motion: Motion) -> DragProblem:
    start = warped_latent(problem.branch, motion.picture, motion.field, seed=problem.config.seed)
    return replace(problem, warped=start)


def reconsider(
    problem: DragProblem, latent: Float[Tensor, "1 c h w"], motion: Motion, *, stop: Event
) -> Generator[StageStep, None, tuple[Float[Tensor, "1 c h w"], Motion]]:
    """The latent with the part moved or, where the model finds that picture odd, with the part shrunk or grown.

    What shrinks leaves little to invent, so the likelier is it only where it is not odd itself; else the part was meant to grow.
    """
    if motion.nudge is None:
        return latent, motion
    branch, seed = problem.branch, problem.config.seed
    height, width = latent.shape[-2:]
    weight = images.to_latent_mask(motion.editable, height, width, any_pixel=True).to(latent)
    error = partial(prediction_error, branch, weight=weight, seed=seed, stop=stop)
    expected = _ODD * error(branch.latents[0])
    if error(latent) <= expected:
        return latent, motion
    freed = replace(problem, branch=branch.freed(ceil(_RESHAPED_FROM * branch.top_level)))
    grown, shrunk = motion_field.reshaped(motion.field, motion.nudge)
    small = yield from _moved_along(freed, motion._replace(field=shrunk), stop=stop)
    large = yield from _moved_along(freed, motion._replace(field=grown), stop=stop)
    of_small = error(small[0])
    return small if of_small <= expected and of_small <= error(large[0]) else large


def _moved_along(
    problem: DragProblem, motion: Motion, *, stop: Event
) -> Generator[StageStep, None, tuple[Float[Tensor, "1 c h w"], Motion]]:
    """Warped and denoised, without drag steps."""
    start = warped(problem, motion).start
    latent = yield from denoised(problem, start, problem.branch.top_level, stop=stop)
    return latent, motion


def denoised(
    problem: DragProblem, latent: Float[Tensor, "1 c h w"], level: int, *, stop: Event
) -> Generator[StageStep, None, Float[Tensor, "1 c h w"]]:
    denoising = denoise(problem.branch, latent, level=level, lock=problem.lock, stop=stop)
    for step, latent in enumerate(denoising, start=1):  # noqa: B007
        yield StageStep(Stage.DENOISING, step, level)
    return latent
