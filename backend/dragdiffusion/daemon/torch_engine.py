"""The real engine behind the daemon. torch and diffusers are imported here when the work first needs them."""

from __future__ import annotations

import gc
import threading
from collections.abc import Generator, Hashable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psutil

from dragdiffusion.daemon import memory
from dragdiffusion.daemon.workbench import Device
from dragdiffusion.engine.config import Generation
from dragdiffusion.engine.drag_types import DragRequest, EditedImage, EditEvent, StageStep
from dragdiffusion.engine.errors import OutOfMemory
from dragdiffusion.models.catalogue import ModelSource
from dragdiffusion.settings import Settings

if TYPE_CHECKING:
    from dragdiffusion.engine.diffusion_model import DiffusionModel
    from dragdiffusion.engine.editor import EditSession
    from dragdiffusion.engine.generation import GeneratedImage
    from dragdiffusion.models.load import Placement

_ADVICE = (
    "There is not enough memory for this edit: select a smaller area, close other programs, "
    "or choose a smaller model."
)


class TorchEngine:
    """`Engine` of daemon/workbench.py on torch."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._placement: Placement | None = None

    def start(self) -> Device:
        import diffusers
        import torch

        placement = self._place()
        return Device(
            name=placement.description,
            dtype=placement.dtype_name,
            torch_version=torch.__version__,
            diffusers_version=diffusers.__version__,
        )

    def load(self, source: ModelSource) -> DiffusionModel:
        from dragdiffusion.models.load import load_model

        with _memory_errors_translated():
            return load_model(source, self._place())

    def validate(self, request: DragRequest) -> None:
        from dragdiffusion.engine import editor

        editor.validate(request)

    def session_key(self, model_name: str, request: DragRequest) -> Hashable:
        from dragdiffusion.engine import editor

        return editor.session_key(model_name, request)

    def generate(
        self, model: DiffusionModel, generation: Generation, *, stop: threading.Event
    ) -> Generator[StageStep, None, GeneratedImage]:
        from dragdiffusion.engine.generation import generate

        with _memory_errors_translated():
            return (yield from generate(model, generation, stop=stop))

    def open_session(
        self,
        model: DiffusionModel,
        request: DragRequest,
        *,
        stop: threading.Event,
        generated: GeneratedImage | None = None,
    ) -> Generator[StageStep, None, EditSession]:
        from dragdiffusion.engine import editor

        with _memory_errors_translated():
            work = editor.open_session(model, request, stop=stop, generated=generated)
            return (yield from work)

    def drag(
        self,
        session: EditSession,
        request: DragRequest,
        *,
        stop: threading.Event,
        enough: threading.Event | None = None,
    ) -> Generator[EditEvent, None, EditedImage]:
        from dragdiffusion.engine import editor

        with _memory_errors_translated():
            return (yield from editor.drag(session, request, stop=stop, enough=enough))

    def archive_name(self, model: DiffusionModel, key: Hashable) -> str:
        from dragdiffusion.engine import session_archive

        return session_archive.archive_name(model, key)

    def archive(self, session: EditSession) -> bytes:
        from dragdiffusion.engine import session_archive

        return session_archive.archive(session)

    def restore(
        self, model: DiffusionModel, request: DragRequest, payload: bytes, *, stop: threading.Event
    ) -> Generator[StageStep, None, EditSession]:
        from dragdiffusion.engine import session_archive

        with _memory_errors_translated():
            return (yield from session_archive.restore(model, request, payload, stop=stop))

    def free(self) -> None:
        import torch

        gc.collect()
        accelerator = self._accelerator()
        if accelerator:
            getattr(torch, accelerator).empty_cache()
        memory.trim()

    def reset_peak_memory(self) -> None:
        import torch

        accelerator = self._accelerator()
        if accelerator in ("cuda", "xpu"):
            getattr(torch, accelerator).reset_peak_memory_stats()
        else:
            memory.reset_peak()

    def peak_memory_bytes(self) -> int:
        import torch

        accelerator = self._accelerator()
        if accelerator in ("cuda", "xpu"):
            return int(getattr(torch, accelerator).max_memory_allocated())
        return memory.peak_bytes()

    def device_memory_bytes(self) -> tuple[int, int]:
        import torch

        if self._accelerator() == "cuda":
            free, total = torch.cuda.mem_get_info(self._place().device)
            return total, free
        system = psutil.virtual_memory()
        return system.total, system.available

    def _accelerator(self) -> str:
        """torch's module for the device: "cuda", "xpu", "mps"; "" on a CPU or before start()."""
        if self._placement is None or self._placement.device.type == "cpu":
            return ""
        return self._placement.device.type

    def _place(self) -> Placement:
        from dragdiffusion.models.load import place

        if self._placement is None:
            self._placement = place(self._settings.device, self._settings.dtype)
        return self._placement


@contextmanager
def _memory_errors_translated() -> Iterator[None]:
    import torch

    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise OutOfMemory(_ADVICE) from error
    except RuntimeError as error:
        if "not enough memory" in str(error) or "can't allocate memory" in str(error):
            raise OutOfMemory(_ADVICE) from error  # torch's allocator on a CPU
        raise
