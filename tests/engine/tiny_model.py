"""Tiny random diffusion models and requests for them.

model = make_model(Geometry.LIKE_SD)
edited = run(editor.drag(session, make_request(), stop=Event()))
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from enum import Enum
from threading import Event
from types import SimpleNamespace
from typing import Any, TypeVar

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from dragdiffusion.engine import editor
from dragdiffusion.engine.config import DragConfig, Fit, LoraConfig, SupervisionTarget
from dragdiffusion.engine.diffusion_model import DiffusionModel, ModelParts
from dragdiffusion.engine.drag_types import DragRequest, Point, Trajectory

Result = TypeVar("Result")


class Geometry(Enum):
    """(VAE levels, UNet channels, up blocks, latent side)"""

    LIKE_SD = 4
    LIKE_EMBEDDED = 3


def make_model(
    geometry: Geometry = Geometry.LIKE_EMBEDDED,
    *,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> DiffusionModel:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        parts = ModelParts(
            unet=_unet(geometry),
            vae=_vae(geometry),
            text_encoder=CLIPTextModel(_TEXT),
            tokenizer=_Tokenizer(),
            scheduler_config=_SCHEDULER,
        )
    return DiffusionModel(
        parts, name="tiny", family="embedded", device=torch.device("cpu"), dtype=dtype
    )


def make_config(**changes: Any) -> DragConfig:
    """The default mode's ideas at a test's size."""
    config = DragConfig(
        working_size=32,
        fit=Fit.AREA,
        lora=LoraConfig(steps=0),
        num_inference_steps=10,
        inversion_strength=0.4,
        feature_block=1,
        feature_scale=0.25,
        pixel_centres=True,
        max_drag_steps=4,
        drag_steps_per_timestep=2,
        supervision_target=SupervisionTarget.ORIGINAL,
        lock_outside_mask=True,
        reference_from_inversion=True,
        reference_start_layer=3,
    )
    return replace(config, **changes)


def reference_config(**changes: Any) -> DragConfig:
    """The paper's mode at a test's size."""
    config = DragConfig(
        working_size=32,
        lora=LoraConfig(steps=0),
        num_inference_steps=10,
        inversion_strength=0.3,
        feature_block=1,
        max_drag_steps=3,
        reference_start_layer=3,
    )
    return replace(config, **changes)


def make_request(
    config: DragConfig | None = None, *, width: int = 32, height: int = 32, **changes: Any
) -> DragRequest:
    request = DragRequest(
        image=make_image(width, height),
        trajectories=(Trajectory((Point(8.5, 8.5), Point(20.5, 16.5))),),
        mask=None,
        prompt="a tiny picture",
        config=config or make_config(),
    )
    return replace(request, **changes)


def make_image(width: int, height: int) -> np.ndarray:
    rows, cols = np.mgrid[:height, :width]
    colours = [rows * 7 % 256, cols * 5 % 256, (rows + cols) * 3 % 256, np.full_like(rows, 255)]
    return np.stack(colours, axis=-1).astype(np.uint8)


def run(work: Generator[Any, None, Result], events: list[Any] | None = None) -> Result:
    """Its return value; what it yields goes into `events`."""
    while True:
        try:
            event = next(work)
        except StopIteration as end:
            return end.value
        if events is not None:
            events.append(event)


def edit(model: DiffusionModel, request: DragRequest, events: list[Any] | None = None) -> Any:
    session = run(editor.open_session(model, request, stop=Event()), events)
    return run(editor.drag(session, request, stop=Event()), events)


class _Tokenizer:
    model_max_length = 6

    def __call__(self, prompts: list[str], **_options: Any) -> SimpleNamespace:
        ids = [[ord(letter) % 50 for letter in prompt.ljust(6)[:6]] for prompt in prompts]
        return SimpleNamespace(input_ids=torch.tensor(ids))


_TEXT = CLIPTextConfig(
    vocab_size=50,
    hidden_size=16,
    intermediate_size=16,
    num_hidden_layers=1,
    num_attention_heads=2,
    max_position_embeddings=6,
    bos_token_id=0,
    eos_token_id=49,
    pad_token_id=1,
)
_SCHEDULER = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
    "steps_offset": 1,
    "set_alpha_to_one": False,
}


def _unet(geometry: Geometry) -> UNet2DConditionModel:
    levels = 4 if geometry is Geometry.LIKE_SD else 3
    attention = levels - 1
    down = ["CrossAttnDownBlock2D"] * attention + ["DownBlock2D"]
    up = ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * attention
    if geometry is Geometry.LIKE_EMBEDDED:
        down = ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"]
        up = ["CrossAttnUpBlock2D"] * 3
    return UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 16, 16, 16)[:levels],
        down_block_types=tuple(down),
        up_block_types=tuple(up),
        layers_per_block=1,
        cross_attention_dim=16,
        attention_head_dim=2,
        norm_num_groups=4,
    )


def _vae(geometry: Geometry) -> AutoencoderKL:
    levels = geometry.value
    return AutoencoderKL(
        block_out_channels=(4, 8, 8, 8)[:levels],
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        scaling_factor=0.5,
    )
