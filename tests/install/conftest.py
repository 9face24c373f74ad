"""The installer's modules, which find each other in their folder."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

INSTALL = Path(__file__).parents[2] / "install"


def _module(name: str) -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(INSTALL)
        yield importlib.import_module(name)
    sys.modules.pop(name)


@pytest.fixture(scope="module")
def demo() -> Iterator[ModuleType]:
    yield from _module("demo")


@pytest.fixture(scope="module")
def install() -> Iterator[ModuleType]:
    yield from _module("install")


@pytest.fixture(scope="module")
def place_plugin() -> Iterator[ModuleType]:
    yield from _module("place_plugin")


@pytest.fixture(scope="module")
def places() -> Iterator[ModuleType]:
    yield from _module("places")


@pytest.fixture(scope="module")
def torch_build() -> Iterator[ModuleType]:
    yield from _module("torch_build")


@pytest.fixture(scope="module")
def vendor() -> Iterator[ModuleType]:
    yield from _module("vendor")
