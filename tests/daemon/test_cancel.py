"""Whoever ends the stream, and however: the device is free within one iteration."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from dragdiffusion.client.connection import Connection, DaemonError
from dragdiffusion.engine.drag_types import Pixels
from dragdiffusion_rpc import drag_pb2 as rpc
from fakes.running import RunningDaemon, StartDaemon, preparation, wait_until

STEP_SECONDS = 0.1


def long_drag(daemon: Connection, image: Pixels) -> rpc.DragRequest:
    return rpc.DragRequest(
        preparation=preparation(daemon.upload(image), lora_steps=0, drag_steps=1000)
    )


def test_closing_the_stream_stops_the_engine(start_daemon: StartDaemon, image: Pixels) -> None:
    running = start_daemon(step_seconds=STEP_SECONDS)
    with running.connect() as daemon:
        events = daemon.drag(long_drag(daemon, image))
        next(event for event in events if event.HasField("drag_step"))
        done = running.steps_done("drag")
        events.close()
        wait_until(lambda: running.steps_done("stopped"))
        assert running.steps_done("drag") <= done + 2  # the one that ran, and one that began
        wait_until(lambda: daemon.status().queue_length == 0)
    assert running.steps()[-2:] == ["stopped", "free"]


def test_a_killed_client_frees_the_device(
    start_daemon: StartDaemon,
) -> None:
    running = start_daemon(step_seconds=STEP_SECONDS)
    program = (
        "import numpy as np\n"
        "from fakes.running import preparation\n"
        "from dragdiffusion.client.launch import find_daemon\n"
        "from dragdiffusion.client.connection import Connection, rpc\n"
        "daemon = Connection(find_daemon())\n"
        "image = daemon.upload(np.zeros((48, 64, 4), np.uint8))\n"
        "order = preparation(image, lora_steps=0, drag_steps=1000)\n"
        "for event in daemon.drag(rpc.DragRequest(preparation=order)): pass\n"
    )
    client = subprocess.Popen([sys.executable, "-c", program], env=running.environment)
    wait_until(lambda: running.steps_done("drag") >= 2)
    client.kill()
    client.wait()
    wait_until(lambda: running.steps_done("stopped"), seconds=3)
    with running.connect() as daemon:
        wait_until(lambda: daemon.status().queue_length == 0, seconds=3)
    assert running.steps()[-2:] == ["stopped", "free"]


def test_those_who_wait_are_told_their_place(start_daemon: StartDaemon, image: Pixels) -> None:
    running = start_daemon(step_seconds=STEP_SECONDS)
    places: dict[str, list[int]] = {"second": [], "third": []}

    def wait_in_line(name: str) -> None:
        with running.connect() as daemon:
            for event in daemon.drag(long_drag(daemon, image)):
                if event.progress.stage != rpc.STAGE_QUEUED:
                    return
                places[name].append(event.progress.queue_position)

    with running.connect() as daemon:
        first = daemon.drag(long_drag(daemon, image))
        next(event for event in first if event.HasField("drag_step"))
        threads = []
        for index, name in enumerate(places):
            threads.append(threading.Thread(target=wait_in_line, args=(name,)))
            threads[-1].start()
            wait_until(lambda index=index: daemon.status().queue_length == index + 2)
        first.close()
        for thread in threads:
            thread.join(10)
    assert places["second"][0] == 1
    assert places["third"][0] == 2
    assert places["third"][-1] in (0, 1)
    assert places["third"] == sorted(places["third"], reverse=True)


def test_one_who_waits_can_leave(start_daemon: StartDaemon, image: Pixels) -> None:
    running = start_daemon(step_seconds=STEP_SECONDS)
    with running.connect() as daemon:
        first = daemon.drag(long_drag(daemon, image))
        next(event for event in first if event.HasField("drag_step"))
        second = daemon.drag(long_drag(daemon, image))
        assert next(second).progress.stage == rpc.STAGE_QUEUED
        second.close()
        assert wait_until(lambda: daemon.status().queue_length == 1) < 1
        assert next(event for event in first if event.HasField("drag_step"))
        first.close()


def test_too_long_a_line_is_refused(start_daemon: StartDaemon, image: Pixels) -> None:
    running = start_daemon(step_seconds=STEP_SECONDS, max_waiting_edits=1)
    with running.connect() as daemon:
        first = daemon.drag(long_drag(daemon, image))
        next(event for event in first if event.HasField("drag_step"))
        second = daemon.drag(long_drag(daemon, image))
        next(second)
        with pytest.raises(DaemonError, match="wait already"):
            next(daemon.drag(long_drag(daemon, image)))
        second.close()
        first.close()


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_running_edit(
    number: int, start_daemon: StartDaemon, image: Pixels
) -> None:
    running = start_daemon(step_seconds=STEP_SECONDS)
    with running.connect() as daemon:
        events = daemon.drag(long_drag(daemon, image))
        next(event for event in events if event.HasField("drag_step"))
        os.kill(running.process.pid, number)
        began = time.monotonic()
        with pytest.raises(DaemonError, match=r"The daemon was stopped") as raised:
            list(events)
    assert raised.value.code.name == "UNAVAILABLE"
    _assert_gone(running, began)


def test_shutdown_is_refused_while_busy_if_asked(start_daemon: StartDaemon, image: Pixels) -> None:
    running = start_daemon(step_seconds=STEP_SECONDS)
    with running.connect() as daemon:
        events = daemon.drag(long_drag(daemon, image))
        next(event for event in events if event.HasField("drag_step"))
        assert not daemon.shut_down(only_if_idle=True)
        began = time.monotonic()
        assert daemon.shut_down()
        with pytest.raises(DaemonError, match="The daemon was stopped"):
            list(events)
    _assert_gone(running, began)


def _assert_gone(running: RunningDaemon, began: float) -> None:
    assert running.process.wait(timeout=10) == 0
    assert time.monotonic() - began < 3
    assert not running.endpoint_file.exists()
