"""The pure-Python client against a real gRPC server, another implementation (grpcio)."""

import asyncio
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from fakes_plugin import fake_daemon as fake_daemon_module
from fakes_plugin.fake_daemon import FakeDaemon

import dragdiffusion
import plugin
from dragdiffusion_rpc import drag_pb2 as rpc
from plugin import client
from plugin.client import DaemonError, DaemonHangs, DaemonUnreachable, Endpoint
from plugin.daemon import read_endpoint
from plugin.edit_model import (
    Drag,
    Edit,
    Handles,
    LayerState,
    PixelBuffer,
    Progress,
    Result,
    Settings,
    View,
)
from plugin.worker import Finished, Job

PLUGIN = Path(client.__file__).resolve().parents[1]


def endpoint_of(daemon, **changes):
    fields = {key: daemon.endpoint[key] for key in ("address", "token", "version", "log_file")}
    return Endpoint(**{**fields, **changes})


def an_edit(prompt="", side=16, mask=None, preview_every=0):
    image = PixelBuffer(side, side, 4, bytes([10, 20, 30, 255]) * (side * side))
    drags = (Drag("Stroke 1", ((4, 4), (9, 9))),)
    state = LayerState("Photo", "layer", side, side)
    return Edit(state, image, mask, drags, Settings(prompt=prompt), preview_every)


def drag(endpoint, edit):
    async def collect():
        return [event async for event in client.drag(endpoint, edit)]

    return asyncio.run(collect())


def failure(endpoint, edit, kind=DaemonError):
    with pytest.raises(kind) as caught:
        drag(endpoint, edit)
    return str(caught.value)


def test_a_drag_uploads_once_and_brings_the_result(fake_daemon):
    rows = bytearray(16 * 16)
    for y in range(3, 8):
        rows[16 * y + 2 : 16 * y + 10] = bytes([128] * 8)
    mask = PixelBuffer(16, 16, 1, bytes(rows))
    events = drag(endpoint_of(fake_daemon), an_edit(mask=mask, preview_every=1))
    result = events[-1]
    assert isinstance(result, Result)
    assert (result.x, result.y, result.pixels.width, result.pixels.height) == (2, 3, 8, 5)
    assert result.pixels.rows == bytes([245, 235, 225, 128]) * 40
    assert '"device": "fake"' in result.run
    assert Progress("Dragging: step 2 of 5 …", pytest.approx(0.4), 3.0) in events
    assert Handles(((4, 4),), step=1, max_steps=5, loss=1.0) in events
    assert View(4, 4, bytes([10, 20, 30]) * 16, 0, 0, 0.25) in events
    assert fake_daemon.uploads == 2
    drag(endpoint_of(fake_daemon), an_edit(mask=mask))
    assert fake_daemon.uploads == 2


def test_places_in_a_part_of_a_layer_become_places_in_the_layer(fake_daemon):
    rows = bytearray(16 * 16)
    for y in range(3, 8):
        rows[16 * y + 2 : 16 * y + 10] = bytes([255] * 8)
    whole = an_edit(mask=PixelBuffer(16, 16, 1, bytes(rows)), preview_every=1)
    by = (100, 200)
    part = replace(
        whole,
        layer=LayerState("Photo", "layer", 900, 800),
        image=replace(whole.image, x=by[0], y=by[1]),
        mask=replace(whole.mask, x=by[0], y=by[1]),
        drags=(Drag("Stroke 1", ((104, 204), (109, 209))),),
        region=(102, 203, 8, 5),
    )
    endpoint = endpoint_of(fake_daemon)
    here, there = drag(endpoint, whole), drag(endpoint, part)
    ours, theirs = (request.preparation for request in fake_daemon.requests)
    assert theirs.trajectories == ours.trajectories
    assert theirs.region == rpc.Rectangle(x=2, y=3, width=8, height=5)
    assert there[-1] == replace(here[-1], x=102, y=203)
    kinds = {type(event) for event in here}
    assert {Handles, View} <= kinds
    for one, other in zip(here, there, strict=True):
        if isinstance(one, View):
            assert other == replace(one, x=100, y=200)
        elif isinstance(one, Handles):
            assert other.points == tuple((x + 100, y + 200) for x, y in one.points)
    prepared = [collect_prepared(endpoint, edit) for edit in (whole, part)]
    assert [each.region for each in prepared] == [(2, 3, 8, 5), (102, 203, 8, 5)]


def collect_prepared(endpoint, edit):
    async def collect():
        return [event async for event in client.prepare(endpoint, edit)]

    return asyncio.run(collect())[-1]


def test_a_large_image_goes_in_chunks(fake_daemon):
    (result,) = drag(endpoint_of(fake_daemon), an_edit(side=1040))[-1:]
    assert len(result.pixels.rows) == 1040 * 1040 * 4 > 4 << 20  # gRPC's limit of a message


def test_a_unix_socket(tmp_path):
    with FakeDaemon(address=f"unix:{tmp_path}/socket") as daemon:
        assert isinstance(drag(endpoint_of(daemon), an_edit())[-1], Result)


def test_pixels_that_the_daemon_forgot_are_uploaded_again(fake_daemon):
    assert isinstance(drag(endpoint_of(fake_daemon), an_edit("forget"))[-1], Result)
    assert fake_daemon.uploads == 2


@pytest.mark.parametrize("code", ["INVALID_ARGUMENT", "FAILED_PRECONDITION", "NOT_FOUND"])
def test_the_daemons_own_sentence_is_told(fake_daemon, code):
    told = "The model “sd15” is not here: download it with “dragdiffusion models pull sd15”."
    assert failure(endpoint_of(fake_daemon), an_edit(f"fail {code} {told}")) == told


def test_a_daemon_that_is_stopping_counts_as_none(fake_daemon):
    told = failure(
        endpoint_of(fake_daemon), an_edit("fail UNAVAILABLE I am stopping."), DaemonUnreachable
    )
    assert told == "I am stopping."


def test_a_wrong_token_says_so(fake_daemon):
    assert failure(endpoint_of(fake_daemon, token="wrong"), an_edit()) == (
        "The daemon does not accept this plug-in's token: it was started by another program or "
        "user. Stop it, then try again."
    )


def test_a_daemon_that_dies_says_so(fake_daemon):
    assert failure(endpoint_of(fake_daemon), an_edit("die")).startswith(
        "The daemon does not answer any more; the image is as it was. Try again: the daemon is "
        "then started anew."
    )


@pytest.fixture
def daemon_process(tmp_path):
    """A fake daemon as a process; its endpoint."""
    file = tmp_path / "endpoint.json"
    environment = {**os.environ, "DRAGDIFFUSION_ENDPOINT_FILE": str(file)}
    process = subprocess.Popen([sys.executable, fake_daemon_module.__file__], env=environment)
    while not file.exists():
        time.sleep(0.05)
    yield read_endpoint(file)
    process.kill()
    process.wait()


@pytest.mark.parametrize("moment", ["at the first call", "while it drags"])
def test_a_daemon_that_hangs_is_waited_for_no_longer_than_said(daemon_process, monkeypatch, moment):
    monkeypatch.setattr(client, "WATCH_SECONDS", 0.3)
    monkeypatch.setattr(client, "ANSWER_SECONDS", 0.5)
    if moment == "at the first call":
        os.kill(daemon_process.pid, signal.SIGSTOP)

    async def follow():
        async for event in client.drag(daemon_process, an_edit("hang")):
            if isinstance(event, Progress) and event.sentence.startswith("Dragging"):
                os.kill(daemon_process.pid, signal.SIGSTOP)

    start = time.monotonic()
    with pytest.raises(
        DaemonHangs, match="The daemon does not answer: it is very busy, or it hangs"
    ):
        asyncio.run(follow())
    assert time.monotonic() - start < 5


def test_looking_whether_it_answers_holds_up_no_end(fake_daemon, monkeypatch):
    """Whenever the call ends: before, during or just after a look."""
    monkeypatch.setattr(client, "WATCH_SECONDS", 0.001)

    async def call_for(seconds):
        async with client._connected(endpoint_of(fake_daemon)):
            await asyncio.sleep(seconds)

    async def call_often():
        for number in range(200):
            await asyncio.wait_for(asyncio.shield(call_for(0.002 * (number % 7))), 5)

    asyncio.run(call_often())


def test_a_daemon_that_is_slow_is_waited_for(fake_daemon, monkeypatch):
    monkeypatch.setattr(client, "WATCH_SECONDS", 0.1)
    monkeypatch.setattr(client, "ANSWER_SECONDS", 0.5)
    assert isinstance(drag(endpoint_of(fake_daemon), an_edit("slow 0.4"))[-1], Result)


def test_half_a_result_is_none(fake_daemon):
    assert failure(endpoint_of(fake_daemon), an_edit("short")) == (
        "The daemon sent only a part of the result: see its log."
    )


def test_nobody_there():
    nobody = Endpoint("127.0.0.1:1", "token")
    failure(nobody, an_edit(), DaemonUnreachable)


def test_one_that_hangs_up_at_once_is_none():
    """As a daemon that is just ending may."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up():
            with suppress(OSError):
                while True:
                    caller, _address = server.accept()
                    caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    caller.close()

        threading.Thread(target=hang_up, daemon=True).start()
        there = Endpoint(f"127.0.0.1:{server.getsockname()[1]}", "token")
        for _ in range(100):
            with pytest.raises(DaemonUnreachable):
                asyncio.run(client.get_status(there))
        server.shutdown(socket.SHUT_RDWR)


def test_the_plug_in_and_the_daemon_are_of_one_version():
    assert plugin.__version__ == dragdiffusion.__version__


def test_every_stage_has_words():
    assert set(client.STAGES) == set(rpc.Stage.values()) - {rpc.STAGE_UNSPECIFIED}


@pytest.mark.parametrize("version", ["0.1.0", "0.1.9"])
def test_versions_that_agree(version):
    client.check_version(version)


@pytest.mark.parametrize("version", ["0.2.0", "1.1.0", ""])
def test_versions_that_differ(version):
    with pytest.raises(DaemonError) as caught:
        client.check_version(version)
    assert str(caught.value) == (
        f"The plug-in is version 0.1.0, but the daemon that runs is version {version}: stop the "
        "daemon and run the installer again, so that both are the same."
    )


# ---- the worker


def test_a_job_hands_over_its_events_and_ends(fake_daemon):
    job = Job(lambda: client.drag(endpoint_of(fake_daemon), an_edit()))
    job.start()
    events = []
    while not events or not isinstance(events[-1], Finished):
        events.append(job.next_event(5))
    assert isinstance(events[-2], Result)
    assert events[-1] == Finished()


def test_a_job_tells_its_error(fake_daemon):
    job = Job(lambda: client.drag(endpoint_of(fake_daemon), an_edit("fail INTERNAL Oh.")))
    job.start()
    event = None
    while not isinstance(event, Finished):
        event = job.next_event(5)
    with pytest.raises(DaemonError, match=r"^Oh\.$"):
        event.raise_error()


def test_cancel_reaches_the_daemon_at_once(fake_daemon):
    job = Job(lambda: client.drag(endpoint_of(fake_daemon), an_edit("hang")))
    job.start()
    while not fake_daemon.requests:
        job.next_event(0.1)
    began = time.monotonic()
    job.cancel()
    event = None
    while not isinstance(event, Finished):
        event = job.next_event(5)
    assert event.cancelled
    assert fake_daemon.cancelled.wait(5)
    assert time.monotonic() - began < 1
    job.join(5)
    job.cancel()  # harmless now


# ---- alone with its vendored packages, as in GIMP

ALONE = """
import asyncio, sys
sys.path[:0] = sys.argv[1:3]
import google.protobuf.internal.api_implementation as implementation
assert implementation.Type() == "python", implementation.Type()
from plugin import canvas, client, daemon, worker
status = asyncio.run(client.get_status(client.Endpoint(sys.argv[3], "a token")))
print(sys.version.split()[0], status.device)
"""


def _runs(python):
    try:
        return subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def _find(name):
    """That runs: on the path, or of pyenv, whose command of this name runs only where it was chosen."""
    installed = Path.home().glob(f".pyenv/versions/*/bin/{name}")
    return next(filter(_runs, [name, *sorted(installed)]), None)


# This Python, the oldest that GIMP may have, and what others are on the path.
OLDEST = "python3.9"
PYTHONS = [sys.executable, OLDEST, *filter(_runs, (f"python3.{minor}" for minor in range(10, 15)))]


@pytest.mark.parametrize("python", PYTHONS)
def test_the_vendored_packages_suffice(fake_daemon, python):
    if python == OLDEST:
        python = _find(OLDEST) or pytest.skip(f"There is no {OLDEST} here.")
    command = [python, "-I", "-S", "-W", "error", "-c", ALONE, PLUGIN, PLUGIN / "vendor"]
    done = subprocess.run(
        [*command, fake_daemon.address], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == "4090"
