"""`dragdiffusion status` and `unload`, as programs."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.conftest import RunCommand
from dragdiffusion.commands.daemon import duration
from fakes.running import StartDaemon, daemon_environment

DRAG = ("--point", "20,20:40,30", "--lora-steps", "1", "-o", "out.png")


def test_unload(command: RunCommand, start_daemon: StartDaemon, picture: Path) -> None:
    running = start_daemon()
    assert command("unload", env=running.environment).stdout == "No model was in memory.\n"
    assert command("edit", picture, *DRAG, env=running.environment).returncode == 0
    assert "fake-model\n" in command("status", env=running.environment).stdout
    said = command("unload", env=running.environment)
    assert said.returncode == 0
    assert "fake-model has left memory" in said.stdout
    status = command("status", env=running.environment).stdout
    assert "none loaded" in status
    assert "Device's memory: 4096 MiB of 8192 MiB are free" in status
    assert "Running for:" in status


def test_without_a_daemon(command: RunCommand, tmp_path: Path) -> None:
    said = command("unload", env=daemon_environment(tmp_path))
    assert (said.returncode, said.stdout) == (0, "No daemon runs: no model is in memory.\n")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59, "59 s"), (61, "1 min"), (7260, "2 h 1 min")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
