"""What was set for a drag is there the next time, also where its result was not inserted."""

from __future__ import annotations

import json

import pytest
from gimp_desktop import wait

pytestmark = pytest.mark.slow
GENERATE = "plug-in-drag-diffusion-generate"
FIRST = 'result["1"] = call(image, [layer], Gimp.RunMode.INTERACTIVE, prompt="a sun", seed=5, mask_grow=7)'
AGAIN = 'result["{}"] = call(image, [layer], Gimp.RunMode.INTERACTIVE)'


def close(desktop, dialog):
    """Without a result, although there is one."""
    desktop.press(dialog, "Escape")
    wait(lambda: len(desktop.windows("^Drag Edit$")) == 2, "the question")
    desktop.key("alt+w")  # Close without


def drag(desktop, number, fake_daemon):
    desktop.times_file.unlink(missing_ok=True)
    dialog = desktop.open_dialog()
    desktop.press(dialog, "Return")
    wait(lambda: desktop.times("result"), "the result")
    assert len(fake_daemon.requests) == number
    return dialog


def kept(gimp):
    file = gimp.folder / "config" / "dragdiffusion" / "gimp-tried.json"
    return json.loads(file.read_text(encoding="utf-8"))["presets"]


def test_a_drag_whose_result_was_not_inserted(gimp, desktop, fake_daemon):
    script = (FIRST, *(AGAIN.format(number) for number in (2, 3, 4)))
    desktop.open_picture(*script)
    close(desktop, drag(desktop, 1, fake_daemon))
    dialog = drag(desktop, 2, fake_daemon)
    desktop.screenshot("remembered.png")
    desktop.press(dialog, "Return")  # Insert as layer: GIMP remembers
    dialog = drag(desktop, 3, fake_daemon)
    assert not kept(gimp)
    close(desktop, dialog)
    wait(lambda: set(kept(gimp)) == {"plug-in-drag-diffusion"}, "what is remembered")
    first, *others = [request.preparation for request in fake_daemon.requests]
    assert (first.prompt, first.seed) == ("a sun", 5)
    for other in others:
        assert (other.prompt, other.seed, other.mask) == ("a sun", 5, first.mask)
    dialog = desktop.open_dialog()
    desktop.press(dialog, "Escape")
    told = [wait(lambda: desktop.state().get("4"), "the end"), *map(desktop.state().get, "123")]
    assert [status for status, _sentence in told] == ["CANCEL", "CANCEL", "SUCCESS", "CANCEL"]


def test_without_a_drag_nothing_is_remembered(desktop, fake_daemon):
    desktop.open_picture(FIRST, AGAIN.format(2))
    desktop.press(desktop.open_dialog(), "Escape")
    drag(desktop, 1, fake_daemon)
    (request,) = fake_daemon.requests
    assert (request.preparation.prompt, request.preparation.seed) == ("", 0)


def test_a_picture_that_was_not_inserted(desktop, fake_daemon):
    asking = f"call(None, [], Gimp.RunMode.INTERACTIVE, {GENERATE!r}"
    set_up = "prompt='a flower', seed=5, steps=12, guidance_scale=4.5, negative_prompt='a leaf')"
    desktop.open_gimp(f"result['1'] = {asking}, {set_up}", f"result['2'] = {asking})")
    for number in range(1, 3):
        window = desktop.wait_for_window("^Generate Layer$")
        desktop.settle()
        desktop.press(window, "Return")
        wait(lambda: len(desktop.times("result")) == number, "the picture")  # noqa: B023
        desktop.press(window, "Escape")
        wait(lambda: window not in desktop.windows("^Generate Layer$"), "its end")  # noqa: B023
    first, second = fake_daemon.generations
    assert first == second
    assert second.generation.negative_prompt == "a leaf"
    assert second.generation.guidance_scale == 4.5
