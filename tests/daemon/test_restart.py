"""What was prepared survives a restart of the daemon, and what is on disk never breaks an edit."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from dragdiffusion.client.connection import Connection
from dragdiffusion.daemon.store import Store
from dragdiffusion.engine.drag_types import Pixels
from dragdiffusion_rpc import drag_pb2 as rpc
from fakes.running import RunningDaemon, StartDaemon, preparation, real_daemon, wait_until


def edit(daemon: Connection, image: Pixels, **fields: object) -> tuple[rpc.Run, bytes]:
    """How it went, and the pixels."""
    request = rpc.DragRequest(preparation=preparation(daemon.upload(image), **fields))  # type: ignore[arg-type]
    events = list(daemon.drag(request))
    run = next(event.edited_image.run for event in events if event.HasField("edited_image"))
    return run, b"".join(event.pixel_chunk.chunk for event in events)


def entries(folder: Path) -> list[Path]:
    return sorted((folder / "store").glob("*.prepared"))


def stop(running: RunningDaemon) -> None:
    running.process.terminate()
    assert running.process.wait(timeout=20) == 0


# ---- with the fake engine ----


def test_the_next_daemon_finds_it_prepared(
    start_daemon: StartDaemon, image: Pixels, tmp_path: Path
) -> None:
    first = start_daemon()
    with first.connect() as daemon:
        run, pixels = edit(daemon, image)
        assert not run.prepared_before
        assert edit(daemon, image)[0].prepared_before
    stop(first)  # has written when it ends
    assert len(entries(tmp_path)) == 1
    assert first.steps_done("restore") == 0

    second = start_daemon()
    with second.connect() as daemon:
        run, again = edit(daemon, image)
        status = daemon.status()
        in_memory, _ = edit(daemon, image)
    assert run.prepared_before
    assert {phase.phase for phase in run.phases} == {"load", "restore", "drag"}
    assert again == pixels
    assert second.steps_done("open") == 1
    assert {phase.phase for phase in in_memory.phases} == {"drag"}
    assert second.steps_done("restore") == 1
    assert status.stored_images == 1
    assert status.store_bytes == entries(tmp_path)[0].stat().st_size
    assert status.store_limit_bytes == 4 << 30
    assert status.store_folder == str(tmp_path / "store")


def test_another_request_is_prepared(
    start_daemon: StartDaemon, image: Pixels, tmp_path: Path
) -> None:
    with start_daemon().connect() as daemon:
        edit(daemon, image)
        assert not edit(daemon, image, prompt="another")[0].prepared_before
        wait_until(lambda: len(entries(tmp_path)) == 2)


@pytest.mark.parametrize("content", [b"", b"garbage", "cut"])
def test_a_damaged_one_is_prepared_anew_and_replaced(
    content: bytes | str, start_daemon: StartDaemon, image: Pixels, tmp_path: Path
) -> None:
    first = start_daemon()
    with first.connect() as daemon:
        _, pixels = edit(daemon, image)
    stop(first)
    (entry,) = entries(tmp_path)
    whole = entry.read_bytes()
    entry.write_bytes(whole[:-3] if isinstance(content, str) else content)

    second = start_daemon()
    with second.connect() as daemon:
        run, again = edit(daemon, image)
    stop(second)
    assert not run.prepared_before
    assert again == pixels
    assert entry.read_bytes() == whole
    assert "is not used, it is prepared anew" in (tmp_path / "state" / "daemon.log").read_text()


def test_a_whole_one_that_does_not_fit_is_prepared_anew(
    start_daemon: StartDaemon, image: Pixels, tmp_path: Path
) -> None:
    first = start_daemon()
    with first.connect() as daemon:
        edit(daemon, image)
    stop(first)
    (entry,) = entries(tmp_path)
    with closing(Store(tmp_path / "store", 1 << 20)) as store:
        store.write_later(entry.stem, lambda: b"not what an engine writes")

    second = start_daemon()
    with second.connect() as daemon:
        assert not edit(daemon, image)[0].prepared_before
        assert edit(daemon, image)[0].prepared_before
    assert second.steps_done("restore") == 1


def test_restoring_is_cancelled_within_a_step(
    start_daemon: StartDaemon, image: Pixels, tmp_path: Path
) -> None:
    first = start_daemon()
    with first.connect() as daemon:
        edit(daemon, image)
    stop(first)

    second = start_daemon(step_seconds=0.2)
    with second.connect() as daemon:
        request = rpc.DragRequest(preparation=preparation(daemon.upload(image)))
        events = daemon.drag(request)
        next(e for e in events if e.progress.stage == rpc.STAGE_INVERTING)
        events.close()
        took = wait_until(lambda: daemon.status().queue_length == 0, seconds=2)
        assert took < 1
        assert second.steps_done("record") <= 2
        assert edit(daemon, image)[0].prepared_before
    assert len(entries(tmp_path)) == 1


def test_zero_bytes_keep_nothing(start_daemon: StartDaemon, image: Pixels, tmp_path: Path) -> None:
    running = start_daemon(store_bytes=0)
    with running.connect() as daemon:
        edit(daemon, image)
        assert daemon.status().store_limit_bytes == 0
    stop(running)
    assert not (tmp_path / "store").exists()


def test_a_disk_that_takes_nothing_costs_no_edit(
    start_daemon: StartDaemon, image: Pixels, tmp_path: Path
) -> None:
    (tmp_path / "store").write_text("a file is in the way")
    running = start_daemon()
    with running.connect() as daemon:
        assert edit(daemon, image)[1]
    stop(running)
    assert "is not kept on disk" in (tmp_path / "state" / "daemon.log").read_text()


# ---- with the real engine and the embedded model ----


@pytest.fixture
def scene() -> Pixels:
    """Something with edges."""
    rows, cols = np.mgrid[0:96, 0:128]
    red = 255 * ((rows - 48) ** 2 + (cols - 50) ** 2 < 400)
    channels = [red, rows * 2, cols, np.full_like(rows, 255)]
    return np.stack(channels, axis=-1).astype(np.uint8)


@pytest.mark.slow
def test_the_embedded_model_edits_alike_after_a_restart(scene: Pixels, tmp_path: Path) -> None:
    """LoRA and inversion came from the disk, so the pixels tell that nothing of them was lost."""
    drags = {
        "default": {"mode": rpc.MODE_DEFAULT, "lora_steps": 2},
        "reference": {"mode": rpc.MODE_REFERENCE, "lora_steps": 1},
    }
    drags = {mode: {"model": "embedded", "drag_steps": 3, **drags[mode]} for mode in drags}
    with real_daemon(tmp_path) as daemon:
        first = {mode: edit(daemon, scene, **fields) for mode, fields in drags.items()}
    assert len(entries(tmp_path)) == 2
    with real_daemon(tmp_path) as daemon:
        second = {mode: edit(daemon, scene, **fields) for mode, fields in drags.items()}
        third = {mode: edit(daemon, scene, **fields) for mode, fields in drags.items()}
    expected = {"restore", "drag", "denoise", "decode"}
    of_its_own = {"default": {"load", "warp"}, "reference": set()}  # the model was loaded by then
    for mode in drags:
        (fresh, pixels), (restored, again), (kept, still) = first[mode], second[mode], third[mode]
        assert not fresh.prepared_before
        assert restored.prepared_before
        assert kept.prepared_before
        assert again == pixels
        assert still == pixels
        phases = {phase.phase: phase.seconds for phase in restored.phases}
        assert set(phases) == expected | of_its_own[mode]
        before = {phase.phase: phase.seconds for phase in fresh.phases}
        assert phases["restore"] < 0.5 * (before["lora"] + before["inversion"])
