"""A prepared image as bytes and back, so that it survives the process that prepared it.

    name = archive_name(model, editor.session_key(model.name, request))
    payload = archive(session)
    session = yield from restore(model, request, payload, stop=stop)

The bytes are in safetensors' format: LoRA factors, the latent of every level, the prompt's embedding; and the recording
(the reference's keys and values, and what the drag loop compares with) where it is small. Where it is large it is made
again from the latents, which gives the same numbers. In Stable Diffusion 1.5's shape at 512 × 512, half precision, rank
16, 38 levels of which 7 are dragged at:

    LoRA 12.8 MB   latents 2.6 MB   prompt 0.1 MB                  → kept, 15 MB in all
    keys and values 23.6 MB a level, features 5.3: 934 MB in all   → 38 UNet passes, 30 TFLOP

80 LoRA steps take 138 TFLOP and one edit 65; keeping the recording would let 4 pictures fill the room of 250.
In the embedded model it is 33 MB in default mode, made in 1.3 CPU-seconds and read in 0.05.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Hashable
from dataclasses import asdict, is_dataclass, replace
from enum import Enum
from functools import cache
from importlib.metadata import version
from pathlib import Path
from threading import Event
from time import perf_counter
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from dragdiffusion.engine import geometry, lora
from dragdiffusion.engine.config import DragConfig
from dragdiffusion.engine.ddim import DdimSchedule
from dragdiffusion.engine.diffusion_model import DiffusionModel
from dragdiffusion.engine.drag_types import DragRequest, Stage, StageStep
from dragdiffusion.engine.editor import EditSession, session_key
from dragdiffusion.engine.errors import UnusableArchive, check_stop
from dragdiffusion.engine.reference_branch import ReferenceBranch, ReferenceView, record_branch
from dragdiffusion.engine.reference_latent_control import (
    KeyValue,
    ReferenceKeyValues,
    self_attention_layers,
)
from dragdiffusion.engine.unet_passes import repeated

FORMAT = 1  # counts changes of what archive() writes
RECORDING_AT_MOST = 64 << 20  # bytes; a larger one is made again
_LIBRARIES = ("torch", "diffusers", "transformers", "peft")  # another version, other roundings

Tensors = dict[str, Tensor]


# ---- the name of an archive --------------------------------------------------------------------------------------


def archive_name(model: DiffusionModel, key: Hashable) -> str:
    """64 hexadecimal digits that change with everything that affects the preparation: `key` (editor.session_key), the
    model's weights, number format and kind of device, the engine's own code, its libraries, and the format.
    """
    everything = {
        "format": FORMAT,
        "key": key,
        "weights": model.fingerprint,
        "dtype": str(model.dtype),
        "device": model.device.type,
        "code": _code_digest(),
        "libraries": {name: version(name) for name in _LIBRARIES},
    }
    text = json.dumps(everything, sort_keys=True, default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: object) -> object:
    """For json, which has tuples, strings and numbers itself; what it does not know must not be guessed."""
    if is_dataclass(value) and not isinstance(value, type):
        return {"type": type(value).__name__, **asdict(value)}
    if isinstance(value, Enum):
        return value.value
    raise TypeError(f"a key of a prepared image cannot hold {value!r}")


@cache
def _code_digest() -> str:
    return _digest_of(sorted(Path(__file__).parent.glob("*.py")))


def _digest_of(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


# ---- writing -----------------------------------------------------------------------------------------------------


def archive(session: EditSession) -> bytes:
    branch = session.branch
    tensors: Tensors = {"prompts": branch.prompts}
    for level, latent in enumerate(branch.latents):
        tensors[f"latent.{level}"] = latent
    for name, factors in session.lora.items():
        tensors[f"lora.{name}.down"], tensors[f"lora.{name}.up"] = factors
    header = {"format": FORMAT, "projections": list(session.lora), "recording": None}
    recording = _recording(branch)
    if recording and sum(tensor.nbytes for tensor in recording.values()) <= RECORDING_AT_MOST:
        tensors |= recording
        header["recording"] = {
            "layers": [len(layers) for layers in branch.key_values],
            "feature_block": branch.feature_block,
            "views": list(branch.views),
        }
    # Copied, since some are one tensor under two names, which the format does not have.
    plain = {n: t.detach().to("cpu", copy=True).contiguous() for n, t in tensors.items()}
    return save_tensors(plain, {"session": json.dumps(header)})


def _recording(branch: ReferenceBranch) -> Tensors:
    """What record_branch() adds to the latents; nothing where it was recorded to save memory."""
    tensors: Tensors = {}
    for level, layers in enumerate(branch.key_values):
        for layer, recorded in enumerate(layers):
            if not isinstance(recorded, KeyValue):
                return {}
            tensors[f"key.{level}.{layer}"], tensors[f"value.{level}.{layer}"] = recorded
    for level, view in branch.views.items():
        tensors[f"lower.{level}"], tensors[f"features.{level}"] = view
    return tensors


# ---- reading -----------------------------------------------------------------------------------------------------


def restore(
    model: DiffusionModel, request: DragRequest, payload: bytes, *, stop: Event
) -> Generator[StageStep, None, EditSession]:
    """The session that was archived for this request; UnusableArchive where the bytes do not fit it or the model.

    Yields the steps of recording again, where that was not kept. The time that all takes is the session's
    only phase, "restore".
    """
    began = perf_counter()
    check_stop(stop)
    contents = _Contents(payload, model)
    weights = contents.lora_weights(request.config.lora.rank, trained=request.config.lora.steps > 0)
    branch = _read_branch(contents, model, request)
    if not contents.has_recording:
        with lora.applied(model, weights), repeated(model):
            branch = yield from _recorded_again(branch, request.config, stop=stop)
    contents.check_all_read()
    return EditSession(
        key=session_key(model.name, request),
        model=model,
        region=geometry.plan_region(request),
        lora=weights,
        branch=branch,
        phase_seconds={"restore": perf_counter() - began},
    )


def _read_branch(
    contents: _Contents, model: DiffusionModel, request: DragRequest
) -> ReferenceBranch:
    """With what was kept of the recording."""
    config = request.config
    space = geometry.working_space_of(request, multiple=model.vae_factor)
    rows, cols = space.padded_height // model.vae_factor, space.padded_width // model.vae_factor
    prompts = contents.prompts(1 if config.guidance_scale == 1 else 2)
    latents = contents.latents(config.num_inverted_steps + 1, rows, cols)
    branch = ReferenceBranch(
        model=model,
        schedule=DdimSchedule.of_config(model.scheduler_config, config),
        prompts=prompts,
        guidance_scale=config.guidance_scale,
        start_layer=config.reference_start_layer,
        latents=latents,
        key_values=((),) * len(latents),
    )
    return contents.with_recording(branch) if contents.has_recording else branch


def _recorded_again(
    branch: ReferenceBranch, config: DragConfig, *, stop: Event
) -> Generator[StageStep, None, ReferenceBranch]:
    """Every latent is kept, so each pass has the input it had: also where they were denoised again."""
    recording = record_branch(
        branch.model, branch.schedule, branch.latents, branch.prompts, config=config, stop=stop
    )
    for step, recorded in enumerate(recording, start=1):
        branch = recorded
        yield StageStep(Stage.INVERTING, step, config.num_inverted_steps)
    return branch


class _Contents:
    """The tensors of an archive; each is checked as it is taken, and taken once."""

    def __init__(self, payload: bytes, model: DiffusionModel) -> None:
        self._model = model
        try:
            header = json.loads(_metadata(payload)["session"])
            known = header["format"] == FORMAT
            self._projections: list[str] = header["projections"]
            self._recording: dict[str, Any] | None = header["recording"]
            self._tensors = load_tensors(payload)
        except (SafetensorError, ValueError, LookupError, TypeError) as error:
            raise UnusableArchive(f"it cannot be read ({error})") from error
        if not known:
            raise UnusableArchive("it has another format")

    @property
    def has_recording(self) -> bool:
        return self._recording is not None

    def check_all_read(self) -> None:
        if self._tensors:
            raise UnusableArchive(f"it holds more than expected ({next(iter(self._tensors))})")

    def prompts(self, count: int) -> Tensor:
        width = self._model.unet.config.cross_attention_dim
        return self._take("prompts", (count, -1, width), self._model.dtype)

    def latents(self, levels: int, rows: int, cols: int) -> tuple[Tensor, ...]:
        shape = (1, self._model.unet.config.in_channels, rows, cols)
        return tuple(self._take(f"latent.{i}", shape, torch.float32) for i in range(levels))

    def lora_weights(self, rank: int, *, trained: bool) -> lora.LoraWeights:
        if trained != bool(self._projections):
            raise UnusableArchive("its LoRA is not the one that was asked for")
        return {name: self._factors(name, rank) for name in self._projections}

    def _factors(self, name: str, rank: int) -> lora.LoraFactors:
        try:
            outputs, inputs = self._model.unet.get_submodule(name).weight.shape
        except AttributeError as error:
            raise UnusableArchive(f"the model has no {name}") from error
        return lora.LoraFactors(
            self._take(f"lora.{name}.down", (rank, inputs), torch.float32),
            self._take(f"lora.{name}.up", (outputs, rank), torch.float32),
        )

    def with_recording(self, branch: ReferenceBranch) -> ReferenceBranch:
        try:
            told = self._recording or {}
            layers, block, viewed = told["layers"], told["feature_block"], told["views"]
            width = list(self._model.unet.config.block_out_channels)[::-1][block]
        except (LookupError, TypeError) as error:
            raise UnusableArchive(f"its recording is not described ({error})") from error
        return replace(
            branch,
            key_values=self._key_values(branch, layers),
            feature_block=block,
            views={level: self._view(branch, level, width) for level in viewed},
        )

    def _key_values(
        self, branch: ReferenceBranch, layers: list[int]
    ) -> tuple[ReferenceKeyValues, ...]:
        attention = self_attention_layers(self._model.unet)[branch.start_layer :]
        if len(layers) != len(branch.latents) or not set(layers) <= {0, len(attention)}:
            raise UnusableArchive("its keys and values are of another model")
        shapes = [(len(branch.prompts), -1, layer.to_k.out_features) for layer in attention]
        return tuple(
            tuple(self._key_value(f"{level}.{i}", shapes[i]) for i in range(count))
            for level, count in enumerate(layers)
        )

    def _key_value(self, place: str, shape: tuple[int, ...]) -> KeyValue:
        key = self._take(f"key.{place}", shape, self._model.dtype)
        return KeyValue(key, self._take(f"value.{place}", tuple(key.shape), self._model.dtype))

    def _view(self, branch: ReferenceBranch, level: int, width: int) -> ReferenceView:
        shape = (1, width * len(branch.prompts), -1, -1)
        return ReferenceView(
            self._take(f"lower.{level}", tuple(branch.latents[0].shape), torch.float32),
            self._take(f"features.{level}", shape, None),
        )

    def _take(self, name: str, shape: tuple[int, ...], dtype: torch.dtype | None) -> Tensor:
        """On the model's device; −1: any length, None: any number format."""
        tensor = self._tensors.pop(name, None)
        if tensor is None:
            raise UnusableArchive(f"{name} is missing")
        fits = len(tensor.shape) == len(shape) and all(
            wanted in (-1, found) for wanted, found in zip(shape, tensor.shape, strict=True)
        )
        if not fits or dtype not in (None, tensor.dtype):
            raise UnusableArchive(f"{name} is {tuple(tensor.shape)} of {tensor.dtype}")
        return tensor.to(self._model.device, copy=True)  # in memory as aligned as any other


def _metadata(payload: bytes) -> dict[str, Any]:
    length = int.from_bytes(payload[:8], "little")
    return json.loads(payload[8 : 8 + length])["__metadata__"]
