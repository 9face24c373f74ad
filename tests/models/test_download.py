"""The real downloader against a stand-in for the hub."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dragdiffusion.engine.errors import ModelNotFound, ModelUnavailable
from dragdiffusion.models import download as downloads
from dragdiffusion.models.download import DownloadStep, cached_snapshot, download, remove
from fakes.hub import FakeHub

NAME = "owner/model"
WEIGHTS = (
    "text_encoder/model",
    "unet/diffusion_pytorch_model",
    "vae/diffusion_pytorch_model",
)
UNET = "unet/diffusion_pytorch_model.fp16.safetensors"


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A repository with more in it than is needed."""
    folder = tmp_path / "published"
    texts = ["model_index.json", "README.md", "v1-5-pruned.safetensors"]
    texts += ["scheduler/scheduler_config.json", "unet/config.json", "vae/config.json"]
    texts += ["text_encoder/config.json", "tokenizer/vocab.json", "tokenizer/merges.txt"]
    texts += ["safety_checker/model.safetensors", "safety_checker/config.json"]
    random = np.random.default_rng(0)
    for path in texts + [f"{w}{v}.safetensors" for w in WEIGHTS for v in ("", ".fp16")]:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        size = 100_000 if path == UNET else 300
        (folder / path).write_bytes(random.bytes(size))
    (folder / "unet" / "config.json").write_text('{"cross_attention_dim": 768}')
    return folder


@pytest.fixture
def hub(published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.setenv("DRAGDIFFUSION_MODELS_FOLDER", str(tmp_path / "models"))
    monkeypatch.setattr(downloads, "_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: None)
    with FakeHub(published, NAME) as running:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", running.url)
        yield running


def finish(full: bool = False) -> list[DownloadStep]:
    return list(download(NAME, full=full))


def same(published: Path, path: str) -> bool:
    return (cached_snapshot(NAME) / path).read_bytes() == (published / path).read_bytes()  # type: ignore[operator]


def test_only_what_is_needed_arrives(hub: FakeHub, published: Path) -> None:
    steps = finish()
    asked = hub.files_asked_for()
    assert asked[-1] == "model_index.json"
    assert not [path for path in asked if "safety" in path or "README" in path or "v1-5" in path]
    assert [path for path in asked if path.endswith(".safetensors")] == [
        f"{weights}.fp16.safetensors" for weights in WEIGHTS
    ]
    assert all(same(published, path) for path in asked)
    done = [step.done for step in steps]
    assert done == sorted(done)
    assert done[-1] == steps[-1].total


def test_full_takes_the_larger_files(hub: FakeHub) -> None:
    finish(full=True)
    assert not [path for path in hub.files_asked_for() if "fp16" in path]


def test_a_broken_connection_is_resumed(hub: FakeHub, published: Path) -> None:
    hub.break_after = 30_000
    finish()
    ranges = [wanted for _, path, wanted in hub.requests if UNET in path]
    assert ranges == ["", "bytes=30000-", "bytes=60000-", "bytes=90000-"]
    assert same(published, UNET)


def test_what_has_arrived_is_kept_for_the_next_time(hub: FakeHub, published: Path) -> None:
    steps = download(NAME)
    next(step for step in steps if step.file == UNET)
    steps.close()
    part = downloads.model_folder(NAME) / f"{UNET}.part"
    part.write_bytes((published / UNET).read_bytes()[:40_000])
    assert cached_snapshot(NAME) is None
    hub.requests.clear()
    finish()
    assert [wanted for _, path, wanted in hub.requests if UNET in path] == ["bytes=40000-"]
    assert same(published, UNET)


@pytest.mark.usefixtures("hub")
def test_a_wrong_beginning_is_repaired(published: Path) -> None:
    part = downloads.model_folder(NAME) / f"{UNET}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * 50_000)
    finish()
    assert same(published, UNET)


@pytest.mark.parametrize("path", [UNET, "tokenizer/merges.txt"])
def test_damaged_files_are_refused(path: str, hub: FakeHub) -> None:
    hub.damage.add(path)
    with pytest.raises(ModelUnavailable, match="damaged"):
        finish()
    assert cached_snapshot(NAME) is None
    assert hub.files_asked_for().count(path) == 2


def test_a_second_download_fetches_nothing(hub: FakeHub) -> None:
    finish()
    hub.requests.clear()
    finish()
    assert hub.files_asked_for() == []


def test_lora_factors_alone_are_one_file(hub: FakeHub, tmp_path: Path) -> None:
    factors = tmp_path / "factors"
    factors.mkdir()
    (factors / downloads.LORA_WEIGHTS).write_bytes(bytes(5000))
    (factors / "README.md").write_text("words")
    hub.repositories["owner/lora"] = factors
    steps = list(download("owner/lora"))
    assert steps[-1] == DownloadStep(downloads.LORA_WEIGHTS, 5000, 5000)
    folder = cached_snapshot("owner/lora")
    assert folder is not None
    assert [path.name for path in folder.iterdir()] == [downloads.LORA_WEIGHTS]
    (folder / downloads.LORA_WEIGHTS).write_bytes(bytes(10))
    assert cached_snapshot("owner/lora") is None
    assert remove("owner/lora") == 10
    assert not folder.exists()


def test_another_program_s_lora_factors_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRAGDIFFUSION_MODELS_FOLDER", str(tmp_path / "models"))
    here = {downloads.LORA_WEIGHTS: str(tmp_path / "snapshot" / downloads.LORA_WEIGHTS)}
    monkeypatch.setattr(
        "huggingface_hub.try_to_load_from_cache", lambda _name, file: here.get(file)
    )
    assert cached_snapshot("owner/lora") == tmp_path / "snapshot"


@pytest.mark.usefixtures("hub")
def test_removing_frees_the_bytes() -> None:
    finish()
    assert remove(NAME) > 100_000
    assert cached_snapshot(NAME) is None
    with pytest.raises(ModelUnavailable, match="not been downloaded"):
        remove(NAME)


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        (401, ModelUnavailable, "hf auth login"),
        (404, ModelNotFound, "no model owner/model"),
        (503, ModelUnavailable, "cannot be reached"),
    ],
)
def test_refusals_are_explained(
    status: int, error: type[Exception], words: str, hub: FakeHub
) -> None:
    hub.status = status
    with pytest.raises(error, match=words):
        finish()


def test_offline_is_respected(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelUnavailable, match="HF_HUB_OFFLINE"):
        finish()
    assert hub.requests == []


def test_no_connection_is_explained(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ModelUnavailable, match=r"proxy.*is kept"):
        finish()
    assert hub.requests == []


def test_the_token_is_sent(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    finish()
    assert set(hub.authorizations) == {"Bearer hf_secret"}


@pytest.mark.usefixtures("hub")
def test_a_model_without_safetensors_is_refused(published: Path) -> None:
    for file in (published / "vae").glob("*.safetensors"):
        file.unlink()
    with pytest.raises(ModelUnavailable, match="vae"):
        finish()


def test_another_architecture_is_refused_before_the_weights(hub: FakeHub, published: Path) -> None:
    (published / "unet" / "config.json").write_text('{"cross_attention_dim": 2048}')
    with pytest.raises(ModelUnavailable, match="Stable Diffusion 1"):
        finish()
    assert not [path for path in hub.files_asked_for() if path.endswith(".safetensors")]
