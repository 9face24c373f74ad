"""A picture with what the user asked for drawn on it: mask tinted, arrows from handle to target."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from .edits import ByteImage, ImagePoint, PointPair

_MASK_TINT = np.array((255, 60, 60), np.float32)
_TRACK_COLOUR = (20, 120, 255)
_ARROW_COLOUR = (255, 255, 255)
_EDGE_COLOUR = (40, 40, 40)


def annotate(
    image: ByteImage,
    mask: ByteImage,
    point_pairs: Sequence[PointPair],
    handle_tracks: Sequence[Sequence[ImagePoint]] = (),
    *,
    enlargement: int = 1,
) -> ByteImage:
    """(h, w, 3) pixels, `enlargement` times as large; tracks are where the engine believed the handles to be."""
    size = (image.shape[1] * enlargement, image.shape[0] * enlargement)
    picture = Image.fromarray(_tinted(image, mask)).resize(size)
    draw = ImageDraw.Draw(picture)
    width = max(3, round(max(size) / 160))
    for track in handle_tracks:
        if len(track) > 1:
            draw.line([_enlarged(point, enlargement) for point in track], _TRACK_COLOUR, 2)
    for handle, target in point_pairs:
        _draw_arrow(draw, _enlarged(handle, enlargement), _enlarged(target, enlargement), width)
    return np.asarray(picture)


def _tinted(image: ByteImage, mask: ByteImage) -> ByteImage:
    share = (mask[..., None] / 255 * 0.35).astype(np.float32)
    tinted: ByteImage = (image * (1 - share) + _MASK_TINT * share).astype(np.uint8)
    return tinted


def _draw_arrow(draw: ImageDraw.ImageDraw, start: ImagePoint, end: ImagePoint, width: int) -> None:
    """White on a dark edge: seen on snow and at night."""
    direction = np.subtract(end, start) / max(float(np.hypot(*np.subtract(end, start))), 1e-6)
    aside = np.array((-direction[1], direction[0]))
    corners = [np.array(end) + width * (-3 * direction + side * 5 / 3 * aside) for side in (-1, 1)]
    head = [end, *(tuple(corner.tolist()) for corner in corners)]
    for colour, extra in ((_EDGE_COLOUR, 2), (_ARROW_COLOUR, 0)):
        draw.line([start, end], fill=colour, width=width + extra)
        draw.polygon(head, fill=_ARROW_COLOUR, outline=colour)


def _enlarged(point: ImagePoint, enlargement: int) -> ImagePoint:
    return point[0] * enlargement, point[1] * enlargement
