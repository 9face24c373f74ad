"""For who cannot see the windows, or use no mouse: every widget has a name, a key reaches it, no two have one key."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from babel.messages import Catalog
from babel.messages.pofile import read_po
from gimp_desktop import OUTPUT, PICTURE, language, make_picture, open_screen, wait
from PIL import Image

PLUGIN = Path(__file__).resolve().parents[2] / "gimp_plugin" / "drag_diffusion"
pytestmark = pytest.mark.slow

SHOW_ALL = """
FOLDER = sys.path[0]
find_plugin(FOLDER)
from plugin import daemon_window, dialog, generate_dialog, messages, subject
from plugin import dialog_widgets as parts
from plugin.edit_model import EditError

layer.append_filter(Gimp.DrawableFilter.new(layer, "gegl:invert-gamma", "Invert"))
image.get_paths()[0].stroke_new_from_points(Gimp.PathStrokeType.BEZIER, 3 * [300, 300], False)
dialog.start()
procedure = Gimp.get_pdb().lookup_procedure("plug-in-drag-diffusion")
config = procedure.create_config()
config.set_property("prompt", "slow 0.8")
config.set_property("lora-steps", 80)  # the number can be typed
config.set_property("max-drag-steps", 80)
opened = dialog.DragDialog(procedure, config, subject.gather(image, [layer]))
window = opened._dialog


def tell(name, window):
    result[name] = look_at(window, f"{FOLDER}/window {name}.png")


def steps():
    yield lambda: opened._background.is_prepared
    expand_all(window)
    yield pause(0.5)
    tell("at points", window)
    window.response(parts.DRAG)
    yield lambda: opened._state == parts.WORKING and opened._handles.step > 1
    yield pause(0.3)
    tell("at work", window)
    yield lambda: opened._state == parts.LOOKING
    yield pause(0.5)
    tell("at a result", window)
    GLib.idle_add(opened._show_daemon)
    yield lambda: len(access_keys(top_window())) == 5  # it has been asked
    yield pause(0.5)
    tell("daemon", top_window())
    top_window().response(Gtk.ResponseType.CLOSE)
    yield pause(0.5)
    GLib.idle_add(opened._manage_models, config)
    yield lambda: len(focusable(top_window())) > 2  # the list has come
    yield pause(0.5)
    tell("models", top_window())
    top_window().response(Gtk.ResponseType.CLOSE)
    yield pause(0.5)
    making = Gimp.get_pdb().lookup_procedure("plug-in-drag-diffusion-generate")
    asked = making.create_config()
    asked.set_property("width", 512)  # the size can be typed
    asked.set_property("height", 512)
    asked.set_property("steps", 50)
    asked.set_property("guidance-scale", 7.5)
    asked.set_property("prompt", "slow 0.8")
    generating = generate_dialog.GenerateDialog(making, asked)
    GLib.idle_add(generating.run)
    yield pause(0.5)
    expand_all(generating._dialog)
    yield pause(0.5)
    tell("generate", generating._dialog)
    generating._dialog.response(generate_dialog.GENERATE)
    yield lambda: generating._state == generate_dialog.WORKING
    yield pause(0.3)
    tell("generating", generating._dialog)
    yield lambda: generating._state == generate_dialog.LOOKING
    yield pause(0.5)
    tell("generated", generating._dialog)
    generating._dialog.response(parts.CLOSE)
    yield pause(0.5)
    GLib.idle_add(lambda: messages.show_error(EditError("It cannot be done."), window))
    yield pause(0.5)
    expand_all(top_window())
    yield pause(0.5)
    tell("error", top_window())
    top_window().response(Gtk.ResponseType.CLOSE)
    yield pause(0.5)
    window.response(parts.CLOSE)
    yield pause(0.5)
    tell("question", top_window())
    top_window().response(Gtk.ResponseType.OK)


drive(steps())
opened.run()
"""
WINDOWS = (
    "at points",
    "at work",
    "at a result",
    "daemon",
    "models",
    "generate",
    "generating",
    "generated",
    "error",
    "question",
)


SMALL_SCREEN = (1366, 768)
LEAST_CONTRAST = 4.5  # WCAG 1.4.3
FRAME = 48  # what a desktop's bar and a window's title take
LANGUAGES = {"": "dark", "de": "light", "zh_CN": "gray"}  # each in other colours


@pytest.fixture(scope="module", params=LANGUAGES, ids=["en", "de", "zh_CN"])
def windows(request, gimp):
    """What was found in each of our windows, in each language; and what they look like."""
    make_picture(gimp.folder / "picture.rgba")
    shutil.copy(Path(__file__).with_name("widgets.py"), gimp.folder)
    theme = LANGUAGES[request.param]
    with gimp.fake_daemon() as daemon, language(gimp, request.param, theme):
        for desktop in open_screen(gimp, "x".join(map(str, SMALL_SCREEN))):
            desktop.open_gimp("from widgets import *", PICTURE, SHOW_ALL)
            try:
                told = wait(desktop.state, "all windows", 120)
                told["canvas"] = canvas_widths(desktop)
                told["dragged"] = [
                    len(request.preparation.trajectories) for request in daemon.requests
                ]
            finally:
                desktop.screenshot("access.png")  # where it stopped
            for shot in gimp.folder.glob("window *.png"):
                name = shot.stem.removeprefix("window ")
                shutil.move(shot, picture_of(name, request.param, theme))
            yield {**told, "language": request.param, "theme": theme, "desktop": desktop}
            desktop.finish()


def canvas_widths(desktop):
    """In the first dialog, when the picture was there and when the settings had come too."""
    painted, settled = (
        desktop.times(name)[0]["clock"] for name in ("first paint", "settings shown")
    )
    drawn = desktop.times("drawn")
    first = [one for one in drawn if one["clock"] <= painted][-1]
    then = next(one for one in drawn if one["clock"] > settled)
    return first["width"], then["width"]


def picture_of(name: str, language: str, theme: str) -> Path:
    words = ["window", *name.split(), language or "en", theme]
    return OUTPUT / f"{'-'.join(words)}.png"


@pytest.mark.parametrize("name", WINDOWS)
def test_every_widget_has_a_name(windows, name):
    found = windows[name]["widgets"]
    assert found
    nameless = [widget for widget in found if not widget["name"]]
    assert not nameless, f"give these a label with a mnemonic, or an accessible name: {nameless}"


@pytest.mark.parametrize("name", WINDOWS)
def test_tab_reaches_every_widget(windows, name):
    assert not windows[name]["unreached"]


@pytest.mark.parametrize("name", WINDOWS)
def test_no_two_have_one_access_key(windows, name):
    count = Counter(key for key, _label in windows[name]["keys"])
    twice = [(key, label) for key, label in windows[name]["keys"] if count[key] > 1]
    assert not twice


@pytest.mark.parametrize("name", WINDOWS)
def test_nothing_is_cut_off(windows, name):
    assert not windows[name]["cut off"]


@pytest.mark.parametrize("name", WINDOWS)
def test_it_fits_on_a_small_screen(windows, name):
    width, height = windows[name]["size"]
    assert width <= SMALL_SCREEN[0]
    assert height <= SMALL_SCREEN[1] - FRAME


def test_the_canvas_stays_when_the_settings_come(windows):
    first, then = windows["canvas"]
    assert then == first


@pytest.mark.parametrize("name", ["at points", "generate"])
def test_the_fields_begin_in_one_column(windows, name):
    columns = windows[name]["columns"]
    assert len(columns) >= 4
    assert len(set(columns.values())) == 1, columns


@pytest.mark.parametrize("name", WINDOWS)
def test_nothing_is_left_in_english(windows, name):
    if not windows["language"]:
        pytest.skip("English is what this is compared with")
    assert english(windows["language"]).isdisjoint(windows[name]["texts"])


# The dialog's title, and the path that keeps its points.
NAMES = {"de": ("Durch Ziehen bearbeiten", "Ziehpunkte"), "zh_CN": ("拖拽编辑", "拖拽点")}


def test_a_drag_in_another_language(windows):
    """By mouse and keyboard, in the GIMP in which the windows were looked at."""
    code, desktop = windows["language"], windows["desktop"]
    if not code:
        pytest.skip("the other files' tests are in English")
    title, points = NAMES[code]
    desktop.begin()
    desktop.open_picture(
        'result["call"] = call(image, [layer], Gimp.RunMode.INTERACTIVE, prompt="slow 0.8")'
    )
    dialog = desktop.open_dialog(f"^{title}$")
    desktop.maximize()
    wait(lambda: desktop.times("prepared"), "the preparation")
    desktop.tool("xdotool", "windowactivate", "--sync", dialog)
    desktop.screenshot(f"dialog-{code}.png")
    desktop.pull(desktop.on_canvas(259, 124), desktop.on_canvas(300, 160))
    desktop.press(dialog, "Return")
    wait(lambda: desktop.times("preview"), "a preview")
    desktop.screenshot(f"progress-{code}.png")
    wait(lambda: desktop.times("result"), "the result")
    desktop.screenshot(f"after-{code}.png")
    desktop.press(dialog, "Return")
    wait(lambda: desktop.state().get("records"), "the layer")
    assert points in desktop.state()["paths"]


def test_the_iteration_and_its_loss_are_shown(windows):
    if windows["language"]:
        pytest.skip("read in English")
    stage = next(text for text in windows["at work"]["texts"] if "loss" in text)
    assert re.fullmatch(r"Dragging: step \d of 5 … +loss [\d.]+", stage)


@pytest.mark.parametrize("name", WINDOWS)
def test_every_text_can_be_read(windows, name):
    """Also where GIMP's theme is gray: the contrast that WCAG asks for, measured on the screen."""
    picture = Image.open(picture_of(name, windows["language"], windows["theme"])).convert("RGB")
    found = [(contrast(picture.crop(box)), text) for text, *box in windows[name]["readable"]]
    assert found
    assert [one for one in found if one[0] < LEAST_CONTRAST] == []


def contrast(part: Image.Image) -> float:
    """Between what is most of a text's box and the pixel that differs most from it."""
    colours, counts = np.unique(np.asarray(part).reshape(-1, 3), axis=0, return_counts=True)
    share = colours / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    light = linear @ (0.2126, 0.7152, 0.0722) + 0.05
    ground = light[counts.argmax()]
    return float(max(light.max() / ground, ground / light.min()))


def catalogue(language: str) -> Catalog:
    place = f"locale/{language}/LC_MESSAGES/drag-diffusion.po"
    with (PLUGIN / place).open("rb") as file:
        return read_po(file)


def english(language: str) -> set[str]:
    """The texts that the language has other words for."""
    messages = [m for m in catalogue(language) if isinstance(m.id, str) and m.id != m.string]
    return {message.id.replace("_", "") for message in messages}


def test_a_stroke_that_is_no_drag_is_named_and_left_out(windows):
    words = [
        "Stroke {number} of path “{path}”",
        "{stroke} has only one point: add a second one where the first should go, or delete it.",
    ]
    if windows["language"]:
        words = [catalogue(windows["language"])[text].string for text in words]
    stroke, sentence = words
    assert (
        sentence.format(stroke=stroke.format(number=2, path="Sun")) in windows["at points"]["texts"]
    )
    assert windows["dragged"] == [1]


def test_the_canvas_says_what_it_is(windows):
    (canvas,) = [w for w in windows["at points"]["widgets"] if w["kind"] == "Layout"]
    assert canvas["role"] == "drawing area"
    assert "Landscape" in canvas["name"]
    assert canvas["description"]


def test_results_have_names(windows):
    found = [w["name"] for w in windows["at a result"]["widgets"] if w["kind"] == "RadioButton"]
    names = {"": "Result 1", "de": "Ergebnis 1", "zh_CN": "结果 1"}
    assert found == [names[windows["language"]]]
