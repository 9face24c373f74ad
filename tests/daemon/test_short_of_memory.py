"""The real engine where memory runs out in the middle of an edit, through the daemon."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import pytest

from dragdiffusion.client.connection import Connection, DaemonError
from dragdiffusion.daemon import endpoint as endpoints
from dragdiffusion.daemon.torch_engine import TorchEngine
from dragdiffusion.engine import generation
from dragdiffusion.engine.config import Generation
from dragdiffusion.engine.drag_types import Pixels
from dragdiffusion.engine.errors import OutOfMemory
from dragdiffusion.models.catalogue import resolve
from dragdiffusion.settings import Settings
from dragdiffusion_rpc import drag_pb2 as rpc
from fakes.running import daemon_environment, preparation, wait_until

MIB = 1 << 20
TINY = Path(__file__).parents[1] / "parity" / "data" / "model"


@contextmanager
def daemon(folder: Path, **settings: object) -> Iterator[Connection]:
    environment = daemon_environment(folder, default_model=TINY, device="cpu", **settings)
    command = [sys.executable, "-m", "fakes.short_of_memory"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    file = folder / "endpoint.json"
    wait_until(lambda: endpoints.read(file), seconds=60)
    endpoint = endpoints.read(file)
    assert endpoint is not None
    try:
        with Connection(endpoint) as connection:
            yield connection
    finally:
        process.terminate()
        process.wait(timeout=30)


def drag_request(connection: Connection, image: Pixels, prompt: str = "") -> rpc.DragRequest:
    request = preparation(connection.upload(image), lora_steps=1, prompt=prompt)
    request.hyper_parameters.working_size = 64
    return rpc.DragRequest(preparation=request)


def test_the_edit_is_done_at_the_second_try_or_it_is_explained_and_all_is_freed(
    tmp_path: Path, image: Pixels
) -> None:
    with daemon(tmp_path) as connection:
        events = list(connection.drag(drag_request(connection, image)))
        status = connection.status()
        log = Path(status.log_file).read_text()
        assert status.prepared_images == 1
        with pytest.raises(DaemonError, match=r"GiB needed, \d+\.\d GiB available") as raised:
            list(connection.drag(drag_request(connection, image, "hopeless")))
        status = connection.status()
    header = next(e.edited_image for e in events if e.HasField("edited_image"))
    assert "activations are computed twice" in header.run.memory_plan
    assert log.count("It is tried once more, in less memory.") == 1
    assert "GiB needed" in log
    assert raised.value.code.name == "RESOURCE_EXHAUSTED"
    assert (status.loaded_model, status.prepared_images) == ("", 0)


@pytest.mark.parametrize(
    "message",
    ["CUDA error: out of memory", "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling …"],
)
def test_what_the_card_s_libraries_say_is_understood(
    monkeypatch: pytest.MonkeyPatch, message: str
) -> None:
    def fail(*_: object, **__: object) -> Iterator[None]:
        raise RuntimeError(message)
        yield

    monkeypatch.setattr(generation, "generate", fail)
    engine = TorchEngine(Settings(device="cpu"))
    model = engine.load(resolve(str(TINY)))
    with pytest.raises(OutOfMemory, match="close other programs"):
        next(engine.generate(model, Generation(), stop=Event()))


def test_a_picture_for_which_there_is_no_room_is_not_begun(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = TorchEngine(Settings(device="cpu"))
    model = engine.load(resolve(str(TINY)))
    small, large = (Generation(width=side, height=side) for side in (64, 4096))
    monkeypatch.setattr(engine, "device_memory_bytes", lambda: (64 * MIB, 32 * MIB))
    next(engine.generate(model, small, stop=Event()))
    assert "enough for full speed" in engine.memory_plan
    with pytest.raises(OutOfMemory, match=r"for this picture .* make it smaller"):
        next(engine.generate(model, large, stop=Event()))


def test_low_needs_no_second_try(tmp_path: Path, image: Pixels) -> None:
    with daemon(tmp_path, memory="low") as connection:
        events = list(connection.drag(drag_request(connection, image)))
        log = Path(connection.status().log_file).read_text()
    assert any(event.HasField("edited_image") for event in events)
    assert "tried once more" not in log
