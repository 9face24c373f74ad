"""How the plug-in finds the daemon and starts it."""

import asyncio
import gc
import json
import os
import signal
import sys
from pathlib import Path
from socket import gethostname

import pytest
from fakes_plugin import fake_daemon as fake_daemon_module

from plugin import daemon
from plugin.client import DaemonError
from plugin.daemon import Installation

PROGRAM = [sys.executable, str(Path(fake_daemon_module.__file__))]


@pytest.fixture
def endpoint_path(tmp_path):
    return tmp_path / "endpoint.json"


@pytest.fixture
def installation(endpoint_path, tmp_path):
    def make(*command):
        root = Path(__file__).resolve().parents[2]
        environment = {
            "DRAGDIFFUSION_ENDPOINT_FILE": str(endpoint_path),
            "PYTHONPATH": "/nowhere",
        }
        if command:
            environment["PATH"] = "/usr/bin:/bin"
            command = ("/usr/bin/env", f"PYTHONPATH={root / 'protos'}", *command)
        return Installation(command, endpoint_path, tmp_path / "start.log", environment)

    return make


def write_endpoint(path, fake):
    path.write_text(json.dumps(fake.endpoint), encoding="utf-8")


def test_a_daemon_that_runs_is_found(fake_daemon, endpoint_path, installation):
    write_endpoint(endpoint_path, fake_daemon)
    found = asyncio.run(daemon.find(installation()))
    assert found is not None
    assert found.address == fake_daemon.address
    assert found.log_file == "/var/log/dragdiffusion.log"


@pytest.mark.parametrize("content", [None, "", "[]", '{"address": "127.0.0.1:1"}'])
def test_no_endpoint_no_daemon(endpoint_path, installation, content):
    if content is not None:
        endpoint_path.write_text(content, encoding="utf-8")
    assert asyncio.run(daemon.find(installation())) is None


def test_a_stale_endpoint_is_no_daemon(endpoint_path, installation):
    endpoint_path.write_text('{"address": "127.0.0.1:1", "token": "x"}', encoding="utf-8")
    assert asyncio.run(daemon.find(installation())) is None


def test_a_daemon_of_another_version_is_refused(endpoint_path, installation):
    with fake_daemon_module.FakeDaemon(version="9.0.0") as fake:
        write_endpoint(endpoint_path, fake)
        with pytest.raises(DaemonError, match=r"but the daemon that runs is version 9\.0\.0"):
            asyncio.run(daemon.find(installation()))


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the daemon outlives its Popen, on purpose
def test_the_daemon_is_started(endpoint_path, installation):
    installed = installation(*PROGRAM)
    found = asyncio.run(daemon.start(installed))
    gc.collect()
    pid = json.loads(endpoint_path.read_text(encoding="utf-8"))["pid"]
    try:
        assert asyncio.run(daemon.find(installed)) == found
    finally:
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)


def failure(installed):
    with pytest.raises(DaemonError) as caught:
        asyncio.run(daemon.start(installed))
    return str(caught.value)


def test_not_installed(installation):
    assert failure(installation()) == (
        "The daemon is not installed: run the installer of DragDiffusion for GIMP "
        "(install/install.py), then try again."
    )


def test_a_command_that_is_gone(endpoint_path, tmp_path):
    installed = Installation(("/no/such/thing",), endpoint_path, tmp_path / "log", {})
    assert failure(installed) == (
        "The daemon could not be started: /no/such/thing: No such file or directory. Run the "
        "installer of DragDiffusion for GIMP again (install/install.py)."
    )


def test_a_daemon_that_fails_shows_its_last_words(installation):
    installed = installation(*PROGRAM, "--broken")
    assert failure(installed) == (
        "The daemon did not start: RuntimeError: no room for the model Its log: "
        f"{installed.log_file}"
    )


# ---- where things are

SHARED = f"/h/.local/state/dragdiffusion/endpoint-{gethostname()}.json"


@pytest.mark.parametrize(
    ("platform", "environment", "expected"),
    [
        ("linux", {"DRAGDIFFUSION_ENDPOINT_FILE": "/e.json"}, "/e.json"),
        ("linux", {"HOME": "/h"}, SHARED),
        ("linux", {"HOME": "/h", "XDG_RUNTIME_DIR": "/tmp"}, SHARED),
        (
            "darwin",
            {"HOME": "/h"},
            "/h/Library/Application Support/dragdiffusion/endpoint.json",
        ),
        ("win32", {"LOCALAPPDATA": "/l"}, "/l/dragdiffusion/endpoint.json"),
    ],
)
def test_the_endpoint_rule_is_the_daemons(platform, environment, expected):
    from dragdiffusion.daemon import endpoint

    assert str(daemon.endpoint_file(environment, platform)) == expected
    assert daemon.endpoint_file(environment, platform) == endpoint.endpoint_file(
        environment, platform
    )


def test_the_installer_tells_the_command(tmp_path):
    told = {"command": ["/a b/dragdiffusion", "serve"], "endpoint_file": "/shared/e.json"}
    (tmp_path / "daemon.json").write_text(json.dumps(told), encoding="utf-8")
    installed = daemon.read_installation(tmp_path, {"HOME": "/h"}, "linux")
    assert installed.command == ("/a b/dragdiffusion", "serve")
    assert installed.endpoint_file == Path("/shared/e.json")
    assert installed.environment["DRAGDIFFUSION_ENDPOINT_FILE"] == "/shared/e.json"


def test_the_environment_overrides_the_installer(tmp_path):
    (tmp_path / "daemon.json").write_text('{"command": ["/a"]}', encoding="utf-8")
    line = "'/a b/dragdiffusion' serve --device cpu"
    installed = daemon.read_installation(
        tmp_path, {"HOME": "/h", "DRAGDIFFUSION_DAEMON_COMMAND": line}, "linux"
    )
    assert installed.command == ("/a b/dragdiffusion", "serve", "--device", "cpu")


def test_nothing_told_means_not_installed(tmp_path):
    assert daemon.read_installation(tmp_path, {"HOME": "/h"}, "linux").command == ()


def test_out_of_flatpaks_sandbox(tmp_path):
    (tmp_path / "daemon.json").write_text('{"command": ["/a", "serve"]}', encoding="utf-8")
    installed = daemon.read_installation(tmp_path, {"HOME": "/h"}, "linux", sandbox=tmp_path)
    assert installed.endpoint_file == Path(SHARED)
    told = f"--env=DRAGDIFFUSION_ENDPOINT_FILE={SHARED}"
    assert installed.command == ("flatpak-spawn", "--host", told, "/a", "serve")
