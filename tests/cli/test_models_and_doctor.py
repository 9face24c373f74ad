"""`dragdiffusion models` and `doctor`, as programs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cli.conftest import RunCommand
from dragdiffusion.commands import doctor
from dragdiffusion.models import download as downloads
from dragdiffusion.models import records
from dragdiffusion.models.catalogue import SD15_HUB_NAME
from dragdiffusion.models.load import Placement
from fakes.hub import FakeHub
from fakes.running import daemon_environment

FILES = (
    "model_index.json",
    "scheduler/scheduler_config.json",
    "tokenizer/vocab.json",
    "text_encoder/model.fp16.safetensors",
    "unet/config.json",
    "unet/diffusion_pytorch_model.fp16.safetensors",
    "vae/diffusion_pytorch_model.fp16.safetensors",
)
SUBJECTS = (
    "Python",
    "Command dragdiffusion",
    "torch",
    "Device",
    "Model embedded",
    "Model sd15",
    "Prepared images",
    "Daemon",
    "GIMP",
)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    folder = {"DRAGDIFFUSION_MODELS_FOLDER": str(tmp_path / "models")}
    return daemon_environment(tmp_path) | folder


def test_download_list_verify_and_remove(
    command: RunCommand, environment: dict[str, str], tmp_path: Path
) -> None:
    for path in FILES:
        (tmp_path / "published" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "published" / path).write_text('{"cross_attention_dim": 768}')
    with FakeHub(tmp_path / "published", "stable-diffusion-v1-5/stable-diffusion-v1-5") as hub:
        environment = environment | {"HF_ENDPOINT": hub.url}
        before = command("models", "list", env=environment).stdout
        assert "Stable Diffusion 1.5: not here, about 2,130 MB" in before
        assert "Get it with: dragdiffusion models download sd15" in before
        assert "For photographs" in before
        assert "OpenRAIL" in before
        done = command("models", "download", "sd15", env=environment)
        assert (done.returncode, done.stderr) == (0, "")
        folder = tmp_path / "models" / "stable-diffusion-v1-5--stable-diffusion-v1-5"
        assert {p.relative_to(folder).as_posix() for p in folder.rglob("*.*")} == set(FILES)
        listed = command("models", "list", env=environment).stdout
        assert "Stable Diffusion 1.5: ready, 0 MB" in listed
        assert str(folder) in listed
        assert "is whole" in command("models", "verify", "sd15", env=environment).stdout
        weights = folder / "unet" / "diffusion_pytorch_model.fp16.safetensors"
        weights.write_text('{"cross_attention_dim": 769}')  # as long as before
        found = command("models", "verify", "sd15", env=environment)
        assert found.returncode == 1
        assert f"Damaged: {weights.relative_to(folder)}" in found.stderr
        assert "Stable Diffusion 1.5: damaged" in command("models", "list", env=environment).stdout
        assert command("models", "download", "sd15", env=environment).returncode == 0
        assert command("models", "verify", "sd15", env=environment).returncode == 0
    assert command("models", "remove", "sd15", env=environment).returncode == 0
    assert not folder.exists()


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["download", "no such model"], 2, "There is no model"),
        (["download", "embedded"], 2, "not a downloaded model"),
        (["remove", "sd15"], 1, "has not been downloaded"),
        (["remove", "embedded"], 2, "not a downloaded model"),
        (["verify", "sd15"], 1, "download it first"),
        (["verify", "embedded"], 2, "not a downloaded model"),
        (["download", "sd15"], 1, "HF_HUB_OFFLINE"),
    ],
)
def test_refusals(
    arguments: list[str],
    status: int,
    words: str,
    command: RunCommand,
    environment: dict[str, str],
) -> None:
    done = command("models", *arguments, env=environment | {"HF_HUB_OFFLINE": "1"})
    assert done.returncode == status
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_doctor_names_every_subject_on_a_console_that_does_not_know_every_sign(
    command: RunCommand, environment: dict[str, str]
) -> None:
    done = command("doctor", env=environment | {"PYTHONIOENCODING": "ascii"})
    assert done.stderr == ""
    for subject in SUBJECTS:
        assert f" {subject}: " in done.stdout
    assert "Plug-in" in done.stdout
    assert "512 ? 512" in done.stdout


def test_doctor_tells_why_a_card_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("DRAGDIFFUSION_DEVICE", "auto")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.version.cuda", None)
    _, device, *_ = doctor.check_torch()
    assert "no accelerator found" in device.text
    assert device.advice == ""

    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho NVIDIA GeForce GTX 1080\n")
    program.chmod(0o755)
    _, device, *_ = doctor.check_torch()
    assert device.text.endswith("not the card that is here, NVIDIA GeForce GTX 1080")
    assert "takes the NVIDIA build" in device.advice

    monkeypatch.setattr("torch.version.cuda", "13.0")
    _, device, *_ = doctor.check_torch()
    assert "driver to one for CUDA 13.0" in device.advice

    monkeypatch.setenv("DRAGDIFFUSION_DEVICE", "cpu")  # as the user wants it
    _, device, *_ = doctor.check_torch()
    assert device.advice == ""


def test_doctor_sees_a_device_that_cannot_compute(monkeypatch: pytest.MonkeyPatch) -> None:
    empty = Placement(torch.device("meta"), torch.float16)
    monkeypatch.setattr("dragdiffusion.models.load.place", lambda *_: empty)
    _, device, *_ = doctor.check_torch()
    assert "does not compute" in device.text
    assert "--torch-index" in device.advice


def test_doctor_sees_the_plug_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIMP3_DIRECTORY", str(tmp_path))
    entry = tmp_path / "plug-ins" / "drag_diffusion" / "drag_diffusion.py"
    assert next(doctor.check_plugin()).text == "not installed"
    entry.parent.mkdir(parents=True)
    entry.write_text("")
    entry.chmod(0o644)
    assert "not executable" in next(doctor.check_plugin()).text
    entry.chmod(0o755)
    assert "libraries" in next(doctor.check_plugin()).text
    (entry.parent / "vendor").mkdir()
    assert next(doctor.check_plugin()).advice == ""
    (entry.parent / "daemon.json").write_text('{"command": ["/no/such/program", "serve"]}')
    assert "/no/such/program" in next(doctor.check_plugin()).text


def test_doctor_tells_a_damaged_model_from_one_that_is_not_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRAGDIFFUSION_MODELS_FOLDER", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: None)
    _, finding = doctor.check_models()
    assert "not here" in finding.text
    folder = downloads.model_folder(SD15_HUB_NAME)
    folder.mkdir()
    (folder / "model_index.json").write_text("{}")
    _, finding = doctor.check_models()
    assert (finding.text, finding.advice) == ("0 MB", "")
    file = records.HubFile("unet/config.json", 300, "", "")
    record = records.Record("abc", "", (file,), ("unet/config.json",))
    records.write(downloads.record_file(SD15_HUB_NAME), record)
    _, finding = doctor.check_models()
    assert finding.text == "damaged: unet/config.json"
    assert "models download sd15" in finding.advice
    (folder / "model_index.json").rename(folder / "model_index.json.part")
    records.write(downloads.record_file(SD15_HUB_NAME), replace(record, damaged=()))
    _, finding = doctor.check_models()
    assert finding.text.startswith("partly downloaded")
