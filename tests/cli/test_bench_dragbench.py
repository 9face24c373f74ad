"""`dragdiffusion bench dragbench` and `bench compare`, as a program."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from diffusers import UNet2DConditionModel
from evaluation.dragbench_samples import mask, picture, write_case
from PIL import Image
from transformers import CLIPTextConfig, CLIPTextModel

from cli.conftest import RunCommand
from dragdiffusion.commands import bench_engine
from dragdiffusion.commands.bench_dragbench import DragBenchOrder, compare_runs, run_dragbench
from dragdiffusion.commands.bench_engine import EngineOrder
from dragdiffusion.engine.config import Mode
from dragdiffusion.engine.errors import InvalidRequest
from dragdiffusion.models.catalogue import ModelSource
from dragdiffusion.models.profiles import Defaults, defaults

TINY = Path(__file__).parents[1] / "parity" / "data" / "model"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Without the user's models, settings and caches."""
    places = {name: str(tmp_path / name.lower()) for name in ("HF_HOME", "TORCH_HOME")}
    models = {"DRAGDIFFUSION_MODELS_FOLDER": str(tmp_path / "models")}
    return {**os.environ, **places, **models, "DRAGDIFFUSION_DEVICE": "cpu", "COLUMNS": "200"}


@pytest.fixture
def _few_steps(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process, the embedded model with few steps."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)

    def few(mode: Mode, source: ModelSource) -> Defaults:
        usual = defaults(mode, source)
        short = {"num_inference_steps": 4, "max_drag_steps": 2, "working_size": 64}
        return usual._replace(drag=replace(usual.drag, **short))

    monkeypatch.setattr(bench_engine, "defaults", few)


@pytest.mark.usefixtures("_few_steps")
def test_a_run_a_second_one_and_a_comparison(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, layout in (("cat", "pickle"), ("dog", "json")):
        folder = tmp_path / "data" / "animals" / name
        write_case(folder, layout=layout, points=[[8, 20], [18, 24]])
    write_case(tmp_path / "data" / "art_work" / "broken", points=[[1, 1]])
    order = DragBenchOrder(tmp_path / "data", tmp_path / "out")
    run_dragbench(order)
    said = capsys.readouterr().out
    assert "Skipped: 1 of 3 cases." in said
    assert "art_work/broken: skipped, it has 1 points" in said
    assert "features of embedded (the model that edits), t=261" in said
    assert "IF is not measured: " in said
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["all"]["cases"] == 2
    assert summary["config"]["mode"] == "default"
    assert 0 <= summary["all"]["mean_distance_px"] < 80
    with Image.open(tmp_path / "out" / "animals" / "cat" / "dragged_image.png") as file:
        edited = np.asarray(file)
    changed = (edited != picture()).any(axis=-1)
    assert changed[mask() > 0].mean() > 0.5
    assert not changed[mask() == 0].any()

    run_dragbench(replace(order, count=2))  # one of each category: a cat, and what is broken
    assert capsys.readouterr().out.count(" kept\n") == 1
    with pytest.raises(InvalidRequest, match="holds a run with other settings"):
        run_dragbench(replace(order, engine=EngineOrder(mode=Mode.REFERENCE)))

    shutil.copytree(tmp_path / "out", tmp_path / "other")
    compare_runs(tmp_path / "out", tmp_path / "other")
    assert "+0.0" in capsys.readouterr().out
    page = tmp_path / "out" / "against-other"
    assert (page / "index.html").is_file()
    comparison = json.loads((page / "comparison.json").read_text())
    assert comparison["all"]["distance_difference_px"] == 0


@pytest.fixture
def like_sd21(tmp_path: Path) -> Path:
    """A folder in Stable Diffusion 2.1's layout: text 1024 wide, linear projections, v-prediction; but tiny."""
    folder = Path(shutil.copytree(TINY, tmp_path / "sd21"))
    unet = {"cross_attention_dim": 1024, "use_linear_projection": True}
    unet |= {"attention_head_dim": [1, 2, 4, 4]}
    UNet2DConditionModel.from_config(
        UNet2DConditionModel.load_config(TINY / "unet") | unet
    ).save_pretrained(folder / "unet")
    text = CLIPTextConfig.from_pretrained(TINY / "text_encoder")
    text.hidden_size = 1024
    CLIPTextModel(text).save_pretrained(folder / "text_encoder")
    scheduler = folder / "scheduler" / "scheduler_config.json"
    scheduler.write_text(scheduler.read_text().replace('"epsilon"', '"v_prediction"'))
    return folder


@pytest.mark.usefixtures("_few_steps")
def test_another_model_s_features(
    tmp_path: Path, like_sd21: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The edits stay; they are measured again, and a run by other features is no match for it."""
    write_case(tmp_path / "data" / "animals" / "cat", points=[[8, 20], [18, 24]])
    order = DragBenchOrder(tmp_path / "data", tmp_path / "out")
    run_dragbench(order)
    shutil.copytree(tmp_path / "out", tmp_path / "other")
    by_sd21 = replace(order, features=str(like_sd21), compare=tmp_path / "other")
    with pytest.raises(InvalidRequest, match="different features"):
        run_dragbench(by_sd21)
    said = capsys.readouterr().out
    assert f"features of {like_sd21}, t=261" in said
    assert said.count(" kept\n") == 1
    run_dragbench(replace(by_sd21, output=tmp_path / "other", compare=tmp_path / "out"))
    assert "+0.0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("dragbench", "missing"), "There is no folder missing"),
        (("dragbench", "."), "has no DragBench case"),
        (("dragbench", "data", "--category", "cars"), "no category cars; it has animals"),
        (("dragbench", "data", "--features", "nobody/knows"), "models download nobody/knows"),
        (("dragbench", "data", "--model", "unknown"), "There is no model"),
        (("compare", "data", "data"), "is not the output of"),
    ],
)
def test_what_cannot_be_done_is_said(
    command: RunCommand,
    environment: dict[str, str],
    tmp_path: Path,
    arguments: tuple[str, ...],
    words: str,
) -> None:
    if arguments[1] == "data":
        write_case(tmp_path / "data" / "animals" / "cat")
    done = command("bench", *arguments, "-o", "out", env=environment)
    assert done.returncode != 0
    assert words in done.stderr.replace("\n", " ")
    assert done.stderr.count("\n") == 1


def test_nothing_that_can_be_run(
    command: RunCommand, environment: dict[str, str], tmp_path: Path
) -> None:
    """A pickle that would call something, and a handle where nothing may change: no model is loaded for them."""
    malicious = write_case(tmp_path / "data" / "animals" / "cat", layout="pickle")
    (malicious / "meta_data.pkl").write_bytes(b"cos\nsystem\n(S'touch witness'\ntR.")
    write_case(tmp_path / "data" / "animals" / "dog", points=[[60, 45], [20, 20]])
    done = command("bench", "dragbench", "data", "-o", "out", env=environment)
    assert done.returncode == 1
    assert "animals/dog: skipped, The handle (60, 46) is outside the mask" in done.stdout
    assert "None of the 2 cases could be run" in done.stderr
    assert "os.system" in done.stderr
    assert not (tmp_path / "witness").exists()
