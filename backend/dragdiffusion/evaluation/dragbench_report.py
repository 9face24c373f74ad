"""The figures of a DragBench run by category, and the comparison of two runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from dragdiffusion.engine.errors import InvalidRequest

from .dragbench_results import CaseResult, Figures, ResultsFolder

ALL = "all"
T = TypeVar("T")


@dataclass(frozen=True)
class Row:
    """Means over a category; distances over all pairs of handle and target, as the official evaluation has it."""

    category: str
    cases: int
    pairs: int
    start_distance_px: (
        float  # the drags' length: what doing nothing scores, were every handle found
    )
    mean_distance_px: float
    image_fidelity: float | None  # None: not measured in every case
    seconds: float


def figures_of(result: CaseResult) -> Figures:
    assert result.figures is not None, "measured results only"
    return result.figures


def table(results: Sequence[CaseResult]) -> list[Row]:
    """A row for each category, and one for all; `results` are measured."""
    rows = [_row(category, group) for category, group in _by_category(results, _category)]
    return [*rows, _row(ALL, results)]


def summary(results: Sequence[CaseResult]) -> dict[str, Any]:
    rows = table(results)
    return {
        "md_features": figures_of(results[0]).md_features,
        "categories": [asdict(row) for row in rows[:-1]],
        ALL: asdict(rows[-1]),
        "cases": [asdict(result) for result in results],
    }


@dataclass(frozen=True)
class CasePair:
    """One case in two runs."""

    one: CaseResult
    other: CaseResult

    @property
    def distance_difference_px(self) -> float:
        """Below 0: `one` is nearer to the targets."""
        return _distance(self.one) - _distance(self.other)


@dataclass(frozen=True)
class ComparedRow:
    """A category in two runs, over the cases that both have."""

    category: str
    one: Row
    other: Row

    @property
    def distance_difference_px(self) -> float:
        return self.one.mean_distance_px - self.other.mean_distance_px

    @property
    def fidelity_difference(self) -> float | None:
        """Above 0: `one` is more like the source; None: not measured in both."""
        return _difference(self.one.image_fidelity, self.other.image_fidelity)


@dataclass(frozen=True)
class Comparison:
    """`one` against `other`."""

    one: ResultsFolder
    other: ResultsFolder
    md_features: str
    pairs: tuple[CasePair, ...]
    left_out: int  # cases that are not in both runs, or not with the same content

    def table(self) -> list[ComparedRow]:
        """A row for each category, and one for all."""
        groups = [*_by_category(self.pairs, lambda pair: pair.one.category), (ALL, self.pairs)]
        return [
            ComparedRow(
                category,
                _row(category, [pair.one for pair in group]),
                _row(category, [pair.other for pair in group]),
            )
            for category, group in groups
        ]

    def to_dict(self) -> dict[str, Any]:
        rows = [
            asdict(row)
            | {
                "distance_difference_px": row.distance_difference_px,
                "fidelity_difference": row.fidelity_difference,
            }
            for row in self.table()
        ]
        return {
            "one": str(self.one.root),
            "other": str(self.other.root),
            "md_features": self.md_features,
            "left_out": self.left_out,
            "categories": rows[:-1],
            ALL: rows[-1],
            "cases": [_pair_to_dict(pair) for pair in self.pairs],
        }


def compare(one: Path, other: Path) -> Comparison:
    """Two runs' folders, case by case; InvalidRequest where they cannot be compared."""
    folders = ResultsFolder(one), ResultsFolder(other)
    first, second = (_measured(folder) for folder in folders)
    both = first.keys() & second.keys()
    pairs = tuple(
        CasePair(first[key], second[key])
        for key in sorted(both)
        if first[key].fingerprint == second[key].fingerprint
    )
    if not pairs:
        raise InvalidRequest(f"{one} and {other} have no case in common.")
    features = {figures_of(r).md_features for pair in pairs for r in (pair.one, pair.other)}
    if len(features) > 1:
        raise InvalidRequest(
            f"Distances by different features cannot be compared ({'; '.join(sorted(features))}): "
            "run `bench dragbench` again on both with the same --features; no edit is repeated."
        )
    left_out = len(first.keys() | second.keys()) - len(pairs)
    return Comparison(*folders, features.pop(), pairs, left_out)


def _measured(folder: ResultsFolder) -> dict[str, CaseResult]:
    if folder.settings() is None:
        raise InvalidRequest(f"{folder.root} is not the output of `dragdiffusion bench dragbench`.")
    return {result.key: result for result in folder.results() if result.figures is not None}


def _pair_to_dict(pair: CasePair) -> dict[str, Any]:
    one, other = figures_of(pair.one), figures_of(pair.other)
    return {
        "category": pair.one.category,
        "name": pair.one.name,
        "one": {"mean_distance_px": _distance(pair.one), "image_fidelity": one.image_fidelity},
        "other": {
            "mean_distance_px": _distance(pair.other),
            "image_fidelity": other.image_fidelity,
        },
        "distance_difference_px": pair.distance_difference_px,
        "fidelity_difference": _difference(one.image_fidelity, other.image_fidelity),
    }


def _row(category: str, results: Sequence[CaseResult]) -> Row:
    figures = [figures_of(result) for result in results]
    fidelities = [f.image_fidelity for f in figures if f.image_fidelity is not None]
    whole = len(fidelities) == len(figures)
    return Row(
        category=category,
        cases=len(results),
        pairs=sum(len(f.distances_px) for f in figures),
        start_distance_px=_mean([length for r in results for length in r.drag_lengths_px]),
        mean_distance_px=_mean([distance for f in figures for distance in f.distances_px]),
        image_fidelity=_mean(fidelities) if whole else None,
        seconds=_mean([result.seconds for result in results]),
    )


def _by_category(items: Sequence[T], category: Callable[[T], str]) -> list[tuple[str, Sequence[T]]]:
    names = sorted({category(item) for item in items})
    return [(name, [item for item in items if category(item) == name]) for name in names]


def _category(result: CaseResult) -> str:
    return result.category


def _distance(result: CaseResult) -> float:
    return _mean(figures_of(result).distances_px)


def _difference(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other


def _mean(numbers: Sequence[float]) -> float:
    return float(np.mean(numbers))
