"""Makes one picture of a report of `dragdiffusion bench scenes --html DIR`, in the order of the cases: ten columns, and
under each source with mask and drag its result and the truth.

python docs/make_sheet.py DIR/index.html docs/pictures/scenes-MODE.png
"""

from __future__ import annotations

import base64
import io
import re
import sys
from pathlib import Path

from PIL import Image

COLUMNS = 10
SIDE = 96  # pixels of one picture

_ROW = re.compile(r"<td>(\d{3}-\w+)<br>(.*?)</tr>", re.DOTALL)
_PICTURE = re.compile(r"data:image/png;base64,([^']+)")


def pictures(page: str) -> list[list[Image.Image]]:
    """Source, result and truth of each case, by its name."""
    rows = sorted(_ROW.findall(page))
    return [[_decoded(encoded) for encoded in _PICTURE.findall(row)] for _, row in rows]


def _decoded(encoded: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(encoded))).convert("RGB")


def sheet(cases: list[list[Image.Image]]) -> Image.Image:
    bands = -(-len(cases) // COLUMNS)
    whole = Image.new("RGB", (COLUMNS * SIDE, bands * 3 * SIDE), "white")
    for index, case in enumerate(cases):
        band, column = divmod(index, COLUMNS)
        for row, picture in enumerate(case):
            small = picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
            whole.paste(small, (column * SIDE, (band * 3 + row) * SIDE))
    return whole


if __name__ == "__main__":
    page, picture = map(Path, sys.argv[1:])
    sheet(pictures(page.read_text("utf-8"))).save(picture, optimize=True)
