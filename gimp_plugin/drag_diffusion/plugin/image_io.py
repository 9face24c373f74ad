"""GIMP's layers and selection to bytes, and the result back as a new layer. Main thread only.

A wrong pixel format string ends the process, and a buffer of wrong length is dropped without a word: hence the constants
and PixelBuffer's check.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Callable, Generator, Iterator, Mapping, Optional, Sequence, Tuple

from gi.repository import Gegl, Gimp

from plugin.edit_model import EditError, LayerState, PixelBuffer
from plugin.translation import _

SRGB = "R'G'B'A u8"  # whatever the image's precision and profile
COVERAGE = "Y u8"  # linear, as the selection is
MASK = "Y float"  # linear too, and exact in every precision
PART = 1 << 22  # bytes that are read at once: some milliseconds

SmallCoverage = Tuple[int, int, bytes]  # width, height, one byte a pixel


def start() -> None:
    """Before any pixels are read or written; it takes a while."""
    Gegl.init(None)


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


def read_pixels(layer: Any) -> PixelBuffer:
    """The layer, or the group as one, as it looks: with its non-destructive filters, without mask, opacity and mode."""
    reading = read_pixels_in_parts(layer)
    while True:
        try:
            next(reading)
        except StopIteration as end:
            return end.value


def read_pixels_in_parts(layer: Any) -> Generator[None, None, PixelBuffer]:
    """`read_pixels` with a pause after each part, in which windows can answer."""
    if not layer.get_filters():
        return (yield from _read(layer.get_buffer(), layer.get_width(), layer.get_height()))
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
        pixels = yield from _read(buffer, width, height)
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


def _read(buffer: Any, width: int, height: int) -> Generator[None, None, PixelBuffer]:
    rows = max(1, PART // (4 * width))
    parts = []
    for top in range(0, height, rows):
        part = Gegl.Rectangle.new(0, top, width, min(rows, height - top))
        parts.append(bytes(buffer.get(part, 1.0, SRGB, Gegl.AbyssPolicy.NONE)))
        yield
    return PixelBuffer(width, height, 4, b"".join(parts))


def read_selection(image: Any, layer: LayerState) -> Optional[PixelBuffer]:
    """The selection where the layer is; None where nothing is selected."""
    if Gimp.Selection.is_empty(image):
        return None
    buffer = image.get_selection().get_buffer()
    there = Gegl.Rectangle.new(layer.x, layer.y, layer.width, layer.height)
    coverage = bytes(buffer.get(there, 1.0, COVERAGE, Gegl.AbyssPolicy.NONE))
    return PixelBuffer(layer.width, layer.height, 1, coverage)


def shape_selection(mask: PixelBuffer, grow: int, feather: int) -> PixelBuffer:
    """The mask larger (grow < 0: smaller) and softer by so many pixels, with GIMP's own tools and in an image of its own."""
    if not grow and not feather:
        return mask
    width, height = mask.width, mask.height
    whole = Gegl.Rectangle.new(0, 0, width, height)
    scratch = Gimp.Image.new(width, height, Gimp.ImageBaseType.GRAY)
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
        scratch.delete()
    return PixelBuffer(width, height, 1, rows)


def read_thumbnail(layer: Any, side: int) -> Any:
    """A pixbuf of the layer, filters included, made to fit a square of this side (1024 at most) by GIMP itself: fast."""
    return layer.get_thumbnail(
        min(side, layer.get_width()),
        min(side, layer.get_height()),
        Gimp.PixbufTransparency.KEEP_ALPHA,
    )


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
) -> Any:
    """Put the pixels above the source layer, `offset` from its corner, in one undo step; with what `keep` adds."""
    if not image.is_valid():
        raise EditError(_("The image was closed while the edit ran, so its result has no place."))
    parent, position, corner = _place(image, source)
    layer = _make_layer(image, name, pixels)
    layer.set_offsets(corner[0] + offset[0], corner[1] + offset[1])
    _hide_as(source, layer, offset)
    # Before the layer is in the image: attached later, it would be an undo step of its own.
    for key, content in parasites.items():
        layer.attach_parasite(Gimp.Parasite.new(key, Gimp.PARASITE_PERSISTENT, content))
    selected = image.get_selected_layers()
    with undo_step(image):
        inserted = image.insert_layer(layer, parent, position)
        if inserted:
            keep()
    if not inserted:
        layer.delete()
        raise EditError(_("GIMP did not accept the new layer: see its error console."))
    # GIMP selects the new layer, but the next drag is from the user's own again: this one is only a part.
    if selected:
        image.set_selected_layers(selected)
    layer.update(0, 0, pixels.width, pixels.height)
    Gimp.displays_flush()
    return layer


def _place(image: Any, source: Any) -> Tuple[Any, int, Sequence[int]]:
    """Parent, position and corner of the source; the top of the image if it is gone by now."""
    if not source.is_valid() or source.get_image() != image:
        return None, 0, (0, 0)
    _ok, x, y = source.get_offsets()
    return source.get_parent(), image.get_item_position(source), (x, y)


def _hide_as(source: Any, layer: Any, offset: Tuple[int, int]) -> None:
    """Give the layer the source's mask where it has one that is applied: what is hidden stays hidden."""
    if not source.is_valid() or source.get_mask() is None or not source.get_apply_mask():
        return
    mask = layer.create_mask(Gimp.AddMaskType.WHITE)
    width, height = layer.get_width(), layer.get_height()
    there = Gegl.Rectangle.new(*offset, width, height)
    rows = bytes(source.get_mask().get_buffer().get(there, 1.0, MASK, Gegl.AbyssPolicy.NONE))
    buffer = mask.get_buffer()
    buffer.set(Gegl.Rectangle.new(0, 0, width, height), MASK, rows)
    buffer.flush()
    layer.add_mask(mask)


def _make_layer(image: Any, name: str, pixels: PixelBuffer) -> Any:
    width, height = pixels.width, pixels.height
    layer = Gimp.Layer.new(
        image, name, width, height, Gimp.ImageType.RGBA_IMAGE, 100.0, Gimp.LayerMode.NORMAL
    )
    buffer = layer.get_buffer()
    buffer.set(Gegl.Rectangle.new(0, 0, width, height), SRGB, pixels.rows)
    buffer.flush()
    return layer


@contextmanager
def undo_step(image: Any) -> Iterator[None]:
    image.undo_group_start()
    try:
        yield
    finally:
        image.undo_group_end()
