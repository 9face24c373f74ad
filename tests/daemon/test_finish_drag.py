"""A drag told to take what it has, in every state that it can be in; the real daemon with the fake engine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dragdiffusion.client.connection import Connection, DaemonError
from dragdiffusion.engine.drag_types import Pixels
from dragdiffusion_rpc import drag_pb2 as rpc
from fakes.running import StartDaemon, preparation, wait_until


def named(daemon: Connection, image: Pixels, name: str, lora_steps: int = 0) -> rpc.DragRequest:
    order = preparation(daemon.upload(image), lora_steps=lora_steps, drag_steps=1000)
    return rpc.DragRequest(preparation=order, edit_id=name)


def run_of(events: Iterator[rpc.DragEvent]) -> rpc.Run:
    """Of a stream that ends as it should, with all its pixels."""
    rest = list(events)
    header = next(event.edited_image for event in rest if event.HasField("edited_image"))
    rows = b"".join(event.pixel_chunk.chunk for event in rest if event.HasField("pixel_chunk"))
    assert len(rows) == header.region.width * header.region.height * 4
    return header.run


def test_one_that_drags(start_daemon: StartDaemon, image: Pixels) -> None:
    running = start_daemon(step_seconds=0.02)
    with running.connect() as daemon:
        events = daemon.drag(named(daemon, image, "a"))
        next(event for event in events if event.HasField("drag_step"))
        assert not daemon.finish_drag("b")
        assert daemon.finish_drag("a")
        done = running.steps_done("drag")
        run = run_of(events)
        assert run.taken_early
        assert run.drag_steps <= done + 2  # the one that ran, and one that began
        assert not daemon.finish_drag("a")


def test_one_whose_image_is_being_prepared(start_daemon: StartDaemon, image: Pixels) -> None:
    running = start_daemon(step_seconds=0.05)
    with running.connect() as daemon:
        events = daemon.drag(named(daemon, image, "a", lora_steps=40))
        next(event for event in events if event.progress.stage == rpc.STAGE_FINE_TUNING)
        assert daemon.finish_drag("a")
        run = run_of(events)
        assert (run.drag_steps, run.taken_early) == (1, True)
        assert running.steps_done("fine_tuning") == 40


def test_one_that_waits_in_line(start_daemon: StartDaemon, image: Pixels) -> None:
    running = start_daemon(step_seconds=0.02)
    with running.connect() as daemon:
        first = daemon.drag(named(daemon, image, "first"))
        next(event for event in first if event.HasField("drag_step"))
        second = daemon.drag(named(daemon, image, "second"))
        assert next(second).progress.stage == rpc.STAGE_QUEUED
        assert daemon.finish_drag("second")
        assert next(event for event in first if event.HasField("drag_step"))
        first.close()
        assert run_of(second).drag_steps == 1


def test_one_that_has_a_name_can_be_cancelled_and_its_name_used_again(
    start_daemon: StartDaemon, image: Pixels
) -> None:
    running = start_daemon(step_seconds=0.02)
    with running.connect() as daemon:
        events = daemon.drag(named(daemon, image, "a"))
        next(event for event in events if event.HasField("drag_step"))
        with pytest.raises(DaemonError, match="Another drag") as raised:
            next(daemon.drag(named(daemon, image, "a")))
        assert raised.value.field == "edit_id"
        events.close()
        wait_until(lambda: not daemon.finish_drag("a"))
        wait_until(lambda: running.steps_done("stopped"))
        again = daemon.drag(named(daemon, image, "a"))
        next(event for event in again if event.HasField("drag_step"))
        assert daemon.finish_drag("a")
        assert run_of(again).taken_early


def test_one_without_a_name_cannot(start_daemon: StartDaemon, image: Pixels) -> None:
    running = start_daemon(step_seconds=0.02)
    with running.connect() as daemon:
        events = daemon.drag(named(daemon, image, ""))
        next(event for event in events if event.HasField("drag_step"))
        assert not daemon.finish_drag("")
        events.close()
