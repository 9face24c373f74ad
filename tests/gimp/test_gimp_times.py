"""How long an artist waits: the plug-in in a real GIMP, the real daemon, real gRPC; tests/output/times.json has the figures.

The bounds are for a busy machine; the figures of docs/user-guide.md from quieter ones, with DRAGDIFFUSION_TEST_ROUNDS=5.
"""

from __future__ import annotations

import json
import os
import statistics
import time

import pytest
from gimp_desktop import OUTPUT, wait

from dragdiffusion.client.connection import Connection
from dragdiffusion.daemon import endpoint as endpoints

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("real_daemon")]
ROUNDS = int(os.environ.get("DRAGDIFFUSION_TEST_ROUNDS", "1"))

PICTURE = """
import time
image = new_image(SIDE, SIDE)
layer = Gimp.Layer.new(image, "Large", SIDE, SIDE, Gimp.ImageType.RGBA_IMAGE, 100, Gimp.LayerMode.NORMAL)
set_pixels(layer, bytes(range(256)) * (SIDE * SIDE // 64))
image.insert_layer(layer, None, 0)
new_path(image, [(SIDE // 2 - 200, SIDE // 2), (SIDE // 2 + 200, SIDE // 2)])
image.select_ellipse(Gimp.ChannelOps.REPLACE, SIDE // 2 - 300, SIDE // 2 - 200, 600, 400)
display = Gimp.Display.new(image)

def other_pixels(number):
    '''So that the daemon does not have them already.'''
    buffer = layer.get_buffer()
    buffer.set(Gegl.Rectangle.new(SIDE // 2, SIDE // 2, 1, 1), SRGB, bytes([number, 0, 0, 255]))
    buffer.flush()
    del buffer
    layer.update(0, 0, SIDE, SIDE)
"""


def keep(name: str, figures: dict[str, float]) -> None:
    path = OUTPUT / "times.json"
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    path.write_text(json.dumps({**kept, name: figures}, indent=1), encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "side", "mode"),
    [
        ("2048", 2048, "default"),
        ("4096", 4096, "default"),
        ("8192", 8192, "default"),
        ("8192 whole", 8192, "reference"),
    ],
)
def test_opening_reading_and_sending(desktop, name, side, mode):
    desktop.open_gimp(
        f"SIDE = {side}",
        PICTURE,
        f"""
        for number in range({ROUNDS + 1}):
            other_pixels(number)
            time.sleep(1)  # until GIMP has drawn them, as it has when an artist opens the dialog
            call(image, [layer], Gimp.RunMode.INTERACTIVE, model="embedded", mode="{mode}")
        """,
    )
    opened: list[dict[str, float]] = []
    for number in range(1, ROUNDS + 2):
        # The picture, and the first time its mask.
        wait(lambda n=number: len(desktop.times("uploaded")) > n, "the upload", 120)
        dialog = desktop.wait_for_window("^Drag Edit$")
        paint, read = (desktop.times(event)[-1] for event in ("first paint", "pixels read"))
        sent = max(desktop.times("uploaded")[-2:], key=lambda told: told["bytes"])
        opened.append(
            {
                "first paint": paint["seconds"],
                "pixels read": read["seconds"],
                "sending": sent["took"],
                "MB": sent["bytes"] / 1e6,
                "plug-in's peak, MiB": sent["peak_mib"],
                "peak when drawn, MiB": paint["peak_mib"],
            }
        )
        desktop.press(dialog, "Escape")
    later = opened[1:]  # the first may start the daemon
    figures = {key: statistics.median(told[key] for told in later) for key in later[0]}
    keep(name, figures)
    assert figures["first paint"] < 5
    assert figures["peak when drawn, MiB"] < 200  # babl would have filled 256 for its tables
    assert figures["sending"] < 20
    whole = mode == "reference" or side < 8192  # beyond 50 million pixels only a part is sent
    assert (figures["MB"] == pytest.approx(4 * side**2 / 1e6)) == whole


def test_cancel(gimp, desktop):
    """Until the dialog shows the points again, and until the daemon does nothing any more."""
    desktop.open_gimp(
        "SIDE = 2048",
        PICTURE,
        """
        call(image, [layer], Gimp.RunMode.INTERACTIVE, model="embedded", mode="reference",
             lora_steps=0, max_drag_steps=2000)
        """,
    )
    dialog = desktop.open_dialog()
    wait(lambda: desktop.times("prepared"), "the preparation", 120)
    free, shown = [], []
    with Connection(endpoints.read(gimp.endpoint_file)) as daemon:
        for number in range(ROUNDS):
            previews = len(desktop.times("preview"))
            desktop.press(dialog, "Return")
            wait(lambda n=previews: len(desktop.times("preview")) > n, "a preview", 60)
            pressed = time.monotonic()
            desktop.press(dialog, "Escape")
            while daemon.status().queue_length:
                time.sleep(0.005)
            ended = time.monotonic()
            wait(lambda n=number: len(desktop.times("cancelled")) > n, "the end")
            clock = desktop.times("cancelled")[-1]["clock"]
            shown.append(clock - pressed)
            free.append(ended - clock)
    figures = {
        "key to dialog, xdotool included": statistics.median(shown),
        "dialog to a free daemon": statistics.median(max(0.0, seconds) for seconds in free),
    }
    keep("cancel", figures)
    assert figures["dialog to a free daemon"] < 2
