"""Stage `export`: the trained parts as one diffusers folder in fp16, replaced as a whole."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path

import diffusers
import torch
from diffusers import AutoencoderKL, ModelMixin, UNet2DConditionModel
from transformers import CLIPTextModel

from .denoiser import UnetRecipe, new_scheduler, new_text_encoder, new_unet
from .pair import SharedWeights
from .run import load_checkpoint
from .tokenizer import load_tokenizer

MODEL_INDEX = {
    "_class_name": "StableDiffusionPipeline",
    "feature_extractor": [None, None],
    "image_encoder": [None, None],
    "requires_safety_checker": False,
    "safety_checker": [None, None],
    "scheduler": ["diffusers", "DDIMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}


def export_model(
    work: Path,
    *,
    vae: AutoencoderKL,
    unet: UNet2DConditionModel,
    text_encoder: CLIPTextModel,
) -> Path:
    """Write work/export; readers see the old folder or the new one, never a half-written one."""
    unfinished, finished = work / "export.unfinished", work / "export"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    _save_half(vae, unfinished / "vae")
    _save_half(unet, unfinished / "unet")
    _save_half(text_encoder, unfinished / "text_encoder")
    new_scheduler().save_pretrained(unfinished / "scheduler")
    shutil.copytree(work / "tokenizer", unfinished / "tokenizer")
    index = MODEL_INDEX | {"_diffusers_version": diffusers.__version__}
    _write_json(unfinished / "model_index.json", index)
    for config in unfinished.rglob("*.json"):
        _forget_paths(config)
    _replace_folder(finished, unfinished)
    return finished


def export_checkpoint(work: Path, checkpoint: Path) -> Path:
    """Export the averaged weights of a checkpoint of stage `unet` with the best autoencoder."""
    tokenizer = load_tokenizer(work / "tokenizer")
    recipe = UnetRecipe()
    unet, text_encoder = new_unet(recipe), new_text_encoder(recipe, tokenizer)
    weights = SharedWeights([unet, text_encoder])
    state = load_checkpoint(checkpoint)
    if state is None:
        raise FileNotFoundError(checkpoint)
    weights.values.copy_(state["average"])
    return export_model(work, vae=best_vae(work), unet=unet, text_encoder=text_encoder)


def best_vae(work: Path) -> AutoencoderKL:
    """The autoencoder with the fine-tuned decoder if there is one; the encoder is the same."""
    folder = work / "vae-decoder"
    return AutoencoderKL.from_pretrained(folder if folder.exists() else work / "vae")


def _save_half(model: ModelMixin | CLIPTextModel, folder: Path) -> None:
    half = copy.deepcopy(model).to("cpu").half()
    for parameter in half.parameters():
        # The copies may be views of one shared vector, which safetensors refuses to store.
        parameter.data = parameter.data.clone(memory_format=torch.contiguous_format)
    half.save_pretrained(folder, safe_serialization=True)


def _forget_paths(config: Path) -> None:
    """Remove where a part was loaded from: it is a path of the machine that trained it."""
    content = json.loads(config.read_text("utf-8"))
    if isinstance(content, dict) and content.pop("_name_or_path", None) is not None:
        _write_json(config, content)


def _write_json(path: Path, content: dict[str, object]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", "utf-8")


def _replace_folder(finished: Path, unfinished: Path) -> None:
    old = finished.with_name("export.old")
    shutil.rmtree(old, ignore_errors=True)
    if finished.exists():
        finished.rename(old)
    unfinished.rename(finished)
    shutil.rmtree(old, ignore_errors=True)
