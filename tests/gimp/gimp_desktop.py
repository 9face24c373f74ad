"""A screen of its own with a real GIMP on it, driven with mouse and keyboard; and the picture that the tests open."""

from __future__ import annotations

import json
import os
import shlex
import signal
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from running_gimp import SERVE_DAEMON, RunningGimp

OUTPUT = Path(__file__).resolve().parents[1] / "output"  # the screenshots are kept here


MAIN = "– GIMP$"
OURS = "^(Drag Edit|Generate Layer|Re-edit Drag|About the daemon|Models|GIMP Message|Durch Ziehen bearbeiten|拖拽编辑)$"
END = "= end ="
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
        self.shown = RunningGimp(gimp, "gimp", f"gimp{display}", DISPLAY=display)
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

    def begin(self) -> None:
        """For another test: no last values are left, which would take the place of those that it passes."""
        for folder in ("profile/plug-in-settings", "config"):
            for file in (self.gimp.folder / folder).rglob("*"):
                if file.is_file():
                    file.unlink()
        self.tool("xdotool", "mousemove", "640", "430")

    def open_gimp(self, *script: str, **environment: str) -> None:
        """A GIMP that runs the script: the one that is there, if it has this environment.

        It starts the real daemon where a drag finds none.
        """
        self.times_file.unlink(missing_ok=True)
        self._stop_file.unlink(missing_ok=True)
        variables = {
            "DRAGDIFFUSION_TIMES": str(self.times_file),
            "XDG_CONFIG_HOME": str(self.gimp.folder / "config"),
            "DRAGDIFFUSION_DAEMON_COMMAND": self.gimp.host_command(*SERVE_DAEMON),
            **environment,
        }
        self.shown.begin(self.gimp.make_script(*script), **variables)

    @property
    def _stop_file(self) -> Path:
        """Ends WATCH."""
        return self.gimp.folder / "stop"

    def finish(self) -> None:
        """Close what the test left open; end GIMP where that does not help."""
        self._stop_file.touch()
        if not self.shown.is_idle:
            with suppress(pytest.fail.Exception):
                self.shown.finish(15, self._close_windows)
        if self.shown.is_idle and len(self.windows(".")) > 1:
            self.shown.close()

    def _close_windows(self) -> None:
        """By Escape, and where that asks whether to close without inserting, by that."""
        windows = self.windows(OURS)
        if not windows:
            time.sleep(0.15)  # the script looks for its end every 0.3 s
            return
        self.tool("xdotool", "key", "Escape", "sleep", "0.2")
        now = self.windows(OURS)
        if len(now) > len(windows):
            self.tool("xdotool", "key", "alt+w", "sleep", "0.2")
        elif now == windows:
            self.tool("xdotool", "windowactivate", now[-1])

    def open_picture(self, *script: str, **environment: str) -> None:
        """GIMP with the picture; after the script it tells what becomes of it."""
        make_picture(self.gimp.folder / "picture.rgba")
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
        self.settle()
        return window

    def choose(self, entry: str, shot: str) -> None:
        """An entry of ours in the menu Filters of the maximized window."""
        self.click(427, 32)
        self.screenshot(shot)
        ups = ["Up"] * (len(ENTRIES) - ENTRIES.index(entry))
        self.tool("xdotool", "key", "--delay", "50", *ups, "Return")

    def on_canvas(self, x: float, y: float) -> tuple[int, int]:
        """Where a point of the layer lies on the screen."""
        drawn = self.times("drawn")[-1]
        return round(drawn["x"] + x * drawn["zoom"]), round(drawn["y"] + y * drawn["zoom"])

    def button(self, label: str) -> None:
        """Press a button of the dialog by its mnemonic: GTK clicks it a quarter of a second later."""
        self.tool("xdotool", "key", f"alt+{label}")
        self.settle(0.7, 0.35)

    def key(self, *keys: str) -> None:
        """One after the other, each when the one before has had its effect."""
        for key in keys:
            self.tool("xdotool", "key", key)
            self.settle(0.5, 0.15)

    def type(self, text: str) -> None:
        self.tool("xdotool", "type", "--delay", "20", text)

    def tool(self, *command: str) -> str:
        """What a command on this screen says; in one shell, which costs less than to start where GIMP is each time."""
        shell = self._shell
        assert shell.stdin is not None
        assert shell.stdout is not None
        shell.stdin.write(f"timeout 60 {shlex.join(command)} </dev/null\necho\necho {END}\n")
        shell.stdin.flush()
        lines: list[str] = []
        while not lines or lines[-1] != f"{END}\n":
            lines.append(shell.stdout.readline())
            assert lines[-1], "the shell has ended"
        return "".join(lines[:-1]).strip()

    @cached_property
    def _shell(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.gimp.command("bash"),
            env=self.gimp.environment(DISPLAY=self.display),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def windows(self, title: str) -> list[str]:
        return self.tool("xdotool", "search", "--onlyvisible", "--name", title).split()

    def wait_for_window(self, title: str) -> str:
        """Until it is there and drawn."""
        window = wait(lambda: self.windows(title), f"window “{title}”")[-1]
        self.settle()
        return window

    def press(self, window: str, *keys: str) -> None:
        self.tool("xdotool", "windowactivate", "--sync", window, "sleep", "0.1")
        self.tool("xdotool", "key", "--delay", "40", *keys)

    def click(self, x: int, y: int, modifier: str = "", button: int = 1) -> None:
        """At a place of the screen."""
        held = ["keydown", modifier] if modifier else []
        released = ["keyup", modifier] if modifier else []
        place = ["mousemove", str(x), str(y), "sleep", "0.1"]
        self.tool("xdotool", *place, *held, "click", str(button), *released)
        self.settle(0.5, 0.15)

    def place(self, window: str) -> dict[str, int]:
        """X, WIDTH, HEIGHT and others; Y counts the title twice."""
        told = self.tool("xdotool", "getwindowgeometry", "--shell", window).splitlines()
        return {name: int(value) for name, value in (line.split("=") for line in told)}

    def click_in(self, window: str, x: int, y: int) -> None:
        """At a place of a window; one that is negative counts from its right or lower edge."""
        place = self.place(window)
        at = x % place["WIDTH"], y % place["HEIGHT"]
        move = ["mousemove", "--window", window, str(at[0]), str(at[1])]
        self.tool("xdotool", *move, "sleep", "0.1", "click", "1")
        self.settle(0.5, 0.15)

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
        )
        self.settle(0.5, 0.15)

    def clipboard(self) -> str:
        """What another program would paste."""
        return self.tool("python3", "-c", PASTE)

    def screenshot(self, name: str) -> None:
        self.settle()
        blue_first = Image.fromarray(self._pixels[..., :3].copy())
        Image.merge("RGB", blue_first.split()[::-1]).save(OUTPUT / name, compress_level=1)

    def settle(self, seconds: float = 0.7, quiet: float = 0.2) -> None:
        """Until nothing on the screen has changed for a moment; where something always does, so many seconds."""
        before = np.zeros_like(self._pixels)
        since = time.monotonic()
        end = since + seconds
        while (now := time.monotonic()) < end and now - since < quiet:
            if not np.array_equal(self._pixels, before):
                before[:], since = self._pixels, now
            time.sleep(0.05)

    @cached_property
    def _pixels(self) -> np.ndarray:
        """What Xvfb shows now, row by row, BGRX, in the format of xwd: a header, a table of colours, the rows."""
        file = self.gimp.folder / self.display[1:] / "Xvfb_screen0"
        header = struct.unpack(">25I", file.read_bytes()[:100])
        width, height, line, colours = header[4], header[5], header[12], header[19]
        shape = (height, line // 4, 4)
        offset = header[0] + 12 * colours
        return np.memmap(file, np.uint8, "r", offset, shape)[:, :width]

    def state(self) -> dict[str, Any]:
        self.shown.check()
        try:
            return self.gimp.read_result()
        except FileNotFoundError:
            return {}

    def close(self) -> None:
        self.shown.close()
        self._shell.communicate("", 10)
        for process in reversed(self._processes):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
        for process in self._processes:
            try:
                process.wait(3)
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
        time.sleep(0.15)  # most ask for the windows, and every question starts a program
    pytest.fail(f"{what} did not come within {seconds:.0f} s")


@contextmanager
def language(gimp: Any, code: str, scheme: str = "dark") -> Iterator[None]:
    """And the theme's colours, as chosen in GIMP's preferences."""
    usual = gimp.preferences.read_text(encoding="utf-8")
    chosen = f'(language "{code}")\n(theme-color-scheme {scheme})\n'
    gimp.preferences.write_text(usual + chosen, encoding="utf-8")
    try:
        yield
    finally:
        gimp.preferences.write_text(usual, encoding="utf-8")
        (gimp.folder / "profile" / "pluginrc").unlink(
            missing_ok=True
        )  # has the menu in that language


def open_screen(gimp: Any, size: str = "1280x860") -> Iterator[Desktop]:
    OUTPUT.mkdir(exist_ok=True)
    # Each test process has a range of its own, so that two never take the same at once.
    first = 50 + 100 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    number = next(n for n in range(first, first + 100) if _is_free(n))
    made = Desktop(gimp, f":{number}")
    try:
        # Without -noreset the screen begins anew when the first tool leaves it, and may lose the window manager.
        screen = ("-screen", "0", f"{size}x24", "-nolisten", "tcp", "-noreset")
        folder = gimp.folder / str(number)  # for what is on the screen
        folder.mkdir(exist_ok=True)
        made.start("Xvfb", made.display, *screen, "-fbdir", str(folder), "-nocursor")
        wait(lambda: made.tool("xdotool", "getdisplaygeometry"), "the screen", 20)
        made.start("openbox")
        made.begin()
        yield made
    finally:
        made.close()


def _is_free(display: int) -> bool:
    names = Path("/proc/net/unix").read_text(encoding="ascii", errors="replace")
    return f"/tmp/.X11-unix/X{display}\n" not in names


PICTURE = """
import time
from gi.repository import Gio
image = new_image(512, 512)
image.set_file(Gio.File.new_for_path(sys.path[0] + "/picture.xcf"))
layer = Gimp.Layer.new(image, "Landscape", 512, 512, Gimp.ImageType.RGB_IMAGE, 100, Gimp.LayerMode.NORMAL)
set_pixels(layer, Path(sys.path[0] + "/picture.rgba").read_bytes())
image.insert_layer(layer, None, 0)
image.clean_all()
new_path(image, [(259, 124), (370, 104)], name="Sun").set_visible(True)
Gimp.context_set_feather(True)
Gimp.context_set_feather_radius(10, 10)
image.select_ellipse(Gimp.ChannelOps.REPLACE, 160, 15, 310, 200)
before = describe(image)
display = Gimp.Display.new(image)
Gimp.displays_flush()
"""

WATCH = """
import time

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
    if "look_too" in globals():
        look_too()  # at what else a test wants to know

while not Path(sys.path[0] + "/stop").exists():   # the test watches this
    try:
        watch()
        write_json(sys.path[0] + "/result.json", result)
    except (AttributeError, TypeError):
        pass  # a layer was replaced meanwhile, and has no pixels any more: the next look will do
    time.sleep(0.3)
"""

STAY = """
import time
write_json(sys.path[0] + "/result.json", result)
while not Path(sys.path[0] + "/stop").exists():   # what was opened is not cleared away before
    time.sleep(0.05)
"""


def make_picture(path: Path) -> None:
    """Its bytes alone: to start a plug-in that reads a file would take GIMP longer."""
    if path.exists():
        return
    from dragdiffusion.evaluation import scenes

    landscape = scenes.render(scenes.sample(scenes.FIRST_HELD_OUT_SEED + 1, "landscape"))
    picture = Image.fromarray(landscape.image_bytes).resize((512, 512), Image.Resampling.BICUBIC)
    path.write_bytes(picture.convert("RGBA").tobytes())
