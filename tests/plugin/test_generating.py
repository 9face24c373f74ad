"""A picture from a prompt, and drags that start from how it was made."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from dragdiffusion_rpc import drag_pb2 as rpc
from plugin import daemon, edit_model, generating, record, session, wire
from plugin.client import DaemonError
from plugin.daemon import Installation
from plugin.edit_model import Drag, Edit, Generated, LayerState, PixelBuffer, Progress, Settings
from plugin.generating import Order, Picture

IMAGE = PixelBuffer(16, 16, 4, bytes([10, 20, 30, 255]) * 256)
HOW = json.dumps({"prompt": "a flower", "seed": "3", "width": 16, "height": 16})
GENERATED = Generated(IMAGE.sha256.hex(), "embedded", "a flower", HOW)


@pytest.fixture
def installation(fake_daemon, tmp_path):
    file = tmp_path / "endpoint.json"
    file.write_text(json.dumps(fake_daemon.endpoint), encoding="utf-8")
    return Installation((), file, Path("/dev/null"), {})


def collect(events):
    async def run():
        return [event async for event in events]

    return asyncio.run(run())


def an_edit(**settings):
    state = LayerState("Photo", "layer", 16, 16)
    return Edit(state, IMAGE, None, (Drag("a", ((4, 4), (9, 9))),), Settings(**settings))


def test_a_picture_comes_with_how_it_was_made(fake_daemon, installation):
    order = Order("a flower", "tiny", 40, 24, seed=7)
    *progress, picture = collect(generating.generate(order, installation))
    assert all(isinstance(event, Progress) for event in progress)
    assert len(progress) > 4
    assert isinstance(picture, Picture)
    assert (picture.pixels.width, picture.pixels.height, picture.pixels.channels) == (40, 24, 4)
    assert picture.pixels.rows[4 * 41 : 4 * 41 + 4] == bytes((7, 1, 1, 255))
    assert (picture.model, picture.prompt) == ("tiny", "a flower")
    assert json.loads(picture.how)["num_inference_steps"] == 25
    (request,) = fake_daemon.generations
    assert request.generation.seed == 7


def test_what_is_not_asked_for_is_left_to_the_model():
    generation = generating.to_request(Order("a flower")).generation
    for name in ("width", "height", "num_inference_steps", "guidance_scale"):
        assert not generation.HasField(name)


def test_all_that_can_be_asked_for_is_sent():
    order = Order("a flower", "", 40, 24, 7, "a leaf", 30, 4.5)
    assert generating.to_request(order).generation == rpc.Generation(
        prompt="a flower",
        negative_prompt="a leaf",
        seed=7,
        num_inference_steps=30,
        guidance_scale=4.5,
        width=40,
        height=24,
    )


def test_a_picture_that_does_not_arrive_whole_is_told(installation):
    with pytest.raises(DaemonError, match="only a part of the picture"):
        collect(generating.generate(Order("short"), installation))


def test_the_request_says_how_the_picture_was_made():
    edit = edit_model.from_its_making(an_edit(lora_steps=80, max_drag_steps=9), GENERATED)
    preparation = wire.to_prepare_request(edit)
    assert (preparation.prompt, preparation.model) == ("", "embedded")
    assert (preparation.generation.prompt, preparation.generation.seed) == ("a flower", 3)
    assert not preparation.hyper_parameters.HasField("lora_steps")
    assert preparation.hyper_parameters.max_drag_steps == 9
    assert not wire.to_prepare_request(an_edit()).HasField("generation")


@pytest.mark.parametrize(
    ("settings", "serves"),
    [
        ({}, True),
        ({"prompt": "a flower", "model": "embedded", "mode": "fast", "seed": 9}, True),
        ({"prompt": "a dog"}, False),
        ({"model": "sd15"}, False),
    ],
)
def test_it_serves_with_its_own_prompt_and_model(settings, serves):
    edit = edit_model.from_its_making(an_edit(**settings), GENERATED)
    assert edit.generated == (GENERATED if serves else None)


def test_a_picture_that_was_changed_is_one_as_any_other():
    changed = PixelBuffer(16, 16, 4, bytes([10, 20, 31, 255]) + IMAGE.rows[4:])
    edit = replace(an_edit(), image=changed)
    assert edit_model.from_its_making(edit, GENERATED) == edit


def test_it_is_prepared_otherwise():
    edit = an_edit()
    started = edit_model.from_its_making(edit, GENERATED)
    assert session.preparation_key(edit) != session.preparation_key(started)


def test_the_layer_keeps_it():
    packed = record.pack_generated(replace(GENERATED, prompt="eine Blüte"))
    assert packed.isascii()
    assert record.read_generated(packed) == replace(GENERATED, prompt="eine Blüte")


@pytest.mark.parametrize(
    "packed", [None, b"", b"[]", b"{}", b"\xff", record.pack_generated(replace(GENERATED, how="7"))]
)
def test_what_cannot_be_read_is_none(packed):
    assert record.read_generated(packed) is None


@pytest.mark.parametrize("how", [{"seed": "13"}, {"seed": "a few"}])
@pytest.mark.parametrize("call", [daemon.prepare, daemon.drag])
def test_a_picture_that_cannot_be_made_again_is_dragged_as_any_other(
    fake_daemon, installation, how, call
):
    """On another device, by another version; or what the layer keeps is damaged."""
    edit = replace(an_edit(), generated=replace(GENERATED, how=json.dumps(how)))
    assert collect(call(edit, installation))
    request = (
        fake_daemon.prepared[-1] if call is daemon.prepare else fake_daemon.requests[-1].preparation
    )
    assert not request.HasField("generation")
    assert request == wire.to_prepare_request(an_edit())
