"""Edits through the real daemon: what comes back, in which order, and what is not done twice."""

from __future__ import annotations

import json

import numpy as np

from dragdiffusion.client.connection import to_pixels
from dragdiffusion.engine.drag_types import Pixels
from dragdiffusion_rpc import drag_pb2 as rpc
from fakes.running import StartDaemon, preparation


def test_a_drag_gives_progress_steps_and_pixels(start_daemon: StartDaemon, image: Pixels) -> None:
    with start_daemon().connect() as daemon:
        request = rpc.DragRequest(
            preparation=preparation(daemon.upload(image)), preview_every=2, include_raw=True
        )
        events = list(daemon.drag(request))

    fractions = [e.progress.fraction for e in events if e.HasField("progress")]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    steps = [e.drag_step for e in events if e.HasField("drag_step")]
    assert [step.step for step in steps] == [1, 2, 3, 4]
    assert (steps[-1].handles[0].x, steps[-1].handles[0].y) == (40, 30)
    previews = [e.preview for e in events if e.HasField("preview")]
    assert len(previews[-1].rgb) == previews[-1].width * previews[-1].height * 3

    header = next(e.edited_image for e in events if e.HasField("edited_image"))
    rows = b"".join(e.pixel_chunk.chunk for e in events if e.HasField("pixel_chunk"))
    pixels = to_pixels(header.pixels, rows[: 48 * 64 * 4])
    raw = to_pixels(header.raw, rows[48 * 64 * 4 :])
    assert raw.shape == (48, 64, 3)
    np.testing.assert_array_equal(pixels[30, 40], image[20, 20])
    assert pixels[0, 0, 3] == 0
    assert header.run.drag_steps == 4
    assert header.run.device == "cpu (fake)"
    assert header.run.peak_memory_bytes > 1 << 20
    assert json.loads(header.run.config_json)["lora"]["steps"] == 2


def test_stages_come_in_order(start_daemon: StartDaemon, image: Pixels) -> None:
    with start_daemon().connect() as daemon:
        request = rpc.DragRequest(preparation=preparation(daemon.upload(image)))
        progress = [e.progress for e in daemon.drag(request) if e.HasField("progress")]
    stages = [p.stage for p in progress if p.stage != rpc.STAGE_QUEUED]
    assert stages == sorted(stages)
    assert stages[0] == rpc.STAGE_LOADING_MODEL
    assert stages[-1] == rpc.STAGE_COMPOSITING
    assert progress[-1].eta_seconds == 0


def test_prepare_then_drag_prepares_once(start_daemon: StartDaemon, image: Pixels) -> None:
    running = start_daemon()
    with running.connect() as daemon:
        request = preparation(daemon.upload(image))
        *_, last = daemon.prepare(request)
        assert last.prepared.region == rpc.Rectangle(width=64, height=48)
        assert not last.prepared.run.prepared_before
        events = list(daemon.drag(rpc.DragRequest(preparation=request)))
    header = next(e.edited_image for e in events if e.HasField("edited_image"))
    assert header.run.prepared_before
    assert running.steps_done("open") == 1


def test_the_session_memory_is_bounded(start_daemon: StartDaemon, image: Pixels) -> None:
    with start_daemon(session_bytes=2500).connect() as daemon:
        reference = daemon.upload(image)
        for lora_steps in (1, 2, 3, 4):
            list(daemon.prepare(preparation(reference, lora_steps=lora_steps)))
        status = daemon.status()
    assert (status.prepared_images, status.prepared_bytes) == (2, 2000)


def test_the_model_leaves_memory_after_a_while(start_daemon: StartDaemon, image: Pixels) -> None:
    from fakes.running import wait_until

    with start_daemon(release_minutes=0.01).connect() as daemon:
        list(daemon.prepare(preparation(daemon.upload(image))))
        assert daemon.status().loaded_model
        wait_until(lambda: not daemon.status().loaded_model)
        assert daemon.status().prepared_images == 0
