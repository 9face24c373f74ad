"""From GIMP's menu entry to the model and back: nothing is faked but the model's size."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from gimp_desktop import MAIN, OUTPUT, WATCH, wait

from dragdiffusion.models import catalogue

pytestmark = pytest.mark.slow
TINY = Path(__file__).resolve().parents[1] / "parity" / "data" / "model"

DRAG = """
    image = new_image()
    below = new_layer(image, "Below", (120, 90), (0, 0))
    layer = new_layer(image)
    new_path(image, [(40, 30), (60, 40)])
    Gimp.context_set_feather(True)
    Gimp.context_set_feather_radius(6, 6)
    image.select_rectangle(Gimp.ChannelOps.REPLACE, 30, 20, 45, 35)
    before = describe(image)
    result["call"] = call(image, [layer], mode="reference", lora_steps=2, max_drag_steps=4, seed=3, **MORE)
    result["others_unchanged"] = describe(image)[-2:] == before
    result["after"] = describe(image)
    if len(image.get_layers()) == 3:
        new = image.get_layers()[0]
        coverage, alpha = selection(image, layer), pixels(new)[3::4]
        _ok, x, y = new.get_offsets()
        left, top, width = x - 15, y - 10, new.get_width()
        inside = bytes(
            coverage[(top + row) * 80 + left + column]
            for row in range(new.get_height()) for column in range(width))
        result["alpha_is_the_selection"] = max(abs(a - b) for a, b in zip(alpha, inside)) <= 1
        result["transparent_outside"] = all(a == 0 for a, b in zip(alpha, inside) if b == 0)
        result["all_selected_is_there"] = sum(inside) == sum(coverage)
        result["record"] = read_record(new)
"""


@pytest.fixture(scope="module")
def told(gimp, real_daemon):
    return gimp.batch(
        f"MORE = {{'model': {str(TINY)!r}}}",
        DRAG,
        timeout=300,
        DRAGDIFFUSION_DAEMON_COMMAND=real_daemon,
    )


def test_the_plug_in_starts_the_daemon_and_gets_its_layer(told):
    assert told["call"] == ["SUCCESS", ""]
    assert len(told["after"]) == 3
    assert told["after"][0]["name"] == "Drag edit: Photo"
    assert told["others_unchanged"]


def test_the_layer_is_there_where_the_selection_lets_it(told):
    assert told["alpha_is_the_selection"]
    assert told["transparent_outside"]
    assert told["all_selected_is_there"]


def test_the_record_tells_how_it_was_made(told):
    record = told["record"]
    assert record["run"]["model"] == str(TINY)
    assert record["run"]["drag_steps"] <= 4
    assert json.loads(record["run"]["config_json"])["seed"] == 3
    assert record["settings"]["lora_steps"] == 2
    assert record["region"][2:] == told["after"][0]["size"]


def test_the_daemon_that_runs_is_used_again_and_the_result_is_the_same(gimp, told):
    again = gimp.batch(f"MORE = {{'model': {str(TINY)!r}}}", DRAG)  # no command: it must be found
    assert again["after"] == told["after"]
    assert again["record"]["run"]["prepared_before"]


MISSING = {
    "sd15": "The files of Stable Diffusion 1.5 are not on this machine: download it in Drag Edit under Models, "
    "or run `dragdiffusion models download sd15`.",
    "no-such-model": 'There is no model "no-such-model": give one of embedded, sd15, a folder, a .safetensors '
    "file, or a Hugging Face name like owner/model.",
}


@pytest.mark.parametrize("model", MISSING)
def test_a_model_that_is_not_here_is_explained_by_the_daemon(gimp, told, model):
    del told
    if model == "sd15" and catalogue.is_available(catalogue.resolve("sd15")):
        pytest.skip("Stable Diffusion 1.5 is installed here")
    failed = gimp.batch(f"MORE = {{'model': {model!r}}}", DRAG)
    assert failed["call"] == ["EXECUTION_ERROR", MISSING[model]]
    assert failed["others_unchanged"]
    assert len(failed["after"]) == 2


PROMPT = "a purple mountain at day with a sun and a tree"


ALPHA = """
def look_too():
    new = image.get_layers()[0]
    if new.get_id() != layer.get_id():
        coverage, alpha = selection(image, new), pixels(new)[3::4]
        result["alpha_is_the_selection"] = max(abs(a - b) for a, b in zip(alpha, coverage)) <= 1
"""


def test_the_whole_way_with_the_embedded_model(desktop, real_daemon):
    """By mouse and keyboard, from an empty path to the layer; docs/take_screenshots.py makes a film and pictures of its frames."""
    del real_daemon
    for frame in OUTPUT.glob("film-*.png"):
        frame.unlink()
    desktop.open_picture(
        "image.remove_path(image.get_paths()[0]); before = describe(image)",
        ALPHA,
    )
    main = desktop.wait_for_window(MAIN)
    wait(lambda: desktop.state(), "the picture")
    desktop.maximize()
    desktop.pull((1046, 462), (960, 462))  # a wider Layers dialog
    desktop.press(main, "Escape", "b")
    sun, target = (580, 340), (690, 320)
    desktop.click(*sun)
    desktop.screenshot("film-1-handle.png")
    desktop.click(*target)
    desktop.screenshot("film-2-target.png")
    desktop.choose("Drag Edit", "film-3-menu.png")
    dialog = desktop.open_dialog()
    desktop.click_in(dialog, -130, 74)  # what the picture shows
    desktop.type(PROMPT)
    desktop.tool("xdotool", "mousemove", "20", "840")
    time.sleep(2)  # the prompt may be another preparation
    wait(lambda: desktop.times("prepared"), "the preparation", 100)
    desktop.screenshot("film-4-dialog.png")
    desktop.press(dialog, "Return")
    for number in range(1, 5):
        wait(lambda n=number: len(desktop.times("preview")) >= n, "a preview", 100)
        if not desktop.times("result"):
            desktop.screenshot(f"film-5-drag-{number}.png")
    wait(lambda: desktop.times("result"), "the result", 100)
    desktop.screenshot("film-6-result.png")
    desktop.press(dialog, "Return")
    wait(lambda: len(desktop.state()["layers"]) == 2, "the layer")
    desktop.screenshot("film-7-layer.png")
    assert desktop.state()["layers"] == ["Drag edit: Landscape", "Landscape"]
    assert desktop.state()["alpha_is_the_selection"]
    (record,) = desktop.state()["records"]
    assert record["settings"]["prompt"] == PROMPT
    ((handle, end),) = record["drags"]
    assert end[0] - handle[0] == pytest.approx(target[0] - sun[0], abs=1)
    desktop.press(main, "ctrl+z")
    wait(lambda: desktop.state()["as_before"], "one undo")
    desktop.pull((960, 462), (1046, 462))  # as it was


GENERATE = "plug-in-drag-diffusion-generate"


def test_with_the_embedded_model_a_generated_layer_is_dragged(desktop, real_daemon):
    """Nothing is faked: the drag starts from the latents of the sampling, without LoRA and inversion; and so it
    does when it is edited again. The screenshots are those of the documentation."""
    del real_daemon
    desktop.open_gimp(
        f"""
        PROMPT = "a red flower, blue background"
        result["call"] = call(
            None, [], Gimp.RunMode.INTERACTIVE, {GENERATE!r}, prompt=PROMPT, model="embedded", seed=3)
        image = Gimp.get_images()[0]
        layer = image.get_layers()[0]
        before = describe(image)
        new_path(image, [(79, 24), (58, 32)])
        result["drag"] = call(image, [layer], Gimp.RunMode.INTERACTIVE, max_drag_steps=8)
        old = image.get_layers()[0]
        result["again"] = call(image, [old], Gimp.RunMode.INTERACTIVE, RE_EDIT)
        """,
        WATCH,
    )
    window = desktop.wait_for_window("^Generate Layer$")
    desktop.settle()
    desktop.press(window, "Return")
    wait(lambda: desktop.times("result"), "the picture", 300)
    desktop.screenshot("gimp-generate.png")
    desktop.times_file.unlink()
    desktop.press(window, "Return")
    dialog = desktop.open_dialog()
    wait(lambda: desktop.times("prepared"), "the preparation", 300)
    desktop.screenshot("generate-embedded-drag.png")
    desktop.press(dialog, "Return")
    wait(lambda: desktop.times("result"), "the result", 400)
    desktop.screenshot("generate-embedded-result.png")
    desktop.times_file.unlink()
    desktop.press(dialog, "Return")
    dialog = desktop.open_dialog("^Re-edit Drag$")
    wait(lambda: desktop.times("prepared"), "the preparation", 300)
    desktop.screenshot("gimp-re-edit.png")
    desktop.pull(desktop.on_canvas(58, 32), desktop.on_canvas(66, 45))
    desktop.press(dialog, "Return")
    wait(lambda: desktop.times("result"), "the second result", 400)
    desktop.screenshot("re-edit-embedded-result.png")
    desktop.press(dialog, "Return")
    wait(lambda: desktop.state().get("records"), "the layer")
    assert desktop.state()["again"] == ["SUCCESS", ""]
    assert desktop.state()["drag"] == ["SUCCESS", ""]
    (record,) = desktop.state()["records"]
    assert record["drags"][0][-1] == pytest.approx((66, 45), abs=1)
    phases = {phase["phase"] for phase in record["run"]["phases"]}
    assert "lora" not in phases
    assert "inversion" not in phases
    assert record["settings"]["prompt"] == "a red flower, blue background"
