"""The command line against the real daemon with the fake engine."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dragdiffusion.engine.drag_types import Pixels
from fakes.running import StartDaemon, start_daemons

RunCommand = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def start_daemon(tmp_path: Path) -> Iterator[StartDaemon]:
    yield from start_daemons(tmp_path)


@pytest.fixture
def command(tmp_path: Path) -> RunCommand:
    """`command("edit", …, env=running.environment)`"""

    def run(*arguments: object, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "dragdiffusion", *map(str, arguments)],
            env=env,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


@pytest.fixture
def pixels() -> Pixels:
    return np.random.default_rng(3).integers(0, 256, (48, 64, 3), dtype=np.uint8)


@pytest.fixture
def picture(tmp_path: Path, pixels: Pixels) -> Path:
    path = tmp_path / "picture.png"
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture(scope="module")
def shared_daemon_environment(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, str]]:
    for start in start_daemons(tmp_path_factory.mktemp("shared")):
        yield start().environment
