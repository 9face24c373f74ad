"""The look that every report has: one self-contained page with its pictures inside."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape

from PIL import Image

from .edits import ByteImage

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 84rem; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; width: 100%; }
th, td { padding: .4rem .8rem; border-bottom: 1px solid #ddd; text-align: left; }
td.verdict { white-space: nowrap; }
td.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
tr.good td.verdict { color: #0a7d2c; } tr.poor td.verdict { color: #b3261e; }
img { display: block; width: min(16rem, 16vw); image-rendering: pixelated; }
img.photograph { image-rendering: auto; }
.caption { color: #666; font-size: .9em; }
"""


def page(title: str, body: str) -> str:
    """A whole document; `body` is HTML and stands under the title."""
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>\n"
        f"<h1>{escape(title)}</h1>\n{body}\n</body></html>\n"
    )


def table(headings: Sequence[str], rows: str) -> str:
    """`rows` is HTML."""
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    return f"<table><thead><tr>{head}</tr></thead><tbody>\n{rows}\n</tbody></table>"


def image_tag(picture: ByteImage) -> str:
    """The pixels as they are."""
    return _tag(Image.fromarray(picture), "png")


def photograph_tag(picture: Image.Image, *, longest_side: int = 512) -> str:
    """Small enough that a page can hold hundreds: 512 pixels at most, JPEG."""
    small = picture.convert("RGB")
    small.thumbnail((longest_side, longest_side))
    return _tag(small, "jpeg", attributes=" class='photograph'")


def _tag(picture: Image.Image, kind: str, *, attributes: str = "") -> str:
    buffer = io.BytesIO()
    picture.save(buffer, kind, quality=88)
    encoded = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f"<img alt=''{attributes} src='data:image/{kind};base64,{encoded}'>"
