"""GIMP's layers and selection to bytes, and the result back as a new layer. Main thread only.

A wrong pixel format string ends the process, and a buffer of wrong length is dropped without a word: hence the constants
and PixelBuffer's check.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Iterator, Optional, Sequence, Tuple

from gi.repository import Gegl, Gimp

from plugin.edit_model import PARASITE_NAME, EditError, LayerState, PixelBuffer

SRGB = "R'G'B'A u8"  # whatever the image's precision and profile
SRGB_OPAQUE = "R'G'B' u8"
COVERAGE = "Y u8"  # linear, as the selection is


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
        "group" if drawable.is_group() else "layer",
        width=drawable.get_width(),
        height=drawable.get_height(),
        x=x,
        y=y,
        pixels_locked=drawable.get_lock_content(),
    )


def read_pixels(layer: Any) -> PixelBuffer:
    """The layer as it looks: with its non-destructive filters, without mask and opacity."""
    if layer.get_filters():
        return _read_filtered(layer)
    return _read(layer.get_buffer(), layer.get_width(), layer.get_height())


def _read(buffer: Any, width: int, height: int) -> PixelBuffer:
    whole = Gegl.Rectangle.new(0, 0, width, height)
    return PixelBuffer(width, height, 4, bytes(buffer.get(whole, 1.0, SRGB, Gegl.AbyssPolicy.NONE)))


def _read_filtered(layer: Any) -> PixelBuffer:
    """Merge the filters of a copy, in an image of its own."""
    image = layer.get_image()
    width, height = layer.get_width(), layer.get_height()
    scratch = Gimp.Image.new_with_precision(
        width, height, image.get_base_type(), image.get_precision()
    )
    try:
        copy = Gimp.Layer.new_from_drawable(layer, scratch)
        scratch.insert_layer(copy, None, 0)
        copy.merge_filters()
        buffer = copy.get_buffer()
        pixels = _read(buffer, width, height)
        del buffer  # before its image
    finally:
        scratch.delete()
    return pixels


def read_selection(image: Any, layer: LayerState) -> Optional[PixelBuffer]:
    """The selection where the layer is; None where nothing is selected."""
    if Gimp.Selection.is_empty(image):
        return None
    buffer = image.get_selection().get_buffer()
    there = Gegl.Rectangle.new(layer.x, layer.y, layer.width, layer.height)
    coverage = bytes(buffer.get(there, 1.0, COVERAGE, Gegl.AbyssPolicy.NONE))
    return PixelBuffer(layer.width, layer.height, 1, coverage)


def read_thumbnail(image: Any, layer: Any, side: int) -> Tuple[int, int, bytes, Optional[bytes]]:
    """Width, height, RGB and selection of the layer, made to fit a square of this side."""
    state = read_state(layer)
    scale = min(1.0, side / max(state.width, state.height))
    width, height = max(1, int(state.width * scale)), max(1, int(state.height * scale))
    rgb = layer.get_buffer().get(
        Gegl.Rectangle.new(0, 0, width, height), scale, SRGB_OPAQUE, Gegl.AbyssPolicy.NONE
    )
    if Gimp.Selection.is_empty(image):
        return width, height, bytes(rgb), None
    left, top = int(state.x * scale), int(state.y * scale)
    coverage = (
        image.get_selection()
        .get_buffer()
        .get(Gegl.Rectangle.new(left, top, width, height), scale, COVERAGE, Gegl.AbyssPolicy.NONE)
    )
    return width, height, bytes(rgb), bytes(coverage)


def insert_layer(
    image: Any, source: Any, name: str, offset: Tuple[int, int], pixels: PixelBuffer, record: bytes
) -> Any:
    """Put the pixels above the source layer, `offset` from its corner, in one undo step."""
    if not image.is_valid():
        raise EditError("The image was closed while the edit ran, so its result has no place.")
    parent, position, corner = _place(image, source)
    layer = _make_layer(image, name, pixels)
    layer.set_offsets(corner[0] + offset[0], corner[1] + offset[1])
    # Before the layer is in the image: attached later, it would be an undo step of its own.
    layer.attach_parasite(Gimp.Parasite.new(PARASITE_NAME, Gimp.PARASITE_PERSISTENT, record))
    selected = image.get_selected_layers()
    with undo_step(image):
        inserted = image.insert_layer(layer, parent, position)
    if not inserted:
        layer.delete()
        raise EditError("GIMP did not accept the new layer: see its error console.")
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
