"""`dragdiffusion generate`: a picture from a prompt, which says in its file how it was made, so that `edit` knows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from rich.console import Console

from dragdiffusion.client.connection import Connection, to_pixels
from dragdiffusion.client.launch import find_or_start_daemon
from dragdiffusion.commands.edit import model_for_daemon, refuse_no_picture
from dragdiffusion.commands.errors import BadInput
from dragdiffusion.commands.progress_bar import ProgressBar
from dragdiffusion.commands.provenance import png_text
from dragdiffusion.engine.drag_types import Pixels
from dragdiffusion_rpc import drag_pb2 as rpc


@dataclass(frozen=True)
class GenerateOrder:
    """What the command line asks for; None: as the model's family has it."""

    prompt: str
    output: Path
    negative_prompt: str = ""
    seed: int = 0
    steps: int | None = None
    guidance_scale: float | None = None
    size: str | None = None  # "S" or "WIDTHxHEIGHT"
    model: str = ""


def run_generate(order: GenerateOrder) -> None:
    """Make the picture and write it."""
    if order.output.suffix.lower() != ".png":
        raise BadInput(
            f"{order.output} is no PNG file: only that keeps every pixel and how they were made."
        )
    refuse_no_picture(order.output)
    width, height = (None, None) if order.size is None else parse_size(order.size)
    generation = rpc.Generation(
        prompt=order.prompt,
        negative_prompt=order.negative_prompt,
        seed=order.seed,
        num_inference_steps=order.steps,
        guidance_scale=order.guidance_scale,
        width=width,
        height=height,
    )
    request = rpc.GenerateRequest(model=model_for_daemon(order.model), generation=generation)
    endpoint = find_or_start_daemon()
    with Connection(endpoint) as daemon, ProgressBar(Console(stderr=True)) as bar:
        header, pixels = receive(daemon.generate(request), bar)
    write_picture(order.output, header, pixels)


def parse_size(text: str) -> tuple[int, int]:
    """ "S" or "WIDTHxHEIGHT" """
    found = re.fullmatch(r"(\d{1,5})(?:x(\d{1,5}))?", text.lower())
    if found is None:
        raise BadInput(f'"{text}" is no size: give pixels as 512 or 512x768.')
    return int(found[1]), int(found[2] or found[1])


def receive(
    events: Iterator[rpc.GenerateEvent], bar: ProgressBar
) -> tuple[rpc.GeneratedImage, Pixels]:
    """Read the stream to its end."""
    header, rows = rpc.GeneratedImage(), bytearray()
    for event in events:
        kind = event.WhichOneof("event")
        if kind == "progress":
            bar.show(event.progress)
        elif kind == "generated_image":
            header = event.generated_image
        elif kind == "pixel_chunk":
            rows += event.pixel_chunk.chunk
    return header, to_pixels(header.pixels, bytes(rows))


def write_picture(path: Path, header: rpc.GeneratedImage, pixels: Pixels) -> None:
    made = rpc.GenerateRequest(model=header.run.model, generation=header.generation)
    Image.fromarray(pixels).save(path, pnginfo=png_text(made))
