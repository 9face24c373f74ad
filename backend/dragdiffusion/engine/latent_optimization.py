"""The paper's loop: motion supervision and point tracking in turn, on the inverted latent.

With `drag_steps_per_timestep` = 0 every iteration is at the timestep of z_t (the paper). Otherwise a DDIM step under
reference-latent control follows each so many iterations, and dragging goes on at the next timestep (GoodDrag's
alternation). Everything that the loop compares with comes from the reference latent of the same level.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from threading import Event
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from dragdiffusion.engine import guidance
from dragdiffusion.engine.config import DragConfig, SupervisionTarget
from dragdiffusion.engine.drag_types import DragStep, FeaturePoint
from dragdiffusion.engine.errors import check_stop
from dragdiffusion.engine.feature_grid import FeatureGrid
from dragdiffusion.engine.geometry import WorkingSpace, distance
from dragdiffusion.engine.motion_supervision import Pull, motion_supervision_loss
from dragdiffusion.engine.point_tracking import read_templates, track_points
from dragdiffusion.engine.reference_branch import ReferenceBranch, denoise_step


@dataclass(frozen=True, eq=False)
class DragProblem:
    """What is to be moved where, in the spaces of latent and features."""

    branch: ReferenceBranch
    space: WorkingSpace
    config: DragConfig
    trajectories: tuple[tuple[FeaturePoint, ...], ...]  # handle, points to pass, target
    mask: Float[Tensor, "1 1 h w"] | None  # M of the mask term, 1: may change
    lock: Float[Tensor, "1 1 h w"] | None  # outside it the latent stays the reference's
    warped: Float[Tensor, "1 c h w"] | None = None  # z_t where the parts are moved already

    @property
    def handles(self) -> tuple[FeaturePoint, ...]:
        return tuple(points[0] for points in self.trajectories)

    @property
    def start(self) -> Float[Tensor, "1 c h w"]:
        """The latent before the first iteration, of the branch's top level."""
        inverted = self.branch.latents[-1]
        if self.warped is None:
            return inverted
        return self.warped if self.lock is None else inverted.lerp(self.warped, self.lock)


class LatentStep(NamedTuple):
    """The latent of `level` after one iteration."""

    drag_step: DragStep
    latent: Float[Tensor, "1 c h w"]
    level: int


class Fetched:
    """A scalar on its way from the device: the wait for it is when it is read."""

    def __init__(self, scalar: Float[Tensor, ""]) -> None:
        on_cuda = scalar.device.type == "cuda"
        self._scalar = scalar.detach()
        self._arrival = torch.cuda.Event() if on_cuda else None
        if self._arrival is not None:
            self._scalar = self._scalar.to("cpu", non_blocking=True)
            self._arrival.record(torch.cuda.current_stream(scalar.device))

    def value(self) -> float:
        if self._arrival is not None:
            self._arrival.synchronize()
        return float(self._scalar)


class HandleProgress:
    """Where every handle is, and which point of its trajectory comes next."""

    def __init__(
        self, trajectories: tuple[tuple[FeaturePoint, ...], ...], *, arrival_distance: float
    ) -> None:
        self._trajectories = trajectories
        self._arrival_distance = arrival_distance
        self._passing_distance = max(1.0, arrival_distance)  # handles move from sample to sample
        self._next = [1] * len(trajectories)
        self.handles: tuple[FeaturePoint, ...] = ()
        self.move(tuple(points[0] for points in trajectories))

    @property
    def goals(self) -> list[FeaturePoint]:
        return [points[i] for points, i in zip(self._trajectories, self._next, strict=True)]

    @property
    def arrived(self) -> list[bool]:
        ways = zip(self.handles, self._trajectories, self._next, strict=True)
        return [
            next_point == len(points) - 1 and distance(handle, points[-1]) < self._arrival_distance
            for handle, points, next_point in ways
        ]

    def jump(self, space: WorkingSpace) -> None:
        """Every handle is on its target now, or as near to it as the feature grid reaches."""
        self._next = [len(points) - 1 for points in self._trajectories]
        self.handles = tuple(space.on_grid(points[-1]) for points in self._trajectories)

    def move(self, handles: tuple[FeaturePoint, ...]) -> None:
        self.handles = handles
        for i, (handle, points) in enumerate(zip(handles, self._trajectories, strict=True)):
            while self._next[i] < len(points) - 1 and (
                distance(handle, points[self._next[i]]) < self._passing_distance
            ):
                self._next[i] += 1


def optimize(problem: DragProblem, *, stop: Event) -> Iterator[LatentStep]:
    """Yields after every iteration; nothing where every handle is on its target."""
    config = problem.config
    progress = HandleProgress(problem.trajectories, arrival_distance=config.arrival_distance)
    if all(progress.arrived):
        return
    if problem.warped is not None:
        progress.jump(problem.space)
    level, latent, step = problem.branch.top_level, problem.start, 0
    while level > 0 and step < config.max_drag_steps:
        at_level = _LevelOptimizer(problem, latent, level=level)
        for _ in range(config.drag_steps_per_timestep or config.max_drag_steps):
            check_stop(stop)
            loss = at_level.iterate(progress, track=step > 0)
            if loss is None:
                return
            step += 1
            yield LatentStep(_report(problem, progress, step, loss), at_level.latent, level)
            if step == config.max_drag_steps:
                return
        latent = denoise_step(problem.branch, at_level.latent, level=level, lock=problem.lock)
        level -= 1


def _report(problem: DragProblem, progress: HandleProgress, step: int, loss: Fetched) -> DragStep:
    return DragStep(
        step=step,
        max_steps=problem.config.max_drag_steps,
        loss=loss.value(),
        handles=tuple(problem.space.to_image(handle) for handle in progress.handles),
    )


class _LevelOptimizer:
    """Adam on the latent of one level, with what it is compared with: F_0 and z^0 of the level below."""

    def __init__(
        self, problem: DragProblem, latent: Float[Tensor, "1 c h w"], *, level: int
    ) -> None:
        self._problem, self._level = problem, level
        self._reference_lower, self._reference = self._reference_view()
        self._templates = read_templates(self._reference, problem.handles)
        self._latent = latent.detach().clone().requires_grad_(True)
        self._adam = torch.optim.Adam([self._latent], lr=problem.config.learning_rate)

    @property
    def latent(self) -> Float[Tensor, "1 c h w"]:
        return self._latent.detach().clone()

    @torch.enable_grad()
    def iterate(self, progress: HandleProgress, *, track: bool) -> Fetched | None:
        """One iteration; None, and the latent as it was, where every handle has arrived."""
        lower, features = self._look(self._latent)
        if track:
            progress.move(self._track(features, progress.handles))
        if all(progress.arrived) and not self._problem.config.settle:
            return None
        loss = self._motion_loss(features, progress) + self._mask_loss(lower)
        reported = Fetched(loss)  # before the backward pass: nothing waits for that
        self._descend(loss)
        return reported

    def _reference_view(self) -> tuple[Float[Tensor, "1 c h w"] | None, FeatureGrid]:
        """As it was recorded with the branch, else what `_look` sees: the same."""
        branch = self._problem.branch
        if branch.feature_block == self._problem.config.feature_block and (
            self._level in branch.views
        ):
            view = branch.views[self._level]
            return view.lower, self._grid(view.features)
        with torch.no_grad():
            return self._look(branch.latents[self._level])

    def _look(
        self, latent: Float[Tensor, "1 c h w"]
    ) -> tuple[Float[Tensor, "1 c h w"] | None, FeatureGrid]:
        """The latent one DDIM step lower, where the mask term needs it, and F."""
        branch, block = self._problem.branch, self._problem.config.feature_block
        timestep, prompts = branch.schedule.timestep(self._level), branch.prompts
        batch = guidance.for_every_prompt(latent, prompts)
        if not self._has_mask_term:
            features = branch.model.features(batch, timestep, prompts, block=block)
            return None, self._grid(guidance.guided_features(features, branch.guidance_scale))
        prediction, features = branch.model.noise_and_features(
            batch, timestep, prompts, block=block
        )
        noises = branch.schedule.noise(prediction, batch, self._level)
        noise = guidance.guided_noise(noises, branch.guidance_scale)
        features = guidance.guided_features(features, branch.guidance_scale)
        return branch.schedule.down(noise, latent, self._level), self._grid(features)

    @property
    def _has_mask_term(self) -> bool:
        return self._problem.mask is not None and self._problem.config.mask_weight > 0

    def _grid(self, features: Float[Tensor, "1 f h w"]) -> FeatureGrid:
        return FeatureGrid(
            features, self._problem.space.feature_rows, self._problem.space.feature_cols
        )

    def _track(
        self, features: FeatureGrid, handles: tuple[FeaturePoint, ...]
    ) -> tuple[FeaturePoint, ...]:
        radius = self._problem.config.tracking_radius
        return track_points(features.detach(), self._templates, handles, radius=radius)

    def _motion_loss(self, features: FeatureGrid, progress: HandleProgress) -> Float[Tensor, ""]:
        keeps_original = self._problem.config.supervision_target is SupervisionTarget.ORIGINAL
        origins = self._problem.handles if keeps_original else progress.handles
        moving = zip(progress.handles, progress.goals, origins, progress.arrived, strict=True)
        # The paper leaves a handle out that has arrived; with its original patch it can be held there.
        pulls = [
            Pull(handle, goal, origin)
            for handle, goal, origin, arrived in moving
            if keeps_original or self._problem.config.settle or not arrived
        ]
        reference = self._reference if keeps_original else features.detach()
        radius = self._problem.config.supervision_radius
        return motion_supervision_loss(features, reference, pulls, radius=radius)

    def _mask_loss(self, lower: Float[Tensor, "1 c h w"] | None) -> Tensor | float:
        """λ Σ |(z_{t−1} − sg(z⁰_{t−1})) · (1 − M)|"""
        if lower is None or self._reference_lower is None or self._problem.mask is None:
            return 0.0
        change = (lower - self._reference_lower) * (1.0 - self._problem.mask)
        return self._problem.config.mask_weight * change.abs().sum()

    def _descend(self, loss: Float[Tensor, ""]) -> None:
        scale = self._problem.branch.model.gradient_scale
        (gradient,) = torch.autograd.grad(loss * scale, self._latent)
        gradient = gradient / scale
        self._latent.grad = (
            gradient if self._problem.lock is None else gradient * self._problem.lock
        )
        self._adam.step()
