"""DragBench runs as pages: one run, or two side by side. Figures alone do not show a smeared face."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image

from .dragbench_report import (
    CasePair,
    ComparedRow,
    Comparison,
    Row,
    figures_of,
    table,
)
from .dragbench_results import CaseResult, ResultsFolder
from .html_page import page, photograph_tag
from .html_page import table as html_table

_LEGEND = (
    "Red: may change. Arrow: the drag. Blue: where the engine believed the handle to be. "
    "The distance is measured in the picture, not by the engine's tracker, by the features of "
)


def write_run(
    kept: ResultsFolder, results: Sequence[CaseResult], skipped: Sequence[str], note: str
) -> Path:
    """OUTPUT/index.html, the worst case first; `skipped` and `note` are sentences for the reader."""
    worst_first = sorted(results, key=lambda r: -float(np.mean(figures_of(r).distances_px)))
    rows = "\n".join(
        _case_row(
            result,
            [kept.instruction(result), kept.photograph(result)],
            f"{_distances(result)}<br>{_fidelity(result)}<br>{result.seconds:.1f} s",
        )
        for result in worst_first
    )
    headings = ("case", "source, mask, drag", "result", "figures")
    body = "\n".join(
        [
            _summary_table(table(results)),
            f"<p>{_LEGEND}{escape(figures_of(results[0]).md_features)}. {escape(note)}</p>",
            *(f"<p>Not run: {escape(sentence)}</p>" for sentence in skipped),
            html_table(headings, rows),
        ]
    )
    return _write(kept.root / "index.html", page(f"DragBench: {len(results)} cases", body))


def write_comparison(comparison: Comparison, file: Path) -> Path:
    """Both runs' pictures side by side, the largest difference first."""
    ordered = sorted(comparison.pairs, key=lambda pair: -abs(pair.distance_difference_px))
    one, other = str(comparison.one.root), str(comparison.other.root)
    headings = ("case", "source, mask, drag", one, other, "distances", "fidelity")
    body = "\n".join(
        [
            _compared_table(comparison.table(), one, other),
            f"<p>{_LEGEND}{escape(comparison.md_features)}. Differences are {escape(one)} "
            f"less {escape(other)}. Not in both and left out: {comparison.left_out} cases.</p>",
            html_table(headings, "\n".join(_pair_row(comparison, pair) for pair in ordered)),
        ]
    )
    return _write(file, page(f"DragBench: two runs, {len(ordered)} cases", body))


def number(
    value: float | None, digits: int = 1, *, signed: bool = False, missing: str = "not measured"
) -> str:
    """For a table: "12.3", "+0.4", "not measured"."""
    if value is None:
        return missing
    return f"{value:{'+' if signed else ''}.{digits}f}"


def _pair_row(comparison: Comparison, pair: CasePair) -> str:
    pictures = [
        comparison.one.instruction(pair.one),
        comparison.one.photograph(pair.one),
        comparison.other.photograph(pair.other),
    ]
    difference = number(pair.distance_difference_px, signed=True)
    distances = f"{_distances(pair.one)}<br>{_distances(pair.other)}<br>{difference} px"
    fidelities = f"{_fidelity(pair.one)}<br>{_fidelity(pair.other)}"
    return _case_row(pair.one, pictures, distances, fidelities)


def _case_row(result: CaseResult, pictures: Sequence[Image.Image], *figures: str) -> str:
    name = (
        f"{escape(result.key)}<br><span class='caption'>{escape(result.prompt)}<br>"
        f"drag {float(np.mean(result.drag_lengths_px)):.0f} px</span>"
    )
    cells = "".join(f"<td>{photograph_tag(picture)}</td>" for picture in pictures)
    numbers = "".join(f"<td class='number'>{text}</td>" for text in figures)
    return f"<tr><td>{name}</td>{cells}{numbers}</tr>"


def _distances(result: CaseResult) -> str:
    return ", ".join(f"{distance:.1f}" for distance in figures_of(result).distances_px) + " px"


def _fidelity(result: CaseResult) -> str:
    return f"IF {number(figures_of(result).image_fidelity, 3)}"


def _summary_table(rows: Sequence[Row]) -> str:
    cells = [
        (
            row.category,
            f"{row.cases}",
            number(row.start_distance_px),
            number(row.mean_distance_px),
            number(row.image_fidelity, 3),
            number(row.seconds),
        )
        for row in rows
    ]
    headings = ("category", "cases", "drag, px", "distance, px", "1 − LPIPS", "seconds")
    return html_table(headings, _table_rows(cells))


def _compared_table(rows: Sequence[ComparedRow], one: str, other: str) -> str:
    cells = [
        (
            row.category,
            f"{row.one.cases}",
            number(row.one.mean_distance_px),
            number(row.other.mean_distance_px),
            number(row.distance_difference_px, signed=True),
            number(row.one.image_fidelity, 3),
            number(row.other.image_fidelity, 3),
            number(row.fidelity_difference, 3, signed=True),
        )
        for row in rows
    ]
    headings = (
        "category",
        "cases",
        f"distance, px: {one}",
        other,
        "difference",
        f"1 − LPIPS: {one}",
        other,
        "difference",
    )
    return html_table(headings, _table_rows(cells))


def _table_rows(cells: Sequence[Sequence[str]]) -> str:
    return "\n".join(
        f"<tr><td>{escape(row[0])}</td>"
        + "".join(f"<td class='number'>{escape(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for row in cells
    )


def _write(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, "utf-8")
    return file
