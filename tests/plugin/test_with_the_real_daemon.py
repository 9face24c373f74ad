"""The plug-in's calls against the real daemon (with a fake engine) and a stand-in for the hub: both ends are what is installed."""

import asyncio
import json
import os
import signal
import sys
import time

import numpy as np
import pytest

from fakes.hub import FakeHub
from fakes.running import start_daemons, wait_until
from plugin import administration, daemon, model_calls
from plugin.administration import Said
from plugin.client import DaemonHangs
from plugin.daemon import Installation
from plugin.model_calls import ABSENT, DAMAGED, PARTIAL, READY, Listing, Removed
from plugin.worker import Finished, Job

SD15 = "stable-diffusion-v1-5/stable-diffusion-v1-5"
UNET = "unet/diffusion_pytorch_model.fp16.safetensors"
SMALL = ("model_index.json", "text_encoder/model.fp16.safetensors")
SMALL += ("vae/diffusion_pytorch_model.fp16.safetensors",)


@pytest.fixture
def hub(tmp_path):
    folder = tmp_path / "published"
    random = np.random.default_rng(0)
    for path in (UNET, *SMALL):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(random.bytes(400_000 if path == UNET else 300))
    (folder / "unet" / "config.json").write_text('{"cross_attention_dim": 768}')
    with FakeHub(folder, SD15) as running:
        yield running


@pytest.fixture
def installation(hub, tmp_path):
    for start in start_daemons(tmp_path):
        running = start(hf_endpoint=hub.url, models_folder=tmp_path / "models")
        command = (sys.executable, "-m", "fakes.daemon")
        kept = ("PYTHONPATH",)  # the plug-in drops it for the daemon, which needs it here
        told = [f"{name}={running.environment[name]}" for name in kept]
        yield Installation(
            ("/usr/bin/env", *told, *command),
            running.endpoint_file,
            tmp_path / "start.log",
            running.environment,
        )
    endpoint = tmp_path / "endpoint.json"
    if endpoint.exists():  # of one that was started anew
        os.kill(json.loads(endpoint.read_text())["pid"], signal.SIGTERM)
        wait_until(lambda: not endpoint.exists())


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the daemon outlives its Popen, on purpose
def test_one_that_hangs_is_told_and_started_anew(installation, monkeypatch):
    monkeypatch.setattr(administration, "ANSWER_SECONDS", 1.0)
    monkeypatch.setattr(daemon, "FIND_SECONDS", 1.0)
    hung = daemon.read_endpoint(installation.endpoint_file)
    os.kill(hung.pid, signal.SIGSTOP)
    (about,) = events(administration.about(installation))
    assert about.is_running
    assert about.rows == (("Process", str(hung.pid)),)
    assert "listens on" in about.log
    with pytest.raises(DaemonHangs, match="and press Restart"):
        events(model_calls.list_all(installation))
    assert events(administration.restart(installation)) == [Said("The daemon was started anew.")]
    assert os.waitpid(hung.pid, 0)[1] == signal.SIGKILL
    assert daemon.read_endpoint(installation.endpoint_file).pid != hung.pid
    (about,) = events(administration.about(installation))
    assert dict(about.rows)["Version"]


def events(call):
    async def collect():
        return [event async for event in call]

    return asyncio.run(collect())


def sd15(installation):
    *_, listing = events(model_calls.list_all(installation))
    assert isinstance(listing, Listing)
    return next(model for model in listing.models if model.name == "sd15")


def test_cancel_resume_verify_repair_remove(installation, hub, tmp_path):
    assert sd15(installation).state == ABSENT
    hub.pause_seconds = 0.3
    job = Job(lambda: model_calls.download(installation, "sd15"))
    job.start()
    while job.next_event(10).done < 60_000:
        pass
    job.cancel()
    while not isinstance(event := job.next_event(10), Finished):
        pass
    assert event.cancelled
    partly = sd15(installation)
    assert partly.state == PARTIAL
    time.sleep(1)
    assert sd15(installation).here <= partly.here + 20_000  # the daemon has stopped, too
    hub.pause_seconds = 0.0
    *_, last = events(model_calls.download(installation, "sd15"))
    assert last.done == last.total
    assert sd15(installation).state == READY

    file = tmp_path / "models" / SD15.replace("/", "--") / UNET
    file.write_bytes(bytes(400_000))
    *_, last = events(model_calls.verify(installation, "sd15"))
    assert last.damaged == (UNET,)
    assert sd15(installation).state == DAMAGED
    events(model_calls.download(installation, "sd15"))
    assert sd15(installation).state == READY
    (removed,) = events(model_calls.remove(installation, "sd15"))
    assert isinstance(removed, Removed)
    assert removed.freed > 400_000
    assert sd15(installation).state == ABSENT


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the daemon outlives its Popen, on purpose
def test_status_unload_clear_and_restart(installation):
    (about,) = events(administration.about(installation))
    assert dict(about.rows)["Works on"].endswith("cpu (fake), float32")
    assert "listens on" in about.log
    for act in (administration.unload, administration.clear_cache):
        (said,) = events(act(installation))
        assert isinstance(said, Said)
    first = daemon.read_endpoint(installation.endpoint_file)
    assert events(administration.restart(installation)) == [Said("The daemon was started anew.")]
    second = daemon.read_endpoint(installation.endpoint_file)
    assert second is not None
    assert second.token != first.token
    (about,) = events(administration.about(installation))
    assert about.is_running
