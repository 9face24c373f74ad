"""A Stable Diffusion 1 checkpoint as one .safetensors file, in the original code's names, small and random.

    file = save_single_file(tmp_path / "model.safetensors", folder)

`folder` receives the same weights in diffusers' layout, to compare with.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import save_file
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from fakes.sd15_shape import INDEX, SCHEDULER, TINY

_UNET_ENDS = [
    ("time_embed.0", "time_embedding.linear_1"),
    ("time_embed.2", "time_embedding.linear_2"),
    ("input_blocks.0.0", "conv_in"),
    ("out.0", "conv_norm_out"),
    ("out.2", "conv_out"),
]
_RESNET = [
    ("in_layers.0", "norm1"),
    ("in_layers.2", "conv1"),
    ("out_layers.0", "norm2"),
    ("out_layers.3", "conv2"),
    ("emb_layers.1", "time_emb_proj"),
    ("skip_connection", "conv_shortcut"),
]
_VAE_ENDS = [
    ("norm_out.", "conv_norm_out."),
    ("mid.attn_1.", "mid_block.attentions.0."),
    ("mid.block_1.", "mid_block.resnets.0."),
    ("mid.block_2.", "mid_block.resnets.1."),
]
_VAE_ATTENTION = [
    ("norm.", "group_norm."),
    ("q.", "to_q."),
    ("k.", "to_k."),
    ("v.", "to_v."),
    ("proj_out.", "to_out.0."),
]


def save_single_file(file: Path, folder: Path) -> Path:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        unet, vae, text_encoder = _make_unet(), _make_vae(), _make_text_encoder()
    for name, part in (("unet", unet), ("vae", vae), ("text_encoder", text_encoder)):
        part.save_pretrained(folder / name)
    CLIPTokenizer.from_pretrained(TINY / "tokenizer").save_pretrained(folder / "tokenizer")
    (folder / "scheduler").mkdir()
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(SCHEDULER))
    (folder / "model_index.json").write_text(json.dumps(INDEX))
    tensors = {
        **_renamed(unet.state_dict(), _unet_name, "model.diffusion_model."),
        **_renamed(vae.state_dict(), _vae_name, "first_stage_model."),
        **_renamed(text_encoder.state_dict(), _text_name, "cond_stage_model.transformer."),
    }
    save_file(tensors, file)
    return file


def _renamed(state: dict[str, Tensor], rename: object, prefix: str) -> dict[str, Tensor]:
    renamed = {}
    for name, tensor in state.items():
        new = rename(name)  # type: ignore[operator]
        if prefix == "first_stage_model." and "attn_1" in new and tensor.ndim == 2:
            tensor = tensor[..., None, None]  # a 1 × 1 convolution
        renamed[prefix + new] = tensor.contiguous()
    return renamed


def _unet_name(name: str) -> str:
    for original, new in _UNET_ENDS:
        if name.startswith(new + "."):
            return name.replace(new, original, 1)
    if "resnets" in name:
        for original, new in _RESNET:
            name = name.replace(new + ".", original + ".")
    for original, new in _unet_blocks():
        if name.startswith(new):
            return name.replace(new, original, 1)
    raise KeyError(name)


def _unet_blocks() -> list[tuple[str, str]]:
    pairs = [
        ("middle_block.1.", "mid_block.attentions.0."),
        ("middle_block.0.", "mid_block.resnets.0."),
        ("middle_block.2.", "mid_block.resnets.1."),
    ]
    for i in range(4):
        for j in range(2):
            pairs.append((f"input_blocks.{3 * i + j + 1}.0.", f"down_blocks.{i}.resnets.{j}."))
            pairs.append((f"input_blocks.{3 * i + j + 1}.1.", f"down_blocks.{i}.attentions.{j}."))
        for j in range(3):
            pairs.append((f"output_blocks.{3 * i + j}.0.", f"up_blocks.{i}.resnets.{j}."))
            pairs.append((f"output_blocks.{3 * i + j}.1.", f"up_blocks.{i}.attentions.{j}."))
        pairs.append((f"input_blocks.{3 * (i + 1)}.0.op.", f"down_blocks.{i}.downsamplers.0.conv."))
        up = 1 if i == 0 else 2
        pairs.append((f"output_blocks.{3 * i + 2}.{up}.", f"up_blocks.{i}.upsamplers.0."))
    return pairs


def _vae_name(name: str) -> str:
    if "attentions" in name:
        for original, new in _VAE_ATTENTION:
            name = name.replace("." + new, "." + original)
    name = name.replace("conv_shortcut", "nin_shortcut")
    for original, new in _VAE_ENDS:
        name = name.replace(new, original)
    for i in range(4):
        name = name.replace(f"down_blocks.{i}.resnets.", f"down.{i}.block.")
        name = name.replace(f"down_blocks.{i}.downsamplers.0.", f"down.{i}.downsample.")
        name = name.replace(f"up_blocks.{i}.resnets.", f"up.{3 - i}.block.")
        name = name.replace(f"up_blocks.{i}.upsamplers.0.", f"up.{3 - i}.upsample.")
    return name


def _text_name(name: str) -> str:
    return name if name.startswith("text_model.") else f"text_model.{name}"


def _make_unet() -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(16, 32, 32, 32),
        down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
        cross_attention_dim=768,
        attention_head_dim=4,
        norm_num_groups=8,
    )


def _make_vae() -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(8, 8, 16, 16),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=64,
    )


def _make_text_encoder() -> CLIPTextModel:
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=49408,
            hidden_size=768,
            intermediate_size=64,
            num_hidden_layers=1,
            num_attention_heads=12,
            max_position_embeddings=77,
        )
    )
