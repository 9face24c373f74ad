"""`dragdiffusion generate`, and `edit` on what it wrote, as programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from cli.conftest import RunCommand
from dragdiffusion.commands.errors import BadInput
from dragdiffusion.commands.generate import parse_size
from dragdiffusion.commands.provenance import read_generation
from fakes.running import StartDaemon, daemon_environment

PROMPT = "a red flower, blue background"
MAKE = ("generate", "--prompt", PROMPT, "--seed", 3, "--steps", 4)
DRAG = ("--point", "20,20:40,30", "--max-drag-steps", 2)


def test_the_file_says_how_it_was_made(
    command: RunCommand, start_daemon: StartDaemon, tmp_path: Path
) -> None:
    environment = start_daemon().environment
    more = ["--size", "64x48", "--guidance-scale", 3, "--negative-prompt", "leaves ☘"]
    done = command(*MAKE, *more, "-o", "made.png", env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    with Image.open(tmp_path / "made.png") as picture:
        assert (picture.mode, picture.size) == ("RGB", (64, 48))
    made = read_generation(tmp_path / "made.png")
    assert made is not None
    generation = made.generation
    assert (generation.prompt, generation.negative_prompt) == (PROMPT, "leaves ☘")
    assert (generation.seed, generation.num_inference_steps) == (3, 4)
    assert made.model


def test_edit_starts_from_there_if_the_file_says_so(
    command: RunCommand, start_daemon: StartDaemon, picture: Path, tmp_path: Path
) -> None:
    running = start_daemon()

    def edit(name: object, *more: object) -> dict[str, object]:
        arguments = [name, *DRAG, *more, "-o", "out.png", "--json", "out.json"]
        done = command("edit", *arguments, env=running.environment)
        assert (done.returncode, done.stderr) == (0, "")
        config: dict[str, object] = json.loads((tmp_path / "out.json").read_text())["config"]
        return config

    command(*MAKE, "--size", "64", "-o", "made.png", env=running.environment)
    assert edit("made.png")["num_inference_steps"] == 4
    assert running.steps_done("sample") == 4  # those of generate
    assert edit("made.png", "--no-generated")["num_inference_steps"] != 4
    assert edit(picture)["num_inference_steps"] != 4
    assert read_generation(tmp_path / "out.png") is None  # it was not made so


def test_a_picture_that_was_changed_is_explained(
    command: RunCommand, start_daemon: StartDaemon, tmp_path: Path
) -> None:
    environment = start_daemon().environment
    command(*MAKE, "--size", "64", "-o", "made.png", env=environment)
    with Image.open(tmp_path / "made.png") as picture:
        text = picture.info["dragdiffusion"]
    kept = PngInfo()
    kept.add_text("dragdiffusion", text)
    Image.new("RGB", (64, 64)).save(tmp_path / "painted.png", pnginfo=kept)
    done = command("edit", "painted.png", *DRAG, "-o", "out.png", env=environment)
    assert done.returncode == 2
    assert "--no-generated" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([*MAKE, "-o", "o.jpg"], "no PNG"),
        ([*MAKE, "-o", "no folder/o.png"], "There is no folder"),
        ([*MAKE, "-o", "o.png", "--size", "large"], "512x768"),
        ([*MAKE, "-o", "o.png", "--size", "100"], "multiple of 8"),
        ([*MAKE, "-o", "o.png", "--model", "none such"], "There is no model"),
        (["edit", "picture.png", *DRAG, "-o", "o.png", "--generated"], "does not say how"),
    ],
)
def test_bad_input_is_explained(
    arguments: list[str],
    words: str,
    command: RunCommand,
    shared_daemon_environment: dict[str, str],
    picture: Path,
) -> None:
    assert picture.exists()
    done = command(*arguments, env=shared_daemon_environment)
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_sizes() -> None:
    assert parse_size("512") == (512, 512)
    assert parse_size("512X768") == (512, 768)
    for text in ("", "x", "512x", "-8", "8x8x8", "1e9", "1000000"):
        with pytest.raises(BadInput, match="no size"):
            parse_size(text)


# ---- with the real engine and the embedded model ----


@pytest.fixture
def real(command: RunCommand, tmp_path: Path) -> Iterator[Callable[..., None]]:
    """The command, with a daemon of its own that it starts itself."""
    environment = daemon_environment(tmp_path, default_model="embedded", idle_exit_minutes=5)

    def run(*arguments: object) -> None:
        done = command(*arguments, env=environment)
        assert (done.returncode, done.stderr) == (0, "")

    yield run
    command("stop", env=environment)


@pytest.mark.slow
def test_a_restarted_daemon_samples_the_same_pixels_and_drags_on_them(
    real: Callable[..., None], tmp_path: Path
) -> None:
    real(*MAKE, "-o", "made.png")
    edit = ["edit", "made.png", "--point", "50,30:80,30", "--max-drag-steps", 3]
    real(*edit, "-o", "first.png", "--json", "first.json")
    real("stop")
    real(*edit, "-o", "second.png", "--json", "second.json")
    real(*MAKE, "-o", "again.png")

    names = ("made", "again", "first", "second")
    made, again, first, second = (_pixels(tmp_path / f"{name}.png") for name in names)
    np.testing.assert_array_equal(made, again)
    np.testing.assert_array_equal(first, second)
    assert (first != made).any()
    told = [json.loads((tmp_path / f"{name}.json").read_text()) for name in ("first", "second")]
    assert {"recording", "drag", "denoise"} <= set(told[0]["phase_seconds"])
    assert "inversion" not in told[0]["phase_seconds"]
    assert told[0]["config"]["guidance_scale"] > 1
    assert told[0]["losses"] == told[1]["losses"]


def _pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)
