"""The canvas and the settings of the dialog, in the real window, with mouse and keyboard."""

from __future__ import annotations

import json
import shutil
import statistics
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from gimp_desktop import MAIN, OUTPUT, PICTURE, make_picture, open_screen, wait
from PIL import Image

pytestmark = pytest.mark.slow
ASK = 'result["call"] = call(image, [layer], Gimp.RunMode.INTERACTIVE)'
WITHOUT_PATH = """
image.remove_path(image.get_paths()[0])
Gimp.Selection.none(image)
before = describe(image)
"""


def open_without_path(desktop, call=ASK):
    desktop.open_picture(WITHOUT_PATH, call)
    return desktop.open_dialog()


def trajectories(request):
    return [[(point.x, point.y) for point in t.points] for t in request.preparation.trajectories]


def drag_and_insert(desktop, dialog, fake_daemon):
    """The request that the dialog made."""
    desktop.press(dialog, "Return")
    wait(lambda: desktop.times("result"), "the result")
    desktop.press(dialog, "Return")
    wait(lambda: desktop.state().get("call"), "the layer")
    return fake_daemon.requests[-1]


def test_points_are_placed_moved_deleted_undone_and_kept(desktop, fake_daemon):
    dialog = open_without_path(desktop)
    at = desktop.on_canvas
    desktop.screenshot("canvas-empty.png")
    desktop.pull(at(259, 124), at(370, 104))  # the sun
    desktop.pull(at(240, 300), at(150, 320))  # the tree
    desktop.pull(at(370, 104), at(400, 60))  # the sun's target
    desktop.pull(at(60, 60), at(80, 100), at(120, 120), at(160, 60), modifier="shift")  # a curve
    desktop.pull(at(440, 400), at(480, 480))
    desktop.click(*at(480, 480), button=3)  # and away
    desktop.screenshot("canvas-points.png")
    desktop.press(dialog, "ctrl+z", "ctrl+z", "ctrl+z", "ctrl+z")  # back to the sun's target
    desktop.press(dialog, "ctrl+y", "ctrl+shift+z", "ctrl+y", "ctrl+z", "ctrl+z")
    desktop.press(dialog, "ctrl+y")  # what is left: sun, tree and curve, as after the curve
    desktop.pull(at(195, 310), at(195, 370))  # the tree's line: it bends
    desktop.screenshot("canvas-bent.png")
    request = drag_and_insert(desktop, dialog, fake_daemon)
    sun, tree, curve = trajectories(request)
    assert sun == [pytest.approx(point, abs=1) for point in [(259, 124), (400, 60)]]
    assert tree[0] == pytest.approx((240, 300), abs=1)
    assert tree[-1] == pytest.approx((150, 320), abs=1)
    assert max(tree, key=lambda point: point[1]) == pytest.approx((195, 370), abs=8)
    assert curve[0] == pytest.approx((60, 60), abs=1)
    assert curve[-1] == pytest.approx((160, 60), abs=1)
    assert len(curve) >= 4
    wait(lambda: desktop.state().get("paths") == ["Drag points"], "the path")
    assert desktop.state()["selected_paths"] == ["Drag points"]
    main = desktop.wait_for_window(MAIN)
    desktop.screenshot("points-kept.png")
    desktop.press(main, "ctrl+z")
    wait(lambda: desktop.state()["as_before"], "one undo for the layer")
    assert desktop.state()["paths"] == []  # and for the path
    desktop.press(main, "ctrl+y")
    wait(lambda: desktop.state()["paths"] == ["Drag points"], "redo")


def test_keys_choose_move_and_delete_points(desktop, fake_daemon):
    dialog = open_without_path(desktop)
    at = desktop.on_canvas
    desktop.pull(at(259, 124), at(370, 104))
    desktop.press(dialog, "Insert")  # an arrow in the middle
    desktop.press(dialog, "Delete")
    desktop.press(dialog, "Tab", "Down", "Down", "shift+Left")  # the first handle
    desktop.press(dialog, "Tab", "shift+Right")  # its target
    desktop.screenshot("canvas-keys.png")
    desktop.button("k")  # do not keep the points
    (way,) = trajectories(drag_and_insert(desktop, dialog, fake_daemon))
    assert way == [pytest.approx(point, abs=1) for point in [(249, 126), (380, 104)]]
    wait(lambda: len(desktop.state().get("layers", [])) == 2, "the layer")
    assert desktop.state()["paths"] == []


def test_wheel_keys_and_mouse_zoom_and_pan(desktop, fake_daemon):
    dialog = open_without_path(desktop)
    at = desktop.on_canvas
    fitting, origin = desktop.times("drawn")[-1], at(0, 0)
    place = at(300, 200)
    desktop.click(*place, button=4)
    desktop.click(*place, button=4)
    zoomed = desktop.times("drawn")[-1]
    assert zoomed["zoom"] == pytest.approx(fitting["zoom"] * 1.25**2)
    assert at(300, 200) == pytest.approx(place, abs=1)
    desktop.pull(place, (place[0] + 60, place[1] - 40), button=2)
    assert at(300, 200) == pytest.approx((place[0] + 60, place[1] - 40), abs=1)
    place = at(300, 200)
    desktop.pull(place, (place[0] - 50, place[1] + 30), modifier="space")
    assert at(300, 200) == pytest.approx((place[0] - 50, place[1] + 30), abs=1)
    desktop.press(dialog, "plus", "plus", "minus")
    assert desktop.times("drawn")[-1]["zoom"] == pytest.approx(zoomed["zoom"] * 1.25)
    desktop.screenshot("canvas-zoomed.png")
    desktop.pull(at(300, 200), at(320, 220))  # exact at any zoom
    desktop.press(dialog, "1")
    assert desktop.times("drawn")[-1]["zoom"] == pytest.approx(1)
    desktop.press(dialog, "0")
    assert desktop.times("drawn")[-1]["zoom"] == fitting["zoom"]
    assert at(0, 0) == origin
    (way,) = trajectories(drag_and_insert(desktop, dialog, fake_daemon))
    assert way == [pytest.approx(point, abs=0.6) for point in [(300, 200), (320, 220)]]


LARGE = """
import time
image = new_image(4096, 4096)
layer = Gimp.Layer.new(image, "Large", 4096, 4096, Gimp.ImageType.RGBA_IMAGE, 100, Gimp.LayerMode.NORMAL)
row = bytes(range(256)) * 64
set_pixels(layer, row * 4096)
image.insert_layer(layer, None, 0)
image.select_ellipse(Gimp.ChannelOps.REPLACE, 500, 500, 2000, 1500)
before = None
display = Gimp.Display.new(image)
"""


def test_it_opens_at_once_on_a_large_layer(gimp, desktop, fake_daemon):
    """The bound is for a busy machine; tests/output/opening.json has the figures."""
    openings = 5
    desktop.open_gimp(
        LARGE,
        f"""
        for number in range({openings}):
            call(image, [layer], Gimp.RunMode.INTERACTIVE)
        result["done"] = True
        """,
    )
    for number in range(openings):
        wait(lambda n=number: len(desktop.times("first paint")) > n, f"opening {number + 1}")
        wait(lambda n=number: len(desktop.times("pixels read")) > n, "the layer's pixels")
        dialog = desktop.wait_for_window("^Drag Edit$")
        if number == 0:
            desktop.screenshot("large.png")
            assert "/libgegl-" in libraries(gimp)
            assert "/gegl-0.4/" not in libraries(gimp)  # none of its operations
        desktop.press(dialog, "Escape")
    wait(lambda: desktop.state().get("done"), "the end")
    paints = [told["seconds"] for told in desktop.times("first paint")]
    used = [told["cpu_seconds"] for told in desktop.times("first paint")]
    reads = [told["seconds"] for told in desktop.times("pixels read")]
    figures = {"first paint": paints, "first paint, processor": used, "pixels read": reads}
    (OUTPUT / "opening.json").write_text(json.dumps(figures), encoding="utf-8")
    assert statistics.median(used) < 1
    assert statistics.median(paints) < 5
    del fake_daemon


def libraries(gimp):
    """Which ones the plug-in's process has loaded."""
    entry = f"{gimp.folder}/plug-ins/drag_diffusion/drag_diffusion.py"
    (found,) = [p for p in psutil.process_iter(["cmdline"]) if entry in (p.info["cmdline"] or ())]
    return "\n".join(file.path for file in found.memory_maps())


OPENING = """
FOLDER = sys.path[0]
find_plugin(FOLDER)
from plugin import dialog, subject

def tell(when):
    result[when] = [box_of(widget) for widget in all_widgets(opened._dialog)]
    result["left " + when] = box_of(opened._left)
    if when != "picture":
        result["column"] = box_of(opened._panel.widget)
    write_json(FOLDER + "/result.json", result)

def holding(when, go_on):
    def hold(opened):
        write_json(FOLDER + "/result.json", {"held": when})
        time.sleep(2)
        tell(when)  # which asks the screen, and so would bring the frame there itself
        go_on(opened)
    return hold

def steps():
    yield lambda: opened._background.is_prepared
    tell("later")

kind = dialog.DragDialog
kind._first_paint = holding("picture", kind._first_paint)
kind._begin = holding("settings", kind._begin)
dialog.start()
procedure = Gimp.get_pdb().lookup_procedure("plug-in-drag-diffusion")
opened = dialog.DragDialog(procedure, procedure.create_config(), subject.gather(image, [layer]))
drive(steps())
opened.run()
"""


def test_the_first_frame_is_on_the_screen_before_anything_else_begins(gimp, desktop, fake_daemon):
    """The picture, then the settings; and what comes later moves nothing."""
    make_picture(gimp.folder / "picture.rgba")
    shutil.copy(Path(__file__).with_name("widgets.py"), gimp.folder)
    desktop.open_gimp("from widgets import *", PICTURE, OPENING)
    for part in ("picture", "settings"):
        wait(lambda part=part: (desktop.state() or {}).get("held") == part, part)
        desktop.screenshot(f"first-{part}.png")
    told = wait(lambda: desktop.state().get("later") and desktop.state(), "the preparation")
    desktop.screenshot("first-later.png")
    desktop.press(desktop.wait_for_window("^Drag Edit$"), "Escape")
    assert difference("picture", "settings", told["left picture"]) < 0.01
    assert difference("settings", "later", told["column"]) < 0.01  # models can be chosen now
    assert told["left picture"] == told["left later"]
    assert told["settings"] == told["later"]
    del fake_daemon


def difference(one, other, box):
    """Share of the values on the screen that differ inside the box."""
    pictures = (Image.open(OUTPUT / f"first-{name}.png").crop(box) for name in (one, other))
    first, second = map(np.asarray, pictures)
    return (first != second).mean()


def test_it_prepares_while_points_are_placed_and_a_drag_waits(desktop, fake_daemon):
    desktop.open_picture(
        'result["call"] = call(image, [layer], Gimp.RunMode.INTERACTIVE, prompt="study 1.2")'
    )
    dialog = desktop.open_dialog()
    wait(lambda: fake_daemon.prepared, "the preparation's request")
    desktop.screenshot("preparing.png")
    desktop.press(dialog, "Return")  # Drag, before it is prepared
    desktop.screenshot("drag-waits.png")
    assert not fake_daemon.requests
    wait(lambda: desktop.times("result"), "the result")
    (preparation,), (request,) = fake_daemon.prepared, fake_daemon.requests
    assert request.preparation.HasField("region")
    request.preparation.ClearField("region")
    assert request.preparation == preparation


def test_another_prompt_prepares_again_and_closing_cancels(desktop, fake_daemon):
    desktop.open_picture(
        'result["call"] = call(image, [layer], Gimp.RunMode.INTERACTIVE, prompt="study 2")'
    )
    dialog = desktop.open_dialog()
    wait(lambda: fake_daemon.prepared, "the preparation's request")
    desktop.button("p")  # Picture shows
    desktop.type("study 4")
    wait(lambda: len(fake_daemon.prepared) == 2, "the second")
    assert fake_daemon.unprepared.wait(2)
    fake_daemon.unprepared.clear()
    time.sleep(1)  # it is debounced: one request, not one for each letter
    assert [request.prompt for request in fake_daemon.prepared] == ["study 2", "study 4"]
    desktop.press(dialog, "Escape")
    assert fake_daemon.unprepared.wait(2)
    assert wait(lambda: desktop.state().get("call"), "the end")[0] == "CANCEL"


def test_a_preparation_that_fails_is_told_in_the_dialog(desktop, fake_daemon):
    desktop.open_picture(
        """result["call"] = call(image, [layer], Gimp.RunMode.INTERACTIVE,
            prompt="unprepared The model “sd15” is not here: download it.")"""
    )
    dialog = desktop.open_dialog()
    wait(lambda: fake_daemon.prepared, "the preparation's request")
    desktop.screenshot("not-prepared.png")
    assert desktop.windows("^Drag Edit$") == [dialog]


def test_one_of_several_results_is_inserted(desktop, fake_daemon):
    desktop.open_picture(ASK)
    dialog = desktop.open_dialog()
    desktop.press(dialog, "Return")
    wait(lambda: len(desktop.times("result")) == 1, "the result")
    desktop.button("a")  # Try again
    desktop.pull(desktop.on_canvas(370, 104), desktop.on_canvas(300, 60))
    desktop.press(dialog, "Return")
    wait(lambda: len(desktop.times("result")) == 2, "the second result")
    assert len(fake_daemon.prepared) == 1
    desktop.screenshot("two-results.png")
    desktop.press(dialog, "Escape")  # asks
    wait(lambda: len(desktop.windows("^Drag Edit$")) == 2, "the question")
    desktop.screenshot("close-question.png")
    desktop.key("Escape")  # go back
    wait(lambda: len(desktop.windows("^Drag Edit$")) == 1, "the question's end")
    strip = desktop.times("strip")[-1]
    desktop.click(strip["x"], strip["y"])  # the first
    desktop.screenshot("first-result.png")
    desktop.press(dialog, "alt+i")
    wait(lambda: desktop.state().get("records"), "the layer")
    (record,) = desktop.state()["records"]
    assert record["drags"] == [[[259, 124], [370, 104]]]


@pytest.mark.parametrize("precision", ["U16_NON_LINEAR", "FLOAT_LINEAR"])
def test_it_opens_on_a_picture_of_more_than_8_bits(desktop, fake_daemon, precision):
    """GIMP makes no small picture of such a layer."""
    convert = f"image.convert_precision(Gimp.Precision.{precision}); before = describe(image)"
    desktop.open_picture(convert, ASK)
    dialog = desktop.open_dialog()
    desktop.screenshot(f"dialog-{precision}.png")
    request = drag_and_insert(desktop, dialog, fake_daemon)
    assert trajectories(request) == [[(259, 124), (370, 104)]]


def test_a_grown_and_softened_selection_is_shown_and_used(desktop, fake_daemon):
    desktop.open_picture(ASK)
    dialog = desktop.open_dialog()
    wait(lambda: len(fake_daemon.prepared) == 1, "the preparation")
    desktop.button("g")
    desktop.press(dialog, "ctrl+a")
    desktop.type("30")
    desktop.button("f")
    desktop.press(dialog, "ctrl+a")
    desktop.type("40")
    desktop.press(dialog, "Tab")
    wait(lambda: fake_daemon.prepared[-1].mask != fake_daemon.prepared[0].mask, "another mask")
    desktop.screenshot("grown.png")
    request = drag_and_insert(desktop, dialog, fake_daemon)
    before = fake_daemon.buffers[fake_daemon.prepared[0].mask.sha256]
    after = fake_daemon.buffers[request.preparation.mask.sha256]
    assert sum(after) > 1.2 * sum(before)
    assert sum(0 < value < 255 for value in after) > sum(0 < value < 255 for value in before)
    wait(lambda: desktop.state().get("records"), "the layer")
    (record,) = desktop.state()["records"]
    assert (record["settings"]["mask_grow"], record["settings"]["mask_feather"]) == (30, 40)


def test_filters_are_dragged_with_the_layer_or_left_out(desktop, fake_daemon):
    filtered = """
    selected = Gimp.Selection.save(image)
    Gimp.Selection.none(image)  # a filter is limited to what is selected
    one = Gimp.DrawableFilter.new(layer, "gegl:invert-gamma", "Invert")
    layer.append_filter(one)
    one.update()
    image.select_item(Gimp.ChannelOps.REPLACE, selected)
    image.remove_channel(selected)
    before = describe(image)
    """
    desktop.open_picture(filtered, ASK)
    dialog = desktop.open_dialog()
    wait(lambda: len(fake_daemon.prepared) == 1, "the preparation")
    desktop.screenshot("with-filters.png")
    desktop.button("w")
    wait(lambda: len(fake_daemon.prepared) == 2, "another preparation")
    desktop.screenshot("without-filters.png")
    request = drag_and_insert(desktop, dialog, fake_daemon)
    shown, own = (
        fake_daemon.buffers[one.image.sha256]
        for one in (fake_daemon.prepared[0], request.preparation)
    )
    assert own[0] == 255 - shown[0]
    wait(lambda: desktop.state().get("filters") == [["Invert"], ["Invert"]], "the copied filter")
    desktop.screenshot("without-filters-result.png")
    main = desktop.wait_for_window(MAIN)
    desktop.press(main, "ctrl+z")
    wait(lambda: desktop.state()["as_before"], "one undo")
    assert desktop.state()["filters"] == [["Invert"]]
    desktop.press(main, "ctrl+y")
    # GIMP's redo brings any layer that came with filters back without them: those of its own Duplicate Layer too.
    wait(lambda: len(desktop.state()["layers"]) == 2, "redo")


def test_presets_are_saved_loaded_and_removed(gimp, desktop, fake_daemon):
    dialog = open_without_path(desktop)
    desktop.pull(desktop.on_canvas(259, 124), desktop.on_canvas(370, 104))
    file = gimp.folder / "config" / "dragdiffusion" / "gimp-presets.json"
    desktop.button("p")
    desktop.type("a cat")
    desktop.button("e")  # Presets
    desktop.type("Cats")
    desktop.button("s")
    wait(file.exists, "the file")
    saved = json.loads(file.read_text(encoding="utf-8"))["presets"]
    assert saved["Cats"]["prompt"] == "a cat"
    assert saved["Cats"]["mode"] == "default"
    desktop.button("p")
    desktop.press(dialog, "ctrl+a")
    desktop.type("a dog")
    wait(lambda: "a dog" in [request.prompt for request in fake_daemon.prepared], "the dog")
    desktop.button("e")
    desktop.press(dialog, "Down")  # the first of the list
    wait(lambda: fake_daemon.prepared[-1].prompt == "a cat", "the preset")
    desktop.screenshot("presets.png")
    desktop.button("r")
    wait(lambda: json.loads(file.read_text(encoding="utf-8"))["presets"] == {}, "the removal")


def test_a_screen_of_twice_the_density_and_a_light_theme(gimp, fake_daemon, set_theme):
    set_theme("light")
    for desktop in open_screen(gimp, "2400x1600"):
        desktop.open_picture(WITHOUT_PATH, ASK, GDK_SCALE="2")
        dialog = desktop.open_dialog()
        drawn = desktop.times("drawn")[-1]

        def at(x, y, drawn=drawn):
            """The screen counts its own pixels, GTK half as many."""
            return tuple(
                round(2 * (drawn[axis] + value * drawn["zoom"]))
                for axis, value in (("x", x), ("y", y))
            )

        desktop.pull(at(259, 124), at(370, 104))
        desktop.screenshot("dense-light.png")
        (way,) = trajectories(drag_and_insert(desktop, dialog, fake_daemon))
        assert way == [pytest.approx(point, abs=1) for point in [(259, 124), (370, 104)]]
