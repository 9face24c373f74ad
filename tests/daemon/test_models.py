"""The model manager's calls over real gRPC against a stand-in for the hub: cancel, resume, verify, repair, remove."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest

from dragdiffusion.client.connection import Connection, DaemonError
from dragdiffusion.engine.drag_types import Pixels
from dragdiffusion_rpc import drag_pb2 as rpc
from fakes.hub import FakeHub, listing
from fakes.running import RunningDaemon, StartDaemon, preparation, wait_until

LCM = "latent-consistency/lcm-lora-sdv1-5"
SD15 = "stable-diffusion-v1-5/stable-diffusion-v1-5"
UNET = "unet/diffusion_pytorch_model.fp16.safetensors"
FILES = (
    "model_index.json",
    "scheduler/scheduler_config.json",
    "tokenizer/vocab.json",
    "unet/config.json",
    "text_encoder/model.fp16.safetensors",
    UNET,
    "vae/diffusion_pytorch_model.fp16.safetensors",
)
TOTAL = 400_000 + 6 * 300


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[FakeHub]:
    folder = tmp_path / "published"
    random = np.random.default_rng(0)
    for path in FILES:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(random.bytes(400_000 if path == UNET else 300))
    configuration = json.dumps({"cross_attention_dim": 768})
    (folder / "unet" / "config.json").write_text(configuration.ljust(300))
    with FakeHub(folder, SD15) as running:
        yield running


@pytest.fixture
def running(hub: FakeHub, start_daemon: StartDaemon, tmp_path: Path) -> RunningDaemon:
    return start_daemon(hf_endpoint=hub.url, models_folder=tmp_path / "models")


@pytest.fixture
def daemon(running: RunningDaemon) -> Iterator[Connection]:
    with running.connect() as connection:
        yield connection


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "models" / SD15.replace("/", "--")


def sd15(daemon: Connection) -> rpc.Model:
    return next(model for model in daemon.models().models if model.name == "sd15")


def state(daemon: Connection) -> str:
    return rpc.ModelState.Name(sd15(daemon).state).removeprefix("MODEL_STATE_")


def lcm(daemon: Connection) -> tuple[str, bool]:
    model = next(model for model in daemon.models().models if model.name == LCM)
    return rpc.ModelState.Name(model.state).removeprefix("MODEL_STATE_"), model.available


def test_lora_factors_bring_what_they_change(
    daemon: Connection, hub: FakeHub, tmp_path: Path
) -> None:
    factors = tmp_path / "factors"
    factors.mkdir()
    header = json.dumps(
        {"unet.mid_block.attn2.to_k.lora_A.weight": {"dtype": "F16", "shape": [64, 768],
                                                     "data_offsets": [0, 0]}}
    ).encode()  # fmt: skip
    file = factors / "pytorch_lora_weights.safetensors"
    file.write_bytes(struct.pack("<Q", len(header)) + header)
    hub.repositories[LCM] = factors
    *_, last = daemon.download_model(LCM)
    assert (last.file, last.done_bytes) == ("model_index.json", TOTAL)
    assert lcm(daemon) == ("READY", True)
    assert state(daemon) == "READY"
    assert not list(daemon.verify_model(LCM))[-1].damaged_files
    daemon.remove_model("sd15")
    assert lcm(daemon) == ("PARTIAL", False)
    list(daemon.download_model(LCM))
    assert lcm(daemon) == ("READY", True)
    daemon.remove_model(LCM)
    assert LCM not in [model.name for model in daemon.models().models]
    assert state(daemon) == "READY"


def test_the_list_says_what_each_model_is_for(daemon: Connection, tmp_path: Path) -> None:
    answer = daemon.models()
    by_name = {model.name: model for model in answer.models}
    embedded, absent = by_name["embedded"], by_name["sd15"]
    assert embedded.state == rpc.MODEL_STATE_READY
    assert (embedded.can_remove, embedded.can_verify) == (False, False)
    assert embedded.here_bytes == embedded.size_bytes > 1_000_000
    assert absent.state == rpc.MODEL_STATE_ABSENT
    assert (absent.here_bytes, absent.download_bytes) == (0, 2_130_000_000)
    assert "photographs" in absent.purpose
    assert "OpenRAIL" in absent.license
    assert answer.folder == str(tmp_path / "models")
    assert answer.free_bytes > 0
    assert not (tmp_path / "models").exists()  # looking makes nothing


def test_cancel_resume_verify_damage_repair_remove(
    daemon: Connection, hub: FakeHub, folder: Path
) -> None:
    hub.pause_seconds = 0.2  # 4 s for the large file
    events = daemon.download_model("sd15")
    for event in events:
        assert event.total_bytes == TOTAL
        if event.file == UNET and event.done_bytes > 60_000:
            break
    events.close()  # type: ignore[attr-defined]
    assert state(daemon) == "PARTIAL"
    model = sd15(daemon)
    assert 60_000 < model.here_bytes < TOTAL
    assert model.download_bytes == TOTAL
    assert model.can_remove
    assert not model.can_verify
    assert not model.available

    hub.pause_seconds = 0.0
    hub.requests.clear()
    *_, last = daemon.download_model("sd15")
    assert last.done_bytes == last.total_bytes == TOTAL
    (wanted,) = [asked for _, path, asked in hub.requests if UNET in path]
    assert wanted.startswith("bytes=")
    assert int(wanted.removeprefix("bytes=").rstrip("-")) > 50_000
    assert state(daemon) == "READY"
    assert daemon.models().default_model != ""
    *_, last = daemon.verify_model("sd15")
    assert last.done_bytes == last.total_bytes == TOTAL
    assert not last.damaged_files

    content = bytearray((folder / UNET).read_bytes())
    content[200_000] ^= 1
    (folder / UNET).write_bytes(content)
    assert state(daemon) == "READY"  # its size is right
    *_, last = daemon.verify_model("sd15")
    assert list(last.damaged_files) == [UNET]
    model = sd15(daemon)
    assert model.state == rpc.MODEL_STATE_DAMAGED
    assert list(model.damaged_files) == [UNET]
    assert not model.available

    hub.requests.clear()
    list(daemon.download_model("sd15"))
    assert set(hub.files_asked_for()) == {UNET, "model_index.json"}
    *_, last = daemon.verify_model("sd15")
    assert not last.damaged_files
    assert state(daemon) == "READY"

    assert daemon.remove_model("sd15") == TOTAL
    assert state(daemon) == "ABSENT"
    assert not folder.exists()


def test_a_file_that_is_cut_off_or_gone_is_noticed_without_verifying(
    daemon: Connection, folder: Path
) -> None:
    list(daemon.download_model("sd15"))
    (folder / UNET).write_bytes(b"short")
    (folder / "tokenizer" / "vocab.json").unlink()
    assert state(daemon) == "DAMAGED"
    *_, last = daemon.verify_model("sd15")
    assert set(last.damaged_files) == {UNET, "tokenizer/vocab.json"}
    list(daemon.download_model("sd15"))
    assert state(daemon) == "READY"


def test_verifying_needs_no_connection_and_can_be_cancelled(
    daemon: Connection, hub: FakeHub
) -> None:
    list(daemon.download_model("sd15"))
    hub.status = 503
    *_, last = daemon.verify_model("sd15")
    assert not last.damaged_files
    events = daemon.verify_model("sd15")
    next(events)
    events.close()  # type: ignore[attr-defined]
    assert state(daemon) == "READY"


def test_a_model_of_before_records_is_verified_by_the_hub_s_list(
    daemon: Connection, folder: Path, tmp_path: Path
) -> None:
    list(daemon.download_model("sd15"))
    (record,) = (tmp_path / "models" / "records").glob("*.json")
    record.unlink()
    (folder / "tokenizer" / "vocab.json").write_bytes(bytes(300))
    assert state(daemon) == "READY"
    *_, last = daemon.verify_model("sd15")
    assert list(last.damaged_files) == ["tokenizer/vocab.json"]


def test_one_of_hugging_face_s_cache_is_verified_and_never_removed(
    running: RunningDaemon, daemon: Connection, hub: FakeHub, folder: Path
) -> None:
    list(daemon.download_model("sd15"))
    cache = Path(running.environment["HF_HOME"]) / "hub" / f"models--{SD15.replace('/', '--')}"
    snapshot, blobs = cache / "snapshots" / "abc", cache / "blobs"
    blobs.mkdir(parents=True)
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text("abc")
    for entry in listing(hub.repositories[SD15])["siblings"]:
        path = entry["rfilename"]
        name = entry["lfs"]["sha256"] if "lfs" in entry else entry["blobId"]
        (blobs / name).write_bytes((folder / path).read_bytes())
        (snapshot / path).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / path).symlink_to(blobs / name)
    daemon.remove_model("sd15")
    model = sd15(daemon)
    assert model.state == rpc.MODEL_STATE_READY
    assert (model.can_remove, model.can_verify) == (False, True)
    *_, last = daemon.verify_model("sd15")
    assert last.done_bytes == TOTAL
    assert not last.damaged_files
    (snapshot / UNET).resolve().write_bytes(bytes(400_000))
    *_, last = daemon.verify_model("sd15")
    assert list(last.damaged_files) == [UNET]
    with pytest.raises(DaemonError, match="stays as it is"):
        daemon.remove_model("sd15")
    assert (snapshot / UNET).exists()


def test_what_is_the_user_s_own_is_never_removed(
    daemon: Connection, tmp_path: Path, folder: Path
) -> None:
    own = tmp_path / "own"
    (own / "unet").mkdir(parents=True)
    (own / "model_index.json").write_text("{}")
    (own / "unet" / "config.json").write_text(json.dumps({"cross_attention_dim": 768}))
    for name in ("embedded", str(own)):
        with pytest.raises(DaemonError, match="not a downloaded model") as raised:
            daemon.remove_model(name)
        assert raised.value.code is grpc.StatusCode.INVALID_ARGUMENT
    folder.parent.mkdir()
    folder.symlink_to(own)  # in the daemon's folder, but not of it
    with pytest.raises(DaemonError, match="stays as it is"):
        daemon.remove_model("sd15")
    assert (own / "model_index.json").exists()
    assert any(model.name == "embedded" and model.available for model in daemon.models().models)


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("no such model", "NOT_FOUND", "There is no model"),
        ("sd15", "FAILED_PRECONDITION", "download"),
        ("../x", "NOT_FOUND", "There is no model"),
    ],
)
def test_what_cannot_be_verified_or_removed_is_explained(
    name: str, code: str, words: str, daemon: Connection
) -> None:
    for act in (lambda: list(daemon.verify_model(name)), lambda: daemon.remove_model(name)):
        with pytest.raises(DaemonError, match=words) as raised:
            act()
        assert (raised.value.code.name, raised.value.field) == (code, "name")


def test_the_loaded_model_leaves_memory_before_it_is_removed(
    daemon: Connection, image: Pixels
) -> None:
    list(daemon.download_model("sd15"))
    request = preparation(daemon.upload(image), model="sd15")
    list(daemon.drag(rpc.DragRequest(preparation=request)))
    assert daemon.status().loaded_model == "sd15"
    daemon.remove_model("sd15")
    assert daemon.status().loaded_model == ""


def test_a_model_that_an_edit_uses_is_not_removed(
    hub: FakeHub, start_daemon: StartDaemon, image: Pixels, tmp_path: Path
) -> None:
    running = start_daemon(0.1, hf_endpoint=hub.url, models_folder=tmp_path / "models")
    with running.connect() as daemon:
        list(daemon.download_model("sd15"))
        request = preparation(daemon.upload(image), model="sd15", drag_steps=300)
        events = daemon.drag(rpc.DragRequest(preparation=request))
        next(events)
        wait_until(lambda: daemon.status().loaded_model)
        with pytest.raises(DaemonError, match="when they are done"):
            daemon.remove_model("sd15")
        assert state(daemon) == "READY"
        events.close()  # type: ignore[attr-defined]


def test_two_at_once_do_not_meet(running: RunningDaemon, hub: FakeHub) -> None:
    hub.pause_seconds = 0.3
    with running.connect() as one, running.connect() as other:
        events = one.download_model("sd15")
        while next(events).file != UNET:
            pass
        with pytest.raises(DaemonError, match="being downloaded"):
            other.remove_model("sd15")
        events.close()  # type: ignore[attr-defined]
        hub.pause_seconds = 0.0
        list(other.download_model("sd15"))
        assert state(other) == "READY"


@pytest.mark.parametrize("metadata", [[], [("authorization", "Bearer wrong")]])
def test_without_the_token_nothing_is_done(
    metadata: list[tuple[str, str]], running: RunningDaemon
) -> None:
    stub, _ = running.stub()
    calls = [
        lambda: list(stub.DownloadModel(rpc.DownloadModelRequest(name="sd15"), metadata=metadata)),
        lambda: list(stub.VerifyModel(rpc.VerifyModelRequest(name="sd15"), metadata=metadata)),
        lambda: stub.RemoveModel(rpc.RemoveModelRequest(name="sd15"), metadata=metadata),
    ]
    for call in calls:
        with pytest.raises(grpc.RpcError) as raised:
            call()
        assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_the_licence_and_state_of_another_model_are_told(
    start_daemon: StartDaemon, hub: FakeHub, tmp_path: Path
) -> None:
    hub.repositories["someone/paintings"] = hub.repositories[SD15]
    running = start_daemon(hf_endpoint=hub.url, models_folder=tmp_path / "models")
    with running.connect() as daemon:
        list(daemon.download_model("someone/paintings"))
        (model,) = [m for m in daemon.models().models if m.name == "someone/paintings"]
    assert model.state == rpc.MODEL_STATE_READY
    assert model.license == "creativeml-openrail-m"
    assert "your own choice" in model.purpose
