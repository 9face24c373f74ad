"""The real window under Xvfb: the dialog, the progress, the result, undo in one step."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dragdiffusion.daemon import endpoint as endpoints
from dragdiffusion.models import catalogue

pytestmark = pytest.mark.slow
OUTPUT = Path(__file__).resolve().parents[1] / "output"  # the screenshots are kept here


MAIN = "– GIMP$"


class Desktop:
    """A screen of its own with GIMP on it."""

    def __init__(self, gimp: Any, display: str) -> None:
        self.gimp = gimp
        self.display = display
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, *command: str, **environment: str) -> subprocess.Popen[bytes]:
        log = (self.gimp.folder / f"{Path(command[0]).name}.log").open("wb")
        with log:
            process = subprocess.Popen(
                self.gimp.command(*command),
                env=self.gimp.environment(DISPLAY=self.display, **environment),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._processes.append(process)
        return process

    def open_gimp(self, *script: str, **environment: str) -> None:
        path = self.gimp.write_script(*script)
        self.start(*self.gimp.batch_command("gimp", path, stay=True), **environment)

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

    def click(self, x: int, y: int, modifier: str = "") -> None:
        """At a place of the screen."""
        held = ["keydown", modifier] if modifier else []
        released = ["keyup", modifier] if modifier else []
        place = ["mousemove", "--sync", str(x), str(y), "sleep", "0.2"]
        self.tool("xdotool", *place, *held, "click", "1", *released, "sleep", "0.3")

    def pull(self, start: tuple[int, int], end: tuple[int, int]) -> None:
        """From one place of the screen to another, with the button held."""
        self.tool("xdotool", "mousemove", str(start[0]), str(start[1]), "mousedown", "1")
        half = ((start[0] + end[0]) // 2, (start[1] + end[1]) // 2)
        self.tool("xdotool", "mousemove", str(half[0]), str(half[1]))
        self.tool("xdotool", "mousemove", str(end[0]), str(end[1]), "mouseup", "1")

    def screenshot(self, name: str) -> None:
        time.sleep(0.7)  # let it be drawn
        shot = self.gimp.folder / "shot.png"
        self.tool("import", "-window", "root", str(shot))
        OUTPUT.mkdir(exist_ok=True)
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


@pytest.fixture
def desktop(gimp: Any) -> Iterator[Desktop]:
    # No last values of another test: they would take the place of those that this one passes.
    shutil.rmtree(gimp.folder / "profile" / "plug-in-settings", ignore_errors=True)
    number = next(n for n in range(50, 500) if _is_free(n))
    made = Desktop(gimp, f":{number}")
    try:
        made.start("Xvfb", made.display, "-screen", "0", "1280x860x24", "-nolisten", "tcp")
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
while True:   # the test watches this, and ends GIMP
    layers = image.get_layers()
    result["layers"] = [layer.get_name() for layer in layers]
    result["as_before"] = describe(image) == before
    write_json(sys.path[0] + "/result.json", result)
    time.sleep(0.3)
"""


def make_picture(path: Path) -> None:
    from PIL import Image

    from dragdiffusion.evaluation import scenes

    landscape = scenes.render(scenes.sample(scenes.FIRST_HELD_OUT_SEED + 1, "landscape"))
    picture = Image.fromarray(landscape.image_bytes).resize((512, 512), Image.Resampling.BICUBIC)
    picture.save(path)


def test_the_dialog_the_result_and_one_undo(gimp, desktop, fake_daemon):
    make_picture(gimp.folder / "picture.png")
    desktop.open_gimp(
        PICTURE,
        'result["call"] = call(image, [layer], Gimp.RunMode.INTERACTIVE, prompt="slow 0.8")',
        WATCH,
    )
    dialog = desktop.wait_for_window("^Drag Edit$")
    desktop.maximize()
    desktop.screenshot("dialog.png")
    desktop.press(dialog, "Return")
    wait(lambda: fake_daemon.requests, "the request")
    time.sleep(1.5)
    desktop.screenshot("progress.png")
    wait(lambda: desktop.state().get("call"), "the result")
    assert desktop.state()["call"] == ["SUCCESS", ""]
    wait(lambda: len(desktop.state()["layers"]) == 2, "the layer")
    desktop.screenshot("result.png")
    desktop.press(desktop.wait_for_window(MAIN), "ctrl+z")
    wait(lambda: desktop.state()["as_before"], "one undo")
    desktop.screenshot("undone.png")


def test_as_the_user_guide_says(gimp, desktop, fake_daemon):
    """Mouse and keyboard only: the Paths tool, two strokes, the menu entry, the dialog."""
    make_picture(gimp.folder / "picture.png")
    desktop.open_gimp(
        PICTURE,
        "image.remove_path(image.get_paths()[0])",
        "Gimp.Selection.none(image); before = describe(image)",
        WATCH,
    )
    main = desktop.wait_for_window(MAIN)
    wait(lambda: desktop.state(), "the picture")
    desktop.maximize()
    time.sleep(1)
    desktop.press(main, "b")
    desktop.click(622, 340)  # the sun
    desktop.click(700, 320)
    desktop.click(600, 500, "shift")  # the tree
    desktop.click(560, 520)
    desktop.click(427, 32)  # Filters
    desktop.screenshot("menu.png")
    desktop.tool("xdotool", "key", "--delay", "200", "Up", "Return")  # the last entry
    dialog = desktop.wait_for_window("^Drag Edit$")
    desktop.screenshot("two-strokes.png")
    desktop.click(490, 590)  # More settings
    desktop.screenshot("more-settings.png")
    desktop.press(dialog, "Return")
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
    wait(lambda: len(desktop.state()["layers"]) == 2, "the layer")
    desktop.click(700, 600, "shift")  # a stroke of one point
    desktop.press(main, "ctrl+f")
    time.sleep(3)
    desktop.screenshot("repeat-error.png")
    assert len(fake_daemon.requests) == 2


def test_cancel_in_the_progress_window(gimp, desktop, fake_daemon):
    make_picture(gimp.folder / "picture.png")
    desktop.open_gimp(
        PICTURE,
        'result["call"] = call(image, [layer], Gimp.RunMode.INTERACTIVE, prompt="slow 0.8")',
        WATCH,
    )
    desktop.press(desktop.wait_for_window("^Drag Edit$"), "Return")
    wait(lambda: fake_daemon.requests, "the request")
    time.sleep(1)  # of four
    desktop.press(desktop.wait_for_window("^Drag Edit$"), "Escape")
    assert wait(lambda: desktop.state().get("call"), "the end")[0] == "CANCEL"
    assert fake_daemon.cancelled.wait(2)
    assert desktop.state()["as_before"]


def test_an_error_is_shown_in_a_window(gimp, desktop, fake_daemon):
    del fake_daemon
    make_picture(gimp.folder / "picture.png")
    desktop.open_gimp(
        PICTURE,
        "image.remove_path(image.get_paths()[0])",
        'result["call"] = call(image, [layer], Gimp.RunMode.INTERACTIVE)',
        WATCH,
    )
    message = desktop.wait_for_window("^Drag Edit$")
    desktop.screenshot("error.png")
    desktop.press(message, "Return")
    assert wait(lambda: desktop.state().get("call"), "the end")[0] == "CANCEL"
    assert desktop.state()["as_before"]


def test_the_whole_way_with_the_embedded_model(gimp, desktop, host_command):
    """As a user sees it; the screenshots are those of the documentation."""
    embedded = catalogue.resolve(catalogue.EMBEDDED)
    if not catalogue.is_available(embedded):
        pytest.skip("the embedded model is not in this checkout")
    gimp.endpoint_file.unlink(missing_ok=True)
    make_picture(gimp.folder / "picture.png")
    desktop.open_gimp(
        PICTURE,
        """
        result["call"] = call(
            image, [layer], Gimp.RunMode.INTERACTIVE,
            prompt="a purple mountain at day with a sun and a tree", model="embedded")
        new = image.get_layers()[0]
        result["offset"] = list(new.get_offsets())[1:]
        coverage, alpha = selection(image, new), pixels(new)[3::4]
        result["alpha_is_the_selection"] = max(abs(a - b) for a, b in zip(alpha, coverage)) <= 1
        """,
        WATCH,
        DRAGDIFFUSION_DAEMON_COMMAND=host_command("-m", "dragdiffusion", "serve"),
    )
    try:
        dialog = desktop.wait_for_window("^Drag Edit$")
        desktop.maximize()
        desktop.pull((1046, 462), (960, 462))  # a wider Layers dialog
        desktop.tool("xdotool", "windowactivate", "--sync", dialog)
        desktop.screenshot("gimp-dialog.png")
        desktop.press(dialog, "Return")
        wait(lambda: endpoints.read(gimp.endpoint_file), "the daemon")
        time.sleep(15)
        desktop.screenshot("gimp-progress.png")
        wait(lambda: desktop.state().get("call"), "the result", 400)
        assert desktop.state()["call"] == ["SUCCESS", ""]
        assert desktop.state()["layers"] == ["Drag edit: Landscape", "Landscape"]
        assert desktop.state()["alpha_is_the_selection"]
        desktop.screenshot("gimp-result.png")
        desktop.press(desktop.wait_for_window(MAIN), "ctrl+z")
        wait(lambda: desktop.state()["as_before"], "one undo")
    finally:
        endpoint = endpoints.read(gimp.endpoint_file)
        if endpoint is not None:
            os.kill(endpoint.pid, signal.SIGTERM)
