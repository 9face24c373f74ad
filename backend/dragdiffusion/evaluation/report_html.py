"""A report of the scenes benchmark as one self-contained page: figures, and the pictures to check them by."""

from __future__ import annotations

from html import escape
from pathlib import Path

from .annotation import annotate
from .edits import ByteImage
from .html_page import image_tag, page, table
from .scenes_benchmark import CaseReport, ScenesReport

_ENLARGEMENT = 2
_HEADINGS = ("case", "source, mask, drag", "result", "truth", "figures", "")


def write_html(report: ScenesReport, directory: Path) -> Path:
    """Write directory/index.html, worst cases first; the pictures are embedded."""
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / "index.html"
    file.write_text(_page(report), "utf-8")
    return file


def _page(report: ScenesReport) -> str:
    worst_first = sorted(report.cases, key=lambda case: -case.figures.mean_distance_px)
    rows = "\n".join(_row(case) for case in worst_first)
    return page(
        f"Scenes benchmark: {len(report.cases)} cases",
        f"{_summary(report)}\n"
        "<p>Distances are measured in the picture against the rendered truth, not by the tracker. "
        "Arrow: the drag. Blue: where the engine believed the handle to be.</p>\n"
        f"{table(_HEADINGS, rows)}",
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
        f"<td>{image_tag(picture)}</td>"
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
    return annotate(
        case.image,
        case.mask,
        case.point_pairs,
        report.outcome.handle_tracks,
        enlargement=_ENLARGEMENT,
    )
