"""“About the daemon” in the real window: what it shows in each state, and each of its actions."""

from __future__ import annotations

import json
import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest
from fakes_plugin import fake_daemon as fake_daemon_module
from gimp_desktop import wait

from dragdiffusion.client.connection import Connection
from dragdiffusion.daemon import endpoint as endpoints

pytestmark = pytest.mark.slow
TITLE = "^About the daemon$"
OPEN = """
procedure = Gimp.get_pdb().lookup_procedure("plug-in-drag-diffusion-daemon")
values = procedure.run(procedure.create_config())
result["ended"] = values.index(0) == Gimp.PDBStatusType.SUCCESS
"""


def wait_until_shown(desktop):
    """With what is known of the daemon: its window."""
    window = desktop.wait_for_window(TITLE)
    wait(lambda: desktop.times("daemon shown"), "the daemon in the window")
    return window


def close(desktop, window):
    desktop.click_in(window, -60, -30)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_running_daemon_and_its_actions(desktop, fake_daemon, set_theme, scheme):
    if scheme != "dark":  # GIMP's own choice
        set_theme(scheme)
    desktop.open_gimp(OPEN)
    window = wait_until_shown(desktop)
    desktop.screenshot(f"daemon-{scheme}.png")
    desktop.key("alt+o")  # Copy log
    desktop.key("alt+u")  # Unload
    wait(lambda: said(desktop, 1), "the end of the unloading")
    assert fake_daemon.asked == ["Unload"]
    desktop.key("alt+a")  # Clear cache, which asks
    wait(lambda: len(desktop.windows(TITLE)) == 2, "the question")
    desktop.screenshot(f"daemon-clear-{scheme}.png")
    desktop.key("Escape")
    wait(lambda: len(desktop.windows(TITLE)) == 1, "the question's end")
    assert fake_daemon.asked == ["Unload"]
    desktop.key("alt+a")
    wait(lambda: len(desktop.windows(TITLE)) == 2, "the question")
    desktop.key("alt+r")
    wait(lambda: said(desktop, 2), "the end of the clearing")
    assert fake_daemon.asked == ["Unload", "ClearStore"]
    desktop.screenshot(f"daemon-freed-{scheme}.png")
    close(desktop, window)
    assert wait(lambda: desktop.state().get("ended"), "the end")


@pytest.fixture
def daemon_program(gimp, host_command):
    """A fake daemon that is started and ended as a process."""
    yield lambda *options: host_command(str(Path(fake_daemon_module.__file__)), *options)
    if gimp.endpoint_file.exists():
        with suppress(ProcessLookupError):
            os.kill(pid(gimp), signal.SIGTERM)
        gimp.endpoint_file.unlink()


def pid(gimp):
    return json.loads(gimp.endpoint_file.read_text(encoding="utf-8"))["pid"]


def test_it_is_started_restarted_and_asks_before_an_edit_is_lost(gimp, desktop, daemon_program):
    gimp.endpoint_file.unlink(missing_ok=True)
    command = daemon_program("--busy", "1")
    desktop.open_gimp(OPEN, DRAGDIFFUSION_DAEMON_COMMAND=command)
    window = wait_until_shown(desktop)
    desktop.screenshot("daemon-none.png")
    place = desktop.place(window)
    assert place["WIDTH"] >= 600 > 2 * place["HEIGHT"]  # no wider nor higher than what it says
    desktop.key("alt+s")  # Start
    wait(lambda: said(desktop, 1), "the end of the start")
    first = pid(gimp)
    wait(lambda: desktop.times("daemon shown")[-1]["is_running"], "the daemon in the window")
    desktop.screenshot("daemon-started.png")
    desktop.key("alt+r")  # Restart, which asks
    wait(lambda: len(desktop.windows(TITLE)) == 2, "the question")
    desktop.screenshot("daemon-busy.png")
    desktop.key("Escape")
    wait(lambda: len(desktop.windows(TITLE)) == 1, "the question's end")
    assert said(desktop, 2) == ["", ""]
    assert pid(gimp) == first
    desktop.key("alt+r")
    wait(lambda: len(desktop.windows(TITLE)) == 2, "the question")
    desktop.key("alt+r")
    wait(lambda: said(desktop, 4), "the end of the restart")
    assert pid(gimp) != first
    desktop.screenshot("daemon-restarted.png")
    close(desktop, window)
    assert wait(lambda: desktop.state().get("ended"), "the end")


def test_from_the_drag_dialog(desktop, fake_daemon):
    desktop.open_picture('result["call"] = call(image, [layer], Gimp.RunMode.INTERACTIVE)')
    dialog = desktop.open_dialog()
    desktop.key("alt+h")
    window = wait_until_shown(desktop)
    desktop.screenshot("daemon-over-dialog.png")
    desktop.key("alt+u")
    wait(lambda: said(desktop, 1), "the end of the unloading")
    assert fake_daemon.asked == ["Unload"]
    close(desktop, window)
    wait(lambda: not desktop.windows(TITLE), "the window's end")
    desktop.press(dialog, "Return")  # the dialog goes on
    wait(lambda: desktop.times("result"), "the result")


@pytest.mark.usefixtures("processes")
def test_the_real_daemon_is_started_shown_and_started_anew(gimp, desktop):
    """Nothing is faked; at the end it hangs."""
    gimp.endpoint_file.unlink(missing_ok=True)
    desktop.open_gimp(OPEN)
    window = wait_until_shown(desktop)
    try:
        desktop.key("alt+s")
        wait(gimp.endpoint_file.exists, "the daemon")
        first = endpoints.read(gimp.endpoint_file)
        with Connection(first) as daemon:
            wait(lambda: daemon.status().engine_ready, "the engine", 120)
        wait(lambda: said(desktop, 1), "the end of the start")
        wait(lambda: desktop.times("daemon shown")[-1]["is_running"], "the daemon in the window")
        desktop.screenshot("daemon-real.png")
        desktop.key("alt+r")
        wait(lambda: said(desktop, 2), "the end of the restart", 90)
        desktop.screenshot("daemon-real-restarted.png")
        assert said(desktop, 2) == ["", ""]
        assert is_another(gimp, first)
        second = endpoints.read(gimp.endpoint_file)
        os.kill(second.pid, signal.SIGSTOP)
        wait(lambda: not desktop.times("daemon shown")[-1]["answers"], "that it hangs")
        desktop.screenshot("daemon-hangs.png")
        desktop.key("alt+r")
        wait(lambda: said(desktop, 3), "the end of the restart", 120)
        assert said(desktop, 3) == ["", "", ""]
        assert is_another(gimp, second)
        assert not endpoints.process_lives(second.pid)
        wait(lambda: desktop.times("daemon shown")[-1]["answers"], "that it answers")
        desktop.screenshot("daemon-hung-restarted.png")
        close(desktop, window)
        assert wait(lambda: desktop.state().get("ended"), "the end")
    finally:
        if gimp.endpoint_file.exists():
            os.kill(pid(gimp), signal.SIGTERM)
            wait(lambda: not gimp.endpoint_file.exists(), "its end")


def said(desktop, count):
    """The errors of the actions so far, once there are so many."""
    errors = [told["error"] for told in desktop.times("daemon acted")]
    return errors if len(errors) == count else None


def is_another(gimp, first):
    now = endpoints.read(gimp.endpoint_file)
    return now is not None and now.pid != first.pid
