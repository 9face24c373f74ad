"""`dragdiffusion edit`: one edit of a file through the daemon."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.descriptor import FieldDescriptor
from PIL import Image, ImageOps, UnidentifiedImageError
from rich.console import Console

from dragdiffusion.client.connection import Connection, DaemonError, to_pixels
from dragdiffusion.client.launch import find_or_start_daemon
from dragdiffusion.commands.errors import BadInput
from dragdiffusion.commands.outputs import refuse_unwritable, write_json
from dragdiffusion.commands.progress_bar import ProgressBar
from dragdiffusion.commands.provenance import read_generation
from dragdiffusion.engine.config import Mode
from dragdiffusion.engine.drag_types import Pixels
from dragdiffusion_rpc import drag_pb2 as rpc


@dataclass(frozen=True)
class EditOrder:
    """What the command line asks for."""

    input: Path
    output: Path
    points: list[str]  # "HX,HY:TX,TY", with more points between for a way
    mask: Path | None = None
    prompt: str = ""
    model: str = ""
    mode: Mode = Mode.DEFAULT
    hyper_parameters: dict[str, int | float | bool] = field(default_factory=dict)
    seed: int = 0
    whole_image: bool = False
    raw: bool = False
    json: Path | None = None
    generated: bool | None = None  # from where it was generated; None: if the file says so


@dataclass
class EditResult:
    """What came back."""

    header: rpc.EditedImage
    pixels: Pixels
    raw: Pixels | None
    steps: list[rpc.DragStep]
    seconds: float


def run_edit(order: EditOrder) -> None:
    """Edit the file and write what was asked for."""
    trajectories = [parse_trajectory(text) for text in order.points]
    picture = open_picture(order.input)
    made = None if order.generated is False else read_generation(order.input)
    if order.generated and made is None:
        raise BadInput(f"{order.input} does not say how it was generated: drag it as it is.")
    mask = None if order.mask is None else open_mask(order.mask, picture.size)
    refuse_no_picture(order.output)
    refuse_unwritable(order.json)
    endpoint = find_or_start_daemon()
    with Connection(endpoint) as daemon, ProgressBar(Console(stderr=True)) as bar:
        request = _request(order, trajectories, picture, mask, daemon)
        if made is not None:
            _start_from_trajectory(request.preparation, made)
        with _hint_where_not_as_generated():
            result = receive(daemon.drag(request), bar)
    write_result(order, picture, result)
    if order.json is not None:
        write_json(order.json, report(order, result))


def parse_trajectory(text: str) -> rpc.Trajectory:
    """ "HX,HY:TX,TY" in image pixels; points between are passed on the way."""
    try:
        pairs = [tuple(float(number) for number in pair.split(",")) for pair in text.split(":")]
        points = [rpc.Point(x=x, y=y) for x, y in pairs]
    except ValueError as error:
        raise BadInput(
            f'"{text}" is no drag: give handle and target as HX,HY:TX,TY, for instance 210,180:250,180.'
        ) from error
    if len(points) < 2:
        raise BadInput(f'"{text}" has no target: give handle and target as HX,HY:TX,TY.')
    return rpc.Trajectory(points=points)


def parse_settings(texts: list[str]) -> dict[str, int | float | bool]:
    """ "NAME=VALUE" of rpc.HyperParameters."""
    values: dict[str, int | float | bool] = {}
    for text in texts:
        name, _, value = text.partition("=")
        field = rpc.HyperParameters.DESCRIPTOR.fields_by_name.get(name)
        if field is None:
            names = ", ".join(rpc.HyperParameters.DESCRIPTOR.fields_by_name)
            raise BadInput(f'There is no hyper-parameter "{name}"; there are {names}.')
        values[name] = _parse_value(field, value)
    return values


def _parse_value(field: Any, text: str) -> int | float | bool:
    try:
        if field.enum_type is not None:
            prefix = field.enum_type.values[0].name.removesuffix("UNSPECIFIED")
            return int(field.enum_type.values_by_name[prefix + text.upper()].number)
        if field.type == FieldDescriptor.TYPE_BOOL:
            return {"true": True, "false": False}[text.lower()]
        if field.type == FieldDescriptor.TYPE_UINT32:
            return int(text)
        return float(text)
    except (KeyError, ValueError) as error:
        raise BadInput(f'"{text}" is no value of {field.name}.') from error


def open_picture(path: Path) -> Image.Image:
    """RGBA where the file has transparency, else RGB; turned as the camera says."""
    opened = ImageOps.exif_transpose(_open(path))
    mode = "RGBA" if opened.has_transparency_data else "RGB"
    picture = opened.convert(mode)
    picture.info = {k: v for k, v in opened.info.items() if k in ("icc_profile", "dpi")}
    return picture


def open_mask(path: Path, size: tuple[int, int]) -> Pixels:
    mask = _open(path).convert("L")
    if mask.size != size:
        raise BadInput(
            f"{path} is {mask.width} × {mask.height} pixels, the picture {size[0]} × {size[1]}: "
            "they must be of one size."
        )
    return np.asarray(mask)


def refuse_no_picture(path: Path) -> None:
    """Where no picture can be written: better now than after the work."""
    if path.suffix.lower() not in Image.registered_extensions():
        raise BadInput(f"{path} has no ending of a picture format: use .png.")
    if not path.absolute().parent.is_dir():
        raise BadInput(f"There is no folder {path.absolute().parent}.")
    refuse_unwritable(path)


def receive(events: Iterator[rpc.DragEvent], bar: ProgressBar) -> EditResult:
    """Read the stream to its end."""
    began = time.monotonic()
    header = rpc.EditedImage()
    rows = bytearray()
    steps: list[rpc.DragStep] = []
    for event in events:
        kind = event.WhichOneof("event")
        if kind == "progress":
            bar.show(event.progress)
        elif kind == "drag_step":
            steps.append(event.drag_step)
        elif kind == "edited_image":
            header = event.edited_image
        elif kind == "pixel_chunk":
            rows += event.pixel_chunk.chunk
    size = header.region.width * header.region.height * 4
    raw = to_pixels(header.raw, bytes(rows[size:])) if header.HasField("raw") else None
    pixels = to_pixels(header.pixels, bytes(rows[:size]))
    return EditResult(header, pixels, raw, steps, time.monotonic() - began)


def write_result(order: EditOrder, picture: Image.Image, result: EditResult) -> None:
    """The model's own picture of the region if `raw`, else the edit laid over the input."""
    if order.raw:
        assert result.raw is not None
        output = Image.fromarray(result.raw)
    else:
        output = lay_over(picture, result.pixels, result.header.region)
    if output.mode == "RGBA" and order.output.suffix.lower() in (".jpg", ".jpeg"):
        output = output.convert("RGB")
    about: dict[str, Any] = dict(picture.info)  # type: ignore[arg-type]
    output.save(order.output, **about)


def lay_over(picture: Image.Image, layer: Pixels, region: rpc.Rectangle) -> Image.Image:
    """The picture with the layer over it; where the layer is transparent not a bit changes."""
    pixels = np.array(picture)
    top, left = region.y, region.x
    below = pixels[top : top + region.height, left : left + region.width]
    alpha = layer[..., 3:].astype(np.float64) / 255
    below_alpha = below[..., 3:].astype(np.float64) / 255 if below.shape[2] == 4 else 1.0
    kept = below_alpha * (1 - alpha)
    covered = np.maximum(alpha + kept, 1e-9)
    mixed = (layer[..., :3] * alpha + below[..., :3] * kept) / covered
    changed = layer[..., 3] > 0
    below[..., :3][changed] = np.rint(mixed)[changed]
    if below.shape[2] == 4:
        below[..., 3][changed] = np.rint(covered[..., 0] * 255)[changed]
    return Image.fromarray(pixels)


def report(order: EditOrder, result: EditResult) -> dict[str, Any]:
    """Everything about the run, for scripts."""
    run, region = result.header.run, result.header.region
    return {
        "input": str(order.input),
        "output": str(order.output),
        "model": run.model,
        "device": run.device,
        "dtype": run.dtype,
        "versions": {
            "dragdiffusion": run.daemon_version,
            "torch": run.torch_version,
            "diffusers": run.diffusers_version,
        },
        "seconds": result.seconds,
        "phase_seconds": {phase.phase: phase.seconds for phase in run.phases},
        "prepared_before": run.prepared_before,
        "peak_memory_bytes": run.peak_memory_bytes,
        "memory_plan": run.memory_plan,
        "region": {"x": region.x, "y": region.y, "width": region.width, "height": region.height},
        "drag_steps": run.drag_steps,
        "taken_early": run.taken_early,
        "losses": [step.loss for step in result.steps],
        "handle_tracks": [[[p.x, p.y] for p in step.handles] for step in result.steps],
        "config": json.loads(run.config_json),
    }


def _open(path: Path) -> Image.Image:
    try:
        with Image.open(path) as picture:
            picture.load()
            return picture
    except FileNotFoundError as error:
        raise BadInput(f"There is no file {path}.") from error
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise BadInput(f"{path} cannot be read as a picture.") from error


def _request(
    order: EditOrder,
    trajectories: list[rpc.Trajectory],
    picture: Image.Image,
    mask: Pixels | None,
    daemon: Connection,
) -> rpc.DragRequest:
    whole = rpc.Rectangle(width=picture.width, height=picture.height)
    return rpc.DragRequest(
        preparation=rpc.PrepareRequest(
            image=daemon.upload(np.asarray(picture)),
            mask=None if mask is None else daemon.upload(mask),
            region=whole if order.whole_image else None,
            trajectories=trajectories,
            prompt=order.prompt,
            model=model_for_daemon(order.model),
            mode=f"MODE_{order.mode.name}",
            hyper_parameters=rpc.HyperParameters(**order.hyper_parameters),  # type: ignore[arg-type]
            seed=order.seed,
        ),
        include_raw=order.raw,
    )


def _start_from_trajectory(preparation: rpc.PrepareRequest, made: rpc.GenerateRequest) -> None:
    preparation.generation.CopyFrom(made.generation)
    preparation.model = preparation.model or made.model


@contextmanager
def _hint_where_not_as_generated() -> Iterator[None]:
    try:
        yield
    except DaemonError as error:
        if error.field == "generation":
            raise BadInput(f"{error} (That is --no-generated.)") from error
        raise


def model_for_daemon(name: str) -> str:
    """The daemon has another working folder: a path must be absolute."""
    return str(Path(name).absolute()) if name and Path(name).exists() else name
