"""The real engine behind the daemon. torch and diffusers are imported here when the work first needs them."""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Generator, Hashable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING

import psutil

from dragdiffusion.daemon import memory
from dragdiffusion.daemon.workbench import Device
from dragdiffusion.engine.config import Generation
from dragdiffusion.engine.drag_types import DragRequest, EditedImage, EditEvent, StageStep
from dragdiffusion.engine.errors import OutOfMemory
from dragdiffusion.models.catalogue import ModelSource
from dragdiffusion.settings import GIB, Settings

if TYPE_CHECKING:
    from dragdiffusion.engine.diffusion_model import DiffusionModel
    from dragdiffusion.engine.editor import EditSession
    from dragdiffusion.engine.generation import GeneratedImage
    from dragdiffusion.engine.memory_plan import MemoryPlan, Work
    from dragdiffusion.models.load import Placement

_ADVICE = (
    "There is not enough memory for this model: close other programs, choose a smaller model, "
    "or set dtype to float16 (graphics card) or bfloat16."
)
_OUT_OF_MEMORY = (  # in a RuntimeError
    "not enough memory",  # torch's allocators on a CPU
    "can't allocate memory",
    "CUDA error: out of memory",  # what does not come from torch's allocator: the driver,
    "STATUS_ALLOC_FAILED",  # cuBLAS and cuDNN
)
_log = logging.getLogger(__name__)


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """While modules are imported: they stay, and each collection would look at all of them, a fifth of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


class TorchEngine:
    """`Engine` of daemon/workbench.py on torch."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._placement: Placement | None = None
        self._policy = settings.memory
        self._memory_plan: MemoryPlan | None = None

    def start(self) -> Device:
        with _nothing_collected():
            import diffusers
            import torch

            import_module("dragdiffusion.engine.editor")  # with peft, for the first request
            placement = self._place()
        return Device(
            name=placement.description,
            dtype=placement.dtype_name,
            torch_version=torch.__version__,
            diffusers_version=diffusers.__version__,
        )

    def load(self, source: ModelSource) -> DiffusionModel:
        from dragdiffusion.engine.memory_plan import model_bytes
        from dragdiffusion.models.load import load_model

        self._policy, self._memory_plan = self._settings.memory, None
        with _memory_errors_translated():
            model = load_model(source, self._place())
        model.records_passes = self._settings.cuda_graphs
        if self._settings.compile:
            model.compile()
        if not self._accelerator() and model_bytes(model) > GIB:
            memory.return_freed_blocks()  # costs a small model more time than it saves memory
        return model

    def validate(self, request: DragRequest) -> None:
        from dragdiffusion.engine import editor

        editor.validate(request)

    def session_key(self, model_name: str, request: DragRequest) -> Hashable:
        from dragdiffusion.engine import editor

        return editor.session_key(model_name, request)

    def generate(
        self, model: DiffusionModel, generation: Generation, *, stop: threading.Event
    ) -> Generator[StageStep, None, GeneratedImage]:
        from dragdiffusion.engine import memory_plan
        from dragdiffusion.engine.generation import generate

        work = memory_plan.work_of_generation(model, generation)
        with self._planned(model, work):
            return (yield from generate(model, generation, stop=stop))

    def open_session(
        self,
        model: DiffusionModel,
        request: DragRequest,
        *,
        stop: threading.Event,
        generated: GeneratedImage | None = None,
    ) -> Generator[StageStep, None, EditSession]:
        from dragdiffusion.engine import editor, memory_plan

        with self._planned(model, memory_plan.work_of(model, request)):
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
        from dragdiffusion.engine import editor, memory_plan

        held = session.bytes_on(session.model.device)
        work = memory_plan.work_of_drag(session.model, request, session_bytes=held)
        with self._planned(session.model, work, held):
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
        from dragdiffusion.engine import memory_plan, session_archive

        with self._planned(model, memory_plan.work_of(model, request)):
            return (yield from session_archive.restore(model, request, payload, stop=stop))

    @property
    def memory_plan(self) -> str:
        return str(self._memory_plan or "")

    def economize(self) -> bool:
        saves_already, self._policy = self._policy == "low", "low"
        return not saves_already

    @contextmanager
    def _planned(self, model: DiffusionModel, work: Work, held: int = 0) -> Iterator[None]:
        """Inside, the model works by a plan for the memory that is free now; an error has its figures.

        `held`: bytes that the prepared image has of the device's memory.
        """
        from dragdiffusion.engine import memory_plan

        available = self._free_bytes() + memory_plan.model_bytes(model) + held
        policy = memory_plan.Policy(self._policy)
        plan = memory_plan.choose(work, available_bytes=available, policy=policy)
        self._memory_plan = plan
        _log.info("memory: %s", plan)
        with (
            _memory_errors_translated(memory_plan.shortage(work, plan)),
            memory_plan.following(model, plan.savings),
        ):
            yield

    def _free_bytes(self) -> int:
        """Of the device, with what torch holds there for later."""
        import torch

        _, free = self.device_memory_bytes()
        accelerator = self._accelerator()
        if accelerator not in ("cuda", "xpu"):
            return free
        on_device, device = getattr(torch, accelerator), self._place().device
        return free + on_device.memory_reserved(device) - on_device.memory_allocated(device)

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
            getattr(torch, accelerator).reset_peak_memory_stats(self._place().device)
        else:
            memory.reset_peak()

    def peak_memory_bytes(self) -> int:
        import torch

        accelerator = self._accelerator()
        if accelerator in ("cuda", "xpu"):
            return int(getattr(torch, accelerator).max_memory_allocated(self._place().device))
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
def _memory_errors_translated(sentence: str = _ADVICE) -> Iterator[None]:
    import torch

    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise OutOfMemory(sentence) from error
    except RuntimeError as error:
        if any(words in str(error) for words in _OUT_OF_MEMORY):
            raise OutOfMemory(sentence) from error
        raise
