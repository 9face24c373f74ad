"""The model manager's calls against a fake daemon, and that its words for the known models are translated."""

import asyncio
import json

import pytest

from dragdiffusion.models import catalogue, inventory
from dragdiffusion_rpc import drag_pb2 as rpc
from plugin import model_calls
from plugin.client import DaemonError
from plugin.daemon import Installation
from plugin.edit_model import Models, Progress
from plugin.model_calls import ABSENT, DAMAGED, PARTIAL, READY, Listing, Removed, Transfer
from plugin.worker import Finished, Job


@pytest.fixture
def installation(fake_daemon, tmp_path):
    file = tmp_path / "endpoint.json"
    file.write_text(json.dumps(fake_daemon.endpoint), encoding="utf-8")
    return Installation((), file, tmp_path / "start.log", {})


def events(call):
    async def collect():
        return [event async for event in call]

    return asyncio.run(collect())


def listing(installation):
    first, last = events(model_calls.list_all(installation))
    assert isinstance(first, Progress)
    assert isinstance(last, Listing)
    return last


def info(installation, name):
    return next(model for model in listing(installation).models if model.name == name)


def test_the_list(installation):
    told = listing(installation)
    embedded, sd15 = told.models
    assert (embedded.state, embedded.state_text) == (READY, "Ready, the default")
    assert (embedded.size, embedded.can_remove) == ("24 MB", False)
    assert (sd15.state, sd15.state_text, sd15.size) == (ABSENT, "Not here", "2.1 GB")
    assert "photographs" in sd15.purpose
    assert told.free == 38_400_000_000
    assert told.usable == Models(("embedded",))


def test_a_download_is_cancelled_and_resumed(installation, fake_daemon):
    fake_daemon.step_seconds = 0.05
    job = Job(lambda: model_calls.download(installation, "sd15"))
    job.start()
    transfer = job.next_event(10)
    assert isinstance(transfer, Transfer)
    assert transfer.total == 2_130_000_000
    job.cancel()
    while not isinstance(event := job.next_event(10), Finished):
        assert isinstance(event, Transfer)
    assert event.cancelled
    partly = info(installation, "sd15")
    assert (partly.state, partly.can_remove) == (PARTIAL, True)
    assert partly.size.endswith("of 2.1 GB are here")
    fake_daemon.step_seconds = 0.0
    *_, last = events(model_calls.download(installation, "sd15"))
    assert last.done == last.total
    assert listing(installation).usable == Models(("embedded", "sd15"))
    assert info(installation, "sd15").is_default
    assert not info(installation, "embedded").is_default


def test_damage_is_found_and_repaired(installation, fake_daemon):
    events(model_calls.download(installation, "sd15"))
    *_, last = events(model_calls.verify(installation, "sd15"))
    assert last.damaged == ()
    fake_daemon.is_damaged = True
    *_, last = events(model_calls.verify(installation, "sd15"))
    assert last.damaged == ("vae/diffusion_pytorch_model.fp16.safetensors",)
    damaged = info(installation, "sd15")
    assert (damaged.state, damaged.damaged) == (DAMAGED, last.damaged)
    assert "sd15" not in listing(installation).usable.names
    events(model_calls.download(installation, "sd15"))
    assert info(installation, "sd15").state == READY


def test_remove(installation):
    events(model_calls.download(installation, "sd15"))
    assert events(model_calls.remove(installation, "sd15")) == [Removed(2_130_000_000)]
    assert info(installation, "sd15").state == ABSENT


def test_what_the_daemon_refuses_is_said(installation):
    with pytest.raises(DaemonError, match="no model no/model"):
        events(model_calls.download(installation, "no/model"))


def test_without_a_daemon_that_is_said(tmp_path):
    nowhere = Installation((), tmp_path / "endpoint.json", tmp_path / "log", {})
    with pytest.raises(DaemonError, match="not installed"):
        events(model_calls.list_all(nowhere))


def test_only_models_that_are_here_are_offered_and_no_daemon_is_started(installation, tmp_path):
    assert events(model_calls.list_usable(installation)) == [Models(("embedded",))]
    nowhere = Installation((), tmp_path / "none.json", tmp_path / "log", {})
    assert events(model_calls.list_usable(nowhere)) == []


def test_a_model_for_measuring_only_is_not_offered(installation, fake_daemon):
    fake_daemon.models["x/sd2"] = rpc.Model(
        name="x/sd2", family="sd2", state=rpc.MODEL_STATE_READY, available=True
    )
    assert not info(installation, "x/sd2").can_use
    assert "x/sd2" not in listing(installation).usable.names


def test_what_the_daemon_says_of_known_models_is_among_the_plug_in_s_words():
    said = {text for m in catalogue.known_models() for text in (m.title, m.purpose, m.license)}
    said |= set(inventory._PURPOSES.values())
    assert said == set(model_calls.SENTENCES)
