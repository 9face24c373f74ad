"""The real daemon with the fake engine as a process, and what tests ask of it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc

from dragdiffusion.client.connection import Connection
from dragdiffusion.daemon import endpoint as endpoints
from dragdiffusion.daemon.endpoint import Endpoint
from dragdiffusion_rpc import drag_pb2 as rpc
from dragdiffusion_rpc.drag_pb2_grpc import DragDiffusionStub

ROOT = Path(__file__).parents[2]


@dataclass
class RunningDaemon:
    process: subprocess.Popen[str]
    endpoint: Endpoint
    endpoint_file: Path
    journal: Path
    environment: dict[str, str]

    def connect(self) -> Connection:
        return Connection(self.endpoint)

    def stub(self, token: str | None = None) -> tuple[DragDiffusionStub, list[tuple[str, str]]]:
        """The bare stub and the metadata to call it with."""
        channel = grpc.insecure_channel(self.endpoint.address)
        token = self.endpoint.token if token is None else token
        return DragDiffusionStub(channel), [("authorization", f"Bearer {token}")]

    def steps(self) -> list[str]:
        """The fake engine's journal."""
        return self.journal.read_text().splitlines() if self.journal.exists() else []

    def steps_done(self, name: str) -> int:
        return self.steps().count(name)


StartDaemon = Callable[..., RunningDaemon]


def wait_until(holds: Callable[[], object], seconds: float = 10.0) -> float:
    """How long it took to hold."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < seconds, "waited too long"
        time.sleep(0.01)
    return time.monotonic() - began


def daemon_environment(folder: Path, **settings: object) -> dict[str, str]:
    environment = {
        **os.environ,
        "DRAGDIFFUSION_ENDPOINT_FILE": str(folder / "endpoint.json"),
        "DRAGDIFFUSION_STATE_FOLDER": str(folder / "state"),
        "DRAGDIFFUSION_STORE_FOLDER": str(folder / "store"),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "HF_HOME": str(folder / "huggingface"),
        "PYTHONPATH": os.pathsep.join(
            [*(str(ROOT / part) for part in ("backend", "protos", "tests")), *_found("PYTHONPATH")]
        ),
        **{_variable(name): str(value) for name, value in settings.items()},
    }
    return {name: value for name, value in environment.items() if value is not None}


def _found(name: str) -> list[str]:
    return [value for value in [os.environ.get(name)] if value]


def _variable(name: str) -> str:
    """Of a setting; or of another library if it is named so."""
    return name.upper() if name.startswith("hf_") else f"DRAGDIFFUSION_{name.upper()}"


def start_daemons(folder: Path) -> Iterator[StartDaemon]:
    """Yields, once, the function that starts a daemon; then stops those that it started."""
    started: list[subprocess.Popen[str]] = []

    def start(step_seconds: float = 0.0, **settings: object) -> RunningDaemon:
        environment = daemon_environment(folder, **settings)
        journal = folder / "journal"
        command = [sys.executable, "-m", "fakes.daemon"]
        command += ["--step-seconds", str(step_seconds), "--journal", str(journal)]
        process = subprocess.Popen(
            command, env=environment, cwd=folder, stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        file = folder / "endpoint.json"
        wait_until(lambda: (found := endpoints.read(file)) and found.pid == process.pid)
        endpoint = endpoints.read(file)
        assert endpoint is not None
        return RunningDaemon(process, endpoint, file, journal, environment)

    yield start
    for process in started:
        process.terminate()
    for process in started:
        process.wait(timeout=20)
        assert process.stdout is not None
        process.stdout.close()


@contextmanager
def real_daemon(folder: Path, *, device: str = "cpu", **settings: object) -> Iterator[Connection]:
    """The program as it is installed, with the real engine; it must end well."""
    command = [sys.executable, "-m", "dragdiffusion", "serve", "--device", device]
    environment = daemon_environment(folder, **settings)
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    file = folder / "endpoint.json"
    took = wait_until(lambda: (found := endpoints.read(file)) and found.pid == process.pid, 30)
    assert took < 10
    endpoint = endpoints.read(file)
    assert endpoint is not None
    with Connection(endpoint) as connection:
        assert connection.status().pid == process.pid  # before torch is there
        yield connection
    process.terminate()
    assert process.wait(timeout=20) == 0


def preparation(
    reference: rpc.BufferReference, *, lora_steps: int = 2, drag_steps: int = 4, **fields: object
) -> rpc.PrepareRequest:
    """A drag from (20, 20) to (40, 30)."""
    hyper_parameters = rpc.HyperParameters(
        lora_steps=lora_steps,
        max_drag_steps=drag_steps,
        num_inference_steps=4,
        inversion_strength=0.5,
    )
    way = rpc.Trajectory(points=[rpc.Point(x=20, y=20), rpc.Point(x=40, y=30)])
    values: dict[str, object] = {
        "image": reference,
        "trajectories": [way],
        "hyper_parameters": hyper_parameters,
        **fields,
    }
    return rpc.PrepareRequest(**values)  # type: ignore[arg-type]
