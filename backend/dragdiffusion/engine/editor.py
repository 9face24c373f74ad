"""START HERE: one drag edit from the user's pixels to the user's pixels.

    session = yield from open_session(model, request, stop=stop)   # once per image; of a generated one see `generation`
    edited = yield from drag(session, request, stop=stop)          # once per edit

Both are generators of typed progress events. Setting `stop` raises `Cancelled` within one iteration; however they end,
the model is left as it was found. Setting `enough` ends the dragging but not the edit: what is there becomes the result.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event
from time import perf_counter
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from dragdiffusion.engine import geometry, images, lora, native_detail
from dragdiffusion.engine.config import DragConfig
from dragdiffusion.engine.ddim import DdimSchedule, guided_noise, invert
from dragdiffusion.engine.diffusion_model import DiffusionModel
from dragdiffusion.engine.drag_types import (
    DragRequest,
    EditedImage,
    EditEvent,
    Pixels,
    Preview,
    Rectangle,
    Stage,
    StageStep,
)
from dragdiffusion.engine.errors import InvalidRequest, check_stop
from dragdiffusion.engine.generation import GeneratedImage, branch_of_generated
from dragdiffusion.engine.geometry import WorkingSpace
from dragdiffusion.engine.latent_optimization import DragProblem, LatentStep, optimize
from dragdiffusion.engine.moved_parts import Motion, denoised, find_motion, reconsider, warped
from dragdiffusion.engine.reference_branch import ReferenceBranch, record_branch
from dragdiffusion.engine.unet_passes import repeated
from dragdiffusion.engine.validation import validate, validate_image


@dataclass(frozen=True, eq=False)
class EditSession:
    """What is prepared once per image and serves every edit of it."""

    key: Hashable
    model: DiffusionModel
    region: Rectangle
    lora: lora.LoraWeights
    branch: ReferenceBranch  # inversion, reference latents, their keys and values
    phase_seconds: dict[str, float] = field(default_factory=dict)  # "encode", "lora", "inversion"

    @property
    def num_bytes(self) -> int:
        return sum(tensor.nbytes for tensor in self._tensors())

    def bytes_on(self, device: torch.device) -> int:
        return sum(t.nbytes for t in self._tensors() if t.device.type == device.type)

    def _tensors(self) -> list[Tensor]:
        factors = [factor for pair in self.lora.values() for factor in pair]
        kept = [t for layers in self.branch.key_values for pair in layers for t in pair]
        views = [tensor for view in self.branch.views.values() for tensor in view]
        return [*factors, *kept, *views, *self.branch.latents, self.branch.prompts]


# ---- once per image ----------------------------------------------------------------------------------------------


def session_key(model_name: str, request: DragRequest) -> Hashable:
    """Equal where the preparation is the same."""
    config = request.config
    return (
        model_name,
        hashlib.sha256(request.image.tobytes()).hexdigest(),
        request.image.shape,
        geometry.plan_region(request),
        request.prompt,
        request.generation,
        config.lora,
        config.working_size,
        config.fit,
        config.num_inference_steps,
        config.timestep_spacing,
        config.num_inverted_steps,
        config.guidance_scale,
        config.reference_from_inversion,
        config.reference_start_step,
        config.reference_start_layer,
        config.seed,
    )


def open_session(
    model: DiffusionModel,
    request: DragRequest,
    *,
    stop: Event,
    generated: GeneratedImage | None = None,
) -> Generator[StageStep, None, EditSession]:
    """Prepares the image: needs no points. One that was generated comes with its trajectory."""
    validate_image(request)
    seconds: dict[str, float] = {}
    if request.generation is None:
        weights, branch = yield from _learn_image(model, request, seconds, stop=stop)
    else:
        weights = {}
        with _timed("recording", seconds):
            branch = yield from branch_of_generated(model, request, generated, stop=stop)
    key = session_key(model.name, request)
    return EditSession(key, model, geometry.plan_region(request), weights, branch, seconds)


def _learn_image(
    model: DiffusionModel, request: DragRequest, seconds: dict[str, float], *, stop: Event
) -> Generator[StageStep, None, tuple[lora.LoraWeights, ReferenceBranch]]:
    config = request.config
    # 1. The region at the model's working size, as a latent; the prompt as an embedding.
    with _timed("encode", seconds):
        space = geometry.working_space_of(request, multiple=model.vae_factor)
        latent = model.encode(images.to_working_image(request.image, space))
        prompts = model.embed_prompts(request.prompt, guided=config.guidance_scale != 1)
    yield StageStep(Stage.ENCODING, 1, 1)

    # 2. LoRA: the model learns this one image.
    with _timed("lora", seconds):
        weights = yield from _fine_tune(model, latent, prompts[-1:], config, stop=stop)

    # 3. DDIM inversion, and the reference branch's keys and values on the way back.
    with _timed("inversion", seconds), lora.applied(model, weights), repeated(model):
        branch = yield from _invert(model, latent, prompts, config, stop=stop)
    return weights, branch


def _fine_tune(
    model: DiffusionModel,
    latent: Float[Tensor, "1 c h w"],
    prompt: Float[Tensor, "1 tokens d"],
    config: DragConfig,
    *,
    stop: Event,
) -> Generator[StageStep, None, lora.LoraWeights]:
    weights: lora.LoraWeights = {}
    if config.lora.steps == 0:
        return weights
    schedule = DdimSchedule.of_config(model.scheduler_config, config)
    training = lora.train(
        model,
        latent,
        prompt,
        config=config.lora,
        timesteps_in_use=schedule.timesteps[: config.num_inverted_steps],
        seed=config.seed,
        stop=stop,
    )
    for step, weights in enumerate(training, start=1):  # noqa: B007
        yield StageStep(Stage.FINE_TUNING, step, config.lora.steps)
    return lora.detached(weights)


def _invert(
    model: DiffusionModel,
    latent: Float[Tensor, "1 c h w"],
    prompts: Float[Tensor, "b tokens d"],
    config: DragConfig,
    *,
    stop: Event,
) -> Generator[StageStep, None, ReferenceBranch]:
    schedule = DdimSchedule.of_config(model.scheduler_config, config)
    num_steps = config.num_inverted_steps
    latents = [latent]
    inversion = invert(model, schedule, latent, prompts[-1:], num_steps=num_steps, stop=stop)
    for step, inverted in enumerate(inversion, start=1):
        latents.append(inverted)
        yield StageStep(Stage.INVERTING, step, 2 * num_steps)
    recording = record_branch(model, schedule, tuple(latents), prompts, config=config, stop=stop)
    for step, branch in enumerate(recording, start=num_steps + 1):  # noqa: B007
        yield StageStep(Stage.INVERTING, step, 2 * num_steps)
    return branch


# ---- once per edit -----------------------------------------------------------------------------------------------


def drag(
    session: EditSession, request: DragRequest, *, stop: Event, enough: Event | None = None
) -> Generator[EditEvent, None, EditedImage]:
    """Moves the handle points of a prepared image to their targets.

    Once `enough` is set, no iteration follows the one that runs; if none has begun, one is made. The latent is then denoised,
    decoded and composited as always.
    """
    # 1. Refuse what cannot work.
    validate(request)
    _validate_session(session, request)
    seconds = dict(session.phase_seconds)
    with lora.applied(session.model, session.lora):
        # 2. Points and mask in the spaces of features and latent.
        problem = pose(session, request)

        # 3. Where it is wanted, the parts are put at their targets first.
        motion = None
        if request.config.warp:
            with _timed("warp", seconds):
                motion = find_motion(request, problem.space)
                problem = warped(problem, motion)
            yield StageStep(Stage.WARPING, 1, 1)

        with repeated(session.model):
            # 4. Motion supervision and point tracking move the latent.
            with _timed("drag", seconds):
                enough = enough or Event()
                moved = yield from _move_latent(request, problem, stop=stop, enough=enough)

            # 5. Denoise it under reference-latent control; where a nudge looks odd then, the part was meant to change its shape.
            with _timed("denoise", seconds):
                latent = yield from denoised(problem, moved.latent, moved.level, stop=stop)
                if motion is not None and not moved.taken_early:
                    latent, motion = yield from reconsider(problem, latent, motion, stop=stop)

        # 6. Decode; give back the detail that the working size lost; put the region into the user's own pixels.
        with _timed("decode", seconds):
            check_stop(stop)
            picture = session.model.decode(latent)
            edited = images.to_region_pixels(picture, problem.space)
            detailed = _add_detail(edited, request, problem.space, picture, motion)
    yield StageStep(Stage.COMPOSITING, 1, 1)
    return EditedImage(
        region=session.region,
        image=_composite(detailed, request, session.region),
        raw=edited if request.include_raw else None,
        drag_steps=moved.num_steps,
        phase_seconds=seconds,
        taken_early=moved.taken_early,
    )


def _add_detail(
    edited: Pixels,
    request: DragRequest,
    space: WorkingSpace,
    picture: Float[Tensor, "1 3 h w"],
    motion: Motion | None,
) -> Pixels:
    """Where it is not known what came from where, nothing is added."""
    if motion is None or edited.shape[:2] == (space.height, space.width):
        return edited
    carried = native_detail.compare(picture, motion.picture, motion.field)
    return native_detail.add_detail(edited, request.image, request.mask, space, carried)


def _composite(edited: Pixels, request: DragRequest, region: Rectangle) -> Pixels:
    if request.mask is not None and request.config.lock_outside_mask:
        edited = images.match_surroundings(edited, request.image, request.mask, region)
    return images.composite(edited, request.image, request.mask, region)


def pose(session: EditSession, request: DragRequest) -> DragProblem:
    space, config = (
        geometry.working_space_of(request, multiple=session.model.vae_factor),
        request.config,
    )
    mask = lock = None
    if request.mask is not None:
        working_mask = images.to_working_mask(request.mask, space)
        height, width = session.branch.latents[0].shape[-2:]
        device = session.model.device
        mask = images.to_latent_mask(working_mask, height, width, any_pixel=False).to(device)
        if config.lock_outside_mask:
            lock = images.to_latent_mask(working_mask, height, width, any_pixel=True).to(device)
    trajectories = tuple(
        (
            space.handle_to_feature(trajectory.handle),
            *(space.to_feature(point) for point in trajectory.points[1:]),
        )
        for trajectory in request.trajectories
    )
    return DragProblem(session.branch, space, config, trajectories, mask, lock)


class _Moved(NamedTuple):
    """The latent after the last iteration."""

    latent: Float[Tensor, "1 c h w"]
    level: int
    num_steps: int
    taken_early: bool = False


def _move_latent(
    request: DragRequest, problem: DragProblem, *, stop: Event, enough: Event
) -> Generator[EditEvent, None, _Moved]:
    moved = _Moved(problem.start, problem.branch.top_level, 0)
    for step in optimize(problem, stop=stop):
        moved = _Moved(step.latent, step.level, step.drag_step.step)
        yield step.drag_step
        if enough.is_set():
            return moved._replace(taken_early=moved.num_steps < request.config.max_drag_steps)
        if request.preview_every and moved.num_steps % request.preview_every == 0:
            yield _preview(problem, step)
    return moved


@torch.no_grad()
def _preview(problem: DragProblem, moved: LatentStep) -> Preview:
    """The picture that the latent stands for, in one step: as good as a preview has to be."""
    branch, model = problem.branch, problem.branch.model
    noise = guided_noise(
        model,
        branch.schedule,
        moved.latent,
        branch.prompts,
        level=moved.level,
        guidance_scale=branch.guidance_scale,
    )
    picture = model.decode(branch.schedule.picture(noise, moved.latent, moved.level))
    return Preview(problem.space.region, images.to_pixels(images.unpad(picture, problem.space)))


def _validate_session(session: EditSession, request: DragRequest) -> None:
    if session.key != session_key(session.model.name, request):
        raise InvalidRequest("The image was prepared for another request: prepare it again.")


# ---- around the work ---------------------------------------------------------------------------------------------


@contextmanager
def _timed(phase: str, seconds: dict[str, float]) -> Iterator[None]:
    start = perf_counter()
    yield
    seconds[phase] = perf_counter() - start
