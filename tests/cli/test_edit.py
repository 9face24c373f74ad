"""`dragdiffusion edit`, as a program."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from cli.conftest import RunCommand
from dragdiffusion import __version__
from dragdiffusion.cli import app
from dragdiffusion.commands.edit import lay_over, parse_settings, parse_trajectory
from dragdiffusion.commands.errors import BadInput
from dragdiffusion.engine.config import Mode
from dragdiffusion.engine.drag_types import Pixels
from dragdiffusion_rpc import drag_pb2 as rpc
from fakes.running import StartDaemon, wait_until

DRAG = ("--point", "20,20:40,30")


def test_the_edit_lies_over_the_input(
    command: RunCommand, start_daemon: StartDaemon, picture: Path, pixels: Pixels, tmp_path: Path
) -> None:
    environment = start_daemon().environment
    out, report = tmp_path / "out.png", tmp_path / "new" / "report.json"
    arguments = [*DRAG, "--lora-steps", 1, "--max-drag-steps", 3, "--json", report]
    done = command("edit", picture, *arguments, "-o", out, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    with Image.open(out) as result:
        assert result.mode == "RGB"
        edited = np.asarray(result)
    np.testing.assert_array_equal(edited[30, 40], pixels[20, 20])
    np.testing.assert_array_equal(edited[:20], pixels[:20])

    told = json.loads(report.read_text())
    assert told["drag_steps"] == 3
    assert told["handle_tracks"][-1] == [[40, 30]]
    assert told["config"]["lora"]["steps"] == 1


def test_every_option_arrives(start_daemon: StartDaemon, tmp_path: Path) -> None:
    running = start_daemon()
    picture, mask = np.zeros((96, 160, 3), np.uint8), np.zeros((96, 160), np.uint8)
    mask[33:63, 33:63] = 255
    Image.fromarray(picture).save(tmp_path / "in.png")
    Image.fromarray(mask).save(tmp_path / "mask.png")
    numbers = {
        "lora_steps": 3,
        "inversion_strength": 0.25,
        "max_drag_steps": 2,
        "learning_rate": 0.125,
        "mask_weight": 0.75,
        "seed": 2**64 - 1,
    }
    options = [
        text
        for name, value in numbers.items()
        for text in (f"--{name.replace('_', '-')}", str(value))
    ]
    ways = ("40,40:50,60", "44,40:50.5,45:48,50")
    options += [text for way in ways for text in ("--point", way)]
    options += ["--mask", str(tmp_path / "mask.png"), "--prompt", "a cube", "--mode", "reference"]
    options += ["--set", "working_size=32", "--set", "fit=area"]
    options += ["-o", str(tmp_path / "out.png"), "--json", str(tmp_path / "r.json")]
    regions = []
    for whole in ([], ["--whole-image"]):
        arguments = ["edit", str(tmp_path / "in.png"), *options, *whole]
        done = CliRunner().invoke(app, arguments, env=running.environment)
        assert (done.exit_code, done.output) == (0, "")
        told = json.loads((tmp_path / "r.json").read_text())
        regions.append(tuple(told["region"].values()))
    assert regions == [(24, 24, 48, 48), (0, 0, 160, 96)]

    config = told["config"]
    config["lora_steps"] = config["lora"]["steps"]
    expected = {**numbers, "mode": "reference", "working_size": 32, "fit": "area"}
    assert {name: config[name] for name in expected} == expected
    assert [len(step) for step in told["handle_tracks"]] == [2, 2]
    assert told["handle_tracks"][-1] == [[50, 60], [48, 50]]
    assert (told["device"], told["dtype"]) == ("cpu (fake)", "float32")
    assert told["versions"] == {"dragdiffusion": __version__, "torch": "0.0", "diffusers": "0.0"}
    assert set(told["phase_seconds"]) == {"inversion", "drag"}
    assert all(seconds > 0 for seconds in told["phase_seconds"].values())
    assert told["peak_memory_bytes"] > 1 << 20

    asked = [step.removeprefix("asked ") for step in running.steps() if step.startswith("asked ")]
    assert json.loads(asked[-1]) == {
        "prompt": "a cube",
        "trajectories": [[[40, 40], [50, 60]], [[44, 40], [50.5, 45], [48, 50]]],
        "mask": hashlib.sha256(mask.tobytes()).hexdigest(),
    }


def test_transparency_is_kept(
    command: RunCommand, start_daemon: StartDaemon, pixels: Pixels, tmp_path: Path
) -> None:
    rgba = np.dstack([pixels, np.full((48, 64), 77, np.uint8)])
    Image.fromarray(rgba).save(tmp_path / "in.png")
    arguments = ["in.png", *DRAG, "-o", "out.png"]
    assert command("edit", *arguments, env=start_daemon().environment).returncode == 0
    with Image.open(tmp_path / "out.png") as result:
        assert result.mode == "RGBA"
        edited = np.asarray(result)
    np.testing.assert_array_equal(edited[:20], rgba[:20])
    assert edited[30, 40, 3] == 255


def test_raw_is_the_model_s_picture_of_the_region(
    command: RunCommand, start_daemon: StartDaemon, picture: Path, tmp_path: Path
) -> None:
    environment = start_daemon().environment
    done = command("edit", picture, *DRAG, "--raw", "-o", "out.png", env=environment)
    assert done.returncode == 0
    with Image.open(tmp_path / "out.png") as raw:
        assert (raw.mode, raw.size) == ("RGB", (64, 48))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["missing.png", *DRAG, "-o", "o.png"], "There is no file missing.png"),
        (["picture.png", "--point", "1,2", "-o", "o.png"], "has no target"),
        (["picture.png", "--point", "a,b:c,d", "-o", "o.png"], "HX,HY:TX,TY"),
        (["picture.png", *DRAG, "-o", "o.nothing"], ".png"),
        (["picture.png", *DRAG, "-o", "no folder/o.png"], "There is no folder"),
        (["picture.png", *DRAG, "-o", "o.png", "--json", "picture.png/r.json"], "a file, not a"),
        (["picture.png", *DRAG, "-o", "o.png", "--mask", "small.png"], "of one size"),
        (["picture.png", *DRAG, "-o", "o.png", "--model", "none such"], "There is no model"),
        (["picture.png", *DRAG, "-o", "o.png", "--set", "x=1"], "no hyper-parameter"),
        (["picture.png", *DRAG, "-o", "o.png", "--inversion-strength", "7"], "in (0, 1]"),
        (["picture.png", "--point", "900,2:3,4", "-o", "o.png"], "outside"),
        (["notes.txt", *DRAG, "-o", "o.png"], "cannot be read as a picture"),
    ],
)
def test_bad_input_is_explained(
    arguments: list[str],
    words: str,
    command: RunCommand,
    shared_daemon_environment: dict[str, str],
    picture: Path,
) -> None:
    Image.new("L", (3, 3)).save(picture.parent / "small.png")
    (picture.parent / "notes.txt").write_text("no picture")
    done = command("edit", *arguments, env=shared_daemon_environment)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("mode", [mode.value for mode in Mode])
def test_every_mode_reaches_the_daemon(
    command: RunCommand,
    shared_daemon_environment: dict[str, str],
    picture: Path,
    tmp_path: Path,
    mode: str,
) -> None:
    report = tmp_path / "report.json"
    arguments = [picture, *DRAG, "-o", tmp_path / "o.png", "--mode", mode, "--json", report]
    done = command("edit", *arguments, env=shared_daemon_environment)
    assert done.returncode == 0, done.stderr
    assert json.loads(report.read_text())["config"]["mode"] == mode


def test_an_unknown_mode_is_refused(
    command: RunCommand, shared_daemon_environment: dict[str, str], picture: Path
) -> None:
    arguments = [picture, *DRAG, "-o", "o.png", "--mode", "magic"]
    done = command("edit", *arguments, env=shared_daemon_environment)
    assert done.returncode == 2
    assert "reference" in done.stderr


def test_a_failing_daemon_is_explained(
    command: RunCommand, shared_daemon_environment: dict[str, str], picture: Path
) -> None:
    arguments = [picture, *DRAG, "-o", "o.png", "--prompt", "fail: memory"]
    done = command("edit", *arguments, env=shared_daemon_environment)
    assert done.returncode == 1
    assert "smaller area" in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_control_c_cancels(start_daemon: StartDaemon, picture: Path, tmp_path: Path) -> None:
    running = start_daemon(step_seconds=0.05)
    long = ("--lora-steps", "0", "--max-drag-steps", "400")  # else it may end before the signal
    program = [sys.executable, "-m", "dragdiffusion", "edit", str(picture), *DRAG, *long]
    client = subprocess.Popen(
        [*program, "-o", str(tmp_path / "out.png")],
        env=running.environment,
        stderr=subprocess.PIPE,
        text=True,
        # A shell lets what it starts in the background ignore the signal, and so would the client.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    wait_until(lambda: running.steps_done("drag") >= 1)
    client.send_signal(signal.SIGINT)
    _, said = client.communicate(timeout=10)
    assert client.returncode == 130, said
    assert "Cancelled" in said
    wait_until(lambda: running.steps_done("stopped"), seconds=3)
    assert not (tmp_path / "out.png").exists()


def test_status_and_stop(command: RunCommand, start_daemon: StartDaemon) -> None:
    running = start_daemon()
    said = command("status", env=running.environment)
    assert said.returncode == 0
    assert str(running.process.pid) in said.stdout
    assert command("stop", env=running.environment).returncode == 0
    assert running.process.wait(timeout=10) == 0
    said = command("status", env=running.environment)
    assert (said.returncode, "No daemon" in said.stdout) == (1, True)


# ---- parts ----


def test_a_way_of_several_points() -> None:
    way = parse_trajectory("1,2:3.5,4:5,6")
    assert [(p.x, p.y) for p in way.points] == [(1, 2), (3.5, 4), (5, 6)]


def test_settings_take_the_type_of_their_field() -> None:
    texts = ["guidance_scale=2", "tracking_radius=4", "lock_outside_mask=true", "fit=area"]
    assert parse_settings(texts) == {
        "guidance_scale": 2.0,
        "tracking_radius": 4,
        "lock_outside_mask": True,
        "fit": rpc.FIT_AREA,
    }
    with pytest.raises(BadInput, match="tracking_radius"):
        parse_settings(["tracking_radius=much"])


def test_half_a_layer_is_mixed_half(pixels: Pixels) -> None:
    layer = np.zeros((2, 3, 4), np.uint8)
    layer[0, 0] = (255, 255, 255, 128)
    region = rpc.Rectangle(x=10, y=5, width=3, height=2)
    result = np.asarray(lay_over(Image.fromarray(pixels), layer, region))
    expected = pixels.copy()
    share = 128 / 255
    expected[5, 10] = np.rint(255 * share + pixels[5, 10] * (1 - share))
    np.testing.assert_array_equal(result, expected)


def test_it_starts_soon(command: RunCommand, shared_daemon_environment: dict[str, str]) -> None:
    began = time.monotonic()
    assert "dragdiffusion" in command("--version", env=shared_daemon_environment).stdout
    assert time.monotonic() - began < 5
