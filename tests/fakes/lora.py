"""LoRA files with random factors, as other programs write them."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from diffusers.utils import convert_state_dict_to_kohya
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file
from torch import Tensor

from dragdiffusion.models.catalogue import embedded_folder

_CHANGED = ["to_q", "to_k", "to_v", "to_out.0", "conv1", "time_emb_proj"]  # LCM-LoRA: these too


def save_lora(file: Path, *, kohya: bool = False) -> dict[str, Tensor]:
    """For the embedded model; what each weight of its UNet is when the factors are on it."""
    unet = UNet2DConditionModel.from_pretrained(embedded_folder() / "unet", torch_dtype=torch.float)
    unet.add_adapter(LoraConfig(r=2, lora_alpha=2, target_modules=_CHANGED))
    random = torch.Generator().manual_seed(0)
    for name, parameter in unet.named_parameters():
        if "lora_" in name:
            parameter.data = 0.02 * torch.randn(parameter.shape, generator=random)
    factors = get_peft_model_state_dict(unet)
    if kohya:
        prefixed = {f"unet.{name}": factor for name, factor in factors.items()}
        save_file(convert_state_dict_to_kohya(prefixed), file)
    else:
        StableDiffusionPipeline.save_lora_weights(
            file.parent, unet_lora_layers=factors, weight_name=file.name
        )
    unet.fuse_lora()
    unet.unload_lora()
    return unet.state_dict()
