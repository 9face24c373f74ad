"""`dragdiffusion cache`, `status` and `doctor` on the prepared images on disk, as programs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cli.conftest import RunCommand
from fakes.running import StartDaemon, daemon_environment, wait_until

DRAG = ("--point", "20,20:40,30", "--lora-steps", "1", "-o", "out.png")


def entries(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.prepared"))


def test_show_and_clear_without_a_daemon(command: RunCommand, tmp_path: Path) -> None:
    environment = daemon_environment(tmp_path)
    store = tmp_path / "store"
    said = command("cache", "show", env=environment)
    assert said.returncode == 0
    assert "0 (0 MiB of at most 4096 MiB)" in said.stdout
    assert str(store) in said.stdout
    assert not store.exists()

    store.mkdir()
    for letter in "ab":
        (store / f"{letter * 64}.prepared").write_bytes(bytes(3 << 20))
    (store / "mine.txt").write_text("not yours")
    assert "2 (6 MiB of at most 4096 MiB)" in command("cache", "show", env=environment).stdout
    said = command("cache", "clear", env=environment)
    assert said.stdout.startswith(f"2 prepared images are removed from {store}: 6 MiB are free.")
    assert [file.name for file in store.iterdir()] == ["mine.txt"]
    assert command("cache", "clear", env=environment).stdout.startswith("0 prepared images")


def test_the_running_daemon_s_own_folder_is_meant(
    command: RunCommand, start_daemon: StartDaemon, picture: Path, tmp_path: Path
) -> None:
    running = start_daemon(store_folder=tmp_path / "elsewhere", store_bytes=7 << 20)
    environment = daemon_environment(tmp_path)
    assert command("edit", picture, *DRAG, env=environment).returncode == 0
    wait_until(lambda: entries(tmp_path / "elsewhere"))
    expected = f"1 (0 MiB of at most 7 MiB) in {tmp_path / 'elsewhere'}"
    assert expected in command("status", env=environment).stdout
    assert "1 (0 MiB of at most 7 MiB)" in command("cache", "show", env=environment).stdout

    said = command("cache", "clear", env=environment)
    assert said.stdout.startswith("1 prepared image is removed")
    assert not entries(tmp_path / "elsewhere")
    assert command("edit", picture, *DRAG, env=environment).returncode == 0
    assert running.steps_done("open") == 1  # still in the daemon's memory


def test_clearing_while_an_edit_restores_breaks_nothing(
    command: RunCommand, start_daemon: StartDaemon, picture: Path, tmp_path: Path
) -> None:
    running = start_daemon()
    assert command("edit", picture, *DRAG, env=running.environment).returncode == 0
    running.process.terminate()
    running.process.wait(timeout=20)
    assert entries(tmp_path / "store")

    running = start_daemon(step_seconds=0.1)
    program = [sys.executable, "-m", "dragdiffusion", "edit", str(picture), *DRAG]
    client = subprocess.Popen(program, env=running.environment, cwd=tmp_path)
    wait_until(lambda: running.steps_done("restore"), seconds=20)
    cleared = command("cache", "clear", env=running.environment)
    assert cleared.stdout.startswith("1 prepared image is removed")
    assert client.wait(timeout=60) == 0
    assert running.steps_done("open") == 1


def test_a_wrong_setting_is_explained(command: RunCommand, tmp_path: Path) -> None:
    said = command("cache", "show", env=daemon_environment(tmp_path, store_bytes=-1))
    assert said.returncode == 2
    assert "store_bytes" in said.stderr


def test_off_is_said(command: RunCommand, tmp_path: Path) -> None:
    said = command("cache", "show", env=daemon_environment(tmp_path, store_bytes=0))
    assert "none are kept or used" in said.stdout


@pytest.mark.parametrize("usable", [True, False])
def test_the_doctor_looks_at_it(
    usable: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dragdiffusion.commands import doctor

    for variable, value in daemon_environment(tmp_path).items():
        monkeypatch.setenv(variable, value)
    if not usable:
        (tmp_path / "store").write_text("in the way")
    (finding,) = doctor.check_store()
    assert finding.subject == "Prepared images"
    assert finding.text == f"0 (0 MiB of at most 4096 MiB) in {tmp_path / 'store'}"
    assert finding.advice == (
        "" if usable else f"Make {tmp_path / 'store'} writable, or set store_folder."
    )


@pytest.mark.skipif(sys.platform != "linux", reason="where the folder lies differs")
def test_the_usual_place_is_the_user_s_cache(command: RunCommand, tmp_path: Path) -> None:
    environment = daemon_environment(tmp_path) | {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    del environment["DRAGDIFFUSION_STORE_FOLDER"]
    said = command("cache", "show", env=environment)
    assert str(tmp_path / "cache" / "dragdiffusion" / "prepared") in said.stdout
