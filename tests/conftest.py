"""What every folder of tests may ask for; and what all need before any of them imports the engine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from filelock import FileLock
from jaxtyping import install_import_hook

# From here on every shape in their signatures is checked. (An option of pytest would not reach the processes of xdist.)
install_import_hook(
    ["dragdiffusion.engine", "dragdiffusion.evaluation.lora_identity"], "shape_checks.checked"
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first, so that no process of run.sh has a long one left when the other has ended."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests that need several GiB take turns, also where the test processes are several (see run.sh)."""
    with FileLock(tmp_path_factory.getbasetemp().parent / "alone.lock"):
        yield
