"""The tiny model of the parity tests through the real loader."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from threading import Event

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    LatentConsistencyModelPipeline,
    LCMScheduler,
    UNet2DConditionModel,
)
from engine.tiny_model import make_config, make_request, run
from safetensors.torch import load_file, save_file

from dragdiffusion.daemon.torch_engine import TorchEngine
from dragdiffusion.engine.errors import InvalidRequest, ModelUnavailable
from dragdiffusion.models import catalogue
from dragdiffusion.models.load import Placement, load_model, load_pipeline, place
from dragdiffusion.settings import Settings
from fakes.hub import FakeHub
from fakes.lora import save_lora
from fakes.single_file import save_single_file

TINY = Path(__file__).parents[1] / "parity" / "data" / "model"


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return Path(shutil.copytree(TINY, tmp_path / "model"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_part_is_in_the_wanted_format(dtype: torch.dtype) -> None:
    source = catalogue.resolve(str(TINY))
    pipeline = load_pipeline(TINY, source, Placement(torch.device("cpu"), dtype))
    for part in (pipeline.unet, pipeline.vae, pipeline.text_encoder):
        assert {parameter.dtype for parameter in part.parameters()} == {dtype}
    assert isinstance(pipeline.scheduler, DDIMScheduler)
    assert pipeline.scheduler.config.steps_offset == 1
    assert pipeline.safety_checker is None


def test_float32_is_not_rounded_to_tf32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    place("cpu", "bfloat16")
    assert torch.backends.cudnn.allow_tf32
    place("cpu", "float32")
    assert not torch.backends.cudnn.allow_tf32


def test_the_engine_s_model_knows_its_name_and_family() -> None:
    source = catalogue.resolve(str(TINY))
    model = load_model(source, place("cpu"))
    assert (model.name, model.family) == (str(TINY), "embedded")


def test_the_half_precision_variant_is_found(copied: Path) -> None:
    for part in ("unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model"):
        (copied / f"{part}.safetensors").rename(copied / f"{part}.fp16.safetensors")
    encoder = copied / "text_encoder"
    (encoder / "model.safetensors").rename(encoder / "model.fp16.safetensors")
    pipeline = load_pipeline(copied, catalogue.resolve(str(copied)), place("cpu"))
    assert pipeline.unet.dtype == torch.float32


def test_a_consistency_model_s_folder_is_read(copied: Path) -> None:
    """Latent consistency models name another pipeline and scheduler, and their UNet has one weight more."""
    unet = UNet2DConditionModel.from_pretrained(TINY / "unet")
    distilled = UNet2DConditionModel.from_config(dict(unet.config) | {"time_cond_proj_dim": 8})
    distilled.load_state_dict(unet.state_dict(), strict=False)
    distilled.save_pretrained(copied / "unet")
    LCMScheduler.from_pretrained(TINY / "scheduler").save_pretrained(copied / "scheduler")
    index = json.loads((copied / "model_index.json").read_text())
    index["_class_name"], index["scheduler"] = (
        "LatentConsistencyModelPipeline",
        ["diffusers", "LCMScheduler"],
    )
    (copied / "model_index.json").write_text(json.dumps(index))
    source = catalogue.resolve(str(copied))
    assert source.few_steps
    model, plain = (load_model(one, place("cpu")) for one in (source, catalogue.resolve(str(TINY))))
    latent, prompt = torch.zeros(1, 4, 8, 8), plain.embed_prompt("")
    told = LatentConsistencyModelPipeline.get_guidance_scale_embedding(
        None, torch.tensor([3.0]), embedding_dim=8
    )
    expected = distilled(latent, 1, prompt, timestep_cond=told).sample
    torch.testing.assert_close(model.predict_noise(latent, 1, prompt), expected)
    assert not torch.allclose(expected, plain.predict_noise(latent, 1, prompt))
    assert model.scheduler_config["beta_schedule"] == plain.scheduler_config["beta_schedule"]


@pytest.mark.parametrize("kohya", [False, True])
def test_lora_factors_are_merged_into_their_base(kohya: bool, tmp_path: Path) -> None:
    file = tmp_path / "some-lora.safetensors"
    expected = save_lora(file, kohya=kohya)
    model = load_model(catalogue.resolve(str(file)), place("cpu"))
    weights = model.unet.state_dict()
    assert weights.keys() == expected.keys()
    for name, weight in weights.items():
        torch.testing.assert_close(weight, expected[name])
    base = load_model(catalogue.resolve("embedded"), place("cpu"))
    assert base.fingerprint not in ("", model.fingerprint)
    key = "mid_block.resnets.0.conv1.weight"
    assert not torch.allclose(weights[key], base.unet.state_dict()[key])


def test_lora_factors_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.safetensors"
    save_lora(file)
    factors = {
        name: factor[:, :3] if "to_q.lora_A" in name else factor
        for name, factor in load_file(file).items()
    }
    save_file({name: factor.contiguous() for name, factor in factors.items()}, file)
    with pytest.raises(ModelUnavailable, match="other does not fit Embedded"):
        load_model(catalogue.resolve(str(file)), place("cpu"))


def test_a_truncated_file_is_explained(copied: Path) -> None:
    weights = copied / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelUnavailable, match="damaged or incomplete"):
        load_model(catalogue.resolve(str(copied)), place("cpu"))


def test_a_missing_part_is_explained(copied: Path) -> None:
    shutil.rmtree(copied / "vae")
    with pytest.raises(ModelUnavailable, match="damaged or incomplete"):
        load_model(catalogue.resolve(str(copied)), place("cpu"))


@pytest.mark.parametrize("name", ["nonsense", "cuda:77"])
def test_an_absent_device_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest, match="no device"):
        place(name)


def test_a_cpu_takes_float32_unless_told() -> None:
    assert place("cpu").dtype == torch.float32
    assert place("cpu", "bfloat16").dtype_name == "bfloat16"
    with pytest.raises(InvalidRequest, match="of no use on a CPU") as refused:
        place("cpu", "float16")
    assert refused.value.field == "dtype"


@pytest.mark.parametrize(
    ("avx", "amx", "dtype"),
    [(False, False, torch.float32), (True, False, torch.bfloat16), (False, True, torch.bfloat16)],
)
def test_speed_is_bfloat16_where_the_cpu_computes_in_it(
    avx: bool, amx: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx, raising=False)
    assert place("cpu", "speed").dtype == dtype


def test_a_single_file_has_the_same_weights_as_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its configuration comes from the hub: here, from a stand-in that has the folder."""
    file = save_single_file(tmp_path / "one.safetensors", tmp_path / "folder")
    monkeypatch.setenv("DRAGDIFFUSION_MODELS_FOLDER", str(tmp_path / "models"))
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: None)
    with FakeHub(tmp_path / "folder", catalogue.SD15_HUB_NAME) as hub:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.url)
        one = load_pipeline(file, catalogue.resolve(str(file)), place("cpu"))
        assert not [path for path in hub.files_asked_for() if path.endswith("safetensors")]
    folder = tmp_path / "folder"
    many = load_pipeline(folder, catalogue.resolve(str(folder)), place("cpu"))
    for part in ("unet", "vae", "text_encoder"):
        weights = getattr(one, part).state_dict()
        for name, expected in getattr(many, part).state_dict().items():
            torch.testing.assert_close(weights[name], expected)
    engine = TorchEngine(Settings(device="cpu"))
    again = engine.load(catalogue.resolve(str(file)))  # without the hub
    request = make_request(make_config(feature_block=2), width=32, height=32)
    session = run(engine.open_session(again, request, stop=Event()))
    assert run(engine.drag(session, request, stop=Event())).image.shape == (32, 32, 4)
