"""Ways of a model to work in less memory. What changes the model is a context manager that leaves it as it was found."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Savings:
    """Which are on."""

    lora_samples: int = 0  # noise samples in one pass of the UNet; 0: all
    compact_reference: bool = False  # kept: what keys and values are made of, in their place
    parked: bool = False  # VAE and text encoder wait on the host
    reference_on_host: bool = False
    recomputed: bool = False  # activations of LoRA and drag, for the backward pass
    tiled: bool = False  # the VAE


NO_SAVINGS = Savings()
_CHECKPOINTING = ("gradient_checkpointing", "_gradient_checkpointing_func")


@contextmanager
def recomputed(unet: Any) -> Iterator[None]:
    """Inside, a backward pass computes what is inside the UNet's blocks again and does not keep it: the same numbers."""
    modules = [module for module in unet.modules() if hasattr(module, _CHECKPOINTING[0])]
    found = [{k: vars(m)[k] for k in _CHECKPOINTING if k in vars(m)} for m in modules]
    unet.enable_gradient_checkpointing()
    try:
        yield
    finally:
        for module, attributes in zip(modules, found, strict=True):
            for name in _CHECKPOINTING:
                vars(module).pop(name, None)
            vars(module).update(attributes)


@contextmanager
def parked(*modules: Any) -> Iterator[None]:
    """Inside, the modules wait in the computer's memory; `on_device` fetches one for as long as it works."""
    with ExitStack() as stack:
        for module in modules:
            stack.enter_context(on_device(module, torch.device("cpu")))
        yield


@contextmanager
def on_device(module: Any, device: torch.device) -> Iterator[None]:
    found = module.device
    module.to(device)
    try:
        yield
    finally:
        module.to(found)


@contextmanager
def tiled(vae: Any) -> Iterator[None]:
    """Inside, the VAE works on tiles of the size that it was trained on and blends them: nearly the same picture."""
    found = vae.use_tiling
    vae.enable_tiling()
    try:
        yield
    finally:
        vae.use_tiling = found
