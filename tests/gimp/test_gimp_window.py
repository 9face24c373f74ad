"""The real window under Xvfb: the dialog from opening to the layer, one undo, cancel, errors."""

from __future__ import annotations

import time
from importlib.metadata import version

import pytest
from gimp_desktop import MAIN, OUTPUT, wait
from PIL import Image

pytestmark = pytest.mark.slow


def test_the_dialog_the_result_and_one_undo(desktop, fake_daemon):
    desktop.open_picture(
        'result["call"] = call(image, [layer], Gimp.RunMode.INTERACTIVE, prompt="slow 0.8")'
    )
    dialog = desktop.open_dialog()
    desktop.maximize()
    wait(lambda: desktop.times("prepared"), "the preparation")
    desktop.screenshot("dialog.png")
    desktop.press(dialog, "Return")
    wait(lambda: fake_daemon.requests, "the request")
    time.sleep(0.5)
    desktop.screenshot("progress.png")
    wait(lambda: desktop.times("result"), "the result")
    desktop.screenshot("after.png")
    desktop.press(dialog, "b")
    desktop.screenshot("before.png")
    assert "layers" not in desktop.state()  # nothing is inserted yet
    desktop.press(dialog, "Return")
    wait(lambda: desktop.state().get("call"), "the layer")
    assert desktop.state()["call"] == ["SUCCESS", ""]
    wait(lambda: len(desktop.state()["layers"]) == 2, "the layer")
    assert desktop.state()["paths"] == ["Sun"]  # the points are that path's: nothing to keep
    desktop.screenshot("result.png")
    main = desktop.wait_for_window(MAIN)
    desktop.press(main, "ctrl+z")
    wait(lambda: desktop.state()["as_before"], "one undo")
    desktop.screenshot("undone.png")
    desktop.press(main, "ctrl+y")
    wait(lambda: len(desktop.state()["layers"]) == 2, "redo")


def test_as_the_user_guide_says(desktop, fake_daemon):
    """Mouse and keyboard only: the Paths tool, two strokes, the menu entry, the dialog."""
    desktop.open_picture(
        "image.remove_path(image.get_paths()[0])",
        "image.select_rectangle(Gimp.ChannelOps.REPLACE, 20, 20, 472, 472); before = describe(image)",
    )
    main = desktop.wait_for_window(MAIN)
    wait(lambda: desktop.state(), "the picture")
    desktop.maximize()
    desktop.settle()
    desktop.press(main, "Escape", "b")
    desktop.click(622, 340)  # the sun
    desktop.click(700, 320)
    desktop.click(600, 500, "shift")  # the tree
    desktop.click(560, 520)
    desktop.choose("Drag Edit", "menu.png")
    dialog = desktop.open_dialog()
    desktop.screenshot("two-strokes.png")
    desktop.button("v")  # Advanced
    desktop.screenshot("advanced.png")
    set_all(desktop)
    desktop.press(dialog, "alt+d")  # Drag
    wait(lambda: desktop.times("result"), "the result")
    desktop.press(dialog, "Return")  # Insert as layer
    wait(lambda: len(desktop.state()["layers"]) == 2, "the layer")
    (request,) = fake_daemon.requests
    sun, tree = request.preparation.trajectories
    assert (len(sun.points), len(tree.points)) == (2, 2)
    assert sun.points[1].x - sun.points[0].x == pytest.approx(78, abs=1)
    assert sun.points[1].y - sun.points[0].y == pytest.approx(-20, abs=1)
    assert tree.points[1].x - tree.points[0].x == pytest.approx(-40, abs=1)
    desktop.press(main, "ctrl+z")
    wait(lambda: desktop.state()["as_before"], "one undo")
    desktop.press(main, "ctrl+f")  # Repeat Last: no dialog
    wait(lambda: len(fake_daemon.requests) == 2, "the second request")
    repeated = fake_daemon.requests[1].preparation
    assert (repeated.prompt, repeated.seed) == ("slow 0.5", 41)
    assert repeated.hyper_parameters.lora_steps == 12
    request.preparation.ClearField("region")
    assert repeated == request.preparation  # mode, mask, trajectories, …
    wait(lambda: len(desktop.state()["layers"]) == 2, "the layer")
    cancel_in_the_status_bar(desktop, main, fake_daemon)
    desktop.click(700, 600, "shift")  # a stroke of one point
    desktop.press(main, "ctrl+f")
    desktop.wait_for_window("^GIMP Message$")
    desktop.screenshot("repeat-error.png")
    assert desktop.times("failed")[-1]["sentence"] == (
        "Stroke 3 of path “Unnamed” has only one point: add a second one where the first should go, "
        "or delete it."
    )
    assert len(fake_daemon.requests) == 3


def set_all(desktop):
    """What Repeat Last has to know again."""
    for key, keys, text in [
        ("p", (), "slow 0.5"),  # Picture shows
        ("y", ("Tab",), "12"),  # Identity, not automatic any more
        ("g", ("ctrl+a",), "8"),  # Grow selection
        ("u", ("ctrl+a",), "41"),  # Seed number
    ]:
        desktop.button(key)
        if keys:
            desktop.tool("xdotool", "key", *keys)
        desktop.type(text)
    desktop.screenshot("all-set.png")


def cancel_in_the_status_bar(desktop, main, fake_daemon):
    desktop.press(main, "ctrl+z")
    wait(lambda: desktop.state()["as_before"], "one undo")
    desktop.press(main, "ctrl+f")
    wait(lambda: len(fake_daemon.requests) == 3, "the third request")
    desktop.screenshot("repeat-progress.png")
    desktop.click(1024, 857)  # GIMP's Cancel
    assert fake_daemon.cancelled.wait(3)
    desktop.screenshot("repeat-cancelled.png")
    assert desktop.state()["layers"] == ["Landscape"]
    assert desktop.state()["as_before"]
    place = (600, 848, 800, 858)  # where the bar says what is done
    shots = ("repeat-progress.png", "repeat-cancelled.png")
    said = [Image.open(OUTPUT / shot).crop(place).tobytes() for shot in shots]
    assert said[0] != said[1]


def test_cancel_stops_at_once_and_keeps_the_points(desktop, fake_daemon):
    desktop.open_picture(
        'result["call"] = call(image, [layer], Gimp.RunMode.INTERACTIVE, prompt="slow 0.8")'
    )
    dialog = desktop.open_dialog()
    desktop.press(dialog, "Return")
    wait(lambda: fake_daemon.requests, "the request")
    time.sleep(0.3)  # of four
    desktop.press(dialog, "Escape")
    assert fake_daemon.cancelled.wait(2)
    desktop.screenshot("cancelled.png")
    assert desktop.windows("^Drag Edit$")
    desktop.press(dialog, "Return")  # again, with the same points
    wait(lambda: len(fake_daemon.requests) == 2, "the second request")
    first, second = fake_daemon.requests
    assert second.preparation == first.preparation
    assert len(fake_daemon.prepared) == 1
    desktop.press(dialog, "Escape")
    desktop.press(dialog, "Escape")
    assert wait(lambda: desktop.state().get("call"), "the end")[0] == "CANCEL"
    wait(lambda: "as_before" in desktop.state(), "the watch")
    assert desktop.state()["as_before"]


def test_what_is_reached_is_taken_now(desktop, fake_daemon):
    desktop.open_picture(
        'result["call"] = call(image, [layer], Gimp.RunMode.INTERACTIVE, prompt="slow 2")'
    )
    dialog = desktop.open_dialog()
    desktop.press(dialog, "Return")
    wait(lambda: fake_daemon.requests, "the request")
    time.sleep(0.5)
    desktop.button("t")
    wait(lambda: desktop.times("result"), "the result", 5)  # of ten
    desktop.press(dialog, "Return")
    wait(lambda: desktop.state().get("records"), "the layer")
    assert desktop.state()["records"][0]["run"]["drag_steps"] < 3


def test_an_error_is_shown_in_a_window(desktop, fake_daemon):
    del fake_daemon
    desktop.open_picture(
        "layer.set_lock_content(True)",
        'result["call"] = call(image, [layer], Gimp.RunMode.INTERACTIVE)',
    )
    message = desktop.wait_for_window("^Drag Edit$")
    desktop.screenshot("error.png")
    desktop.press(message, "Return")
    assert wait(lambda: desktop.state().get("call"), "the end")[0] == "CANCEL"
    wait(lambda: "as_before" in desktop.state(), "the watch")
    assert desktop.state()["as_before"]


def test_a_drag_that_fails_leaves_the_dialog_open_and_tells_how_to_go_on(desktop, fake_daemon):
    sentence = "The drag needs more memory: select less."
    desktop.open_picture(
        f"""result["call"] = call(
            image, [layer], Gimp.RunMode.INTERACTIVE, prompt="fail RESOURCE_EXHAUSTED {sentence}")"""
    )
    dialog = desktop.open_dialog()
    desktop.press(dialog, "Return")
    wait(lambda: len(desktop.windows("^Drag Edit$")) == 2, "the message")
    desktop.screenshot("drag-error.png")
    desktop.key("alt+o")  # Copy details
    copied = desktop.clipboard()
    assert copied.startswith(f"{sentence}\n")
    assert f"DragDiffusion for GIMP {version('dragdiffusion-gimp')}, GIMP 3." in copied
    assert "Python 3." in copied
    assert "DaemonError: " + sentence in copied  # and how it came about
    desktop.key("Return")
    wait(lambda: desktop.windows("^Drag Edit$") == [dialog], "the message's end")
    desktop.press(dialog, "Return")
    wait(lambda: len(fake_daemon.requests) == 2, "the second drag")
