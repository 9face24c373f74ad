"""A picture made from a prompt by the daemon. No GIMP in here."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, AsyncIterator

from google.protobuf.json_format import MessageToDict

from dragdiffusion_rpc import drag_pb2 as rpc
from plugin import client, daemon
from plugin.client import DaemonError, Endpoint
from plugin.daemon import Installation
from plugin.edit_model import Generated, PixelBuffer
from plugin.translation import _


@dataclass(frozen=True)
class Order:
    """What is to be made."""

    prompt: str
    model: str = ""  # empty: the daemon's default
    width: int = 0  # pixels; 0: the model's own
    height: int = 0
    seed: int = 0
    negative_prompt: str = ""
    steps: int = 0  # 0: as the model has it
    guidance_scale: float = 0.0  # 0: as the model has it


@dataclass(frozen=True)
class Picture:
    """What was made: RGBA, and how, so that it can be made again."""

    pixels: PixelBuffer
    model: str
    prompt: str
    how: str  # JSON: the contract's Generation

    def of(self, pixels: PixelBuffer) -> Generated:
        """What a layer with these pixels of it keeps."""
        return Generated(pixels.sha256.hex(), self.model, self.prompt, self.how)


async def generate(order: Order, installation: Installation) -> AsyncIterator[Any]:
    """Yield Progress as it comes, and the Picture last; the daemon is started first if it does not run."""
    async for event in daemon.with_daemon(installation, lambda found: _generate(found, order)):
        yield event


async def _generate(endpoint: Endpoint, order: Order) -> AsyncIterator[Any]:
    header, rows = None, bytearray()
    request = to_request(order)
    async for event in client.follow(endpoint, "Generate", request, rpc.GenerateEvent):
        kind = event.WhichOneof("event")
        if kind == "progress":
            yield client.to_progress(event.progress)
        elif kind == "generated_image":
            header = event.generated_image
        elif kind == "pixel_chunk":
            rows += event.pixel_chunk.chunk
    yield _to_picture(header, bytes(rows))


def to_request(order: Order) -> rpc.GenerateRequest:
    return rpc.GenerateRequest(
        model=order.model,
        generation=rpc.Generation(
            prompt=order.prompt,
            negative_prompt=order.negative_prompt,
            seed=order.seed,
            num_inference_steps=order.steps or None,
            guidance_scale=order.guidance_scale or None,
            width=order.width or None,
            height=order.height or None,
        ),
    )


def _to_picture(header: Any, rgb: bytes) -> Picture:
    size = 3 * header.pixels.width * header.pixels.height if header is not None else 0
    if header is None or len(rgb) != size:
        raise DaemonError(_("The daemon sent only a part of the picture: see its log."))
    generation = header.generation
    how = json.dumps(MessageToDict(generation, preserving_proto_field_name=True))
    pixels = PixelBuffer(header.pixels.width, header.pixels.height, 4, _with_alpha(rgb))
    return Picture(pixels, header.run.model, generation.prompt, how)


def _with_alpha(rgb: bytes) -> bytes:
    rgba = bytearray(b"\xff") * (len(rgb) // 3 * 4)
    for channel in range(3):
        rgba[channel::4] = rgb[channel::3]
    return bytes(rgba)
