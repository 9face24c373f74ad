"""The result back into the image, as a new layer or in the place of one, in one undo step. Main thread only.

A buffer of wrong length is dropped without a word: hence PixelBuffer's check.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Callable, Iterator, Mapping, Optional, Sequence, Tuple

from gi.repository import Gegl, Gimp

from plugin.edit_model import EditError, PixelBuffer
from plugin.image_io import SRGB, read_pixels
from plugin.translation import _

MASK = "Y float"  # linear, as the selection is, and exact in every precision
OUR_PARASITES = "drag-diffusion-"


@dataclass(frozen=True)
class Beside:
    """Another layer that tells where a new one goes: above it, or in its place."""

    layer: Any
    replace: bool


def insert_layer(
    image: Any,
    source: Any,
    name: str,
    pixels: PixelBuffer,
    parasites: Mapping[str, bytes],
    keep: Callable[[], None] = lambda: None,
    beside: Optional[Beside] = None,
    filtered: bool = False,
) -> Any:
    """Put the pixels, which are a part of the source layer, above it in one undo step; with what `keep` adds.

    `beside`: above that layer of the image, or in its place, though not at its corner. `filtered`: with copies of the
    source's filters, if it takes no other's place.
    """
    if not image.is_valid():
        raise EditError(_("The image was closed while the edit ran, so its result has no place."))
    replaced = beside.layer if beside and beside.replace and _is_in(image, beside.layer) else None
    parent, position, corner = _place(image, source, beside)
    there = corner[0] + pixels.x, corner[1] + pixels.y
    copied = source if replaced is None and filtered and _is_in(image, source) else replaced
    if copied is None:
        layer = _make_layer(image, name, pixels)
        layer.set_offsets(*there)
        _hide_as(source, layer, pixels)
    else:
        layer = _copy(copied)
        if replaced is None:
            _make_new(layer, name)
    # Before the layer is in the image: attached later, it would be an undo step of its own.
    for key, content in parasites.items():
        layer.attach_parasite(Gimp.Parasite.new(key, Gimp.PARASITE_PERSISTENT, content))
    selected = image.get_selected_layers()
    with undo_step(image):
        inserted = image.insert_layer(layer, parent, position)
        if inserted:
            if copied is not None:
                _fit(layer, copied, there, pixels)
                _hide_as(source, layer, pixels)
            if replaced is not None:
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


def _make_new(layer: Any, name: str) -> None:
    """Of the layer that this is a copy of, only the filters are left."""
    layer.set_name(name)
    layer.set_opacity(100.0)
    layer.set_mode(Gimp.LayerMode.NORMAL)
    layer.set_visible(True)
    layer.set_color_tag(Gimp.ColorTag.NONE)
    layer.set_lock_alpha(False)
    layer.set_lock_visibility(False)
    for parasite in layer.get_parasite_list():
        layer.detach_parasite(parasite)


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


def _hide_as(source: Any, layer: Any, part: PixelBuffer) -> None:
    """Give the layer the source's mask where it has one that is applied: what is hidden stays hidden."""
    if not source.is_valid() or source.get_mask() is None or not source.get_apply_mask():
        return
    mask = layer.create_mask(Gimp.AddMaskType.WHITE)
    there = Gegl.Rectangle.new(*part.region)
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
