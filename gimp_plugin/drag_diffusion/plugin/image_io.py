"""GIMP's layers and selection to bytes, and the result back as a new layer. Main thread only.

A wrong pixel format string ends the process, and a buffer of wrong length is dropped without a word: hence the constants
and PixelBuffer's check.
"""

from __future__ import annotations

import io
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Callable, Generator, Iterator, Mapping, Optional, Sequence, Tuple

from gi.repository import GdkPixbuf, Gegl, Gimp, GLib

from plugin.edit_model import EditError, LayerState, PixelBuffer, Region
from plugin.landmarks import LOOK_SIDE
from plugin.translation import _

SRGB = "R'G'B'A u8"  # whatever the image's precision and profile
COVERAGE = "Y u8"  # linear, as the selection is
MASK = "Y float"  # linear too, and exact in every precision
PART = 1 << 22  # bytes that are read at once: some milliseconds
CACHE = 1 << 25  # bytes of pixels that GEGL keeps in this process: each is read once
OUR_PARASITES = "drag-diffusion-"
SmallCoverage = Tuple[int, int, bytes]  # width, height, one byte a pixel


@dataclass(frozen=True)
class Beside:
    """Another layer that tells where a new one goes: above it, or in its place."""

    layer: Any
    replace: bool


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
        tattoo=drawable.get_tattoo(),
    )


def read_pixels(layer: Any, part: Region) -> PixelBuffer:
    """A part of the layer, or of the group as one, as it looks: with its non-destructive filters, without mask, opacity and mode."""
    reading = read_pixels_in_parts(layer, part)
    while True:
        try:
            next(reading)
        except StopIteration as end:
            return end.value


def read_pixels_in_parts(layer: Any, part: Region) -> Generator[None, None, PixelBuffer]:
    """`read_pixels` with a pause after every few rows, in which windows can answer."""
    if not layer.get_filters():
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
    if Gimp.Selection.is_empty(image):
        return None
    width, height = max(1, round(layer.width * scale)), max(1, round(layer.height * scale))
    there = Gegl.Rectangle.new(round(layer.x * scale), round(layer.y * scale), width, height)
    buffer = image.get_selection().get_buffer()
    return width, height, bytes(buffer.get(there, scale, COVERAGE, Gegl.AbyssPolicy.NONE))


def insert_layer(
    image: Any,
    source: Any,
    name: str,
    offset: Tuple[int, int],
    pixels: PixelBuffer,
    parasites: Mapping[str, bytes],
    keep: Callable[[], None] = lambda: None,
    beside: Optional[Beside] = None,
) -> Any:
    """Put the pixels above the source layer, `offset` from its corner, in one undo step; with what `keep` adds.

    `beside`: above that layer of the image, or in its place, though not at its corner.
    """
    if not image.is_valid():
        raise EditError(_("The image was closed while the edit ran, so its result has no place."))
    replaced = beside.layer if beside and beside.replace and _is_in(image, beside.layer) else None
    parent, position, corner = _place(image, source, beside)
    there = corner[0] + offset[0], corner[1] + offset[1]
    if replaced is None:
        layer = _make_layer(image, name, pixels)
        layer.set_offsets(*there)
        _hide_as(source, layer, offset)
    else:
        layer = _copy(replaced)
    # Before the layer is in the image: attached later, it would be an undo step of its own.
    for key, content in parasites.items():
        layer.attach_parasite(Gimp.Parasite.new(key, Gimp.PARASITE_PERSISTENT, content))
    selected = image.get_selected_layers()
    with undo_step(image):
        inserted = image.insert_layer(layer, parent, position)
        if inserted:
            if replaced is not None:
                _fit(layer, replaced, there, pixels)
                _hide_as(source, layer, offset)
                _keep_mask(replaced, layer)
                _take_the_place(layer, replaced)
            keep()
    if not inserted:
        layer.delete()
        raise EditError(_("GIMP did not accept the new layer: see its error console."))
    # GIMP selects the new layer, but the next drag is from the user's own again: this one is only a part.
    if selected:
        image.set_selected_layers([one if one != replaced else layer for one in selected])
    layer.update(0, 0, pixels.width, pixels.height)
    Gimp.displays_flush()
    return layer


def insert_picture(
    image: Any,
    above: Any,
    name: str,
    corner: Tuple[int, int],
    pixels: PixelBuffer,
    make_parasites: Callable[[PixelBuffer], Mapping[str, bytes]],
) -> Any:
    """Put a picture above a layer (None: on top) in one undo step, with parasites made of the pixels as it has them."""
    parent, position = None, 0
    if above is not None and _is_in(image, above):
        parent, position = above.get_parent(), image.get_item_position(above)
    layer = _make_layer(image, name, pixels)
    layer.set_offsets(*corner)
    for key, content in make_parasites(
        read_pixels(layer, (0, 0, pixels.width, pixels.height))
    ).items():
        layer.attach_parasite(Gimp.Parasite.new(key, Gimp.PARASITE_PERSISTENT, content))
    with undo_step(image):
        inserted = image.insert_layer(layer, parent, position)
    if not inserted:
        layer.delete()
        raise EditError(_("GIMP did not accept the new layer: see its error console."))
    layer.update(0, 0, pixels.width, pixels.height)
    Gimp.displays_flush()
    return layer


def _place(image: Any, source: Any, beside: Optional[Beside]) -> Tuple[Any, int, Sequence[int]]:
    """Parent and position beside the source, or what was named, and the source's corner; the top if it is gone by now."""
    corner: Sequence[int] = (0, 0)
    if _is_in(image, source):
        corner = source.get_offsets()[1:]
    if beside is not None and _is_in(image, beside.layer):
        source = beside.layer
    if not _is_in(image, source):
        return None, 0, corner
    return source.get_parent(), image.get_item_position(source), corner


def _is_in(image: Any, layer: Any) -> bool:
    return layer.is_valid() and layer.get_image() == image


def _copy(old: Any) -> Any:
    """A layer that looks and behaves as the old one, filters included, but tells nothing of how that was made."""
    layer = old.copy()
    for name in layer.get_parasite_list():
        if name.startswith(OUR_PARASITES):
            layer.detach_parasite(name)
    return layer


def _fit(layer: Any, old: Any, there: Tuple[int, int], pixels: PixelBuffer) -> None:
    """Give the copy of the old one, once it is in the image, these pixels at this place, and no mask."""
    _ok, old_x, old_y = old.get_offsets()
    layer.set_lock_position(False)  # until it has its place
    if not layer.has_alpha():
        layer.add_alpha()
    if layer.get_mask() is not None:
        layer.remove_mask(Gimp.MaskApplyMode.DISCARD)
    layer.resize(pixels.width, pixels.height, old_x - there[0], old_y - there[1])
    _write(layer, SRGB, pixels.rows)


def _take_the_place(layer: Any, old: Any) -> None:
    layer.set_lock_position(old.get_lock_position())
    name = old.get_name()
    old.get_image().remove_layer(old)
    layer.set_name(name)


def _keep_mask(old: Any, layer: Any) -> None:
    """What the user painted on the old one's mask stays, where the two layers overlap."""
    if old.get_mask() is None:
        return
    mask = layer.get_mask()
    if mask is None:
        mask = layer.create_mask(Gimp.AddMaskType.WHITE)
        layer.add_mask(mask)
    layer.set_apply_mask(old.get_apply_mask())
    _ok, old_x, old_y = old.get_offsets()
    _ok, x, y = layer.get_offsets()
    left, top = max(x, old_x), max(y, old_y)
    width = min(x + layer.get_width(), old_x + old.get_width()) - left
    height = min(y + layer.get_height(), old_y + old.get_height()) - top
    if width <= 0 or height <= 0:
        return
    there = Gegl.Rectangle.new(left - old_x, top - old_y, width, height)
    rows = bytes(old.get_mask().get_buffer().get(there, 1.0, MASK, Gegl.AbyssPolicy.NONE))
    buffer = mask.get_buffer()
    buffer.set(Gegl.Rectangle.new(left - x, top - y, width, height), MASK, rows)
    buffer.flush()


def _hide_as(source: Any, layer: Any, offset: Tuple[int, int]) -> None:
    """Give the layer the source's mask where it has one that is applied: what is hidden stays hidden."""
    if not source.is_valid() or source.get_mask() is None or not source.get_apply_mask():
        return
    mask = layer.create_mask(Gimp.AddMaskType.WHITE)
    there = Gegl.Rectangle.new(*offset, layer.get_width(), layer.get_height())
    rows = bytes(source.get_mask().get_buffer().get(there, 1.0, MASK, Gegl.AbyssPolicy.NONE))
    _write(mask, MASK, rows)
    layer.add_mask(mask)


def _make_layer(image: Any, name: str, pixels: PixelBuffer) -> Any:
    width, height = pixels.width, pixels.height
    layer = Gimp.Layer.new(
        image, name, width, height, Gimp.ImageType.RGBA_IMAGE, 100.0, Gimp.LayerMode.NORMAL
    )
    _write(layer, SRGB, pixels.rows)
    return layer


def _write(drawable: Any, pixel_format: str, rows: bytes) -> None:
    """All of its pixels, past GIMP's undo."""
    buffer = drawable.get_buffer()
    whole = Gegl.Rectangle.new(0, 0, drawable.get_width(), drawable.get_height())
    buffer.set(whole, pixel_format, rows)
    buffer.flush()


@contextmanager
def undo_step(image: Any) -> Iterator[None]:
    image.undo_group_start()
    try:
        yield
    finally:
        image.undo_group_end()
