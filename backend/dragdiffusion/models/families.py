"""Which family a model belongs to, told from its configuration or its header; others are refused."""

from __future__ import annotations

import json
import re
import struct
from enum import Enum
from pathlib import Path

from dragdiffusion.engine.errors import ModelUnavailable


class Family(str, Enum):
    """Models that share one profile of hyper-parameters."""

    EMBEDDED = "embedded"
    SD1 = "sd1"
    SD2 = "sd2"  # for its features in evaluation only: no edit is made with it


_BY_TEXT_WIDTH = {768: Family.SD1, 1024: Family.SD2}
_BY_LORA_WIDTH = {768: Family.SD1, 128: Family.EMBEDDED}
# As kohya-ss, peft and diffusers name what comes from the prompt's embedding.
_LORA_OF_THE_PROMPT = re.compile(r"attn2.*to_k.*(lora_down|lora_A|lora\.down)")


def folder_family(folder: Path) -> Family:
    """Told from the UNet's configuration: the text width is 768 in Stable Diffusion 1, 1024 in 2."""
    try:
        configuration = json.loads((folder / "unet" / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelUnavailable(
            f"{folder} is not a model in diffusers' layout: unet/config.json cannot be read."
        ) from error
    text_width = configuration.get("cross_attention_dim")
    if not isinstance(text_width, int) or (text_width > 768 and text_width not in _BY_TEXT_WIDTH):
        raise ModelUnavailable(
            f"{folder} is not a Stable Diffusion 1 model; only those can be used."
        )
    return _BY_TEXT_WIDTH.get(text_width, Family.EMBEDDED)


def is_distilled(folder: Path) -> bool:
    """Whether the model was distilled so that few steps suffice, as its scheduler tells (LCM, arXiv 2310.04378)."""
    try:
        index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
        return bool(index["scheduler"][1] == "LCMScheduler")
    except (OSError, ValueError, LookupError, TypeError):
        return False


def lora_family(file: Path) -> Family | None:
    """Of the models that these LoRA factors change, told from the file's header; None: the file holds a whole model."""
    widths = {
        shape[-1]
        for name, shape in _safetensors_shapes(file).items()
        if _LORA_OF_THE_PROMPT.search(name)
    }
    if not widths:
        return None
    families = [family for width, family in _BY_LORA_WIDTH.items() if widths == {width}]
    if not families:
        raise ModelUnavailable(
            f"{file} is a LoRA for other models: choose one made for Stable Diffusion 1.5."
        )
    return families[0]


def file_family(file: Path) -> Family:
    """Told from the header of a .safetensors file, without reading the weights."""
    shapes = _safetensors_shapes(file)
    key = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
    if shapes.get(key, (0, 0))[-1] != 768:
        raise ModelUnavailable(
            f"{file} is not a Stable Diffusion 1 checkpoint: choose one made from Stable Diffusion 1.5."
        )
    return Family.SD1


def _safetensors_shapes(file: Path) -> dict[str, tuple[int, ...]]:
    try:
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > 100_000_000:
                raise ValueError("header too long")
            header = json.loads(stream.read(length))
        return {
            name: tuple(entry["shape"]) for name, entry in header.items() if name != "__metadata__"
        }
    except (OSError, ValueError, struct.error, KeyError, TypeError) as error:
        raise ModelUnavailable(f"{file} is not a whole .safetensors file.") from error
