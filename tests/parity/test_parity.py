"""Reference mode computes what the official implementation computes."""

from collections.abc import Iterator

import pytest
import torch

from dragdiffusion.engine.diffusion_model import DiffusionModel
from parity.measure import BOUNDS, CASES, load_model, measure


@pytest.fixture(scope="module")
def model() -> Iterator[DiffusionModel]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield load_model()
    torch.set_num_threads(threads)


@pytest.mark.parametrize("case", CASES)
def test_every_stage_agrees(model: DiffusionModel, case: str) -> None:
    assert measure(model, case).outside(BOUNDS) == []
