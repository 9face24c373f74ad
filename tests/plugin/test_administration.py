"""What “About the daemon” shows and does, against a fake daemon: in this process, or as a program where it must end."""

import asyncio
import json
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from fakes_plugin import fake_daemon as fake_daemon_module

from plugin import administration
from plugin.administration import About, Busy, Said
from plugin.client import DaemonError
from plugin.daemon import Installation
from plugin.quantities import duration_text, size_text

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = [sys.executable, str(Path(fake_daemon_module.__file__))]


@pytest.fixture
def installation(tmp_path):
    def make(*command):
        file = tmp_path / "endpoint.json"
        environment = {"DRAGDIFFUSION_ENDPOINT_FILE": str(file), "PATH": "/usr/bin:/bin"}
        if command:
            command = ("/usr/bin/env", f"PYTHONPATH={ROOT / 'protos'}", *command)
        return Installation(command, file, tmp_path / "start.log", environment)

    yield make
    file = tmp_path / "endpoint.json"
    pid = json.loads(file.read_text()).get("pid") if file.exists() else None
    if pid not in (None, os.getpid()):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


@pytest.fixture
def running(installation, fake_daemon):
    made = installation()
    made.endpoint_file.write_text(json.dumps(fake_daemon.endpoint), encoding="utf-8")
    return made


def events(call):
    async def collect():
        return [event async for event in call]

    return asyncio.run(collect())


def only(call):
    (event,) = events(call)
    return event


def pid_of(installation):
    return json.loads(installation.endpoint_file.read_text())["pid"]


def test_how_the_daemon_is(running, fake_daemon):
    about = only(administration.about(running))
    rows = dict(about.rows)
    assert about.is_running
    assert (about.can_unload, about.can_clear, about.note) == (True, True, "")
    assert rows["Works on"] == "cuda:0 NVIDIA GeForce RTX 4090, float16"
    assert rows["Memory"] == "18 GB of 24 GB are free; the daemon takes 1.4 GB"
    assert rows["Model in memory"] == "sd15"
    assert rows["Latest edit"] == "about 3.6 GiB needed, 17.1 GiB available: enough for full speed"
    assert rows["Running for"] == "3 h 12 min"
    assert rows["Prepared in memory"] == "2 pictures, 64 MB"
    assert rows["Prepared on disk"] == "5 pictures, 155 MB (of at most 4.3 GB)"
    assert rows["Edits"] == "none"
    assert about.log == "\n".join(fake_daemon.log)
    assert about.log_file.endswith("daemon.log")


@pytest.mark.parametrize("content", [None, '{"address": "127.0.0.1:1", "token": "x"}'])
def test_without_a_daemon_nothing_is_started(content, installation):
    made = installation(*PROGRAM)
    if content:
        made.endpoint_file.write_text(content)
    assert only(administration.about(made)) == About()


def test_a_daemon_of_another_version_is_shown_all_the_same(installation):
    with fake_daemon_module.FakeDaemon(version="9.0.0") as fake:
        made = installation()
        made.endpoint_file.write_text(json.dumps(fake.endpoint))
        about = only(administration.about(made))
    assert dict(about.rows)["Version"] == "9.0.0"
    assert "restart it" in about.note


def test_a_daemon_that_is_slow_is_not_taken_for_none(running, fake_daemon, monkeypatch):
    monkeypatch.setattr(administration, "ANSWER_SECONDS", 0.1)
    fake_daemon.answer_seconds = 0.5
    about = only(administration.about(running))
    assert about.rows == (("Process", str(os.getpid())),)
    assert about.note.startswith("The daemon does not answer: it is very busy, or it hangs.")
    assert (about.is_running, about.can_unload, about.can_clear) == (True, False, False)


def test_unload(running, fake_daemon):
    assert only(administration.unload(running)) == Said(
        "The model and the prepared pictures have left memory."
    )
    about = only(administration.about(running))
    assert not about.can_unload
    assert "Latest edit" not in dict(about.rows)
    fake_daemon.busy = 1
    assert "nothing was freed" in only(administration.unload(running)).sentence
    assert dict(only(administration.about(running)).rows)["Edits"] == "1 waits or runs"


def test_clear_cache(running):
    said = only(administration.clear_cache(running)).sentence
    assert said == "5 prepared pictures were removed from the disk: 155 MB are free."
    about = only(administration.about(running))
    assert not about.can_clear
    assert dict(about.rows)["Prepared on disk"] == "none (of at most 4.3 GB)"


def test_what_cannot_be_asked_is_said(installation):
    with pytest.raises(DaemonError, match="nothing to free"):
        events(administration.unload(installation()))
    with pytest.raises(DaemonError, match="not installed"):
        events(administration.restart(installation()))


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the daemon outlives its Popen, on purpose
def test_restart_is_another_process(installation):
    made = installation(*PROGRAM)
    assert only(administration.start(made)) == Said("The daemon was started.")
    first = pid_of(made)
    assert only(administration.restart(made)) == Said("The daemon was started anew.")
    assert pid_of(made) != first
    assert only(administration.about(made)).is_running


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_restart_asks_where_an_edit_runs(installation):
    made = installation(*PROGRAM, "--busy", "2")
    events(administration.start(made))
    first = pid_of(made)
    assert only(administration.restart(made)) == Busy(2)
    assert pid_of(made) == first
    assert only(administration.about(made)).is_running
    assert isinstance(only(administration.restart(made, even_if_busy=True)), Said)
    assert pid_of(made) != first


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_restart_starts_one_that_does_not_run(installation):
    made = installation(*PROGRAM)
    assert isinstance(only(administration.restart(made)), Said)
    assert only(administration.about(made)).is_running


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (740, "740 B"),
        (999_600, "1 MB"),
        (2.13e9, "2.1 GB"),
        (9.96e9, "10 GB"),
        (2e15, "2000 TB"),
    ],
)
def test_sizes(count, text):
    assert size_text(count) == text


@pytest.mark.parametrize(("seconds", "text"), [(3, "3 s"), (185, "3 min"), (7260, "2 h 1 min")])
def test_durations(seconds, text):
    assert duration_text(seconds) == text
