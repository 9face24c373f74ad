"""From GIMP's menu entry to the model and back: nothing is faked but the model's size."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

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
def told(gimp, one_real_daemon):
    return gimp.batch(
        f"MORE = {{'model': {str(TINY)!r}}}",
        DRAG,
        timeout=300,
        DRAGDIFFUSION_DAEMON_COMMAND=one_real_daemon,
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
