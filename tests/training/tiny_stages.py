"""Runs every stage of training on a tiny configuration and prints what the test compares.

A process of its own: training forks and sets the number of threads, which a test runner's process
should not suffer.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import torch

from dragdiffusion.training.decoder import DecoderRecipe, train_decoder
from dragdiffusion.training.denoiser import UnetRecipe
from dragdiffusion.training.run import load_checkpoint
from dragdiffusion.training.tokenizer import train_tokenizer
from dragdiffusion.training.unet import train_unet
from dragdiffusion.training.vae import VaeRecipe, train_vae

FOREVER, NO_TIME = 1e9, 1e-9  # minutes
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


def _state(work: Path, stage: str) -> dict[str, object]:
    """The leader's checkpoint as comparable numbers."""
    state = load_checkpoint(work / f"{stage}-0.pt")
    assert state is not None
    return {
        "steps": state["optimizer"]["step_count"],
        "weights": float(state["values"].double().abs().sum()),
        "average": float(state["average"].double().abs().sum()),
        "moments": float(state["optimizer"]["first_moment"].double().abs().sum()),
        "next_seed": state["next_seed"],
    }


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
    print(json.dumps(results))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
