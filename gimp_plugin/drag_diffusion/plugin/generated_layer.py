"""A generated picture as a layer, which keeps how it was made: a drag on it starts there. Main thread only."""

from __future__ import annotations

from typing import Any, Dict, Optional, Sequence, Tuple

from gi.repository import Gimp

from plugin import edit_model, insertion, record
from plugin.edit_model import EditError, PixelBuffer
from plugin.generating import Order, Picture
from plugin.translation import _

ROUNDING = 4  # of 255, as the daemon allows it: more, and it is another picture
NAME = 40  # characters of the prompt in the layer's name


def check(image: Any) -> None:
    """EditError if the image cannot take a layer now."""
    edit_model.check_floating(image is not None and image.get_floating_sel() is not None)


def read_order(config: Any) -> Order:
    """The procedure's arguments."""
    return Order(
        prompt=(config.get_property("prompt") or "").strip(),
        model=(config.get_property("model") or "").strip(),
        width=config.get_property("width"),
        height=config.get_property("height"),
        seed=config.get_property("seed"),
        negative_prompt=(config.get_property("negative-prompt") or "").strip(),
        steps=config.get_property("steps"),
        guidance_scale=config.get_property("guidance-scale"),
    )


def insert(image: Any, drawables: Sequence[Any], picture: Picture) -> Any:
    """The layer, above the first of the drawables and in the middle of the selection, in one undo step.

    In an image of its own where there is no image.
    """
    pixels = picture.pixels
    if image is None:
        image = Gimp.Image.new(pixels.width, pixels.height, Gimp.ImageBaseType.RGB)
        return _insert(image, None, (0, 0), picture)
    if not image.is_valid():
        raise EditError(_("The image was closed meanwhile: generate again in another one."))
    check(image)
    return _insert(image, _to_layer(drawables), _corner(image, pixels), picture)


def _insert(image: Any, above: Any, corner: Tuple[int, int], picture: Picture) -> Any:
    name = _("Generated: {prompt}").format(prompt=_shortened(picture.prompt))

    def keep(pixels: PixelBuffer) -> Dict[str, bytes]:
        """Gray and indexed images give it other colours, in which no drag could start from how it was made."""
        if image.get_base_type() != Gimp.ImageBaseType.RGB or _differs(pixels, picture.pixels):
            return {}
        return {record.GENERATED_PARASITE: record.pack_generated(picture.of(pixels))}

    return insertion.insert_picture(image, above, name, corner, picture.pixels, keep)


def _differs(pixels: PixelBuffer, others: PixelBuffer) -> bool:
    if pixels.rows == others.rows:
        return False
    return any(abs(one - other) > ROUNDING for one, other in zip(pixels.rows, others.rows))


def _shortened(prompt: str) -> str:
    return prompt if len(prompt) <= NAME else prompt[: NAME - 1].rstrip() + "…"


def _corner(image: Any, pixels: PixelBuffer) -> Tuple[int, int]:
    """Where it lies in the middle of the selection, or of the image."""
    _ok, selected, left, top, right, bottom = Gimp.Selection.bounds(image)
    if not selected:
        left, top, right, bottom = 0, 0, image.get_width(), image.get_height()
    return (left + right - pixels.width) // 2, (top + bottom - pixels.height) // 2


def _to_layer(drawables: Sequence[Any]) -> Optional[Any]:
    first = drawables[0] if drawables else None
    if isinstance(first, Gimp.LayerMask):
        return Gimp.Layer.from_mask(first)
    return first if isinstance(first, Gimp.Layer) else None
