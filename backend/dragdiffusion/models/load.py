"""Brings a model's files onto the device. The device and the number format are chosen once, in `place`."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline
from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

from dragdiffusion.engine.diffusion_model import DiffusionModel
from dragdiffusion.engine.errors import InvalidRequest, ModelUnavailable
from dragdiffusion.models.catalogue import SD15_HUB_NAME, Kind, ModelSource, find_files, resolve
from dragdiffusion.models.download import configuration
from dragdiffusion.models.fingerprint import fingerprint

_DTYPES = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}


@dataclass(frozen=True)
class Placement:
    """Where and in which number format a model runs."""

    device: torch.device
    dtype: torch.dtype

    @property
    def dtype_name(self) -> str:
        return str(self.dtype).removeprefix("torch.")

    @property
    def description(self) -> str:
        """For people: "cuda:0 NVIDIA GeForce RTX 4090", "cpu"."""
        if self.device.type == "cuda":
            return f"{self.device} {torch.cuda.get_device_name(self.device)}"
        return str(self.device)


def place(device: str = "auto", dtype: str = "auto") -> Placement:
    """The device of this name, or the best there is.

    dtype "auto": float32, which is exact, on a CPU and float16 elsewhere; "speed": bfloat16 on a CPU that computes in it.
    """
    chosen = _best_device() if device == "auto" else _named_device(device)
    on_cpu = chosen.type == "cpu"
    if on_cpu and dtype == "float16":
        raise InvalidRequest(
            "float16 is of no use on a CPU: set dtype to auto, float32, bfloat16 or speed.",
            field="dtype",
        )
    if dtype == "speed":
        dtype = "bfloat16" if on_cpu and _computes_in_bfloat16() else "auto"
    if dtype == "auto":
        dtype = "float32" if on_cpu else "float16"
    if dtype == "float32":
        _convolve_exactly()
    return Placement(chosen, _DTYPES[dtype])


def _convolve_exactly() -> None:
    """Unless told not to, cuDNN rounds what it convolves in float32 to 10 of 23 bits (TF32)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch 2.9 recommends a switch that 2.6 does not have
        torch.backends.cudnn.allow_tf32 = False


def _computes_in_bfloat16() -> bool:
    """Whether this CPU has instructions for it; elsewhere it is slower than float32."""
    tests = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, test, bool)() for test in tests)


def load_model(source: ModelSource, placement: Placement) -> DiffusionModel:
    """Load what the catalogue found."""
    path = find_files(source)
    changed = [find_files(resolve(source.base))] if source.base else []
    try:
        weights = "".join(fingerprint(part) for part in (path, *changed))
    except OSError as error:
        raise _unreadable(source, error) from error
    pipeline = load_pipeline(path, source, placement)
    return DiffusionModel.from_pipeline(
        pipeline,
        name=source.name,
        family=source.family.value,
        device=placement.device,
        dtype=placement.dtype,
        fingerprint=weights,
    )


def load_pipeline(path: Path, source: ModelSource, placement: Placement) -> StableDiffusionPipeline:
    """A Stable Diffusion pipeline with a DDIM scheduler, every part on the device and in its number format."""
    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
    try:
        pipeline = _read(path, source, placement.dtype)
    except (OSError, ValueError, KeyError) as error:
        raise _unreadable(source, error) from error
    pipeline.scheduler = DDIMScheduler.from_config(
        pipeline.scheduler.config, clip_sample=False
    )  # latents are not confined to [-1, 1]; a single file does not say so
    # transformers 5 may leave the text encoder in the files' format: convert every part.
    pipeline.to(placement.device, placement.dtype)
    return pipeline


def _read(path: Path, source: ModelSource, dtype: torch.dtype) -> Any:
    if source.base:
        return _read_with_lora(path, source, resolve(source.base), dtype)
    if source.kind is Kind.FILE:
        return StableDiffusionPipeline.from_single_file(
            str(path),
            config=str(configuration(SD15_HUB_NAME)),  # a file has weights only
            dtype=dtype,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
            local_files_only=True,
        )
    return StableDiffusionPipeline.from_pretrained(
        str(path),
        dtype=dtype,
        variant=_variant(path),
        use_safetensors=True,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
        local_files_only=True,
    )


def _read_with_lora(path: Path, source: ModelSource, base: ModelSource, dtype: torch.dtype) -> Any:
    """The base with the factors of the file merged into its weights."""
    pipeline = _read(find_files(base), base, dtype)
    try:
        pipeline.load_lora_weights(str(path.parent), weight_name=path.name, local_files_only=True)
    except RuntimeError as error:
        raise ModelUnavailable(
            f"{source.title} does not fit {base.title}: it was made for another model. Choose "
            "a LoRA made for Stable Diffusion 1.5."
        ) from error
    pipeline.fuse_lora(components=["unet", "text_encoder"])
    pipeline.unload_lora_weights()  # what is merged stays
    return pipeline


def _variant(folder: Path) -> str | None:
    """ "fp16" where the folder has the UNet in that variant only."""
    unet = folder / "unet"
    full = unet / "diffusion_pytorch_model.safetensors"
    half = unet / "diffusion_pytorch_model.fp16.safetensors"
    return "fp16" if half.is_file() and not full.is_file() else None


def _best_device() -> torch.device:
    if torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    if hasattr(torch, "xpu") and torch.xpu.is_available():
        return torch.device("xpu", 0)
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def _named_device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InvalidRequest(
            f'There is no device "{name}" here: set device to "auto" or "cpu".', field="device"
        ) from error
    return device


def _unreadable(source: ModelSource, error: Exception) -> ModelUnavailable:
    return ModelUnavailable(
        f"The files of {source.title} cannot be loaded ({_first_line(error)}): "
        "they are damaged or incomplete. Get them again, or choose another model."
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", maxsplit=1)[0][:200]
