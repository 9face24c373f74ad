"""A layer of 12,000 × 9,000 pixels in a real GIMP: only what the edit needs of it is read and sent."""

from __future__ import annotations

import json

import pytest
from gimp_desktop import OUTPUT, WATCH, wait

pytestmark = pytest.mark.slow

# The part that is dragged, with known pixels, far from every corner; the rest is white.
LARGE = """
import time
WIDTH, HEIGHT, LEFT, TOP = 12000, 9000, 5750, 4300
image = new_image(WIDTH + 40, HEIGHT)
layer = Gimp.Layer.new(image, "Large", WIDTH, HEIGHT, Gimp.ImageType.RGBA_IMAGE, 100, Gimp.LayerMode.NORMAL)
layer.fill(Gimp.FillType.WHITE)
rows = b"".join(bytes((x % 256, y % 256, (x * y) % 256, 255)) for y in range(400) for x in range(500))
buffer = layer.get_buffer()
buffer.set(Gegl.Rectangle.new(LEFT, TOP, 500, 400), SRGB, rows)
buffer.flush()
del buffer
layer.set_offsets(40, 0)
image.insert_layer(layer, None, 0)
new_path(image, [(LEFT + 40 + 100, TOP + 100), (LEFT + 40 + 300, TOP + 200)])
image.select_rectangle(Gimp.ChannelOps.REPLACE, LEFT + 40, TOP, 500, 400)

def look(new):
    result["place"] = [*list(new.get_offsets())[1:], new.get_width(), new.get_height()]
    made = pixels(new)
    result["right"] = made == bytes(255 - v if i % 4 < 3 else v for i, v in enumerate(rows))
    result["record"] = read_record(new)
"""
PLACE = [5790, 4300, 500, 400]


def check(told, fake_daemon):
    assert told["place"] == PLACE
    assert told["right"]
    (image,) = [rows for rows in fake_daemon.buffers.values() if len(rows) % 4 == 0][:1]
    assert len(image) < 45_000_000  # of 432,000,000
    part = told["record"]["source_part"]
    assert part[0] + part[2] <= 12000
    assert len(image) == 4 * part[2] * part[3]


def test_a_script_reads_what_it_needs(gimp, fake_daemon):
    told = gimp.batch(
        LARGE,
        'result["call"] = call(image, [layer])',
        "look(image.get_layers()[0])",
        timeout=300,
    )
    assert told["call"] == ["SUCCESS", ""]
    check(told, fake_daemon)


def test_the_selection_is_read_where_it_is_and_shown_at_its_place(gimp):
    """What the dialog shows of it is what GIMP's whole selection would be, wherever it lies and however soft its edge is."""
    told = gimp.batch(
        LARGE,
        """
        sys.path.insert(0, sys.path[0] + "/plug-ins/drag_diffusion")
        from operator import sub
        from plugin import image_io
        image_io.start()
        state = image_io.read_state(layer)
        Gimp.context_set_feather(True)
        Gimp.context_set_feather_radius(30, 30)

        def look(scale):
            width, height, rows = image_io.read_small_selection(image, state, scale)
            there = Gegl.Rectangle.new(round(state.x * scale), 0, width, height)
            buffer = image.get_selection().get_buffer()
            whole = bytes(buffer.get(there, scale, "Y u8", Gegl.AbyssPolicy.NONE))
            return [len(rows) == len(whole), max(map(abs, map(sub, rows, whole))), max(rows)]

        for name, place in {
            "inside": (5003, 4001, 701, 499),
            "corner": (11900, 8900, 500, 500),
            "beside": (0, 0, 4, 9000),
        }.items():
            image.select_ellipse(Gimp.ChannelOps.REPLACE, *place)
            result[name] = [look(scale) for scale in (1024 / 12000, 0.11)]
        """,
    )
    looks = [*told["inside"], *told["corner"], *told["beside"]]
    assert all(has_all and difference <= 1 for has_all, difference, _largest in looks)
    assert [largest for *_rest, largest in looks] == [255, 255, 255, 255, 0, 0]


def test_the_dialog_opens_at_once_and_stays_light(desktop, fake_daemon):
    """tests/output/large.json has the figures; the bounds are for a busy machine."""
    desktop.open_gimp(
        LARGE,
        "before, display = None, Gimp.Display.new(image)",
        'result["call"] = call(image, [layer], Gimp.RunMode.INTERACTIVE)',
        "look(image.get_layers()[0])",
        WATCH.replace("describe(image)", "None"),  # which would read it all
    )
    dialog = desktop.open_dialog()
    wait(lambda: desktop.times("prepared"), "the preparation")
    desktop.press(dialog, "Return")
    wait(lambda: desktop.times("result"), "the result")
    desktop.button("a")  # Try again
    desktop.press(dialog, "Tab", "Tab", *5 * ["shift+Right"])  # the target, 50 pixels further
    desktop.screenshot("huge.png")
    desktop.key("1")
    desktop.screenshot("huge-near.png")
    desktop.press(dialog, "Return")
    wait(lambda: len(desktop.times("result")) == 2, "the second result")
    first, second = fake_daemon.requests
    (was,), (target,) = (
        [way.points[-1].x for way in request.preparation.trajectories]
        for request in (first, second)
    )
    assert target == was + 50
    assert first.preparation.image == second.preparation.image
    assert fake_daemon.uploads == 2  # the picture and its mask, once
    desktop.press(dialog, "Return")
    told = wait(lambda: desktop.state().get("call") and desktop.state(), "the layer")
    assert told["call"] == ["SUCCESS", ""]
    check(told, fake_daemon)
    names = ("first paint", "pixels read", "prepared", "result")
    figures = {name: desktop.times(name)[0] for name in names}
    (OUTPUT / "large.json").write_text(json.dumps(figures), encoding="utf-8")
    assert figures["pixels read"]["seconds"] < 20
    assert desktop.times("result")[-1]["peak_mib"] < 500
