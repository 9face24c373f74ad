"""Tiny models for the tests of the engine."""

from collections.abc import Iterator

import pytest
import torch

from dragdiffusion.engine.diffusion_model import DiffusionModel
from engine.tiny_model import Geometry, make_model


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Tiny tensors: threads only wait for one another."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(params=[Geometry.LIKE_SD, Geometry.LIKE_EMBEDDED], ids=lambda g: g.name.lower())
def any_model(request: pytest.FixtureRequest) -> DiffusionModel:
    return make_model(request.param)


@pytest.fixture
def model() -> DiffusionModel:
    return make_model(Geometry.LIKE_EMBEDDED)
