"""`dragdiffusion bench dragbench` and `bench compare`: DragBench's photographs, from the user's own copy."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from dragdiffusion import __version__
from dragdiffusion.commands.bench_engine import BenchEngine, EngineOrder, to_request
from dragdiffusion.commands.outputs import write_json
from dragdiffusion.daemon.torch_engine import TorchEngine
from dragdiffusion.engine.errors import DragDiffusionError
from dragdiffusion.evaluation import dragbench_html, dragbench_report
from dragdiffusion.evaluation.dragbench import DragBenchRun, Measures
from dragdiffusion.evaluation.dragbench_cases import DragBenchCase, find_cases
from dragdiffusion.evaluation.dragbench_html import number
from dragdiffusion.evaluation.dragbench_results import CaseResult, ResultsFolder
from dragdiffusion.evaluation.edits import ByteImage, EditOutcome, PointPair
from dragdiffusion.models import catalogue
from dragdiffusion.settings import Settings


@dataclass(frozen=True)
class DragBenchOrder:
    """What the command line asks for."""

    directory: Path
    output: Path
    count: int | None = None
    categories: tuple[str, ...] = ()
    features: str = (
        ""  # a model's name; "": Stable Diffusion 2.1 where it is here, else the model that edits
    )
    compare: Path | None = None
    engine: EngineOrder = field(default_factory=EngineOrder)


def run_dragbench(order: DragBenchOrder) -> None:
    folders = find_cases(order.directory, order.categories)[: order.count]
    features = _features_source(order.features)
    engine = BenchEngine(order.engine)
    kept = ResultsFolder(order.output)
    kept.start(engine.about() | {"version": __version__})
    run = DragBenchRun(folders, kept)
    for result, was_there in run.edit(lambda case: _edit(engine, kept, case)):
        time = "kept" if was_there else f"{result.seconds:.1f} s"
        print(f"{result.key:<50} {time:>9}", flush=True)
    for skipped in run.skipped:
        print(f"{skipped.key}: skipped, {skipped.reason}")
    measures = _Measurer(engine, features).measures()
    results = list(run.measure(measures))
    if not results:
        first = run.skipped[0]
        raise DragDiffusionError(
            f"None of the {len(folders)} cases could be run. {first.key}: {first.reason}"
        )
    _report(run, measures, results, engine)
    if order.compare is not None:
        compare_runs(order.output, order.compare)


def compare_runs(one: Path, other: Path, output: Path | None = None) -> None:
    comparison = dragbench_report.compare(one, other)
    folder = output or one / f"against-{other.absolute().name}"
    page = dragbench_html.write_comparison(comparison, folder / "index.html")
    write_json(folder / "comparison.json", comparison.to_dict())
    table = _table(
        f"{one} (1) and {other} (2): {len(comparison.pairs)} cases",
        ("MD 1", "MD 2", "1 - 2", "IF 1", "IF 2", "1 - 2"),
    )
    for row in comparison.table():
        table.add_row(
            row.category,
            f"{row.one.cases}",
            number(row.one.mean_distance_px),
            number(row.other.mean_distance_px),
            number(row.distance_difference_px, signed=True),
            number(row.one.image_fidelity, 3, missing="–"),
            number(row.other.image_fidelity, 3, missing="–"),
            number(row.fidelity_difference, 3, signed=True, missing="–"),
        )
    Console().print(table)
    if comparison.table()[-1].fidelity_difference is None:
        print("–: not measured; `bench dragbench` says how, and goes on with what is there.")
    if comparison.left_out:
        print(f"Not in both, left out: {comparison.left_out} cases.")
    print(f"MD in px by the features of {comparison.md_features}. Pictures: {page}")


def _edit(engine: BenchEngine, kept: ResultsFolder, case: DragBenchCase) -> EditOutcome:
    request = to_request(case.image, case.mask, case.point_pairs, case.prompt, engine.config)
    engine.torch_engine.validate(request)  # before a model is loaded
    kept.start({"weights": _weights_of(engine.model)})
    return engine.edit(request)


def _weights_of(model: Any) -> str:
    """Tells models of one name apart: a digest of the UNet's first and last convolution."""
    digest = hashlib.sha256()
    for layer in (model.unet.conv_in, model.unet.conv_out):
        digest.update(layer.weight.detach().float().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


class _Measurer:
    """Loads what measures when it is first needed."""

    def __init__(self, engine: BenchEngine, source: catalogue.ModelSource | None) -> None:
        self._engine, self._source = engine, source
        self._matcher: Any = None

    def measures(self) -> Measures:
        from dragdiffusion.evaluation.feature_matching import BLOCK, DRAWS, TIMESTEP
        from dragdiffusion.evaluation.perceptual_distance import PerceptualDistance, WeightsMissing

        source = self._source
        name = f"{self._engine.source.name} (the model that edits)" if not source else source.name
        features = f"{_short(name)}, t={TIMESTEP}, up block {BLOCK}, mean of {DRAWS}"
        try:
            return Measures(features, self._distances_px, PerceptualDistance())
        except WeightsMissing as missing:
            return Measures(features, self._distances_px, None, f"IF is not measured: {missing}")

    def _distances_px(
        self, source: ByteImage, edited: ByteImage, pairs: Sequence[PointPair], prompt: str
    ) -> list[float]:
        from dragdiffusion.evaluation.feature_matching import FeatureMatcher

        if self._matcher is None:
            self._matcher = FeatureMatcher(self._model())
        distances: list[float] = self._matcher.distances_px(source, edited, pairs, prompt)
        return distances

    def _model(self) -> Any:
        if self._source is None:
            return self._engine.model
        self._engine.release()
        return TorchEngine(Settings(dtype="float32")).load(self._source)


def _features_source(features: str) -> catalogue.ModelSource | None:
    """None: the model that edits. ModelUnavailable where the wanted one is not here."""
    if features:
        source = catalogue.look_up(features)
        catalogue.find_files(source)
        return source
    known = (catalogue.look_up(name) for name in catalogue.SD21_HUB_NAMES)
    return next((source for source in known if catalogue.is_available(source)), None)


def _short(name: str) -> str:
    return "sd21" if name in catalogue.SD21_HUB_NAMES else name


def _report(
    run: DragBenchRun, measures: Measures, results: list[CaseResult], engine: BenchEngine
) -> None:
    skipped = [f"{case.key}: {case.reason}" for case in run.skipped]
    content = engine.about() | dragbench_report.summary(results)
    content |= {"if_note": measures.without_it, "skipped": skipped}
    write_json(run.kept.root / "summary.json", content)
    page = dragbench_html.write_run(run.kept, results, skipped, measures.without_it)
    table = _table(f"DragBench, {run.kept.root}", ("drag", "MD", "IF", "seconds"))
    for row in dragbench_report.table(results):
        table.add_row(
            row.category,
            f"{row.cases}",
            number(row.start_distance_px),
            number(row.mean_distance_px),
            number(row.image_fidelity, 3),
            number(row.seconds),
        )
    Console().print(table)
    print(f"MD in px by the features of {measures.md_features}.")
    for line in (
        measures.without_it,
        f"Skipped: {len(skipped)} of {len(run.folders)} cases." if skipped else "",
    ):
        if line:
            print(line)
    print(f"Pictures: {page}")


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("category", no_wrap=True)
    for column in ("cases", *columns):
        table.add_column(column, justify="right")
    return table
