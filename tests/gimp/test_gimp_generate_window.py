"""Generate Layer's window under Xvfb, and a drag in the layer that it makes."""

from __future__ import annotations

import time
from itertools import groupby

import numpy as np
import pytest
from gimp_desktop import MAIN, OUTPUT, STAY, wait
from PIL import Image

pytestmark = pytest.mark.slow
TITLE = "^Generate Layer$"
NAME = "plug-in-drag-diffusion-generate"
ASK = f'result["call"] = call(image, [layer], Gimp.RunMode.INTERACTIVE, {NAME!r}, prompt=PROMPT)'


def open_window(desktop, prompt):
    desktop.open_picture(f"PROMPT = {prompt!r}", ASK)
    window = desktop.wait_for_window(TITLE)
    wait(lambda: desktop.times("first paint"), "the window's drawing")
    desktop.tool("xdotool", "windowactivate", "--sync", window)
    desktop.settle()
    return window


def is_in_the_middle(shot, left):
    """The wide picture has as much of the gray place above it as below."""
    column = np.asarray(Image.open(OUTPUT / shot).convert("RGB"))[:, left + 128]
    runs = [len(list(run)) for is_gray, run in groupby((column == 80).all(axis=1)) if is_gray]
    above, below = (length for length in runs if length > 10)
    return abs(above - below) <= 1


def test_from_the_menu_to_a_layer_that_is_dragged(desktop, fake_daemon):
    desktop.open_picture()
    main = desktop.wait_for_window(MAIN)
    wait(lambda: desktop.state(), "the picture")
    desktop.maximize()
    desktop.choose("Generate Layer", "generate-menu.png")
    window = desktop.wait_for_window(TITLE)
    wait(lambda: desktop.times("first paint"), "the window's drawing")
    desktop.screenshot("generate-empty.png")
    desktop.button("p")
    desktop.type("a red flower")
    desktop.press(window, "Return")  # Generate
    wait(lambda: desktop.times("result"), "the picture")
    desktop.screenshot("generate-picture.png")
    assert is_in_the_middle("generate-picture.png", desktop.place(window)["X"])
    assert desktop.state()["layers"] == ["Landscape"]  # nothing is inserted yet
    desktop.button("a")  # Another seed
    desktop.button("g")
    wait(lambda: len(desktop.times("result")) == 2, "another picture")
    first, second = fake_daemon.generations
    assert first.generation.prompt == "a red flower"
    assert second.generation.seed != first.generation.seed
    desktop.press(window, "Return")  # Insert as layer
    wait(lambda: len(desktop.state()["layers"]) == 2, "the layer")
    assert desktop.state()["layers"] == ["Generated: a red flower", "Landscape"]
    desktop.press(main, "ctrl+z")
    wait(lambda: desktop.state()["as_before"], "one undo")
    desktop.press(main, "ctrl+y")
    wait(lambda: len(desktop.state()["layers"]) == 2, "redo")
    desktop.press(main, "shift+ctrl+a")  # selects nothing
    desktop.times_file.unlink()
    desktop.choose("Drag Edit", "generate-drag-menu.png")
    dialog = desktop.open_dialog()
    desktop.pull(desktop.on_canvas(20, 20), desktop.on_canvas(40, 30))
    wait(lambda: len(fake_daemon.prepared) >= 1, "the preparation")
    desktop.screenshot("generate-drag.png")
    desktop.press(dialog, "Return")
    wait(lambda: desktop.times("result"), "the result")
    (request,) = fake_daemon.requests
    assert request.preparation.generation.seed == second.generation.seed
    assert request.preparation.prompt == ""


def test_the_advanced_settings_are_sent_and_remembered(desktop, fake_daemon):
    desktop.open_picture("PROMPT = 'a flower'", ASK, ASK.replace(", prompt=PROMPT", ""))
    for number in (1, 2):
        wait(lambda: len(desktop.times("first paint")) == number, "the window's drawing")  # noqa: B023
        desktop.wait_for_window(TITLE)
        desktop.button("v")  # Advanced
        if number == 1:
            desktop.button("n")
            desktop.type("a leaf")
            desktop.button("t")  # not automatic any more
            desktop.tool("xdotool", "key", "Tab", "type", "12")
            desktop.button("s")
            desktop.tool("xdotool", "key", "Tab", "type", "4.5")
        desktop.screenshot(f"generate-advanced-{number}.png")
        desktop.button("g")
        wait(lambda: len(fake_daemon.generations) == number, "the request")  # noqa: B023
        wait(lambda: len(desktop.times("result")) == number, "the picture")  # noqa: B023
        desktop.button("i")
    wait(lambda: desktop.state().get("call"), "the end")
    first, second = fake_daemon.generations
    assert first == second
    asked = first.generation
    assert (asked.prompt, asked.negative_prompt) == ("a flower", "a leaf")
    assert (asked.num_inference_steps, asked.guidance_scale) == (12, 4.5)


def test_cancel_stops_and_changes_nothing(desktop, fake_daemon):
    window = open_window(desktop, "slow 1")
    desktop.press(window, "Return")
    wait(lambda: fake_daemon.generations, "the request")
    time.sleep(0.5)
    desktop.screenshot("generate-progress.png")
    desktop.press(window, "Escape")
    assert fake_daemon.cancelled.wait(3)
    desktop.screenshot("generate-cancelled.png")
    assert desktop.windows(TITLE) == [window]
    desktop.press(window, "Escape")
    assert wait(lambda: desktop.state().get("call"), "the end")[0] == "CANCEL"
    wait(lambda: "as_before" in desktop.state(), "the watch")
    assert desktop.state()["as_before"]


def test_an_error_leaves_the_window_open(desktop, fake_daemon):
    window = open_window(desktop, "fail INVALID_ARGUMENT The width must be a multiple of 8.")
    desktop.press(window, "Return")
    wait(lambda: len(desktop.windows(TITLE)) == 2, "the message")
    desktop.screenshot("generate-error.png")
    desktop.key("Return")
    wait(lambda: desktop.windows(TITLE) == [window], "the message's end")
    assert len(fake_daemon.generations) == 1


def test_without_an_image_the_picture_opens_as_one(desktop, fake_daemon):
    del fake_daemon
    desktop.open_gimp(
        f"""
        result["call"] = call(None, [], Gimp.RunMode.INTERACTIVE, {NAME!r}, prompt="a flower")
        result["images"] = [[layer["name"] for layer in describe(i)] for i in Gimp.get_images()]
        """,
        STAY,
    )
    window = desktop.wait_for_window(TITLE)
    desktop.press(window, "Return")
    wait(lambda: desktop.times("result"), "the picture")
    desktop.press(window, "Return")
    wait(lambda: desktop.state().get("images"), "the image")
    assert desktop.state()["images"] == [["Generated: a flower"]]
    wait(lambda: desktop.windows(MAIN), "its window")


def test_a_defect_is_told_under_its_own_name(desktop, fake_daemon):
    del fake_daemon
    command = "'no end"  # nobody foresaw that
    asking = ("PROMPT = 'a flower'", ASK)
    desktop.open_picture(*asking, DRAGDIFFUSION_DAEMON_COMMAND=command)
    desktop.wait_for_window(TITLE)
    desktop.screenshot("generate-defect.png")
    desktop.key("alt+o")  # Copy details
    told = desktop.clipboard()
    assert told.startswith("“Generate Layer” failed, the image is as it was: ValueError(")
    assert "Traceback" in told
