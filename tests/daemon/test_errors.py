"""What goes wrong comes back as a status code, one sentence and the field at fault; never as a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from dragdiffusion.client.connection import DaemonError
from dragdiffusion.engine.drag_types import Pixels
from dragdiffusion_rpc import drag_pb2 as rpc
from fakes.running import StartDaemon, preparation

FAR_AWAY = rpc.Trajectory(points=[rpc.Point(x=900, y=20), rpc.Point(x=40, y=30)])
ONE_POINT = rpc.Trajectory(points=[rpc.Point(x=20, y=20)])
NOT_HERE = rpc.BufferReference(sha256=b"0" * 32, width=1, height=1, format=1)
NO_FORMAT = rpc.BufferReference(sha256=b"0" * 32, width=1, height=1, format=77)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "code", "field", "words"),
    [
        ({"model": "no such model"}, "NOT_FOUND", "model", "There is no model"),
        ({"model": "sd15"}, "FAILED_PRECONDITION", "model", "models download sd15"),
        ({"trajectories": []}, "INVALID_ARGUMENT", "trajectories", "at least one handle"),
        ({"trajectories": [ONE_POINT]}, "INVALID_ARGUMENT", "trajectories[0]", "target"),
        ({"trajectories": [FAR_AWAY]}, "INVALID_ARGUMENT", "trajectories[0]", "outside"),
        (
            {"hyper_parameters": rpc.HyperParameters(inversion_strength=2)},
            "INVALID_ARGUMENT",
            "hyper_parameters.inversion_strength",
            "in (0, 1]",
        ),
        (
            {"hyper_parameters": rpc.HyperParameters(fit=77)},  # type: ignore[arg-type]
            "INVALID_ARGUMENT",
            "hyper_parameters.fit",
            "not known",
        ),
        ({"image": NOT_HERE}, "NOT_FOUND", "image", "this image: upload it"),
        ({"mask": NOT_HERE}, "NOT_FOUND", "mask", "this mask: upload it"),
        ({"image": NO_FORMAT}, "INVALID_ARGUMENT", "image.format", "needs a pixel format"),
        ({"mask": NO_FORMAT}, "INVALID_ARGUMENT", "mask.format", "needs a pixel format"),
        ({"image": None}, "INVALID_ARGUMENT", "image", "no image"),
        ({"prompt": "fail: memory"}, "RESOURCE_EXHAUSTED", "", "smaller area"),
        ({"mode": 77}, "INVALID_ARGUMENT", "mode", "not known"),
    ],
)
def test_a_bad_request_is_explained(
    fields: dict[str, object],
    code: str,
    field: str,
    words: str,
    shared_daemon: StartDaemon,
    image: Pixels,
) -> None:
    with shared_daemon().connect() as daemon:
        request = preparation(daemon.upload(image), **fields)
        with pytest.raises(DaemonError) as raised:
            list(daemon.drag(rpc.DragRequest(preparation=request)))
    assert raised.value.code.name == code
    assert raised.value.field == field
    assert words in str(raised.value)
    assert "Traceback" not in str(raised.value)


def test_a_mask_of_another_size_is_refused(shared_daemon: StartDaemon, image: Pixels) -> None:
    with shared_daemon().connect() as daemon:
        mask = daemon.upload(image[:10, :10, 0].copy())
        request = preparation(daemon.upload(image), mask=mask)
        with pytest.raises(DaemonError, match="64 × 48") as raised:
            list(daemon.drag(rpc.DragRequest(preparation=request)))
    assert raised.value.field == "mask"


def test_a_defect_names_the_log_and_is_in_it(shared_daemon: StartDaemon, image: Pixels) -> None:
    running = shared_daemon()
    with running.connect() as daemon:
        request = preparation(daemon.upload(image), prompt="fail: defect")
        with pytest.raises(DaemonError) as raised:
            list(daemon.drag(rpc.DragRequest(preparation=request)))
    assert raised.value.code.name == "INTERNAL"
    assert running.endpoint.log_file in str(raised.value)
    assert "ZeroDivisionError: a defect" in Path(running.endpoint.log_file).read_text()


def test_too_little_memory_is_tried_once_more_in_less(
    start_daemon: StartDaemon, image: Pixels
) -> None:
    running = start_daemon()
    with running.connect() as daemon:
        request = preparation(daemon.upload(image), prompt="fail: memory at first")
        events = list(daemon.drag(rpc.DragRequest(preparation=request)))
        header = next(e.edited_image for e in events if e.HasField("edited_image"))
        assert header.run.memory_plan == "everything is saved"
        assert daemon.status().memory_plan == "everything is saved"
    log = Path(running.endpoint.log_file).read_text()
    assert log.count("It is tried once more, in less memory.") == 1


def test_the_daemon_works_on_after_an_error(shared_daemon: StartDaemon, image: Pixels) -> None:
    with shared_daemon().connect() as daemon:
        reference = daemon.upload(image)
        failing = rpc.DragRequest(preparation=preparation(reference, prompt="fail: memory"))
        with pytest.raises(DaemonError):
            list(daemon.drag(failing))
        assert daemon.status().prepared_images == 0
        events = list(daemon.drag(rpc.DragRequest(preparation=preparation(reference))))
    assert any(event.HasField("edited_image") for event in events)
