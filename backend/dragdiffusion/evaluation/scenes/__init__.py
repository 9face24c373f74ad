"""A rendered world in which the truth of every drag is known."""

from .primitives import SIZE
from .scene import (
    FIRST_HELD_OUT_SEED,
    KINDS,
    RenderedScene,
    Scene,
    caption,
    edit,
    render,
    sample,
)

__all__ = [
    "FIRST_HELD_OUT_SEED",
    "KINDS",
    "SIZE",
    "RenderedScene",
    "Scene",
    "caption",
    "edit",
    "render",
    "sample",
]
