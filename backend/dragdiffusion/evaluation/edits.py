"""What every benchmark shares: pictures, points, and the outcome of an edit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ByteImage = NDArray[np.uint8]
ImagePoint = tuple[float, float]  # x, y; the centre of the top left pixel is (0.5, 0.5)
PointPair = tuple[ImagePoint, ImagePoint]  # handle, target


@dataclass(frozen=True, slots=True)
class EditOutcome:
    image: ByteImage  # (h, w, 3), composited: what the user sees
    raw: ByteImage  # (h, w, 3), the model's picture before compositing
    seconds: float
    # Where the engine believed each handle to be: shown, never scored.
    handle_tracks: Sequence[Sequence[ImagePoint]] = ()
