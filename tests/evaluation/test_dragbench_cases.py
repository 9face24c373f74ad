"""Both layouts give the same case; what is broken is told."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dragdiffusion.engine.errors import InvalidRequest
from dragdiffusion.evaluation.dragbench_cases import (
    BrokenCase,
    CaseFolder,
    DragBenchCase,
    find_cases,
    read_case,
)
from evaluation.dragbench_samples import mask, picture, write_case


def read(folder: Path) -> DragBenchCase:
    return read_case(CaseFolder(folder.parent.name, folder.name, folder))


@pytest.mark.parametrize("layout", ["json", "pickle"])
def test_a_case(tmp_path: Path, layout: str) -> None:
    case = read(write_case(tmp_path / "animals" / "cat", layout=layout))
    np.testing.assert_array_equal(case.image, picture())
    np.testing.assert_array_equal(case.mask, mask() * 255)
    assert case.prompt == "a drawn picture"
    assert case.point_pairs == (((8.5, 20.5), (30.5, 22.5)), ((10.5, 30.5), (32.5, 32.5)))
    assert case.folder.key == "animals/cat"


def test_both_layouts_are_one_case(tmp_path: Path) -> None:
    one = read(write_case(tmp_path / "a" / "cat", layout="json"))
    other = read(write_case(tmp_path / "b" / "cat", layout="pickle"))
    assert one.fingerprint() == other.fingerprint()
    changed = read(write_case(tmp_path / "c" / "cat", points=[[8, 20], [31, 22]]))
    assert changed.fingerprint() != one.fingerprint()


def test_categories_take_turns(tmp_path: Path) -> None:
    for key in ("b/1", "b/2", "a/1", "a/2", "a/3"):
        write_case(tmp_path / key)
    keys = [case.key for case in find_cases(tmp_path)]
    assert keys == ["a/1", "b/1", "a/2", "b/2", "a/3"]
    assert [case.key for case in find_cases(tmp_path, ("b",))] == ["b/1", "b/2"]
    with pytest.raises(InvalidRequest, match="no category c; it has a, b"):
        find_cases(tmp_path, ("c",))


def test_no_case(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="no DragBench case"):
        find_cases(tmp_path)
    with pytest.raises(InvalidRequest, match="There is no folder"):
        find_cases(tmp_path / "missing")


def test_two_collections_at_once_are_refused(tmp_path: Path) -> None:
    for collection in ("one", "two"):
        write_case(tmp_path / collection / "animals" / "cat")
    with pytest.raises(InvalidRequest, match="same category and name"):
        find_cases(tmp_path)


@pytest.mark.parametrize(
    ("points", "words"),
    [
        ([], "no list of"),
        ([[1, 2]], "1 points: every handle needs a target"),
        ([[1, 2], [3, 4], [5, 6]], "3 points"),
        ([[1, 2, 3], [4, 5, 6]], "no list of"),
        ([[1, 2], [3, float("nan")]], "no list of"),
        ([[1, 2], "target"], "no list of"),
        (None, "no list of"),
        ([[64, 20], [30, 20]], r"handle \[64, 20\] is outside"),
        ([[8, -1], [30, 20]], "outside"),
    ],
)
def test_points_that_cannot_be_used(tmp_path: Path, points: Any, words: str) -> None:
    with pytest.raises(BrokenCase, match=words):
        read(write_case(tmp_path / "animals" / "cat", points=points))


def _without(name: str) -> Any:
    return lambda folder: (folder / name).unlink()


def _with(name: str, content: bytes) -> Any:
    return lambda folder: (folder / name).write_bytes(content)


def _mask(shape: tuple[int, ...], value: int) -> Any:
    return lambda folder: Image.fromarray(np.full(shape, value, np.uint8)).save(folder / "mask.png")


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (_without("original_image.png"), "has no original_image"),
        (_without("mask.png"), "has no mask"),
        (_without("drag_instruction.json"), "neither meta_data.pkl nor"),
        (_with("original_image.png", b"\x89PNG and no more"), "no picture"),
        (_with("drag_instruction.json", b"{"), "no JSON"),
        (_with("drag_instruction.json", b"[]"), "no prompt and points"),
        (_with("drag_instruction.json", b'{"prompt": 3, "points": [[8,20],[9,9]]}'), "no text"),
        (_mask((20, 30), 255), "mask is 30 × 20 pixels and its picture 64 × 48"),
        (_mask((48, 64), 0), "mask is empty"),
    ],
)
def test_a_broken_folder(tmp_path: Path, harm: Any, words: str) -> None:
    folder = write_case(tmp_path / "animals" / "cat")
    harm(folder)
    with pytest.raises(BrokenCase, match=words):
        read(folder)


def test_a_malicious_pickle_is_refused_by_name(tmp_path: Path) -> None:
    folder = write_case(tmp_path / "animals" / "cat", layout="pickle")
    (folder / "meta_data.pkl").write_bytes(b"cos\nsystem\n(S'touch witness'\ntR.")
    with pytest.raises(BrokenCase, match=r"refused: it asks for os\.system"):
        read(folder)


@pytest.mark.parametrize("content", [[], {"prompt": "", "points": [[8, 20], [9, 9]], "mask": "x"}])
def test_a_pickle_of_something_else(tmp_path: Path, content: Any) -> None:
    folder = write_case(tmp_path / "animals" / "cat", layout="pickle")
    (folder / "meta_data.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(BrokenCase, match=r"no prompt and points|no array of numbers"):
        read(folder)


def test_a_prompt_may_be_missing(tmp_path: Path) -> None:
    folder = write_case(tmp_path / "animals" / "cat")
    (folder / "drag_instruction.json").write_text(json.dumps({"points": [[8, 20], [9, 9]]}))
    assert read(folder).prompt == ""
