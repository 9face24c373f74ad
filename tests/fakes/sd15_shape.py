"""A model folder in Stable Diffusion 1.5's exact shape with random weights: 2 GB in float16.

    folder = save_sd15_shape(tmp_path / "sd15")

The pictures are noise; what is shown is that the architecture runs, and in how much memory.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from dragdiffusion.engine.diffusion_model import DiffusionModel, ModelParts

TINY = Path(__file__).parents[1] / "parity" / "data" / "model"
SCHEDULER = {
    "_class_name": "PNDMScheduler",
    "_diffusers_version": "0.6.0",
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "num_train_timesteps": 1000,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "trained_betas": None,
    "clip_sample": False,
}
INDEX = {
    "_class_name": "StableDiffusionPipeline",
    "_diffusers_version": "0.6.0",
    "feature_extractor": ["transformers", "CLIPImageProcessor"],
    "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
    "scheduler": ["diffusers", "PNDMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}


def save_sd15_shape(folder: Path, *, seed: int = 0) -> Path:
    with _few_lots(seed, torch.float16):
        make_unet().save_pretrained(folder / "unet")
        make_vae().save_pretrained(folder / "vae")
        make_text_encoder().save_pretrained(folder / "text_encoder")
    CLIPTokenizer.from_pretrained(TINY / "tokenizer").save_pretrained(folder / "tokenizer")
    (folder / "scheduler").mkdir()
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(SCHEDULER))
    (folder / "model_index.json").write_text(json.dumps(INDEX))
    return folder


@contextmanager
def _few_lots(seed: int, dtype: torch.dtype) -> Iterator[None]:
    """Inside, weights are of that type, and a billion of them take a million random numbers, over and over: each drawn anew
    would take longer than an edit."""
    lots = torch.rand(1_000_003, generator=torch.Generator().manual_seed(seed))

    def uniform(weights: torch.Tensor, low: float = 0, high: float = 1, **_: Any) -> torch.Tensor:
        if not weights.is_meta:
            near = lots.to(weights)
            for part in weights.view(-1).split(len(near)):
                torch.add(low, near[: len(part)], alpha=high - low, out=part)
        return weights

    found = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with mock.patch.object(torch.Tensor, "uniform_", uniform):
            yield
    finally:
        torch.set_default_dtype(found)


def make_unet() -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=64,
        block_out_channels=(320, 640, 1280, 1280),
        down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
        layers_per_block=2,
        cross_attention_dim=768,
        attention_head_dim=8,
    )


def make_vae() -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        latent_channels=4,
        sample_size=512,
        scaling_factor=0.18215,
    )


def make_text_encoder() -> CLIPTextModel:
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=49408,
            hidden_size=768,
            intermediate_size=3072,
            num_hidden_layers=12,
            num_attention_heads=12,
            max_position_embeddings=77,
            projection_dim=768,
        )
    )


def make_model(dtype: torch.dtype, *, device: torch.device) -> DiffusionModel:
    """On "meta" for what needs shapes only: there tensors hold no numbers."""
    with _few_lots(0, dtype), device:
        unet, vae, text_encoder = make_unet(), make_vae(), make_text_encoder()
    parts = ModelParts(unet, vae, text_encoder, _tokenizer, SCHEDULER)
    return DiffusionModel(parts, name="sd15-shape", family="sd1", device=device, dtype=dtype)


def _tokenizer(*_: object, **__: object) -> SimpleNamespace:
    return SimpleNamespace(input_ids=torch.zeros(1, 77, dtype=torch.long))


_tokenizer.model_max_length = 77  # type: ignore[attr-defined]
