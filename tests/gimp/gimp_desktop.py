"""A screen of its own with a real GIMP on it, driven with mouse and keyboard; and the picture that the tests open."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

OUTPUT = Path(__file__).resolve().parents[1] / "output"  # the screenshots are kept here


MAIN = "– GIMP$"
PASTE = """
import gi
gi.require_version("Gtk", "3.0")
from gi.repository import Gdk, Gtk
print(Gtk.Clipboard.get(Gdk.SELECTION_CLIPBOARD).wait_for_text())
"""
# The last of the menu Filters, in its order.
ENTRIES = ("Drag Edit", "About the Daemon", "Generate Layer", "Re-edit Drag")


class Desktop:
    """A screen of its own with GIMP on it."""

    def __init__(self, gimp: Any, display: str) -> None:
        self.gimp = gimp
        self.display = display
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, *command: str, log: str = "") -> subprocess.Popen[bytes]:
        file = (self.gimp.folder / (log or f"{Path(command[0]).name}.log")).open("wb")
        with file:
            process = subprocess.Popen(
                self.gimp.command(*command),
                env=self.gimp.environment(DISPLAY=self.display),
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._processes.append(process)
        return process

    def open_gimp(self, *script: str, **environment: str) -> None:
        path = self.gimp.write_script(*script)
        self.times_file.unlink(missing_ok=True)
        variables = {
            "DRAGDIFFUSION_TIMES": str(self.times_file),
            "XDG_CONFIG_HOME": str(self.gimp.folder / "config"),
            **environment,
        }
        told = [f"{name}={value}" for name, value in variables.items()]
        command = self.gimp.batch_command("gimp", path, stay=True)
        self.start("env", *told, *command, log="gimp.log")

    def open_picture(self, *script: str, **environment: str) -> None:
        """GIMP with the picture; after the script it tells what becomes of it."""
        make_picture(self.gimp.folder / "picture.png")
        self.open_gimp(PICTURE, *script, WATCH, **environment)

    @property
    def times_file(self) -> Path:
        return self.gimp.folder / "times.jsonl"

    def times(self, event: str) -> list[dict[str, Any]]:
        """What the plug-in noted of this event."""
        if not self.times_file.exists():
            return []
        lines = self.times_file.read_text(encoding="utf-8").splitlines()
        return [told for told in map(json.loads, lines) if told["event"] == event]

    def open_dialog(self, title: str = "^Drag Edit$") -> str:
        """Wait until the dialog is drawn and stays where it is; its window."""
        window = self.wait_for_window(title)
        wait(lambda: self.times("pixels read"), "the layer's pixels")
        self.tool("xdotool", "windowactivate", "--sync", window)
        time.sleep(0.5)
        return window

    def choose(self, entry: str, shot: str) -> None:
        """An entry of ours in the menu Filters of the maximized window."""
        self.click(427, 32)
        self.screenshot(shot)
        ups = ["Up"] * (len(ENTRIES) - ENTRIES.index(entry))
        self.tool("xdotool", "key", "--delay", "200", *ups, "Return")

    def on_canvas(self, x: float, y: float) -> tuple[int, int]:
        """Where a point of the layer lies on the screen."""
        drawn = self.times("drawn")[-1]
        return round(drawn["x"] + x * drawn["zoom"]), round(drawn["y"] + y * drawn["zoom"])

    def button(self, label: str) -> None:
        """Press a button of the dialog by its mnemonic."""
        self.tool("xdotool", "key", f"alt+{label}", "sleep", "0.3")

    def tool(self, *command: str) -> str:
        done = subprocess.run(
            self.gimp.command(*command),
            env=self.gimp.environment(DISPLAY=self.display),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return done.stdout.strip()

    def windows(self, title: str) -> list[str]:
        return self.tool("xdotool", "search", "--onlyvisible", "--name", title).split()

    def wait_for_window(self, title: str) -> str:
        return wait(lambda: self.windows(title), f"window “{title}”")[-1]

    def press(self, window: str, *keys: str) -> None:
        self.tool("xdotool", "windowactivate", "--sync", window)
        time.sleep(0.3)
        self.tool("xdotool", "key", "--delay", "80", *keys)

    def click(self, x: int, y: int, modifier: str = "", button: int = 1) -> None:
        """At a place of the screen."""
        held = ["keydown", modifier] if modifier else []
        released = ["keyup", modifier] if modifier else []
        place = ["mousemove", "--sync", str(x), str(y), "sleep", "0.2"]
        self.tool("xdotool", *place, *held, "click", str(button), *released, "sleep", "0.3")

    def place(self, window: str) -> dict[str, int]:
        """X, WIDTH, HEIGHT and others; Y counts the title twice."""
        told = self.tool("xdotool", "getwindowgeometry", "--shell", window).splitlines()
        return {name: int(value) for name, value in (line.split("=") for line in told)}

    def click_in(self, window: str, x: int, y: int) -> None:
        """At a place of a window; one that is negative counts from its right or lower edge."""
        place = self.place(window)
        at = x % place["WIDTH"], y % place["HEIGHT"]
        move = ["mousemove", "--window", window, str(at[0]), str(at[1])]
        self.tool("xdotool", *move, "sleep", "0.3", "click", "1", "sleep", "0.3")

    def pull(self, *way: tuple[int, int], button: int = 1, modifier: str = "") -> None:
        """Along these places of the screen, with the button held."""
        moves = [word for x, y in way[1:] for word in ("mousemove", str(x), str(y), "sleep", "0.1")]
        if len(way) == 2:
            half = (way[0][0] + way[1][0]) // 2, (way[0][1] + way[1][1]) // 2
            moves = ["mousemove", str(half[0]), str(half[1]), "sleep", "0.1", *moves]
        self.tool(
            *("xdotool", "mousemove", str(way[0][0]), str(way[0][1]), "sleep", "0.1"),
            *(["keydown", modifier] if modifier else []),
            *("mousedown", str(button), *moves, "mouseup", str(button)),
            *(["keyup", modifier] if modifier else []),
            *("sleep", "0.2"),
        )

    def clipboard(self) -> str:
        """What another program would paste."""
        return self.tool("python3", "-c", PASTE)

    def screenshot(self, name: str) -> None:
        time.sleep(0.7)  # let it be drawn
        shot = self.gimp.folder / "shot.png"
        self.tool("import", "-window", "root", str(shot))
        shutil.copy(shot, OUTPUT / name)

    def state(self) -> dict[str, Any]:
        try:
            return self.gimp.read_result()
        except FileNotFoundError:
            return {}

    def close(self) -> None:
        for process in reversed(self._processes):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
        for process in self._processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(10)

    def maximize(self) -> None:
        self.tool("xdotool", "windowsize", "--sync", self.wait_for_window(MAIN), "100%", "100%")


def wait(probe: Callable[[], Any], what: str, seconds: float = 60) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = probe()
        if found:
            return found
        time.sleep(0.2)
    pytest.fail(f"{what} did not come within {seconds:.0f} s")


@contextmanager
def language(gimp: Any, code: str, scheme: str = "dark") -> Iterator[None]:
    """And the theme's colours, as chosen in GIMP's preferences."""
    gimprc = gimp.folder / "profile" / "gimprc"
    usual = gimprc.read_text(encoding="utf-8")
    chosen = f'(language "{code}")\n(theme-color-scheme {scheme})\n'
    gimprc.write_text(usual + chosen, encoding="utf-8")
    try:
        yield
    finally:
        gimprc.write_text(usual, encoding="utf-8")
        (gimp.folder / "profile" / "pluginrc").unlink(
            missing_ok=True
        )  # has the menu in that language


def open_screen(gimp: Any, size: str = "1280x860") -> Iterator[Desktop]:
    OUTPUT.mkdir(exist_ok=True)
    # No last values of another test: they would take the place of those that this one passes.
    shutil.rmtree(gimp.folder / "profile" / "plug-in-settings", ignore_errors=True)
    shutil.rmtree(gimp.folder / "config", ignore_errors=True)
    # Each test process has a range of its own, so that two never take the same at once.
    first = 50 + 100 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    number = next(n for n in range(first, first + 100) if _is_free(n))
    made = Desktop(gimp, f":{number}")
    try:
        # Without -noreset the screen begins anew when the first tool leaves it, and may lose the window manager.
        screen = ("-screen", "0", f"{size}x24", "-nolisten", "tcp", "-noreset")
        made.start("Xvfb", made.display, *screen)
        wait(lambda: made.tool("xdotool", "getdisplaygeometry"), "the screen", 20)
        made.start("openbox")
        yield made
    finally:
        made.close()


def _is_free(display: int) -> bool:
    names = Path("/proc/net/unix").read_text(encoding="ascii", errors="replace")
    return f"/tmp/.X11-unix/X{display}\n" not in names


PICTURE = """
import time
from gi.repository import Gio
image = Gimp.file_load(Gimp.RunMode.NONINTERACTIVE, Gio.File.new_for_path(sys.path[0] + "/picture.png"))
layer = image.get_layers()[0]
layer.set_name("Landscape")
new_path(image, [(259, 124), (370, 104)], name="Sun").set_visible(True)
Gimp.context_set_feather(True)
Gimp.context_set_feather_radius(10, 10)
image.select_ellipse(Gimp.ChannelOps.REPLACE, 160, 15, 310, 200)
before = describe(image)
display = Gimp.Display.new(image)
Gimp.displays_flush()
"""

WATCH = """
def watch():
    layers = image.get_layers()
    result["layers"] = [layer.get_name() for layer in layers]
    result["image"] = describe(image)
    result["as_before"] = result["image"] == before
    result["filters"] = [[one.get_name() for one in layer.get_filters()] for layer in layers]
    result["paths"] = [path.get_name() for path in image.get_paths()]
    result["selected_paths"] = [path.get_name() for path in image.get_selected_paths()]
    parasites = [layer.get_parasite("drag-diffusion-edit") for layer in layers]
    result["records"] = [json.loads(bytes(p.get_data())) for p in parasites if p]

while True:   # the test watches this, and ends GIMP
    try:
        watch()
        write_json(sys.path[0] + "/result.json", result)
    except (AttributeError, TypeError):
        pass  # a layer was replaced meanwhile, and has no pixels any more: the next look will do
    time.sleep(0.3)
"""


def make_picture(path: Path) -> None:
    from PIL import Image

    from dragdiffusion.evaluation import scenes

    landscape = scenes.render(scenes.sample(scenes.FIRST_HELD_OUT_SEED + 1, "landscape"))
    picture = Image.fromarray(landscape.image_bytes).resize((512, 512), Image.Resampling.BICUBIC)
    picture.save(path)
