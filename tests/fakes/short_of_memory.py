"""The real daemon with the real engine on a device that is too small:

    python -m fakes.short_of_memory

A pass of the UNet that keeps its activations for a backward pass fails as torch fails on a full graphics card; one that
computes them twice fits, unless the prompt is "hopeless".
"""

from __future__ import annotations

import sys
from typing import Any

from dragdiffusion.daemon.server import serve
from dragdiffusion.daemon.torch_engine import TorchEngine
from dragdiffusion.engine.diffusion_model import DiffusionModel
from dragdiffusion.engine.drag_types import DragRequest
from dragdiffusion.models.catalogue import ModelSource
from dragdiffusion.settings import Settings


class SmallDevice(TorchEngine):
    _hopeless = False

    def load(self, source: ModelSource) -> DiffusionModel:
        model = super().load(source)
        model.unet.register_forward_pre_hook(self._refuse)
        return model

    def open_session(self, model: DiffusionModel, request: DragRequest, **how: Any) -> Any:
        self._hopeless = request.prompt == "hopeless"
        return super().open_session(model, request, **how)

    def _refuse(self, unet: Any, _inputs: Any) -> None:
        import torch

        fits = unet.is_gradient_checkpointing and not self._hopeless
        if torch.is_grad_enabled() and not fits:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")


if __name__ == "__main__":
    sys.exit(serve(Settings(), SmallDevice(Settings())))
