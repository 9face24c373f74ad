"""The real engine's start."""

from __future__ import annotations

import gc

from dragdiffusion.daemon.torch_engine import TorchEngine
from dragdiffusion.settings import Settings


def test_garbage_is_collected_again_once_the_libraries_are_imported() -> None:
    device = TorchEngine(Settings(device="cpu")).start()

    assert device.dtype == "float32"
    assert gc.isenabled()
