"""Start, token, second instance, idle exit, socket, stale files."""

from __future__ import annotations

import json
import signal
import stat
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path
from socket import gethostname

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc

from dragdiffusion.client.connection import Connection, DaemonError
from dragdiffusion.daemon import endpoint as endpoints
from dragdiffusion.daemon.endpoint import Endpoint
from dragdiffusion.engine.drag_types import Pixels
from dragdiffusion_rpc import drag_pb2 as rpc
from fakes.hub import FakeHub
from fakes.running import StartDaemon, daemon_environment, preparation, wait_until

FAKE = [sys.executable, "-m", "fakes.daemon"]
posix = pytest.mark.skipif(sys.platform == "win32", reason="file modes, signals, sockets")


def test_it_answers_soon_and_says_where(start_daemon: StartDaemon) -> None:
    running = start_daemon()
    with running.connect() as daemon:
        status = daemon.status()
    assert status.pid == running.process.pid
    assert status.log_file == running.endpoint.log_file
    assert running.process.stdout is not None
    line = running.process.stdout.readline()
    assert line == f"dragdiffusion listens on {running.endpoint.address}\n"
    assert running.endpoint.address.startswith("127.0.0.1:")


@posix
def test_only_its_owner_may_read_the_token_and_the_logs(start_daemon: StartDaemon) -> None:
    running = start_daemon()
    log = Path(running.endpoint.log_file)
    for file in (running.endpoint_file, log, log.with_name("crash.log")):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(running.endpoint.token) >= 32


@pytest.mark.parametrize("metadata", [[], [("authorization", "Bearer wrong")]])
def test_without_the_token_nothing_is_answered(
    metadata: list[tuple[str, str]], start_daemon: StartDaemon
) -> None:
    running = start_daemon()
    stub, _ = running.stub()
    health = health_pb2_grpc.HealthStub(grpc.insecure_channel(running.endpoint.address))

    def ask(method: MethodDescriptor) -> None:
        message = GetMessageClass(method.input_type)()
        request = iter([message]) if method.client_streaming else message
        answer = getattr(stub, method.name)(request, metadata=metadata)
        if method.server_streaming:
            next(answer)

    calls = {
        method.name: partial(ask, method)
        for method in rpc.DESCRIPTOR.services_by_name["DragDiffusion"].methods
    }
    assert {"Upload", "Drag", "GetStatus"} < calls.keys()
    calls["health"] = partial(health.Check, health_pb2.HealthCheckRequest(), metadata=metadata)
    for name, call in calls.items():
        with pytest.raises(grpc.RpcError) as raised:
            call()
        assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED, name
        assert "token" in raised.value.details(), name


def test_health_is_served(start_daemon: StartDaemon) -> None:
    running = start_daemon()
    _, metadata = running.stub()
    health = health_pb2_grpc.HealthStub(grpc.insecure_channel(running.endpoint.address))
    request = health_pb2.HealthCheckRequest(service="dragdiffusion.v1.DragDiffusion")
    answer = health.Check(request, metadata=metadata)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_a_second_one_hands_over(start_daemon: StartDaemon) -> None:
    running = start_daemon()
    second = subprocess.run(
        FAKE, env=running.environment, capture_output=True, text=True, timeout=30, check=False
    )
    assert second.returncode == 0
    assert running.endpoint.address in second.stdout
    assert endpoints.read(running.endpoint_file) == running.endpoint


def test_of_many_that_start_at_once_one_serves(tmp_path: Path) -> None:
    environment = daemon_environment(tmp_path)
    many = [
        subprocess.Popen(FAKE, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    wait_until(lambda: sum(p.poll() is not None for p in many) == 2, seconds=30)
    endpoint = endpoints.read(tmp_path / "endpoint.json")
    assert endpoint is not None
    with Connection(endpoint) as daemon:
        assert daemon.shut_down()
    said = {process.communicate(timeout=20)[0].strip() for process in many}
    assert all(process.returncode == 0 for process in many)
    assert said == {
        f"dragdiffusion listens on {endpoint.address}",
        f"dragdiffusion already listens on {endpoint.address}",
    }


def test_one_that_is_ending_is_waited_for(start_daemon: StartDaemon, tmp_path: Path) -> None:
    """It holds the lock, but its file has gone."""
    only_one = endpoints.lock(tmp_path / "endpoint.json")
    threading.Timer(1.0, only_one.release).start()
    began = time.monotonic()
    with start_daemon().connect() as daemon:
        assert daemon.status().pid
    assert time.monotonic() - began >= 1


@posix
def test_a_file_of_a_dead_daemon_is_taken_over(start_daemon: StartDaemon) -> None:
    killed = start_daemon()
    killed.process.send_signal(signal.SIGSEGV)
    killed.process.wait()
    assert killed.endpoint_file.exists()
    running = start_daemon()
    crashes = Path(killed.endpoint.log_file).with_name("crash.log")
    assert "Segmentation fault" in crashes.read_text()
    assert running.endpoint.token != killed.endpoint.token
    with running.connect() as daemon:
        assert daemon.status().pid == running.process.pid


def test_it_exits_when_idle(start_daemon: StartDaemon) -> None:
    running = start_daemon(idle_exit_minutes=0.01)
    assert running.process.wait(timeout=10) == 0
    assert not running.endpoint_file.exists()


def test_calls_keep_it_alive(start_daemon: StartDaemon) -> None:
    running = start_daemon(idle_exit_minutes=0.02)  # 1.2 s
    with running.connect() as daemon:
        for _ in range(5):
            time.sleep(0.5)
            daemon.status()
    assert running.process.poll() is None


@posix
def test_a_unix_socket_serves(start_daemon: StartDaemon, tmp_path: Path) -> None:
    socket = tmp_path / "s"
    running = start_daemon(socket=socket)
    assert running.endpoint.address == f"unix:{socket}"
    assert stat.S_IMODE(socket.stat().st_mode) & 0o077 == 0
    with running.connect() as daemon:
        assert daemon.shut_down()
    assert running.process.wait(timeout=10) == 0
    assert not socket.exists()


@posix
def test_a_socket_that_cannot_be_is_explained(tmp_path: Path) -> None:
    long = tmp_path / ("x" * 120)
    done = subprocess.run(
        [sys.executable, "-m", "dragdiffusion", "serve", "--socket", str(long)],
        env=daemon_environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "choose another path" in done.stderr
    assert "Traceback" not in done.stderr


@posix
def test_it_ends_even_if_the_work_does_not(start_daemon: StartDaemon, image: Pixels) -> None:
    running = start_daemon(step_seconds=60)  # deep in a library
    with running.connect() as daemon:
        events = daemon.prepare(preparation(daemon.upload(image)))
        next(event for event in events if event.progress.stage == rpc.STAGE_ENCODING)
        running.process.terminate()
        began = time.monotonic()
        with pytest.raises(DaemonError, match="The daemon was stopped"):
            list(events)
        assert time.monotonic() - began < 2
    assert running.process.wait(timeout=20) == 0


def test_the_log_is_bounded(start_daemon: StartDaemon, tmp_path: Path) -> None:
    running = start_daemon(log_bytes=2048, log_files=1)
    with running.connect() as daemon:
        for number in range(100):
            with pytest.raises(DaemonError):
                list(daemon.prepare(rpc.PrepareRequest(model=f"no model {number}")))
    logs = list((tmp_path / "state").glob("daemon.log*"))
    assert len(logs) == 2
    assert all(log.stat().st_size <= 2048 for log in logs)
    assert all(stat.S_IMODE(log.stat().st_mode) == 0o600 for log in logs)


# ---- the endpoint file's rule ----


def test_the_rule(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    state = tmp_path / ".local" / "state" / "dragdiffusion"
    assert endpoints.endpoint_file(home, "linux") == state / f"endpoint-{gethostname()}.json"
    mac = tmp_path / "Library" / "Application Support" / "dragdiffusion"
    assert endpoints.endpoint_file(home, "darwin") == mac / "endpoint.json"
    windows = {**home, "LOCALAPPDATA": str(tmp_path / "local")}
    expected = tmp_path / "local" / "dragdiffusion" / "endpoint.json"
    assert endpoints.endpoint_file(windows, "win32") == expected
    override = {**home, "DRAGDIFFUSION_ENDPOINT_FILE": "/there.json"}
    assert endpoints.endpoint_file(override, "linux") == Path("/there.json")


def test_at_the_desktop_and_by_ssh_or_cron_there_is_one_daemon(tmp_path: Path) -> None:
    bare = {"HOME": str(tmp_path)}
    (tmp_path / "run").mkdir(mode=0o700)
    desktop = {**bare, "XDG_RUNTIME_DIR": str(tmp_path / "run")}
    with (
        endpoints.lock(endpoints.endpoint_file(desktop)),
        pytest.raises(endpoints.AlreadyRunning),
    ):
        endpoints.lock(endpoints.endpoint_file(bare))


def test_machines_that_share_a_home_have_one_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = []
    for name in ("a.lab", "b.lab"):
        monkeypatch.setattr("socket.gethostname", lambda name=name: name)
        files.append(endpoints.endpoint_file({"HOME": str(tmp_path)}, "linux"))
    with endpoints.lock(files[0]), endpoints.lock(files[1]):
        pass


@pytest.mark.parametrize("text", ["", "{", "[]", json.dumps({"address": "x"})])
def test_a_broken_file_is_no_endpoint(text: str, tmp_path: Path) -> None:
    file = tmp_path / "endpoint.json"
    assert endpoints.read(file) is None
    file.write_text(text)
    assert endpoints.read(file) is None


def test_only_our_own_file_is_removed(tmp_path: Path) -> None:
    file = tmp_path / "endpoint.json"
    ours = Endpoint("127.0.0.1:1", "a", 1, "0", "log")
    other = Endpoint("127.0.0.1:2", "b", 2, "0", "log")
    endpoints.write(file, other)
    endpoints.remove(file, ours)
    assert endpoints.read(file) == other
    assert list(tmp_path.iterdir()) == [file]


def test_a_model_is_downloaded_through_the_daemon(
    start_daemon: StartDaemon, tmp_path: Path
) -> None:
    names = ["model_index.json", "unet/config.json", "text_encoder/model.safetensors"]
    names += [f"{part}/diffusion_pytorch_model.safetensors" for part in ("unet", "vae")]
    for name in names:
        (tmp_path / "hub" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "hub" / name).write_text('{"cross_attention_dim": 768}')
    models = tmp_path / "models"
    with FakeHub(tmp_path / "hub", "owner/model") as hub:
        running = start_daemon(hf_endpoint=hub.url, models_folder=models)
        stub, metadata = running.stub()
        request = rpc.DownloadModelRequest(name="owner/model")
        *_, last = stub.DownloadModel(request, metadata=metadata)
        assert (last.done_bytes, last.file) == (last.total_bytes, "model_index.json")
        assert (models / "owner--model" / "model_index.json").is_file()
        with pytest.raises(grpc.RpcError) as raised:
            list(stub.DownloadModel(rpc.DownloadModelRequest(name="embedded"), metadata=metadata))
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
