"""Names, folders, files and families."""

from __future__ import annotations

import json
import struct
from dataclasses import asdict
from pathlib import Path

import pytest

from dragdiffusion.engine.config import Mode, SupervisionTarget, TimestepSpacing
from dragdiffusion.engine.errors import ModelNotFound, ModelUnavailable
from dragdiffusion.models import catalogue
from dragdiffusion.models import download as downloads
from dragdiffusion.models.catalogue import Kind
from dragdiffusion.models.families import Family
from dragdiffusion.models.profiles import default_config, defaults

KEY = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"


@pytest.fixture(autouse=True)
def _nothing_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRAGDIFFUSION_MODELS_FOLDER", str(tmp_path / "models"))
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: None)


def folder_with(tmp_path: Path, text_width: object) -> Path:
    folder = tmp_path / "model"
    (folder / "unet").mkdir(parents=True)
    (folder / "model_index.json").write_text("{}")
    (folder / "unet" / "config.json").write_text(json.dumps({"cross_attention_dim": text_width}))
    return folder


def file_with(tmp_path: Path, shape: list[int], name: str = KEY) -> Path:
    header = json.dumps({name: {"dtype": "F16", "shape": shape, "data_offsets": [0, 0]}}).encode()
    file = tmp_path / "model.safetensors"
    file.write_bytes(struct.pack("<Q", len(header)) + header)
    return file


def put_sd15(tmp_path: Path) -> None:
    folder = tmp_path / "models" / catalogue.SD15_HUB_NAME.replace("/", "--")
    folder.mkdir(parents=True)
    (folder / "model_index.json").write_text("{}")


def test_short_and_hub_names() -> None:
    assert catalogue.resolve("sd15") == catalogue.resolve(catalogue.SD15_HUB_NAME)
    assert catalogue.resolve("embedded").family is Family.EMBEDDED
    assert catalogue.resolve("someone/paintings").kind is Kind.HUB


@pytest.mark.parametrize("name", ["unknown", "/no/such/folder", "a/b/c", "../x", "ä"])
def test_an_unknown_name_lists_the_known(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")  # names like "../x" are looked for from here
    with pytest.raises(ModelNotFound, match="embedded, sd15"):
        catalogue.resolve(name)


@pytest.mark.parametrize(("width", "family"), [(768, Family.SD1), (128, Family.EMBEDDED)])
def test_a_folder_s_family(width: int, family: Family, tmp_path: Path) -> None:
    source = catalogue.resolve(str(folder_with(tmp_path, width)))
    assert (source.family, source.kind) == (family, Kind.FOLDER)
    assert catalogue.find_files(source) == tmp_path / "model"


@pytest.mark.parametrize("width", [1024, 2048, None, [768]])
def test_other_architectures_are_refused(width: object, tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="Stable Diffusion 1"):
        catalogue.resolve(str(folder_with(tmp_path, width)))


def test_stable_diffusion_2_is_known_for_its_features_only(tmp_path: Path) -> None:
    source = catalogue.look_up(str(folder_with(tmp_path, 1024)))
    assert source.family is Family.SD2
    with pytest.raises(ModelUnavailable, match="only the evaluation"):
        catalogue.resolve(source.name)


def test_a_folder_without_an_index_is_no_model(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, 768)
    (folder / "model_index.json").unlink()
    with pytest.raises(ModelUnavailable, match=r"model_index\.json"):
        catalogue.find_files(catalogue.resolve(str(folder)))


def test_a_single_file(tmp_path: Path) -> None:
    source = catalogue.resolve(str(file_with(tmp_path, [320, 768])))
    assert (source.kind, source.family) == (Kind.FILE, Family.SD1)
    assert catalogue.size_bytes(source) > 0


def test_a_file_of_another_architecture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="Stable Diffusion 1"):
        catalogue.resolve(str(file_with(tmp_path, [320, 1024])))


@pytest.mark.parametrize("content", [b"", b"PK\3\4 and more of a zip", b"\xff" * 100])
def test_a_broken_file_is_refused(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "broken.safetensors"
    file.write_bytes(content)
    with pytest.raises(ModelUnavailable, match="whole"):
        catalogue.resolve(str(file))


def test_the_default_is_the_larger_model_once_it_is_here(tmp_path: Path) -> None:
    assert catalogue.default_model("").name == "embedded"
    assert catalogue.default_model("someone/paintings").name == "someone/paintings"
    put_sd15(tmp_path)
    assert catalogue.default_model("").name == "sd15"


@pytest.mark.parametrize(
    ("name", "width", "base"),
    [
        ("lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.lora_down.weight", 768, "sd15"),
        ("unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.lora_A.weight", 768, "sd15"),
        ("unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_k.lora_A.weight", 128, "embedded"),
        ("unet.up_blocks.1.attentions.0.transformer_blocks.0.attn2.processor.to_k_lora.down.weight", 768, "sd15"),
    ],
)  # fmt: skip
def test_lora_factors_are_for_the_model_of_their_text_width(
    name: str, width: int, base: str, tmp_path: Path
) -> None:
    source = catalogue.resolve(str(file_with(tmp_path, [64, width], name)))
    assert (source.kind, source.base) == (Kind.FILE, base)
    assert source.family is (Family.SD1 if base == "sd15" else Family.EMBEDDED)


def test_lora_factors_for_other_models_are_refused(tmp_path: Path) -> None:
    name = KEY.replace("to_k.weight", "to_k.lora_A.weight")
    with pytest.raises(ModelUnavailable, match="LoRA for other models"):
        catalogue.resolve(str(file_with(tmp_path, [64, 2048], name)))


def test_lora_factors_need_their_base(tmp_path: Path) -> None:
    name = KEY.replace("to_k.weight", "to_k.lora_A.weight")
    source = catalogue.resolve(str(file_with(tmp_path, [64, 768], name)))
    with pytest.raises(ModelUnavailable, match="models download sd15"):
        catalogue.find_files(source)
    put_sd15(tmp_path)
    assert catalogue.find_files(source) == tmp_path / "model.safetensors"


def test_a_folder_of_lora_factors(tmp_path: Path) -> None:
    name = KEY.replace("to_k.weight", "to_k.lora_A.weight")
    file = file_with(tmp_path, [64, 128], name).rename(tmp_path / downloads.LORA_WEIGHTS)
    source = catalogue.resolve(str(tmp_path))
    assert (source.base, catalogue.find_files(source)) == ("embedded", file)


@pytest.mark.parametrize(
    ("name", "scheduler", "few"),
    [("model", "DDIMScheduler", False), ("model", "LCMScheduler", True), ("My-LCM", "", True)],
)
def test_what_needs_few_steps_only(name: str, scheduler: str, few: bool, tmp_path: Path) -> None:
    folder = folder_with(tmp_path, 768).rename(tmp_path / name)
    (folder / "model_index.json").write_text(json.dumps({"scheduler": ["diffusers", scheduler]}))
    source = catalogue.resolve(str(folder))
    assert source.few_steps is few
    steps = {mode: defaults(mode, source).drag.num_inverted_steps for mode in Mode}
    assert steps[Mode.REFERENCE] == 35
    assert (steps[Mode.FAST] < 10) is few
    assert (steps[Mode.DEFAULT] < 10) is few
    generation = defaults(Mode.DEFAULT, source).generation
    assert (generation.num_inference_steps == 10) is few
    assert (generation.timestep_spacing is TimestepSpacing.TRAILING) is few


def test_what_is_not_here_says_how_to_get_it() -> None:
    with pytest.raises(ModelUnavailable, match="models download sd15"):
        catalogue.find_files(catalogue.resolve("sd15"))


PAPER = {
    "mode": "reference",
    "lora": {
        "steps": 80,
        "rank": 16,
        "learning_rate": 5e-4,
        "batch_size": 4,
        "used_timesteps": False,
        "cosine": False,
        "up_blocks_only": False,
    },
    "working_size": 512,
    "fit": "width",
    "num_inference_steps": 50,
    "timestep_spacing": "leading",
    "inversion_strength": 0.7,
    "guidance_scale": 1.0,
    "feature_block": 2,
    "feature_scale": 0.5,
    "pixel_centres": False,
    "max_drag_steps": 80,
    "learning_rate": 0.01,
    "mask_weight": 0.1,
    "supervision_radius": 1,
    "tracking_radius": 3,
    "arrival_distance": 2.0,
    "settle": False,
    "warp": False,
    "supervision_target": "current",
    "drag_steps_per_timestep": 0,
    "lock_outside_mask": False,
    "reference_from_inversion": False,
    "reference_start_step": 0,
    "reference_start_layer": 10,
    "seed": 0,
}
"""The authors' settings for Stable Diffusion 1.5: arXiv 2306.14435, section 4.1, and their code."""


def test_reference_mode_is_the_paper_s() -> None:
    assert asdict(default_config(Mode.REFERENCE, Family.SD1)) == PAPER


def test_reference_mode_on_the_embedded_model_is_the_paper_s_at_its_size() -> None:
    its_own = {"working_size": 128, "feature_block": 1, "reference_start_layer": 5}
    assert asdict(default_config(Mode.REFERENCE, Family.EMBEDDED)) == PAPER | its_own


@pytest.mark.parametrize("family", [Family.EMBEDDED, Family.SD1])
def test_default_mode_keeps_to_the_original_patch(family: Family) -> None:
    config = default_config(Mode.DEFAULT, family)
    assert config.mode is Mode.DEFAULT
    assert config.supervision_target is SupervisionTarget.ORIGINAL
    assert config.drag_steps_per_timestep > 0
    assert config.lock_outside_mask


def test_a_downloaded_model_of_another_architecture_is_refused(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, 1024)
    (tmp_path / "models").mkdir()
    folder.rename(tmp_path / "models" / "someone--large")
    with pytest.raises(ModelUnavailable, match="Stable Diffusion 1"):
        catalogue.resolve("someone/large")
