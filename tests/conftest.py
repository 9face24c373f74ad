"""What every folder of tests may ask for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from filelock import FileLock


@pytest.fixture
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests that need several GiB take turns, also where the test processes are several (see run.sh)."""
    with FileLock(tmp_path_factory.getbasetemp().parent / "alone.lock"):
        yield
