"""A report of the scenes benchmark as one self-contained page: figures, and the pictures to check them by."""

from __future__ import annotations

import base64
import io
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from .scene_cases import ByteImage, DragCase
from .scenes_benchmark import CaseReport, ScenesReport

_ENLARGEMENT = 2
_MASK_TINT = np.array((255, 60, 60), np.float32)
_TRACK_COLOUR = (20, 120, 255)
_ARROW_COLOUR = (255, 255, 255)

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; color: #222; }
table { border-collapse: collapse; width: 100%; }
th, td { padding: .4rem .8rem; border-bottom: 1px solid #ddd; text-align: left; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
tr.good td.verdict { color: #0a7d2c; } tr.poor td.verdict { color: #b3261e; }
img { display: block; width: 16rem; image-rendering: pixelated; }
.caption { color: #666; font-size: .9em; }
"""


def write_html(report: ScenesReport, directory: Path) -> Path:
    """Write directory/index.html, worst cases first; the pictures are embedded."""
    directory.mkdir(parents=True, exist_ok=True)
    page = directory / "index.html"
    page.write_text(_page(report), "utf-8")
    return page


def _page(report: ScenesReport) -> str:
    worst_first = sorted(report.cases, key=lambda case: -case.figures.mean_distance_px)
    rows = "\n".join(_row(case) for case in worst_first)
    headings = "".join(
        f"<th>{name}</th>"
        for name in ("case", "source, mask, drag", "result", "truth", "figures", "")
    )
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        f"<title>Scenes benchmark</title><style>{_STYLE}</style></head><body>\n"
        f"<h1>Scenes benchmark: {len(report.cases)} cases</h1>\n{_summary(report)}\n"
        "<p>Distances are measured in the picture against the rendered truth, not by the tracker. "
        "Arrow: the drag. Blue: where the engine believed the handle to be.</p>\n"
        f"<table><thead><tr>{headings}</tr></thead><tbody>\n{rows}\n</tbody></table>\n"
        "</body></html>\n"
    )


def _summary(report: ScenesReport) -> str:
    figures = report.to_dict()
    lines = {
        "Distance to the target before": f"{figures['start_distance_px']:.1f} px",
        "Distance to the target after": f"{figures['mean_distance_px']:.1f} px",
        "Success": f"{report.success_rate:.0%}",
        "PSNR against the truth": f"{figures['truth_psnr_db']:.1f} dB",
        "Change outside the mask": f"{figures['outside_mae']:.2f} of 255 (before compositing)",
        "Time for an edit": f"{figures['seconds']:.1f} s",
    }
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td class='number'>{escape(value)}</td></tr>"
        for name, value in lines.items()
    )
    return f"<table style='max-width: 34rem'>{rows}</table>"


def _row(report: CaseReport) -> str:
    case, figures = report.case, report.figures
    verdict, style = ("reached", "good") if figures.success else ("missed", "poor")
    numbers = (
        f"{figures.start_distance_px:.1f} → {figures.mean_distance_px:.1f} px<br>"
        f"{figures.truth_psnr_db:.1f} dB ({figures.inside_psnr_db:.1f} in the mask)<br>"
        f"outside {figures.outside_mae:.2f}<br>{report.outcome.seconds:.1f} s"
    )
    pictures = "".join(
        f"<td>{_image_tag(picture)}</td>"
        for picture in (annotated_source(report), report.outcome.image, case.truth)
    )
    return (
        f"<tr class='{style}'><td>{escape(case.name)}<br>"
        f"<span class='caption'>{escape(case.caption)}</span></td>{pictures}"
        f"<td class='number'>{numbers}</td><td class='verdict'>{verdict}</td></tr>"
    )


def annotated_source(report: CaseReport) -> ByteImage:
    """The source with the mask tinted, arrows from handle to target, and the tracks."""
    case = report.case
    picture = Image.fromarray(_tinted(case)).resize(
        (case.image.shape[1] * _ENLARGEMENT, case.image.shape[0] * _ENLARGEMENT)
    )
    draw = ImageDraw.Draw(picture)
    for track in report.outcome.handle_tracks:
        if len(track) > 1:
            draw.line([_enlarged(point) for point in track], fill=_TRACK_COLOUR, width=2)
    for handle, target in case.point_pairs:
        _draw_arrow(draw, _enlarged(handle), _enlarged(target))
    return np.asarray(picture)


def _tinted(case: DragCase) -> ByteImage:
    share = (case.mask[..., None] / 255 * 0.35).astype(np.float32)
    tinted: ByteImage = (case.image * (1 - share) + _MASK_TINT * share).astype(np.uint8)
    return tinted


def _draw_arrow(
    draw: ImageDraw.ImageDraw, start: tuple[float, float], end: tuple[float, float]
) -> None:
    draw.line([start, end], fill=_ARROW_COLOUR, width=3)
    direction = np.subtract(end, start) / max(float(np.hypot(*np.subtract(end, start))), 1e-6)
    aside = np.array((-direction[1], direction[0]))
    corners = [np.array(end) - 9 * direction + side * 5 * aside for side in (-1, 1)]
    draw.polygon([end, *(tuple(corner.tolist()) for corner in corners)], fill=_ARROW_COLOUR)


def _enlarged(point: tuple[float, float]) -> tuple[float, float]:
    return point[0] * _ENLARGEMENT, point[1] * _ENLARGEMENT


def _image_tag(picture: ByteImage) -> str:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    encoded = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f"<img alt='' src='data:image/png;base64,{encoded}'>"
