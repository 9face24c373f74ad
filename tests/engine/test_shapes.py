"""The shapes in the engine's signatures are checked while the tests run (tests/conftest.py)."""

import sys

import pytest
import torch
from jaxtyping import TypeCheckError

from dragdiffusion.engine.feature_grid import FeatureGrid


def test_a_tensor_of_another_rank_is_refused() -> None:
    with pytest.raises(TypeCheckError, match="features"):
        FeatureGrid(torch.zeros(4, 8, 8), 16, 16)


def test_no_module_of_the_engine_was_imported_unchecked() -> None:
    unchecked = [
        name
        for name, module in sys.modules.items()
        if name.startswith("dragdiffusion.engine.")
        and not type(module.__loader__).__module__.startswith("jaxtyping")
    ]
    assert unchecked == []
