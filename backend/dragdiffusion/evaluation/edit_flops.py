"""Floating-point operations of an edit, counted exactly and without computing anything.

The engine itself runs, on tensors that have shapes and no values (PyTorch's meta device), a few steps of each phase. A
multiplication with its addition counts as two; only matrix products, convolutions and attention are counted.

    flops = count_edit(model, request)
    flops.step["drag"], flops.next_edit
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from threading import Event
from typing import Any, TypeVar

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from dragdiffusion.engine import editor
from dragdiffusion.engine.config import DragConfig
from dragdiffusion.engine.diffusion_model import DiffusionModel, ModelParts
from dragdiffusion.engine.drag_types import DragRequest, DragStep, EditEvent, Preview, Stage

R = TypeVar("R")

_STAGES = {
    Stage.ENCODING: "encode",
    Stage.FINE_TUNING: "lora",
    Stage.WARPING: "warp",
    Stage.DENOISING: "denoise",
    Stage.COMPOSITING: "decode",
}
_LEVELS = 2  # of the short edit that is counted
_DRAG_STEPS = 2  # the first has no tracking


@dataclass(frozen=True)
class EditFlops:
    """Of one step of each phase, and how many steps the edit has."""

    step: dict[
        str, int
    ]  # "encode", "lora", "inversion", "recording", "warp", "drag", "denoise", "decode"
    steps: dict[str, int]

    def total(self, phase: str) -> int:
        return self.step.get(phase, 0) * self.steps[phase]

    @property
    def preparation(self) -> int:
        return sum(self.total(phase) for phase in ("encode", "lora", "inversion", "recording"))

    @property
    def next_edit(self) -> int:
        return sum(self.total(phase) for phase in ("warp", "drag", "denoise", "decode"))

    @property
    def first_edit(self) -> int:
        return self.preparation + self.next_edit


def count_edit(model: DiffusionModel, request: DragRequest) -> EditFlops:
    """What the edit would take if no handle arrived early."""
    short = replace(request, config=_shortened(request.config), preview_every=0)
    skeleton, stop = _on_meta(model), Event()
    counted: dict[str, int] = {}
    with _Counter() as counter:
        session = _note(editor.open_session(skeleton, short, stop=stop), counter, counted)
        _note(editor.drag(session, short, stop=stop), counter, counted)
    return EditFlops(counted, _steps(request.config))


def _shortened(config: DragConfig) -> DragConfig:
    levels = min(_LEVELS, config.num_inverted_steps)
    return replace(
        config,
        lora=replace(config.lora, steps=min(1, config.lora.steps)),
        inversion_strength=levels / config.num_inference_steps,
        max_drag_steps=min(_DRAG_STEPS, config.max_drag_steps),
        drag_steps_per_timestep=0,
        arrival_distance=0.0,
    )


def _steps(config: DragConfig) -> dict[str, int]:
    levels = config.num_inverted_steps
    return {
        "encode": 1,
        "lora": config.lora.steps,
        "inversion": levels,
        "recording": levels,
        "warp": int(config.warp),
        "drag": config.max_drag_steps,
        "denoise": levels,
        "decode": 1,
    }


def _note(work: Generator[EditEvent, None, R], counter: _Counter, counted: dict[str, int]) -> R:
    """The generator's result; `counted` receives the operations before each event, of each phase the last."""
    while True:
        before = counter.total
        try:
            event = next(work)
        except StopIteration as end:
            result: R = end.value
            return result
        counted[phase_of(event)] = counter.total - before


def phase_of(event: EditEvent) -> str:
    """Which phase has just done a step."""
    if isinstance(event, DragStep):
        return "drag"
    assert not isinstance(event, Preview)  # none was asked for
    if event.stage is Stage.INVERTING:
        return "inversion" if event.step <= event.steps // 2 else "recording"
    return _STAGES[event.stage]


def _on_meta(model: DiffusionModel) -> DiffusionModel:
    """The same architecture without weights."""
    with torch.device("meta"):
        parts = ModelParts(
            unet=type(model.unet).from_config(model.unet.config),
            vae=type(model.vae).from_config(model.vae.config),
            text_encoder=type(model.text_encoder)(model.text_encoder.config),
            tokenizer=model.tokenizer,
            scheduler_config=model.scheduler_config,
        )
    return DiffusionModel(
        parts,
        name=model.name,
        family=model.family,
        device=torch.device("meta"),
        dtype=torch.float32,  # the operations are the same, and nothing is looked at for overflow
    )


class _Counter(TorchDispatchMode):
    """Whoever asks for a value of a tensor that has none is given zero."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        asked = args[0] if args else None
        if isinstance(asked, torch.Tensor) and asked.is_meta:
            if func is torch.ops.aten._local_scalar_dense.default:
                return 0
            if func is torch.ops.aten._to_copy.default and _leaves(asked, kwargs):
                return torch.zeros(asked.shape, dtype=kwargs.get("dtype") or asked.dtype)
        result = known_result(func, args, kwargs)
        count = flop_registry.get(func._overloadpacket)
        if count is not None:
            self.total += count(*args, **kwargs, out_val=result)
        return result


def _leaves(asked: torch.Tensor, kwargs: dict[str, Any]) -> bool:
    device = kwargs.get("device")
    return device is not None and torch.device(device).type != asked.device.type


_known: dict[Any, tuple[Any, ...]] = {}


def known_result(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """On tensors without values, what the operation gave for such shapes: what that is, PyTorch takes long to find out in Python."""
    if func.is_view or func._schema.is_mutable:
        return func(*args, **kwargs)
    try:
        operation = func, _outline(args), _outline(tuple(kwargs.items()))
    except _HasValues:
        return func(*args, **kwargs)
    if operation in _known:
        results = tuple([_empty(each) for each in _known[operation]])
        return results if len(results) > 1 else results[0]
    result = func(*args, **kwargs)
    results = result if isinstance(result, tuple) else (result,)
    if all(_is_of_its_own(each, args) for each in results):
        _known[operation] = tuple(map(_outline, results))
    return result


class _HasValues(Exception):
    """What an operation gives may depend on them."""


def _outline(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        if not value.is_meta:
            raise _HasValues
        return torch.Tensor, value.shape, value.stride(), value.dtype
    if isinstance(value, (list, tuple)):
        return tuple([_outline(each) for each in value])
    return type(value), value  # else 1, 1.0 and True would be one key


def _empty(outline: tuple[Any, ...]) -> Any:
    """The tensor; or none."""
    if outline[0] is not torch.Tensor:
        return None
    _, shape, stride, dtype = outline
    return torch.empty_strided(shape, stride, dtype=dtype, device="meta")


def _is_of_its_own(result: Any, args: tuple[Any, ...]) -> bool:
    """A tensor of which `_empty` makes the like: not an argument nor a part of one; or none."""
    if not isinstance(result, torch.Tensor):
        return result is None
    given = {each.untyped_storage()._cdata for each in args if isinstance(each, torch.Tensor)}
    storage = result.untyped_storage()
    return (
        result.is_meta
        and storage._cdata not in given
        and storage.nbytes() == _empty(_outline(result)).untyped_storage().nbytes()
    )
