"""What every folder of tests may ask for; and what all need before any of them imports the engine."""

from __future__ import annotations

import gc
from collections import defaultdict
from collections.abc import Iterator
from itertools import count

import pytest
from filelock import FileLock
from jaxtyping import install_import_hook

gc.disable()  # what is imported and collected stays, and each collection would look at it all

# From here on every shape in their signatures is checked. (An option of pytest would not reach the processes of xdist.)
install_import_hook(
    ["dragdiffusion.engine", "dragdiffusion.evaluation.lora_identity"], "shape_checks.checked"
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first, so that no process of run.sh has a long one left when the other has ended.

    Those that wait for GIMP and those that compute come in turn, so that the processors have something to do meanwhile.
    """
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    places: dict[tuple[bool, bool], Iterator[int]] = defaultdict(count)
    order = {
        file: (file not in slow, next(places[file not in slow, file.parent.name == "gimp"]))
        for file in dict.fromkeys(item.path for item in items)
    }
    items.sort(key=lambda item: order[item.path])


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


@pytest.fixture
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests that need several GiB take turns, also where the test processes are several (see run.sh)."""
    with FileLock(tmp_path_factory.getbasetemp().parent / "alone.lock"):
        yield
