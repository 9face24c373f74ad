"""GIMP's layers and selection to bytes. Main thread only.

A wrong pixel format string ends the process: hence the constants.
"""

from __future__ import annotations

import io
import math
from typing import Any, Generator, Optional, Tuple

from gi.repository import GdkPixbuf, Gegl, Gimp, GLib

from plugin import record
from plugin.edit_model import LayerState, PixelBuffer, Region
from plugin.landmarks import LOOK_SIDE

SRGB = "R'G'B'A u8"  # whatever the image's precision and profile
COVERAGE = "Y u8"  # linear, as the selection is
PART = 1 << 22  # bytes that are read at once: some milliseconds
CACHE = 1 << 25  # bytes of pixels that GEGL keeps in this process: each is read once
SmallCoverage = Tuple[int, int, bytes]  # width, height, one byte a pixel


def start() -> None:
    """Before any pixels are read or written; it takes a while."""
    Gegl.init(None)
    Gegl.config().set_property("tile-cache-size", CACHE)


def read_state(drawable: Any) -> LayerState:
    """What a drawable is, without its pixels."""
    name = drawable.get_name()
    if isinstance(drawable, Gimp.LayerMask):
        return LayerState(Gimp.Layer.from_mask(drawable).get_name(), "mask")
    if not isinstance(drawable, Gimp.Layer):
        return LayerState(name, "channel")
    _ok, x, y = drawable.get_offsets()
    return LayerState(
        name,
        "layer",
        width=drawable.get_width(),
        height=drawable.get_height(),
        x=x,
        y=y,
        pixels_locked=drawable.get_lock_content(),
        has_filters=has_filters(drawable),
        tattoo=drawable.get_tattoo(),
    )


def has_filters(layer: Any) -> bool:
    """Whether it has non-destructive filters that an edit may leave out: those of a group, a text and the like it may not,
    as a plain layer cannot get copies of them."""
    return type(layer) is Gimp.Layer and bool(layer.get_filters())


def read_pixels(layer: Any, part: Region, with_filters: bool = True) -> PixelBuffer:
    """A part of the layer, or of the group as one, as it looks: with its non-destructive filters, unless they may and shall be
    left out; without mask, opacity and mode."""
    reading = read_pixels_in_parts(layer, part, with_filters)
    while True:
        try:
            next(reading)
        except StopIteration as end:
            return end.value


def read_pixels_in_parts(
    layer: Any, part: Region, with_filters: bool = True
) -> Generator[None, None, PixelBuffer]:
    """`read_pixels` with a pause after every few rows, in which windows can answer."""
    if not layer.get_filters() or (has_filters(layer) and not with_filters):
        return (yield from _read(layer.get_buffer(), part))
    # Let GIMP show a copy alone, in an image of its own: merging filters may change the copy's size.
    image = layer.get_image()
    width, height = layer.get_width(), layer.get_height()
    scratch = Gimp.Image.new_with_precision(
        width, height, image.get_base_type(), image.get_precision()
    )
    try:
        profile = image.get_color_profile()
        if profile is not None:
            scratch.set_color_profile(profile)
        buffer = _show_alone(layer, scratch).get_buffer()
        pixels = yield from _read(buffer, part)
        del buffer  # before its image
    finally:
        scratch.delete()
    return pixels


def _show_alone(layer: Any, scratch: Any) -> Any:
    """A layer of what the scratch image, of the layer's size, shows of a copy of it."""
    copy = Gimp.Layer.new_from_drawable(layer, scratch)
    scratch.insert_layer(copy, None, 0)
    copy.set_offsets(0, 0)
    copy.set_visible(True)
    copy.set_opacity(100.0)
    copy.set_mode(Gimp.LayerMode.NORMAL)
    if copy.get_mask() is not None:
        copy.set_apply_mask(False)
    return Gimp.Layer.new_from_visible(scratch, scratch, copy.get_name())


def _read(buffer: Any, part: Region) -> Generator[None, None, PixelBuffer]:
    x, y, width, height = part
    rows = max(1, PART // (4 * width))
    read = io.BytesIO()  # which gives its bytes away without a copy
    for top in range(y, y + height, rows):
        band = Gegl.Rectangle.new(x, top, width, min(rows, y + height - top))
        read.write(buffer.get(band, 1.0, SRGB, Gegl.AbyssPolicy.NONE))
        yield
    return PixelBuffer(width, height, 4, read.getvalue(), x, y)


def read_selection(image: Any, layer: LayerState, part: Region) -> Optional[PixelBuffer]:
    """The selection where this part of the layer is; None where nothing is selected."""
    if Gimp.Selection.is_empty(image):
        return None
    x, y, width, height = part
    buffer = image.get_selection().get_buffer()
    there = Gegl.Rectangle.new(layer.x + x, layer.y + y, width, height)
    coverage = bytes(buffer.get(there, 1.0, COVERAGE, Gegl.AbyssPolicy.NONE))
    return PixelBuffer(width, height, 1, coverage, x, y)


def read_selection_bounds(image: Any, layer: LayerState) -> Optional[Region]:
    """Where in the layer something is selected, 0 × 0 where that is beside it; None where nothing is selected."""
    _ok, is_anything, left, top, right, bottom = Gimp.Selection.bounds(image)
    if not is_anything:
        return None
    left, right = (min(max(x - layer.x, 0), layer.width) for x in (left, right))
    top, bottom = (min(max(y - layer.y, 0), layer.height) for y in (top, bottom))
    return left, top, right - left, bottom - top


def shape_selection(mask: PixelBuffer, grow: int, feather: int) -> PixelBuffer:
    """The mask larger (grow < 0: smaller) and softer by so many pixels, with GIMP's own tools and in an image of its own."""
    if not grow and not feather:
        return mask
    width, height = mask.width, mask.height
    whole = Gegl.Rectangle.new(0, 0, width, height)
    scratch = Gimp.Image.new(width, height, Gimp.ImageBaseType.GRAY)
    Gimp.context_push()  # a script's own may soften every selection
    Gimp.context_set_defaults()
    try:
        channel = Gimp.Channel.new(scratch, "mask", width, height, 100.0, Gegl.Color.new("black"))
        scratch.insert_channel(channel, None, 0)
        buffer = channel.get_buffer()
        buffer.set(whole, COVERAGE, mask.rows)
        buffer.flush()
        del buffer  # before its image
        scratch.select_item(Gimp.ChannelOps.REPLACE, channel)
        if grow > 0:
            Gimp.Selection.grow(scratch, grow)
        elif grow < 0:
            Gimp.Selection.shrink(scratch, -grow)
        if feather:
            Gimp.Selection.feather(scratch, feather)
        buffer = scratch.get_selection().get_buffer()
        rows = bytes(buffer.get(whole, 1.0, COVERAGE, Gegl.AbyssPolicy.NONE))
        del buffer
    finally:
        Gimp.context_pop()
        scratch.delete()
    return PixelBuffer(width, height, 1, rows, mask.x, mask.y)


def read_parasite(layer: Any, name: str) -> Optional[bytes]:
    parasite = layer.get_parasite(name)
    return None if parasite is None else bytes(number & 255 for number in parasite.get_data())


def read_thumbnail(layer: Any, side: int) -> Any:
    """A pixbuf of the layer, filters included, made to fit a square of this side (1024 at most) by GIMP itself: fast."""
    small = layer.get_thumbnail(
        min(side, layer.get_width()),
        min(side, layer.get_height()),
        Gimp.PixbufTransparency.KEEP_ALPHA,
    )
    return small or _read_small(layer, side)  # it makes none of more than 8 bits a colour


def _read_small(layer: Any, side: int) -> Any:
    """Without the layer's filters, which its buffer does not have."""
    start()
    full = layer.get_width(), layer.get_height()
    scale = min(1.0, side / max(full))
    width, height = (max(1, round(length * scale)) for length in full)
    there = Gegl.Rectangle.new(0, 0, width, height)
    rows = GLib.Bytes.new(layer.get_buffer().get(there, scale, SRGB, Gegl.AbyssPolicy.CLAMP))
    kind = GdkPixbuf.Colorspace.RGB
    return GdkPixbuf.Pixbuf.new_from_bytes(rows, kind, True, 8, width, height, 4 * width)


def read_look(layer: Any) -> bytes:
    """A very small picture of the layer, whatever its sides; empty where there is none any more."""
    if not layer.is_valid():
        return b""
    small = read_thumbnail(layer, 4 * LOOK_SIDE)
    small = small.add_alpha(False, 0, 0, 0)  # unless it has one
    small = small.scale_simple(LOOK_SIDE, LOOK_SIDE, GdkPixbuf.InterpType.BILINEAR)
    rows, line = small.get_pixels(), small.get_rowstride()
    pixels = b"".join(rows[y * line : y * line + 4 * LOOK_SIDE] for y in range(LOOK_SIDE))
    alpha = pixels[3::4]
    colours = [bytes(c * a // 255 for c, a in zip(pixels[n::4], alpha)) for n in range(3)]
    return b"".join([*colours, alpha])


def read_small_selection(image: Any, layer: LayerState, scale: float) -> Optional[SmallCoverage]:
    """The selection where the layer is, at another scale; None where nothing is selected."""
    bounds = read_selection_bounds(image, layer)
    if bounds is None:
        return None
    width, height = max(1, round(layer.width * scale)), max(1, round(layer.height * scale))
    # Beside its bounds it is 0, which GIMP would send too, tile by tile.
    left, top = (max(0, math.floor(start * scale) - 1) for start in bounds[:2])
    right = min(width, math.ceil((bounds[0] + bounds[2]) * scale) + 1)
    bottom = min(height, math.ceil((bounds[1] + bounds[3]) * scale) + 1)
    x, y = round(layer.x * scale) + left, round(layer.y * scale) + top
    there = Gegl.Rectangle.new(x, y, right - left, bottom - top)
    buffer = image.get_selection().get_buffer()
    rows = bytes(buffer.get(there, scale, COVERAGE, Gegl.AbyssPolicy.NONE))
    part = PixelBuffer(right - left, bottom - top, 1, rows, left, top)
    return width, height, record.place(part, (0, 0, width, height)).rows
