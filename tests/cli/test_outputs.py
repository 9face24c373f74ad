"""What commands write: found unwritable before the work, not after it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from dragdiffusion.commands.bench import BenchOrder, run_scenes
from dragdiffusion.commands.bench_lora import LoraOrder, run_lora
from dragdiffusion.commands.bench_speed import SpeedOrder, run_speed
from dragdiffusion.commands.errors import BadInput
from dragdiffusion.commands.outputs import refuse_unwritable, write_json


@pytest.mark.parametrize("name", ["new.json", "old.json", "two/new/folders.json"])
def test_what_can_be_written_is_left_as_it_is(tmp_path: Path, name: str) -> None:
    (tmp_path / "old.json").write_text("as it was")
    refuse_unwritable(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["old.json"]
    assert (tmp_path / "old.json").read_text() == "as it was"
    write_json(tmp_path / name, {"ü": 1})
    assert (tmp_path / name).read_text(encoding="utf-8") == '{\n  "ü": 1\n}\n'


def test_no_file_is_no_mistake() -> None:
    refuse_unwritable(None)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("folder", "is a folder: give the name of a file"),
        ("file/r.json", "file is a file, not a folder"),
        ("file/new/r.json", "file is a file, not a folder"),
        ("guarded/r.json", "you may not change .*guarded"),
        ("guarded/new/r.json", "you may not change .*guarded"),
        ("file.guarded", "you may not change .*file.guarded"),
    ],
)
def test_what_cannot_be_written_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, words: str
) -> None:
    for folder in ("folder", "guarded"):
        (tmp_path / folder).mkdir()
    for file in ("file", "file.guarded"):
        (tmp_path / file).touch()
    # root, who runs these tests in places, may write everywhere
    monkeypatch.setattr(os, "access", lambda path, _way: not path.name.endswith("guarded"))
    with pytest.raises(BadInput, match=words):
        refuse_unwritable(tmp_path / name)


@pytest.mark.parametrize(
    "bench",
    [
        lambda file: run_scenes(BenchOrder(json=file / "r.json")),
        lambda file: run_scenes(BenchOrder(html=file / "page")),
        lambda file: run_lora(LoraOrder(json=file / "r.json")),
        lambda file: run_speed(SpeedOrder(json=file / "r.json")),
    ],
    ids=["scenes", "scenes' page", "lora", "speed"],
)
def test_benchmarks_refuse_before_they_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bench: Callable[[Path], None]
) -> None:
    for module in ("bench", "bench_lora", "bench_speed"):
        monkeypatch.setattr(f"dragdiffusion.commands.{module}.BenchEngine", began)
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(BadInput, match="a file, not a folder"):
        bench(file)


def began(*_: object) -> None:
    pytest.fail("the benchmark began")
