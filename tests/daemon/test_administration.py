"""How the daemon is, freeing what it holds in memory and on disk, and what it refuses while edits run."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from dragdiffusion.client.connection import DaemonError
from dragdiffusion.daemon.logs import last_lines
from dragdiffusion.engine.drag_types import Pixels
from dragdiffusion_rpc import drag_pb2 as rpc
from fakes.running import RunningDaemon, StartDaemon, preparation, wait_until


def edit(running: RunningDaemon, image: Pixels, **fields: object) -> None:
    with running.connect() as daemon:
        request = preparation(daemon.upload(image), **fields)  # type: ignore[arg-type]
        list(daemon.drag(rpc.DragRequest(preparation=request)))


@pytest.fixture
def busy(start_daemon: StartDaemon, image: Pixels) -> Iterator[RunningDaemon]:
    """A daemon in the middle of a drag."""
    running = start_daemon(step_seconds=0.1)
    failed: list[BaseException] = []

    def work() -> None:
        try:
            edit(running, image, drag_steps=300)
        except DaemonError as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    wait_until(lambda: running.steps_done("drag"))
    yield running
    assert not failed  # nothing disturbed it
    with running.connect() as daemon:
        daemon.shut_down()
    thread.join(20)


def test_status_tells_how_long_it_runs_and_what_the_log_says_last(
    start_daemon: StartDaemon, image: Pixels
) -> None:
    running = start_daemon()
    with running.connect() as daemon:
        assert not daemon.status().log_lines  # unless they are asked for
        status = daemon.status(log_lines=3)
        assert 0 < status.uptime_seconds < 30
        assert any("listens on" in line for line in status.log_lines)
        with pytest.raises(DaemonError):
            edit(running, image, model="no such model")
        latest = daemon.status(log_lines=1)
    (line,) = latest.log_lines
    assert "no such model" in line
    assert latest.uptime_seconds > status.uptime_seconds
    assert line == Path(latest.log_file).read_text(encoding="utf-8").splitlines()[-1]


def test_unload_frees_model_and_prepared_images(start_daemon: StartDaemon, image: Pixels) -> None:
    running = start_daemon()
    edit(running, image)
    with running.connect() as daemon:
        before = daemon.status()
        assert before.loaded_model
        assert before.prepared_images == 1
        assert daemon.unload()
        after = daemon.status()
    assert (after.loaded_model, after.prepared_images, after.prepared_bytes) == ("", 0, 0)
    assert after.stored_images == 1  # what is on disk stays
    edit(running, image)
    assert running.steps_done("restore") == 1
    assert sum("load" in line for line in running.journal.read_text().splitlines()) == 2


def test_unload_without_a_model_is_no_error(start_daemon: StartDaemon) -> None:
    with start_daemon().connect() as daemon:
        assert daemon.unload()


def test_clear_store_frees_the_disk_and_keeps_memory(
    start_daemon: StartDaemon, image: Pixels, tmp_path: Path
) -> None:
    running = start_daemon()
    edit(running, image)
    wait_until(lambda: list((tmp_path / "store").glob("*.prepared")))
    with running.connect() as daemon:
        size = daemon.status().store_bytes
        answer = daemon.clear_store()
        assert (answer.removed_images, answer.removed_bytes, answer.left_images) == (1, size, 0)
        assert daemon.status().store_bytes == 0
        assert daemon.clear_store().removed_images == 0
    edit(running, image)
    assert running.steps_done("open") == 1


def test_unload_and_a_gentle_shutdown_refuse_while_an_edit_runs(busy: RunningDaemon) -> None:
    with busy.connect() as daemon:
        assert not daemon.unload()
        assert not daemon.shut_down(only_if_idle=True)
        assert daemon.status().loaded_model
        assert daemon.status().queue_length == 1


@pytest.mark.parametrize("metadata", [[], [("authorization", "Bearer wrong")]])
def test_without_the_token_nothing_is_done(
    metadata: list[tuple[str, str]], shared_daemon: StartDaemon, image: Pixels
) -> None:
    running = shared_daemon()
    edit(running, image)
    stub, _ = running.stub()
    for call, request in (
        (stub.Unload, rpc.UnloadRequest()),
        (stub.ClearStore, rpc.ClearStoreRequest()),
        (stub.GetStatus, rpc.GetStatusRequest(log_lines=5)),
    ):
        with pytest.raises(grpc.RpcError) as raised:
            call(request, metadata=metadata)
        assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED
    with running.connect() as daemon:
        assert daemon.status().loaded_model


@pytest.mark.parametrize(("count", "expected"), [(0, []), (2, ["8", "ä9"]), (99, None)])
def test_the_last_lines(count: int, expected: list[str] | None, tmp_path: Path) -> None:
    file = tmp_path / "log"
    lines = [str(number) for number in range(9)] + ["ä9"]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert last_lines(file, count) == (lines if expected is None else expected)


def test_of_a_long_log_only_the_end_is_read(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_text("".join(f"{number:0200d}\n" for number in range(10_000)), encoding="utf-8")
    assert [int(line) for line in last_lines(file, 4)] == [9996, 9997, 9998, 9999]
    (only,) = last_lines(tmp_path / "none", 4)
    assert "cannot be read" in only
