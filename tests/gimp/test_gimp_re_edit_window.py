"""Re-edit Drag's window under Xvfb: what it starts with, replacing in one step of undo, adding."""

from __future__ import annotations

import pytest
from gimp_desktop import MAIN, wait

pytestmark = pytest.mark.slow
TITLE = "^Re-edit Drag$"
DRAGGED = """
assert call(image, [layer], prompt="a sun", mode="fast", seed=7, mask_grow=12)[0] == "SUCCESS"
old = image.get_layers()[0]
old.set_opacity(80)
Gimp.Selection.none(image)
image.remove_path(image.get_paths()[0])
image.set_selected_layers([old])
before = describe(image)
Gimp.displays_flush()
"""
CHANGED = """
blur = Gimp.DrawableFilter.new(old, "gegl:gaussian-blur", "Soft")
old.append_filter(blur)
blur.update()
old.resize(old.get_width() + 20, old.get_height() - 10, 15, -5)
before = describe(image)
"""
ASK = 'result["call"] = call(image, [old], Gimp.RunMode.INTERACTIVE, RE_EDIT)'


def test_points_selection_and_settings_are_those_of_the_layer(gimp, desktop, fake_daemon):
    desktop.open_picture(DRAGGED, CHANGED)
    main = desktop.wait_for_window(MAIN)
    wait(lambda: desktop.state(), "the picture")
    desktop.maximize()
    desktop.choose("Re-edit Drag", "re-edit-menu.png")
    dialog = desktop.open_dialog(TITLE)
    wait(lambda: desktop.times("prepared"), "the preparation")
    desktop.screenshot("re-edit.png")
    desktop.pull(desktop.on_canvas(370, 104), desktop.on_canvas(330, 60))
    desktop.press(dialog, "Return")  # Drag
    wait(lambda: desktop.times("result"), "the result")
    desktop.screenshot("re-edit-result.png")
    first, second = fake_daemon.requests
    assert (second.preparation.prompt, second.preparation.seed) == ("a sun", 7)
    assert second.preparation.mode == first.preparation.mode
    assert second.preparation.mask == first.preparation.mask
    (way,) = second.preparation.trajectories
    assert [(p.x, p.y) for p in way.points] == [
        pytest.approx(point, abs=1) for point in [(259, 124), (330, 60)]
    ]
    desktop.press(dialog, "Return")  # Replace the layer
    wait(lambda: not desktop.windows(TITLE), "the end")
    old = [
        [[259, 124], [370, 104]]
    ]  # the fake daemon's pixels are the same: the record tells them apart
    replaced = ["Drag edit: Landscape", "Landscape"]
    wait(lambda: desktop.state()["layers"] == replaced, "the layer in its place")
    wait(lambda: desktop.state()["records"][0]["drags"] != old, "the new layer")
    wait(lambda: desktop.state()["filters"] == [["Soft"], []], "all of it")
    assert desktop.state()["paths"] == []
    assert not desktop.state()["as_before"]
    (record,) = desktop.state()["records"]
    replaced_image = desktop.state()["image"]
    assert record["drags"][0][-1] == pytest.approx((330, 60), abs=1)
    desktop.screenshot("re-edit-replaced.png")
    desktop.press(main, "ctrl+z")
    wait(lambda: desktop.state()["records"][0]["drags"] == old, "one undo")
    assert desktop.state()["layers"] == ["Drag edit: Landscape", "Landscape"]
    assert desktop.state()["filters"] == [["Soft"], []]
    wait(lambda: desktop.state()["as_before"], "every pixel as before")
    desktop.press(main, "ctrl+y")
    wait(lambda: desktop.state()["records"] == [record], "redo")
    wait(lambda: desktop.state()["image"] == replaced_image, "every pixel as it was replaced")
    desktop.press(main, "ctrl+f")  # Repeat: the layer as it is now
    wait(lambda: len(fake_daemon.requests) == 3, "the repeated drag")
    (repeated,) = fake_daemon.requests[2].preparation.trajectories
    assert repeated.points[1].x == pytest.approx(way.points[1].x, abs=0.01)
    wait(lambda: desktop.state()["layers"] == ["Drag edit: Landscape", "Landscape"], "its layer")
    kept = gimp.folder / "profile" / "plug-in-settings"
    assert [file.name.partition("-")[2] for file in kept.glob("*.last")] == [
        "plug-in-drag-diffusion-re-edit.last"  # Drag Edit's own last values are as they were: none
    ]


def test_the_result_is_added_as_a_layer_of_its_own(desktop, fake_daemon):
    desktop.open_picture(DRAGGED, ASK)
    dialog = desktop.open_dialog(TITLE)
    desktop.press(dialog, "Return")
    wait(lambda: desktop.times("result"), "the result")
    desktop.button("i")
    assert wait(lambda: desktop.state().get("call"), "the layer") == ["SUCCESS", ""]
    wait(lambda: desktop.state().get("layers"), "the watch")
    assert desktop.state()["layers"][1:] == ["Drag edit: Landscape", "Landscape"]
    assert len(desktop.state()["layers"]) == 3
    assert len(fake_daemon.requests) == 2


def test_on_a_scaled_image_points_and_selection_are_scaled(desktop, fake_daemon):
    scaled = "image.scale(768, 384)"
    desktop.open_picture(DRAGGED, scaled, "before = describe(image)", ASK)
    dialog = desktop.open_dialog(TITLE)
    wait(lambda: desktop.times("prepared"), "the preparation")
    desktop.screenshot("re-edit-scaled.png")
    desktop.press(dialog, "Return")
    wait(lambda: desktop.times("result"), "the result")
    desktop.press(dialog, "Return")
    wait(lambda: desktop.state().get("layers"), "the layer in its place")
    (record,) = desktop.state()["records"]
    ((handle, target),) = record["drags"]
    assert handle == pytest.approx((259 * 1.5, 124 * 0.75), abs=0.01)
    assert target == pytest.approx((370 * 1.5, 104 * 0.75), abs=0.01)
    assert len(fake_daemon.requests) == 2


def test_a_layer_that_looks_other_now_is_told(desktop, fake_daemon):
    del fake_daemon
    desktop.open_picture(DRAGGED, "layer.invert(False)", ASK)
    dialog = desktop.open_dialog(TITLE)
    desktop.screenshot("re-edit-looks-other.png")
    desktop.press(dialog, "Escape")
    assert wait(lambda: desktop.state().get("call"), "the end")[0] == "CANCEL"


def test_closing_the_window_changes_nothing(desktop, fake_daemon):
    desktop.open_picture(DRAGGED, ASK)
    dialog = desktop.open_dialog(TITLE)
    desktop.press(dialog, "Escape")
    assert wait(lambda: desktop.state().get("call"), "the end")[0] == "CANCEL"
    wait(lambda: "as_before" in desktop.state(), "the watch")
    assert desktop.state()["as_before"]
    assert len(fake_daemon.requests) == 1


def test_a_layer_that_no_drag_made_is_told_in_a_window(desktop, fake_daemon):
    del fake_daemon
    desktop.open_picture("old = layer", ASK)
    message = desktop.wait_for_window(TITLE)
    desktop.screenshot("re-edit-error.png")
    desktop.press(message, "Return")
    assert wait(lambda: desktop.state().get("call"), "the end")[0] == "CANCEL"
