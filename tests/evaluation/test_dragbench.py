"""A run goes on where it stopped, mixes nothing, and two runs can be compared."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dragdiffusion.engine.errors import Cancelled, InvalidRequest, OutOfMemory
from dragdiffusion.evaluation import dragbench_html, dragbench_report
from dragdiffusion.evaluation.dragbench import DragBenchRun, Measures
from dragdiffusion.evaluation.dragbench_cases import DragBenchCase, find_cases
from dragdiffusion.evaluation.dragbench_results import CaseResult, ResultsFolder
from dragdiffusion.evaluation.edits import ByteImage, EditOutcome, PointPair
from evaluation.dragbench_samples import write_case

SETTINGS = {
    "model": "embedded",
    "device": "cpu",
    "config": {"mode": "default", "lora": {"steps": 3}},
}


class _Editor:
    """Inverts the picture; counts its edits."""

    def __init__(self, seconds: float = 2.0) -> None:
        self.edited: list[str] = []
        self._seconds = seconds

    def __call__(self, case: DragBenchCase) -> EditOutcome:
        self.edited.append(case.folder.key)
        tracks = [[handle, target] for handle, target in case.point_pairs]
        return EditOutcome(255 - case.image, case.image, self._seconds, tracks)


def _measures(
    distance: float = 4.0, *, features: str = "tiny", lpips: float | None = None
) -> Measures:
    def distances(
        source: ByteImage, edited: ByteImage, pairs: Sequence[PointPair], _prompt: str
    ) -> list[float]:
        np.testing.assert_array_equal(edited, 255 - source)
        return [distance + i for i in range(len(pairs))]

    perceptual = None if lpips is None else lambda _one, _other: lpips
    return Measures(features, distances, perceptual)


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    root = tmp_path / "DragBench"
    write_case(root / "animals" / "cat", layout="json", seed=1)
    write_case(root / "animals" / "dog", layout="pickle", seed=2, points=[[8, 20], [11, 24]])
    write_case(root / "land_scape" / "hill", layout="pickle", seed=3)
    return root


def run_all(
    collection: Path, output: Path, editor: _Editor, measures: Measures
) -> tuple[DragBenchRun, list[CaseResult]]:
    kept = ResultsFolder(output)
    kept.start(SETTINGS)
    run = DragBenchRun(find_cases(collection), kept)
    for _ in run.edit(editor):
        pass
    return run, list(run.measure(measures))


def test_a_run_by_category(collection: Path, tmp_path: Path) -> None:
    run, results = run_all(collection, tmp_path / "out", _Editor(), _measures(lpips=0.25))
    assert not run.skipped
    rows = {row.category: row for row in dragbench_report.table(results)}
    assert list(rows) == ["animals", "land_scape", "all"]
    animals = rows["animals"]
    assert (animals.cases, animals.pairs, animals.seconds) == (2, 3, 2.0)
    assert animals.mean_distance_px == pytest.approx((4 + 5 + 4) / 3)  # over pairs, not over cases
    lengths = [np.hypot(22, 2), np.hypot(22, 2), 5]
    assert animals.start_distance_px == pytest.approx(np.mean(lengths))
    assert rows["all"].image_fidelity == 0.75
    summary = json.loads(json.dumps(dragbench_report.summary(results)))
    assert (summary["md_features"], summary["all"]["cases"]) == ("tiny", 3)
    assert (tmp_path / "out" / "animals" / "cat" / "dragged_image.png").is_file()


def test_a_run_goes_on_where_it_stopped(collection: Path, tmp_path: Path) -> None:
    output, editor = tmp_path / "out", _Editor()

    def stop_at_the_second(case: DragBenchCase) -> EditOutcome:
        if editor.edited:
            raise Cancelled("stopped")
        return editor(case)

    kept = ResultsFolder(output)
    kept.start(SETTINGS)
    with pytest.raises(Cancelled):
        list(DragBenchRun(find_cases(collection), kept).edit(stop_at_the_second))
    assert editor.edited == ["animals/cat"]
    _, results = run_all(collection, output, editor, _measures())
    assert editor.edited == ["animals/cat", "land_scape/hill", "animals/dog"]
    assert len(results) == 3
    run_all(collection, output, editor, _measures())
    assert len(editor.edited) == 3


@pytest.mark.parametrize("harm", ["picture", "result", "case"])
def test_damaged_and_outdated_results_are_made_again(
    collection: Path, tmp_path: Path, harm: str
) -> None:
    output, editor = tmp_path / "out", _Editor()
    run_all(collection, output, editor, _measures())
    folder = output / "animals" / "cat"
    if harm == "picture":
        (folder / "dragged_image.png").write_bytes(b"\x89PNG")
    elif harm == "result":
        (folder / "result.json").write_text('{"category": "animals"')
    else:
        instruction = collection / "animals" / "cat" / "drag_instruction.json"
        instruction.write_text(json.dumps({"prompt": "", "points": [[8, 20], [9, 21]]}))
    _, results = run_all(collection, output, editor, _measures())
    assert editor.edited[3:] == ["animals/cat"]
    assert len(results) == 3


def test_other_settings_are_not_mixed(tmp_path: Path) -> None:
    kept = ResultsFolder(tmp_path / "out")
    kept.start(SETTINGS)
    kept.start(SETTINGS | {"device": "cuda:0"})
    kept.start({"weights": "1234"})
    with pytest.raises(InvalidRequest, match="weights was 1234, is 5678"):
        kept.start({"weights": "5678"})
    changed = SETTINGS | {"config": {"mode": "reference", "lora": {"steps": 80}}}
    with pytest.raises(InvalidRequest, match=r"config\.mode was default, is reference") as error:
        kept.start(changed)
    assert "config.lora.steps was 3, is 80" in str(error.value)
    assert "choose another --output" in str(error.value)
    (tmp_path / "out" / "run.json").write_text("{")
    with pytest.raises(InvalidRequest, match="damaged"):
        kept.start(SETTINGS)


def test_only_what_is_missing_is_measured(collection: Path, tmp_path: Path) -> None:
    output, editor = tmp_path / "out", _Editor()
    run_all(collection, output, editor, _measures(4, features="tiny"))
    _, results = run_all(collection, output, editor, _measures(9, features="tiny", lpips=0.5))
    figures = [dragbench_report.figures_of(result) for result in results]
    assert {(f.distances_px[0], f.image_fidelity) for f in figures} == {(4, 0.5)}
    _, results = run_all(collection, output, editor, _measures(9, features="sd21"))
    figures = [dragbench_report.figures_of(result) for result in results]
    assert {(f.distances_px[0], f.image_fidelity) for f in figures} == {(9, 0.5)}
    assert len(editor.edited) == 3


def test_what_cannot_be_run_is_skipped_and_told(collection: Path, tmp_path: Path) -> None:
    (collection / "animals" / "cat" / "mask.png").unlink()

    class Small(_Editor):
        def __call__(self, case: DragBenchCase) -> EditOutcome:
            if case.folder.category == "land_scape":
                raise OutOfMemory("There is not enough memory.")
            return super().__call__(case)

    run, results = run_all(collection, tmp_path / "out", Small(), _measures())
    assert [result.key for result in results] == ["animals/dog"]
    assert [(skipped.key, skipped.reason) for skipped in run.skipped] == [
        ("animals/cat", "it has no mask.png"),
        ("land_scape/hill", "There is not enough memory."),
    ]


def test_the_page_shows_every_case_worst_first(collection: Path, tmp_path: Path) -> None:
    run, results = run_all(collection, tmp_path / "out", _Editor(), _measures(lpips=None))
    page = dragbench_html.write_run(run.kept, results, ["a/b: <broken>"], "IF: how to get it.")
    text = page.read_text("utf-8")
    assert text.count("data:image/jpeg;base64,") == 6
    assert "src='http" not in text
    assert "not measured" in text
    assert "a/b: &lt;broken&gt;" in text
    assert "how to get it" in text
    assert text.index("animals/cat") < text.index("animals/dog")  # two pairs, 4 and 5, against 4


def test_two_runs_compared(collection: Path, tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    run_all(collection, one, _Editor(), _measures(4, lpips=0.25))
    write_case(collection / "animals" / "new", seed=9)
    run_all(collection, other, _Editor(), _measures(7, lpips=0.5))
    comparison = dragbench_report.compare(one, other)
    assert (len(comparison.pairs), comparison.left_out) == (3, 1)
    content = json.loads(json.dumps(comparison.to_dict()))
    assert [row["category"] for row in content["categories"]] == ["animals", "land_scape"]
    for row in (*content["categories"], content["all"], *content["cases"]):
        assert row["distance_difference_px"] == pytest.approx(-3)
        assert row["fidelity_difference"] == 0.25
    page = dragbench_html.write_comparison(comparison, one / "against" / "index.html")
    text = page.read_text("utf-8")
    assert text.count("data:image/jpeg;base64,") == 9
    assert "-3.0" in text


def test_what_cannot_be_compared(collection: Path, tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    with pytest.raises(InvalidRequest, match="is not the output of"):
        dragbench_report.compare(one, other)
    run_all(collection, one, _Editor(), _measures(features="sd21"))
    run_all(collection, other, _Editor(), _measures(features="embedded"))
    with pytest.raises(InvalidRequest, match="different features"):
        dragbench_report.compare(one, other)
    for result in ResultsFolder(other).results():
        ResultsFolder(other).keep(replace(result, fingerprint="another picture"))
    with pytest.raises(InvalidRequest, match="no case in common"):
        dragbench_report.compare(one, other)
