"""The plug-in's values as messages of the contract. No GIMP in here."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Optional, Tuple

from google.protobuf.json_format import Parse

from dragdiffusion_rpc import drag_pb2 as rpc
from plugin.edit_model import (
    MODE_DEFAULT,
    Edit,
    Handles,
    PixelBuffer,
    Point,
    Prepared,
    Region,
    Result,
    Settings,
    View,
)

MODES = {
    "default": rpc.MODE_DEFAULT,
    "fast": rpc.MODE_FAST,
    "reference": rpc.MODE_REFERENCE,
}


def to_reference(buffer: PixelBuffer) -> rpc.BufferReference:
    """Its name by content, as the contract has it."""
    pixel_format = rpc.PIXEL_FORMAT_RGBA8 if buffer.channels == 4 else rpc.PIXEL_FORMAT_Y8
    return rpc.BufferReference(
        sha256=buffer.sha256, width=buffer.width, height=buffer.height, format=pixel_format
    )


def to_prepare_request(edit: Edit) -> rpc.PrepareRequest:
    settings = edit.settings if edit.generated is None else _of_generated(edit)
    return rpc.PrepareRequest(
        image=to_reference(edit.image),
        mask=None if edit.mask is None else to_reference(edit.mask),
        region=_to_rectangle(edit.region, edit.image),
        trajectories=[
            rpc.Trajectory(
                points=[rpc.Point(x=x - edit.image.x, y=y - edit.image.y) for x, y in drag.points]
            )
            for drag in edit.drags
        ],
        prompt=settings.prompt,
        model=settings.model,
        mode=MODES[settings.mode],
        hyper_parameters=_to_hyper_parameters(settings),
        seed=settings.seed,
        generation=None if edit.generated is None else Parse(edit.generated.how, rpc.Generation()),
    )


def _of_generated(edit: Edit) -> Settings:
    """What follows from how the picture was made is left out: the daemon knows it."""
    assert edit.generated is not None
    return replace(edit.settings, prompt="", model=edit.generated.model, lora_steps=MODE_DEFAULT)


def to_drag_request(edit: Edit) -> rpc.DragRequest:
    return rpc.DragRequest(
        preparation=to_prepare_request(edit),
        preview_every=edit.preview_every,
        edit_id=edit.edit_id,
    )


def _to_hyper_parameters(settings: Settings) -> rpc.HyperParameters:
    return rpc.HyperParameters(
        lora_steps=None if settings.lora_steps == MODE_DEFAULT else settings.lora_steps,
        max_drag_steps=settings.max_drag_steps if settings.max_drag_steps > 0 else None,
    )


def _to_rectangle(region: Optional[Region], sent: PixelBuffer) -> Optional[rpc.Rectangle]:
    if region is None:
        return None
    x, y, width, height = region
    return rpc.Rectangle(x=x - sent.x, y=y - sent.y, width=width, height=height)


def in_layer(event: Any, sent: PixelBuffer) -> Any:
    """An event whose places are those in the pixels that were sent, with those in the layer."""
    by = sent.x, sent.y
    if by == (0, 0):
        return event
    if isinstance(event, Handles):
        return replace(event, points=tuple(_moved(point, by) for point in event.points))
    if isinstance(event, Prepared):
        x, y, width, height = event.region
        return Prepared((x + by[0], y + by[1], width, height))
    if isinstance(event, (View, Result)):
        at: Any = event
        return replace(at, x=at.x + by[0], y=at.y + by[1])
    return event


def _moved(point: Point, by: Tuple[int, int]) -> Point:
    return point[0] + by[0], point[1] + by[1]
