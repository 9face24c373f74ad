"""Runs DragBench's cases through any editor, keeps the results, and measures their pictures.

Editing and measuring are two rounds: the model that edits need not share the memory with the one that measures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from dragdiffusion.engine.errors import InvalidRequest, OutOfMemory

from .dragbench_cases import CaseFolder, DragBenchCase, read_case
from .dragbench_results import CaseResult, Figures, ResultsFolder
from .edits import ByteImage, EditOutcome, PointPair

Edit = Callable[[DragBenchCase], EditOutcome]


@dataclass(frozen=True)
class Skipped:
    """A case that could not be run."""

    key: str
    reason: str


@dataclass(frozen=True)
class Measures:
    """How pictures are measured; the functions may load a model when they are first called."""

    md_features: str
    distances_px: Callable[[ByteImage, ByteImage, Sequence[PointPair], str], list[float]]
    perceptual_distance: Callable[[ByteImage, ByteImage], float] | None
    without_it: str = ""  # why there is no perceptual distance, and how to get it


@dataclass
class DragBenchRun:
    """A run over some cases: `edit`, then `measure`; each yields the results as they come."""

    folders: Sequence[CaseFolder]
    kept: ResultsFolder
    skipped: list[Skipped] = field(default_factory=list)

    def edit(self, edit: Edit) -> Iterator[tuple[CaseResult, bool]]:
        """Every case's result, and whether it was there already; what cannot be run goes to `skipped`."""
        for folder in self.folders:
            try:
                case = read_case(folder)
                found = self.kept.find(case)
                result = found or self.kept.keep_edit(case, edit(case))
            except (InvalidRequest, OutOfMemory) as error:
                self.skipped.append(Skipped(folder.key, str(error)))
                continue
            yield result, found is not None

    def measure(self, measures: Measures) -> Iterator[CaseResult]:
        """The results with figures by these measures; what has them already is not measured again."""
        skipped = {case.key for case in self.skipped}
        for folder in self.folders:
            if folder.key in skipped:
                continue
            case = read_case(folder)
            result = self.kept.find(case)
            if result is None:
                self.skipped.append(Skipped(folder.key, "its result is gone"))
                continue
            measured = replace(result, figures=self._figures(case, result, measures))
            if measured != result:
                self.kept.keep(measured)
            yield measured

    def _figures(self, case: DragBenchCase, result: CaseResult, measures: Measures) -> Figures:
        edited, before = self.kept.picture(result), result.figures
        if before is not None and before.md_features == measures.md_features:
            distances = before.distances_px
        else:
            distances = measures.distances_px(case.image, edited, case.point_pairs, case.prompt)
        fidelity = before.image_fidelity if before is not None else None
        if fidelity is None and measures.perceptual_distance is not None:
            fidelity = 1 - measures.perceptual_distance(case.image, edited)
        return Figures(distances, measures.md_features, fidelity)
