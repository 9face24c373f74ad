"""Runs every stage of training on a tiny configuration and prints what the test compares.

A process of its own: training forks and sets the number of threads, which a test runner's process
should not suffer.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL

from dragdiffusion.training import scene_workers, stage, unet
from dragdiffusion.training.decoder import DecoderRecipe, train_decoder
from dragdiffusion.training.denoiser import UnetRecipe
from dragdiffusion.training.machine import Machine
from dragdiffusion.training.run import load_checkpoint
from dragdiffusion.training.tokenizer import train_tokenizer
from dragdiffusion.training.unet import train_unet
from dragdiffusion.training.vae import VaeRecipe, train_vae

FOREVER, NO_TIME = 1e9, 1e-9  # minutes
CHUNK = 8
VAE = VaeRecipe(channels=(8, 8, 8), batch_size=2)
UNET = UnetRecipe(
    channels=(16, 16),
    heads=(1, 1),
    norm_groups=4,
    text_width=16,
    text_layers=1,
    batch_size=2,
    bank_start=4,
    bank_capacity=8,
)
DECODER = DecoderRecipe(batch_size=2)


def _encode_in_full(vae: AutoencoderKL, images: torch.Tensor, **options: Any) -> Any:
    """What no gradient needs; the stages themselves compute in bfloat16, twenty times as long on a CPU that does not know it."""
    with torch.autocast("cpu", enabled=torch.is_grad_enabled()):
        return _encode(vae, images, **options)


_encode = AutoencoderKL.encode


def _state(work: Path, name: str) -> dict[str, object]:
    """The leader's checkpoint as comparable numbers."""
    state = load_checkpoint(work / f"{name}-0.pt")
    assert state is not None
    return {
        "steps": state["optimizer"]["step_count"],
        "weights": float(state["values"].double().abs().sum()),
        "average": float(state["average"].double().abs().sum()),
        "moments": float(state["optimizer"]["first_moment"].double().abs().sum()),
        "next_seed": state["next_seed"],
    }


def _alone(work: Path, start: Path) -> dict[str, object]:
    """The same stages as on a card: one process, and two that render its scenes."""
    machine = Machine(workers=2, channels_last=True, half_norms=True)
    recipe = replace(UNET, bank_start=CHUNK, bank_capacity=2 * CHUNK)
    results: dict[str, object] = {"chunk": CHUNK}
    train_unet(work, FOREVER, recipe=recipe, machine=machine, step_limit=2, start=start)
    results["unet_alone"] = _state(work, "unet")
    train_unet(work, NO_TIME, recipe=recipe, machine=machine, start=start)
    results["unet_alone_resumed"] = _state(work, "unet")
    train_decoder(work, FOREVER, recipe=DECODER, machine=machine, step_limit=2)
    results["decoder_alone"] = _state(work, "decoder")
    train_vae(work, FOREVER, recipe=VAE, machine=machine, step_limit=1)
    results["vae_alone"] = _state(work, "vae")
    results["children_left"] = len(multiprocessing.active_children())
    try:
        train_vae(work, FOREVER, recipe=VAE, step_limit=1)
    except ValueError as refused:
        results["refusal"] = str(refused)
    return results


def main(work: Path) -> None:
    at_once, in_parts = work / "at_once", work / "in_parts"
    train_vae(at_once, FOREVER, recipe=VAE, step_limit=4)
    train_vae(in_parts, FOREVER, recipe=VAE, step_limit=2)
    train_vae(in_parts, FOREVER, recipe=VAE, step_limit=2)
    results = {"at_once": _state(at_once, "vae"), "in_parts": _state(in_parts, "vae")}
    train_vae(in_parts, NO_TIME, recipe=VAE)
    tokenizer = train_tokenizer(in_parts)
    train_unet(in_parts, FOREVER, recipe=UNET, step_limit=2)
    results["unet"] = _state(in_parts, "unet")
    train_unet(in_parts, NO_TIME, recipe=UNET)
    results["unet_resumed"] = _state(in_parts, "unet")
    train_decoder(in_parts, FOREVER, recipe=DECODER, step_limit=2)
    results["decoder"] = _state(in_parts, "decoder")
    train_decoder(in_parts, NO_TIME, recipe=DECODER)
    results["tokens"] = len(tokenizer)
    results |= _alone(work / "alone", in_parts / "export")
    print(json.dumps(results))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    AutoencoderKL.encode = _encode_in_full
    scene_workers.CHUNK = stage.CHUNK = CHUNK
    stage.HANDED_OVER, unet.HELD_OUT = 1, 4
    main(Path(sys.argv[1]))
