"""Protocol buffers ↔ the engine's types, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from enum import Enum
from typing import Any

import numpy as np

from dragdiffusion.daemon.buffers import CHUNK_BYTES, BufferName, BufferStore, name_of
from dragdiffusion.daemon.progress import Reading
from dragdiffusion.daemon.workbench import Edited, Generated, Prepared, Run
from dragdiffusion.engine.config import (
    DragConfig,
    Fit,
    Generation,
    Mode,
    SupervisionTarget,
    TimestepSpacing,
)
from dragdiffusion.engine.drag_types import (
    DragRequest,
    DragStep,
    Pixels,
    Point,
    Preview,
    Rectangle,
    Stage,
    Trajectory,
)
from dragdiffusion.engine.errors import InvalidRequest
from dragdiffusion.models import catalogue
from dragdiffusion.models.inventory import Item
from dragdiffusion.models.profiles import Defaults
from dragdiffusion_rpc import drag_pb2 as rpc

_BYTES_PER_PIXEL = {
    rpc.PIXEL_FORMAT_RGBA8: 4,
    rpc.PIXEL_FORMAT_RGB8: 3,
    rpc.PIXEL_FORMAT_Y8: 1,
}
_FORMATS = {size: pixel_format for pixel_format, size in _BYTES_PER_PIXEL.items()}
_MODES = {
    rpc.MODE_UNSPECIFIED: Mode.DEFAULT,
    **{rpc.Mode.Value(f"MODE_{mode.name}"): mode for mode in Mode},
}
_CHOICES: dict[str, dict[int, Enum]] = {
    "supervision_target": {
        rpc.SUPERVISION_TARGET_CURRENT: SupervisionTarget.CURRENT,
        rpc.SUPERVISION_TARGET_ORIGINAL: SupervisionTarget.ORIGINAL,
    },
    "timestep_spacing": {
        rpc.TIMESTEP_SPACING_LEADING: TimestepSpacing.LEADING,
        rpc.TIMESTEP_SPACING_TRAILING: TimestepSpacing.TRAILING,
    },
    "fit": {rpc.FIT_WIDTH: Fit.WIDTH, rpc.FIT_AREA: Fit.AREA},
}


def to_mode(mode: rpc.Mode) -> Mode:
    if mode not in _MODES:
        raise InvalidRequest("This mode is not known.", field="mode")
    return _MODES[mode]


def to_buffer_name(reference: rpc.BufferReference, field: str) -> BufferName:
    """`field`: where the reference stands in the request."""
    if reference.format not in _BYTES_PER_PIXEL:
        raise InvalidRequest("A pixel buffer needs a pixel format.", field=f"{field}.format")
    return BufferName(
        reference.sha256, reference.width, reference.height, _BYTES_PER_PIXEL[reference.format]
    )


def from_pixels(pixels: Pixels) -> rpc.BufferReference:
    name = name_of(pixels)
    return rpc.BufferReference(
        sha256=name.sha256,
        width=name.width,
        height=name.height,
        format=_FORMATS[name.bytes_per_pixel],
    )


def to_prepare_request(
    message: rpc.PrepareRequest, buffers: BufferStore, defaults: Defaults
) -> DragRequest:
    """`defaults`: what applies to everything that is not set."""
    if not message.HasField("image"):
        raise InvalidRequest("The request names no image.", field="image")
    image = _to_image(message.image, buffers)
    request = DragRequest(
        image=image,
        trajectories=tuple(
            _to_trajectory(trajectory, index)
            for index, trajectory in enumerate(message.trajectories)
        ),
        mask=_to_mask(message, buffers, image),
        prompt=message.prompt,
        config=to_config(message, defaults.drag),
        region=to_rectangle(message.region) if message.HasField("region") else None,
    )
    if not message.HasField("generation"):
        return request
    generation = to_generation(message.generation, defaults.generation)
    return replace(
        request,
        generation=generation,
        prompt=generation.prompt,
        config=_settled(message, request.config, generation),
    )


def _settled(message: rpc.PrepareRequest, config: DragConfig, generation: Generation) -> DragConfig:
    """What the generation settles; refuses what was set to anything else."""
    if message.prompt not in ("", generation.prompt):
        raise InvalidRequest(
            "A generated image is dragged under the prompt that made it: leave the prompt empty.",
            field="prompt",
        )
    settled = generation.settle(config)
    for field, value in message.hyper_parameters.ListFields():
        alone = rpc.HyperParameters(**{field.name: value})
        if (
            to_config(rpc.PrepareRequest(hyper_parameters=alone, seed=message.seed), settled)
            != settled
        ):
            raise InvalidRequest(
                f"{field.name} follows from how the image was generated: leave it unset.",
                field=f"hyper_parameters.{field.name}",
            )
    return settled


def to_drag_request(
    message: rpc.DragRequest, buffers: BufferStore, defaults: Defaults
) -> DragRequest:
    return replace(
        to_prepare_request(message.preparation, buffers, defaults),
        preview_every=message.preview_every,
        include_raw=message.include_raw,
    )


def to_config(message: rpc.PrepareRequest, defaults: DragConfig) -> DragConfig:
    """The hyper-parameters that are set, over the defaults. Fields have the same names on both sides."""
    lora: dict[str, Any] = {}
    drag: dict[str, Any] = {"seed": message.seed}
    for name, value in _chosen(message.hyper_parameters, defaults).items():
        if name.startswith("lora_"):
            lora[name.removeprefix("lora_")] = value
        else:
            drag[name] = value
    return replace(defaults, lora=replace(defaults.lora, **lora), **drag)


def _chosen(
    message: rpc.HyperParameters | rpc.Generation, defaults: DragConfig | Generation
) -> dict[str, Any]:
    """The fields that are set, by name; a choice that is set to UNSPECIFIED is the default's."""
    fields = {field.name: value for field, value in message.ListFields()}
    for name in fields.keys() & _CHOICES.keys():
        choices = {0: getattr(defaults, name), **_CHOICES[name]}
        if fields[name] not in choices:
            at = "generation" if isinstance(message, rpc.Generation) else "hyper_parameters"
            raise InvalidRequest(f"This {name} is not known.", field=f"{at}.{name}")
        fields[name] = choices[fields[name]]
    return fields


def to_rectangle(message: rpc.Rectangle) -> Rectangle:
    return Rectangle(message.x, message.y, message.width, message.height)


def from_rectangle(rectangle: Rectangle) -> rpc.Rectangle:
    return rpc.Rectangle(
        x=rectangle.x, y=rectangle.y, width=rectangle.width, height=rectangle.height
    )


def from_reading(reading: Reading) -> rpc.Progress:
    return rpc.Progress(
        stage=_from_stage(reading.stage),
        fraction=reading.fraction,
        eta_seconds=reading.eta_seconds,
        step=reading.step,
        steps=reading.steps,
    )


def from_queue_position(position: int) -> rpc.Progress:
    return rpc.Progress(stage=rpc.STAGE_QUEUED, queue_position=position)


def from_drag_step(step: DragStep) -> rpc.DragStep:
    return rpc.DragStep(
        step=step.step,
        max_steps=step.max_steps,
        loss=step.loss,
        handles=[rpc.Point(x=handle.x, y=handle.y) for handle in step.handles],
    )


def from_preview(preview: Preview) -> rpc.Preview:
    height, width = preview.image.shape[:2]
    return rpc.Preview(
        region=from_rectangle(preview.region),
        width=width,
        height=height,
        rgb=np.ascontiguousarray(preview.image).tobytes(),
    )


def to_generation(message: rpc.Generation, defaults: Generation) -> Generation:
    """What is set, over the defaults. Fields have the same names on both sides."""
    return replace(defaults, **_chosen(message, defaults))


def from_generation(generation: Generation) -> rpc.Generation:
    fields = asdict(generation)
    for name in fields.keys() & _CHOICES.keys():
        fields[name] = next(n for n, choice in _CHOICES[name].items() if choice == fields[name])
    return rpc.Generation(**fields)


def from_generated(
    generated: Generated, generation: Generation, version: str
) -> Iterator[rpc.GeneratedImage | rpc.PixelChunk]:
    """The header, then the pixels."""
    yield rpc.GeneratedImage(
        pixels=from_pixels(generated.pixels),
        generation=from_generation(generation),
        run=from_run(generated.run, generation, version),
    )
    yield from _chunks(generated.pixels)


def from_prepared(prepared: Prepared, config: DragConfig, version: str) -> rpc.Prepared:
    return rpc.Prepared(
        region=from_rectangle(prepared.region), run=from_run(prepared.run, config, version)
    )


def from_edited(
    edited: Edited, config: DragConfig, version: str
) -> Iterator[rpc.EditedImage | rpc.PixelChunk]:
    """The header, then the pixels of the edit, then those of the raw picture."""
    image = edited.image
    yield rpc.EditedImage(
        region=from_rectangle(image.region),
        pixels=from_pixels(image.image),
        raw=None if image.raw is None else from_pixels(image.raw),
        run=from_run(edited.run, config, version),
    )
    yield from _chunks(image.image)
    if image.raw is not None:
        yield from _chunks(image.raw)


def from_run(run: Run, config: DragConfig | Generation, version: str) -> rpc.Run:
    return rpc.Run(
        device=run.device.name,
        dtype=run.device.dtype,
        model=run.model,
        daemon_version=version,
        torch_version=run.device.torch_version,
        diffusers_version=run.device.diffusers_version,
        phases=[rpc.PhaseSeconds(phase=name, seconds=s) for name, s in run.phases.items()],
        peak_memory_bytes=run.peak_memory_bytes,
        drag_steps=run.drag_steps,
        prepared_before=run.prepared_before,
        config_json=json.dumps(asdict(config)),
        taken_early=run.taken_early,
        memory_plan=run.memory_plan,
    )


def from_item(item: Item) -> rpc.Model:
    state: rpc.ModelState = getattr(rpc, f"MODEL_STATE_{item.state.name}")
    source = item.source
    return rpc.Model(
        name=source.name,
        title=source.title,
        available=catalogue.is_available(source),
        size_bytes=catalogue.size_bytes(source),
        family=source.family.value,
        source=source.location,
        download_bytes=item.total_bytes,
        state=state,
        purpose=item.purpose,
        license=item.license,
        here_bytes=item.here_bytes,
        damaged_files=item.damaged,
        can_remove=item.can_remove,
        can_verify=item.can_verify,
    )


def _chunks(pixels: Pixels) -> Iterator[rpc.PixelChunk]:
    rows = np.ascontiguousarray(pixels).reshape(-1)
    for start in range(0, rows.size, CHUNK_BYTES):
        yield rpc.PixelChunk(chunk=rows[start : start + CHUNK_BYTES].tobytes())


def _from_stage(stage: Stage) -> rpc.Stage:
    value: rpc.Stage = getattr(rpc, f"STAGE_{stage.name}")
    return value


def _to_image(reference: rpc.BufferReference, buffers: BufferStore) -> Pixels:
    pixels = buffers.get(to_buffer_name(reference, "image"), "image")
    if pixels.ndim != 3:
        raise InvalidRequest("The image must be RGBA or RGB.", field="image")
    if pixels.shape[2] == 4:
        return pixels
    opaque = np.full((*pixels.shape[:2], 1), 255, np.uint8)
    return np.concatenate([pixels, opaque], axis=2)


def _to_mask(message: rpc.PrepareRequest, buffers: BufferStore, image: Pixels) -> Pixels | None:
    if not message.HasField("mask"):
        return None
    mask = buffers.get(to_buffer_name(message.mask, "mask"), "mask")
    if mask.shape != image.shape[:2]:
        raise InvalidRequest(
            f"The mask must be Y8 of the image's size, {image.shape[1]} × {image.shape[0]}.",
            field="mask",
        )
    return mask


def _to_trajectory(message: rpc.Trajectory, index: int) -> Trajectory:
    try:
        return Trajectory(tuple(Point(point.x, point.y) for point in message.points))
    except InvalidRequest as error:
        raise InvalidRequest(str(error), field=f"trajectories[{index}]") from error
