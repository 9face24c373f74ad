"""What a result layer keeps of its edit, so that it can be edited again: a record, and the selection. No GIMP in here.

Both are parasites of the layer. The record is JSON; the selection is what lay over the source layer before the edit enlarged
or softened it: its bounding box, zlib-packed. Both are ASCII: a parasite made in Python takes no other bytes.
"""

from __future__ import annotations

import base64
import json
import math
import struct
import zlib
from dataclasses import asdict, dataclass, fields
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from plugin import __version__, landmarks
from plugin.edit_model import (
    Drag,
    Edit,
    EditError,
    Generated,
    LayerState,
    PixelBuffer,
    Point,
    Region,
    Result,
    Settings,
)
from plugin.landmarks import Pieces
from plugin.translation import _

PARASITE = "drag-diffusion-edit"
SELECTION_PARASITE = "drag-diffusion-selection"
GENERATED_PARASITE = "drag-diffusion-generated"
LARGEST_SELECTION = 1 << 20  # bytes, packed; a larger one is not kept
HEADER = struct.Struct(">4s4I")  # MAGIC, x, y, width, height of the bounding box in the layer
MAGIC = b"DDS1"
MODES = ("default", "fast", "reference")


@dataclass(frozen=True)
class Record:
    """How a layer was made, as far as it takes to make it again."""

    source: LayerState  # as it was then
    drags: Tuple[Drag, ...]
    settings: Settings
    had_selection: bool
    selection: Optional[
        PixelBuffer
    ]  # a part, beside which it is 0; None too where it was too large to be kept
    region: Region  # of the source, over which the layer lay
    landmarks: Pieces = ()
    look: bytes = b""  # of the source; empty: unknown


# ---- written ---------------------------------------------------------------------------------------


def to_parasites(edit: Edit, result: Result, look: bytes) -> Dict[str, bytes]:
    """What was done, by the name under which the new layer keeps it. `look`: the source's."""
    kept = {PARASITE: _to_json(edit, result, look)}
    packed = None if edit.selection is None else pack(crop(edit.selection))
    if packed is not None and len(packed) <= LARGEST_SELECTION:
        kept[SELECTION_PARASITE] = packed
    return kept


def _to_json(edit: Edit, result: Result, look: bytes) -> bytes:
    layer = edit.layer
    record = {
        "plug_in_version": __version__,
        "source_layer": layer.name,
        "source_tattoo": layer.tattoo,
        "source_size": [layer.width, layer.height],
        "source_offset": [layer.x, layer.y],
        "source_part": list(edit.image.region),  # of which the next is the hash
        "source_sha256": edit.image.sha256.hex(),
        "source_look": _to_text(look),
        "source_landmarks": [
            [*piece.region, _to_text(piece.rows)]
            for piece in landmarks.choose(edit.image, edit.drags)
        ],
        "selection_sha256": "" if edit.mask is None else edit.mask.sha256.hex(),
        "drags": [[[round(x, 3), round(y, 3)] for x, y in drag.points] for drag in edit.drags],
        "settings": asdict(edit.settings),
        "region": [result.x, result.y, result.pixels.width, result.pixels.height],
        "run": json.loads(result.run),
    }
    return json.dumps(record).encode("ascii")


def _to_text(content: bytes) -> str:
    return base64.b64encode(zlib.compress(content)).decode("ascii")


def crop(mask: PixelBuffer) -> PixelBuffer:
    """The smallest part of the mask that holds all that is not 0."""
    width, top, bottom, left, right = mask.width, mask.height, 0, mask.width, 0
    for row in range(mask.height):
        line = mask.rows[row * width : (row + 1) * width]
        start = width - len(line.lstrip(b"\0"))
        if start < width:
            top, bottom = min(top, row), row + 1
            left, right = min(left, start), max(right, len(line.rstrip(b"\0")))
    if not bottom:
        return PixelBuffer(0, 0, 1, b"")
    lines = (mask.rows[row * width + left : row * width + right] for row in range(top, bottom))
    return PixelBuffer(right - left, bottom - top, 1, b"".join(lines), mask.x + left, mask.y + top)


def pack(part: PixelBuffer) -> bytes:
    return base64.b64encode(HEADER.pack(MAGIC, *part.region) + zlib.compress(part.rows))


# ---- read ------------------------------------------------------------------------------------------


def read(layer_name: str, record: Optional[bytes], selection: Optional[bytes]) -> Record:
    """What a layer's parasites tell; EditError where they tell nothing."""
    if record is None:
        raise EditError(
            _(
                "Layer “{layer}” was not made by Drag Edit, so there is no drag to edit again: select "
                "a layer that was, or drag this one with Filters ▸ Drag Edit."
            ).format(layer=layer_name)
        )
    try:
        told = json.loads(record.decode("utf-8"))
        return Record(
            _read_source(told),
            _read_drags(told["drags"]),
            _read_settings(told.get("settings", {})),
            bool(told.get("selection_sha256")),
            None if selection is None else unpack(selection),
            _read_region(told.get("region", (0, 0, 0, 0))),
            tuple(_read_landmark(*one) for one in told.get("source_landmarks", [])),
            _from_text(told.get("source_look", "")),
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise EditError(
            _(
                "What layer “{layer}” keeps of its drag cannot be read: drag the layer below it anew "
                "with Filters ▸ Drag Edit."
            ).format(layer=layer_name)
        ) from error


def _read_source(told: Mapping[str, Any]) -> LayerState:
    width, height = (int(number) for number in told["source_size"])
    x, y = (int(number) for number in told.get("source_offset", (0, 0)))
    tattoo = int(told.get("source_tattoo", 0))
    return LayerState(str(told["source_layer"]), "layer", width, height, x, y, tattoo=tattoo)


def _read_region(told: Any) -> Region:
    x, y, width, height = (int(number) for number in told)
    return x, y, width, height


def _read_landmark(x: int, y: int, width: int, height: int, text: str) -> PixelBuffer:
    return PixelBuffer(int(width), int(height), 4, _from_text(text), int(x), int(y))


def _from_text(text: str) -> bytes:
    """Empty where it is; ValueError where it is none."""
    try:
        packed = base64.b64decode(text, validate=True)
        return zlib.decompressobj().decompress(packed, LARGEST_SELECTION)
    except zlib.error as error:
        raise ValueError("not packed") from error


def _read_drags(told: Any) -> Tuple[Drag, ...]:
    ways: List[Tuple[Point, ...]] = [tuple((float(x), float(y)) for x, y in way) for way in told]
    if any(len(way) < 2 or not all(math.isfinite(n) for p in way for n in p) for way in ways):
        raise ValueError("not the way of a point")
    return tuple(Drag(f"Arrow {number}", way) for number, way in enumerate(ways, start=1))


def _read_settings(told: Mapping[str, Any]) -> Settings:
    """What it has; the default for what it lacks or cannot be."""
    usual = asdict(Settings())
    known = {name: told[name] for name in usual if type(told.get(name)) is type(usual[name])}
    if known.get("mode") not in MODES:
        known.pop("mode", None)
    return Settings(**known)


def unpack(packed: bytes) -> PixelBuffer:
    """ValueError where it is none."""
    try:
        packed = base64.b64decode(packed, validate=True)
        magic, x, y, width, height = HEADER.unpack_from(packed)
        opened = zlib.decompressobj()
        # One byte more than it needs, so that what holds more is seen, whatever it holds.
        rows = opened.decompress(packed[HEADER.size :], width * height + 1)
    except (struct.error, zlib.error) as error:
        raise ValueError("not a packed selection") from error
    if magic != MAGIC or len(packed) > LARGEST_SELECTION:
        raise ValueError("not a packed selection")
    return PixelBuffer(width, height, 1, rows, x, y)


def pack_generated(generated: Generated) -> bytes:
    return json.dumps(asdict(generated)).encode("ascii")


def read_generated(packed: Optional[bytes]) -> Optional[Generated]:
    """None where there is none that can be read: it is then a picture as any other."""
    try:
        told = json.loads(packed.decode("utf-8")) if packed is not None else {}
        read = Generated(**{field.name: str(told[field.name]) for field in fields(Generated)})
        return read if isinstance(json.loads(read.how), dict) else None
    except (ValueError, KeyError, TypeError):
        return None


# ---- used again ------------------------------------------------------------------------------------


def find_source(then: LayerState, layers: Sequence[LayerState]) -> Optional[int]:
    """Which of the layers is the one that was dragged; None: none of them.

    A tattoo stays through renaming, scaling, saving and loading; but a copy of the whole image gives each layer a new one, so
    that another layer may bear it: there the name tells. A layer that has nothing but the tattoo may be the one.
    """

    def likeness(now: LayerState) -> int:
        same_tattoo = bool(then.tattoo) and now.tattoo == then.tattoo
        return 2 * (now.name == then.name) + same_tattoo

    best = max(range(len(layers)), key=lambda n: likeness(layers[n]), default=None)
    return best if best is not None and likeness(layers[best]) else None


def place(part: PixelBuffer, there: Region) -> PixelBuffer:
    """What the mask, of which this is a part, has there in the layer."""
    rows = bytearray(there[2] * there[3])
    left, top = part.x - there[0], part.y - there[1]
    first, last = max(0, left), min(there[2], left + part.width)
    if first < last:
        for row in range(max(0, top), min(there[3], top + part.height)):
            start = (row - top) * part.width - left
            at = row * there[2]
            rows[at + first : at + last] = part.rows[start + first : start + last]
    return PixelBuffer(there[2], there[3], 1, bytes(rows), there[0], there[1])


def shrink(mask: PixelBuffer, scale: float) -> Tuple[int, int, bytes]:
    """Width, height and rows of a smaller mask: of each of its pixels the one that lies in the middle."""
    width, height = max(1, round(mask.width * scale)), max(1, round(mask.height * scale))
    columns = [int((x + 0.5) * mask.width / width) for x in range(width)]
    lines = []
    for y in range(height):
        start = int((y + 0.5) * mask.height / height) * mask.width
        line = mask.rows[start : start + mask.width]
        lines.append(bytes([line[x] for x in columns]))
    return width, height, b"".join(lines)


def to_arguments(settings: Settings) -> Dict[str, Any]:
    """The settings as the procedure's arguments."""
    return {
        field.name.replace("_", "-"): getattr(settings, field.name) for field in fields(Settings)
    }
