"""A real daemon process for each test that asks for one."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dragdiffusion.engine.drag_types import Pixels
from fakes.running import StartDaemon, start_daemons


@pytest.fixture
def start_daemon(tmp_path: Path) -> Iterator[StartDaemon]:
    """`start_daemon(step_seconds=0.1, **settings)`: the daemon with the fake engine, ready."""
    yield from start_daemons(tmp_path)


@pytest.fixture(scope="module")
def shared_daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartDaemon]:
    """`shared_daemon()`: one daemon for all tests of a module that leave it as it was."""
    for start in start_daemons(tmp_path_factory.mktemp("shared")):
        yield functools.cache(start)


@pytest.fixture
def image() -> Pixels:
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 4), dtype=np.uint8)
    pixels[..., 3] = 255
    return pixels
