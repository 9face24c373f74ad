"""How much memory an edit, or a new picture, needs at most, and what is done so that it needs less.

`choose` begins with everything on the device at once. Free savings come first, as far as they help, until the edit needs
no more than is free and than `_MODEST`, so that other programs have room; those that cost time come only where memory
does not suffice. But for tiles (and rounding in LoRA's sums) the result is the same number for number.

The need of a phase is that of the weights, the prepared image and the activations. Activations grow with the number of
latent pixels, and were counted tensor by tensor on Stable Diffusion 1.5's shape (tests/engine/test_memory.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from enum import Enum
from math import ceil
from typing import Any

from dragdiffusion.engine import geometry
from dragdiffusion.engine.config import DragConfig, Generation
from dragdiffusion.engine.diffusion_model import DiffusionModel
from dragdiffusion.engine.drag_types import DragRequest
from dragdiffusion.engine.errors import OutOfMemory
from dragdiffusion.engine.low_memory import (
    NO_SAVINGS,
    Savings,
    parked,
    recomputed,
    tiled,
)
from dragdiffusion.engine.reference_latent_control import self_attention_levels

GIB = 1 << 30
_MODEST = {2: 4.5 * GIB, 4: 7.0 * GIB}  # bytes that an edit may take where free savings suffice
_SHARE = 0.9  # of the free memory that an edit may take
_MARGIN = 1.15  # what allocators and convolutions take beside the activations

# KiB of activations for a latent pixel, by bytes of a number.
_ENCODE = {2: 80.0, 4: 161.0}
_DECODE = {2: 96.0, 4: 193.0}
_LORA_SAMPLE = {2: 258.0, 4: 400.0}
_LORA_SAMPLE_RECOMPUTED = {2: 66.0, 4: 120.0}
_DRAG = {2: 196.0, 4: 390.0}
_DRAG_RECOMPUTED = {2: 62.0, 4: 117.0}
_DENOISE = {2: 16.0, 4: 31.0}
_CHANNELS, _VAE_CHANNELS = 320, 128  # of the first blocks there
_TILE = 64 * 64  # latent pixels
_PREPARATION = ("encode", "lora", "inversion")
_GENERATION = ("denoise", "decode")


class Policy(str, Enum):
    """What the user wants of memory."""

    AUTO = "auto"
    LOW = "low"  # every saving
    HIGH = "high"  # none


@dataclass(frozen=True)
class MemoryPlan:
    """How an edit keeps within the memory that there is."""

    savings: Savings
    needed_bytes: int  # at most, the model included
    available_bytes: int

    def __str__(self) -> str:
        return f"{self.figures}: {_in_words(self.savings)}"

    @property
    def figures(self) -> str:
        return f"about {_gib(self.needed_bytes)} needed, {_gib(self.available_bytes)} available"


def _in_words(savings: Savings) -> str:
    samples = savings.lora_samples
    words = {
        f"LoRA learns from {samples} noise sample{'s' * (samples > 1)} at a time": samples > 0,
        "the reference is kept in half the room": savings.compact_reference,
        "VAE and text encoder wait in the computer's memory": savings.parked,
        "the reference waits in the computer's memory": savings.reference_on_host,
        "activations are computed twice (slower)": savings.recomputed,
        "the VAE works on tiles (slower)": savings.tiled,
    }
    return "; ".join(word for word, is_on in words.items() if is_on) or "enough for full speed"


@contextmanager
def following(model: DiffusionModel, savings: Savings) -> Iterator[None]:
    """Inside, the model works with these savings."""
    found = model.savings
    with ExitStack() as stack:
        if savings.parked:
            stack.enter_context(parked(model.vae, model.text_encoder))
        if savings.recomputed:
            stack.enter_context(recomputed(model.unet))
        if savings.tiled:
            stack.enter_context(tiled(model.vae))
        model.savings = savings
        try:
            yield
        finally:
            model.savings = found


@dataclass(frozen=True)
class Work:
    """What decides how much memory is needed."""

    cells: int  # latent pixels
    number_bytes: int
    prompts: int  # 2 with guidance
    lora_batch: int  # 0: no LoRA
    unet_bytes: int
    parts_bytes: int  # VAE and text encoder
    merged_bytes: int  # weights that LoRA changes
    reference_bytes: int  # keys and values of every level
    width: float  # of the UNet, relative to that of Stable Diffusion 1.5
    vae_width: float
    has_host: bool  # the computer's memory is another than the device's
    phases: tuple[str, ...]

    @property
    def is_prepared(self) -> bool:
        """Keys and values are there, or none are needed."""
        return "inversion" not in self.phases


def work_of(model: DiffusionModel, request: DragRequest) -> Work:
    """Of preparing an image and dragging in it."""
    config, learns = request.config, request.generation is None and request.config.lora.steps > 0
    space = geometry.working_space_of(request, multiple=model.vae_factor)
    rows, cols = space.padded_height // model.vae_factor, space.padded_width // model.vae_factor
    work = _passes(
        model, rows * cols, config.guidance_scale, (*_PREPARATION, *_drag_phases(config))
    )
    return replace(
        work,
        lora_batch=config.lora.batch_size if learns else 0,
        merged_bytes=_projection_bytes(model.unet) if learns else 0,
        reference_bytes=_reference_bytes(model, config, rows, cols) * work.prompts,
    )


def work_of_drag(model: DiffusionModel, request: DragRequest, *, session_bytes: int) -> Work:
    """The same once the image is prepared; `session_bytes`: what it holds of the device's memory."""
    work, phases = work_of(model, request), _drag_phases(request.config)
    return replace(work, lora_batch=0, reference_bytes=session_bytes, phases=phases)


def work_of_generation(model: DiffusionModel, generation: Generation) -> Work:
    """Of a picture from a prompt."""
    cells = generation.height * generation.width // model.vae_factor**2
    return _passes(model, cells, generation.guidance_scale, _GENERATION)


def _drag_phases(config: DragConfig) -> tuple[str, ...]:
    """It may begin with the encoding of a warped picture."""
    return (*["warp"] * config.warp, "drag", "denoise", "decode")


def _passes(
    model: DiffusionModel, cells: int, guidance_scale: float, phases: tuple[str, ...]
) -> Work:
    """Without LoRA and reference."""
    return Work(
        cells=cells,
        number_bytes=model.dtype.itemsize,
        prompts=1 if guidance_scale == 1 else 2,
        lora_batch=0,
        unet_bytes=_num_bytes(model.unet),
        parts_bytes=_num_bytes(model.vae) + _num_bytes(model.text_encoder),
        merged_bytes=0,
        reference_bytes=0,
        width=model.unet.config.block_out_channels[0] / _CHANNELS,
        vae_width=model.vae.config.block_out_channels[0] / _VAE_CHANNELS,
        has_host=model.device.type in ("cuda", "xpu"),
        phases=phases,
    )


def model_bytes(model: DiffusionModel) -> int:
    return sum(_num_bytes(part) for part in (model.unet, model.vae, model.text_encoder))


def _reference_bytes(model: DiffusionModel, config: DragConfig, rows: int, cols: int) -> int:
    layers = self_attention_levels(model.unet)[config.reference_start_layer :]
    numbers = sum(
        2 * ceil(rows / 2**level) * ceil(cols / 2**level) * layer.to_k.out_features
        for level, layer in layers
    )
    num_levels = max(0, config.num_inverted_steps - config.reference_start_step)
    return numbers * num_levels * model.dtype.itemsize


def needed_bytes(work: Work, savings: Savings, *, margin: float = _MARGIN) -> int:
    return ceil(max(phase_bytes(work, savings, margin=margin).values()))


def phase_bytes(work: Work, savings: Savings, *, margin: float = _MARGIN) -> dict[str, float]:
    """The most of each phase, the model included."""
    parts = 0 if savings.parked else work.parts_bytes
    reference = work.reference_bytes * _reference_share(work, savings)
    prepared = work.unet_bytes + work.merged_bytes + reference
    vae, unet = work.unet_bytes + work.parts_bytes, margin * _unet_bytes(work, _DENOISE)
    encode = margin * _vae_bytes(work, savings, _ENCODE)
    every = {
        "encode": vae + encode,
        "lora": work.unet_bytes + parts + margin * _lora_bytes(work, savings),
        "inversion": prepared + parts + unet,
        "warp": prepared + work.parts_bytes + encode,
        "drag": prepared + parts + margin * _drag_bytes(work, savings),
        "denoise": prepared + parts + unet,
        "decode": prepared + work.parts_bytes + margin * _vae_bytes(work, savings, _DECODE),
    }
    return {phase: every[phase] for phase in work.phases}


def _reference_share(work: Work, savings: Savings) -> float:
    """On the device, of the keys and values."""
    if work.is_prepared:  # it is as it is
        return 1.0
    if savings.reference_on_host:
        return 0.0
    return 0.5 if savings.compact_reference else 1.0


def _lora_bytes(work: Work, savings: Savings) -> float:
    samples = min(savings.lora_samples or work.lora_batch, work.lora_batch)
    table = _LORA_SAMPLE_RECOMPUTED if savings.recomputed else _LORA_SAMPLE
    return samples * table[work.number_bytes] * 1024 * work.cells * work.width


def _drag_bytes(work: Work, savings: Savings) -> float:
    return _unet_bytes(work, _DRAG_RECOMPUTED if savings.recomputed else _DRAG)


def _unet_bytes(work: Work, table: dict[int, float]) -> float:
    return table[work.number_bytes] * 1024 * work.cells * work.prompts * work.width


def _vae_bytes(work: Work, savings: Savings, table: dict[int, float]) -> float:
    cells = min(work.cells, _TILE) if savings.tiled else work.cells
    return table[work.number_bytes] * 1024 * cells * work.vae_width


def choose(work: Work, *, available_bytes: int, policy: Policy = Policy.AUTO) -> MemoryPlan:
    """`available_bytes`: what is free on the device, and what the model and the image hold of it already.

    Raises OutOfMemory where every saving together is not enough; HIGH never asks.
    """
    if policy is Policy.HIGH:
        return _plan(work, NO_SAVINGS, available_bytes)
    smallest = _smallest(work)
    if needed_bytes(work, smallest, margin=1.0) > available_bytes:
        raise OutOfMemory(shortage(work, _plan(work, smallest, available_bytes)))
    if policy is Policy.LOW:
        return _plan(work, smallest, available_bytes)
    share = _SHARE * available_bytes
    modest = min(share, _MODEST[work.number_bytes])
    savings = _enough(work, NO_SAVINGS, _FREE_SAVINGS, limit=modest)
    return _plan(work, _enough(work, savings, _SLOW_SAVINGS, limit=share), available_bytes)


def _plan(work: Work, savings: Savings, available_bytes: int) -> MemoryPlan:
    return MemoryPlan(savings, needed_bytes(work, savings), available_bytes)


def shortage(work: Work, plan: MemoryPlan) -> str:
    """The sentence for people."""
    what, remedy = "edit", "select a smaller area, set a smaller working size"
    if work.phases == _GENERATION:
        what, remedy = "picture", "make it smaller"
    return (
        f"There is not enough memory for this {what} ({plan.figures}): {remedy}, "
        "choose a smaller model, or close other programs."
    )


_Saving = Callable[[Work, Savings], Savings]


def _fewer_samples(work: Work, savings: Savings) -> Savings:
    samples = savings.lora_samples or work.lora_batch
    return replace(savings, lora_samples=samples // 2) if samples > 1 else savings


def _compact(work: Work, savings: Savings) -> Savings:
    return replace(savings, compact_reference=not work.is_prepared)


def _park(work: Work, savings: Savings) -> Savings:
    return replace(savings, parked=work.has_host)


def _reference_on_host(work: Work, savings: Savings) -> Savings:
    return replace(savings, reference_on_host=work.has_host and not work.is_prepared)


def _recompute(work: Work, savings: Savings) -> Savings:
    return replace(savings, recomputed="drag" in work.phases)


def _tile(work: Work, savings: Savings) -> Savings:
    return replace(savings, tiled=work.cells > _TILE)


_FREE_SAVINGS: tuple[_Saving, ...] = (_fewer_samples, _compact, _park)
_SLOW_SAVINGS: tuple[_Saving, ...] = (_reference_on_host, _recompute, _tile)


def _enough(work: Work, savings: Savings, ways: tuple[_Saving, ...], *, limit: float) -> Savings:
    """With the first way that helps, again and again, until the limit is kept or none helps."""
    while (needed := needed_bytes(work, savings)) > limit:
        more = (way(work, savings) for way in ways)
        better = next((m for m in more if needed_bytes(work, m) < needed), None)
        if better is None:
            break
        savings = better
    return savings


def _smallest(work: Work) -> Savings:
    savings = Savings(lora_samples=min(1, work.lora_batch))
    for way in (*_FREE_SAVINGS, *_SLOW_SAVINGS):
        savings = way(work, savings)
    return savings


def _projection_bytes(unet: Any) -> int:
    names = ("to_q", "to_k", "to_v", "to_out.0")
    return sum(_num_bytes(part) for name, part in unet.named_modules() if name.endswith(names))


def _num_bytes(module: Any) -> int:
    return sum(weight.numel() * weight.element_size() for weight in module.parameters())


def _gib(count: int) -> str:
    return f"{count / GIB:.1f} GiB"
