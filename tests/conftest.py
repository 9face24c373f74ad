"""Tests run in several processes (see run.sh): a file stays together, and the largest files too, so that they take turns."""

from __future__ import annotations

import pytest

LARGE = {"test_sd15_shape.py", "test_savings.py"}  # several GiB each


@pytest.hookimpl(tryfirst=True)  # before xdist looks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        group = "large" if item.path.name in LARGE else str(item.path)
        item.add_marker(pytest.mark.xdist_group(group))
