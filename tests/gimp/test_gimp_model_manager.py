"""The model manager in the real window: what it shows in each state, and each of its actions, by mouse."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from gimp_desktop import wait

pytestmark = pytest.mark.slow
TITLE = "^Models$"
# Places in the window, of Stable Diffusion 1.5's buttons:
FIRST, SECOND, THIRD = (78, 258), (150, 258), (252, 258)
CANCEL = (67, 282)
DAMAGED_LINE = 18  # pixels by which the line about damage moves the buttons down
OTHER = (349, 414)


def open_models(desktop, **arguments):
    """The dialog, and the model manager above it."""
    told = "".join(f", {name}={value!r}" for name, value in arguments.items())
    desktop.open_picture(f'result["call"] = call(image, [layer], Gimp.RunMode.INTERACTIVE{told})')
    dialog = desktop.open_dialog()
    wait(lambda: desktop.times("model choice"), "the models")
    keys = ("alt+o", "Tab", "Tab", "space")  # the model, its list, the button
    desktop.key(*keys)
    return dialog, desktop.wait_for_window(TITLE)


def wait_for_state(desktop, state):
    def is_so():
        told = desktop.times("models")
        return told and told[-1]["states"]["sd15"] == state

    wait(is_so, f"the state “{state}”")


def choice(desktop):
    """What the settings offer now."""
    return desktop.times("model choice")[-1]["names"]


def test_download_cancel_resume_verify_repair_and_use(desktop, fake_daemon):
    dialog, window = open_models(desktop)
    wait_for_state(desktop, "absent")
    desktop.screenshot("models.png")
    assert choice(desktop) == ["embedded"]

    fake_daemon.step_seconds = 0.4  # eight seconds
    desktop.click_in(window, *FIRST)
    wait(lambda: fake_daemon.models["sd15"].here_bytes > 600_000_000, "the download")
    desktop.screenshot("models-downloading.png")
    desktop.click_in(window, *CANCEL)
    wait(lambda: fake_daemon.ended == ["DownloadModel sd15"], "the cancellation")
    wait_for_state(desktop, "partial")
    desktop.screenshot("models-partial.png")
    assert choice(desktop) == ["embedded"]
    assert 0 < fake_daemon.models["sd15"].here_bytes < 2_130_000_000

    fake_daemon.step_seconds = 0.0
    desktop.click_in(window, *FIRST)  # Resume
    wait_for_state(desktop, "ready")
    wait(lambda: choice(desktop) == ["embedded", "sd15"], "the choice")

    fake_daemon.is_damaged, fake_daemon.step_seconds = True, 0.5
    desktop.click_in(window, *SECOND)  # Verify
    wait(lambda: "VerifyModel sd15" in fake_daemon.asked, "the verification")
    desktop.screenshot("models-verifying.png")
    wait_for_state(desktop, "damaged")
    fake_daemon.step_seconds = 0.0
    desktop.screenshot("models-damaged.png")
    assert choice(desktop) == ["embedded"]
    desktop.click_in(window, FIRST[0], FIRST[1] + DAMAGED_LINE)  # Repair
    wait_for_state(desktop, "ready")

    fake_daemon.is_damaged = False
    desktop.click_in(window, *SECOND)
    wait(lambda: fake_daemon.asked.count("VerifyModel sd15") == 2, "the verification")
    desktop.click_in(window, FIRST[0], FIRST[1] - 138)  # Use, of the embedded model
    desktop.screenshot("models-ready.png")
    desktop.click_in(window, -50, -30)  # Close
    wait(lambda: not desktop.windows(TITLE), "the window's end")
    desktop.press(dialog, "alt+d")
    wait(lambda: fake_daemon.requests, "the drag")
    assert fake_daemon.requests[-1].preparation.model == "embedded"


def test_another_model_a_refusal_and_closing_while_it_downloads(desktop, fake_daemon):
    _dialog, window = open_models(desktop)
    wait_for_state(desktop, "absent")
    desktop.click_in(window, *OTHER)
    desktop.tool("xdotool", "type", "no/model")
    desktop.key("Return")
    wait(lambda: len(desktop.windows(TITLE)) == 2, "the error")
    desktop.screenshot("models-error.png")
    desktop.key("Return")
    fake_daemon.step_seconds = 0.5
    desktop.click_in(window, *OTHER)
    desktop.tool("xdotool", "key", "ctrl+a", "type", "someone/paintings")
    desktop.key("Return")
    wait(
        lambda: "someone/paintings" in desktop.times("models")[-1]["states"],
        "a row for it",
    )
    desktop.screenshot("models-another.png")
    desktop.click_in(window, -50, -30)  # Close, which asks
    wait(lambda: len(desktop.windows(TITLE)) == 2, "the question")
    desktop.screenshot("models-close.png")
    desktop.key("alt+s")
    wait(lambda: not desktop.windows(TITLE), "the window's end")
    wait(lambda: "DownloadModel someone/paintings" in fake_daemon.ended, "the download's end", 5)


DOWNLOAD = """
find_plugin(sys.path[0])
from plugin import model_manager, model_row
config = Gimp.get_pdb().lookup_procedure("plug-in-drag-diffusion").create_config()
manager = model_manager.ModelManager(None, config, lambda names: None)


def state(number=-1):
    return [text[2:] for text in texts(manager._dialog) if text.startswith("●")][number]


def steps():
    yield lambda: "sd15" in manager._rows
    result["states"] = [state()]
    act = lambda what: manager._act(what, manager._listing.models[-1])
    act(model_row.DOWNLOAD)
    yield pause(1)
    manager._list()  # the rows are made anew
    yield lambda: manager._look is None
    result["states"].append(state())
    act(model_row.CANCEL)
    yield lambda: manager._action is None and manager._look is None
    result["states"].append(state())
    result["said"] = [manager._said.get_text()]
    manager._act(model_row.VERIFY, manager._listing.models[0])
    yield pause(1)
    result["states"].append(state(0))
    act(model_row.CANCEL)
    yield lambda: manager._action is None and manager._look is None
    result["said"].append(manager._said.get_text())
    manager._dialog.response(Gtk.ResponseType.CLOSE)


drive(steps())
manager.run()
"""


def test_a_model_says_what_happens_to_it(gimp, desktop, fake_daemon):
    shutil.copy(Path(__file__).with_name("widgets.py"), gimp.folder)
    fake_daemon.step_seconds = 0.4
    desktop.open_gimp("from widgets import *", DOWNLOAD)
    told = wait(desktop.state, "the window's end")
    assert told["states"] == ["Not here", "Downloading", "Partly downloaded", "Verifying"]
    assert told["said"] == ["Cancelled; what has arrived is kept.", "Cancelled."]


class _Request:
    def __init__(self, name):
        self.name = name


class _Context:
    """Of a call that the test makes itself."""

    def add_callback(self, _act):
        return True

    def is_active(self):
        return True


def test_remove_asks_and_the_choice_falls_back_to_the_default(desktop, fake_daemon, set_theme):
    set_theme("light")
    list(fake_daemon.DownloadModel(_Request("sd15"), _Context()))
    dialog, window = open_models(desktop, model="sd15")
    wait_for_state(desktop, "ready")
    desktop.screenshot("models-light.png")
    desktop.click_in(window, *THIRD)  # Remove …
    wait(lambda: len(desktop.windows(TITLE)) == 2, "the question")
    desktop.screenshot("models-remove.png")
    desktop.key("Escape")
    wait(lambda: len(desktop.windows(TITLE)) == 1, "the question's end")
    assert "RemoveModel sd15" not in fake_daemon.asked
    desktop.click_in(window, *THIRD)
    wait(lambda: len(desktop.windows(TITLE)) == 2, "the question")
    desktop.key("alt+r")
    wait_for_state(desktop, "absent")
    wait(lambda: choice(desktop) == ["embedded"], "the choice")
    desktop.screenshot("models-removed.png")
    desktop.click_in(window, -50, -30)
    wait(lambda: not desktop.windows(TITLE), "the window's end")
    desktop.press(dialog, "alt+d")
    wait(lambda: fake_daemon.requests, "the drag")
    assert fake_daemon.requests[-1].preparation.model == ""
