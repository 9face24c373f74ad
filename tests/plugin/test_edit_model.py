import hashlib
import json
from dataclasses import replace

import pytest

from dragdiffusion_rpc import drag_pb2 as rpc
from plugin import edit_model, wire
from plugin.edit_model import (
    Drag,
    Edit,
    EditError,
    LayerState,
    PixelBuffer,
    Result,
    Settings,
)
from plugin.strokes import Anchor, Stroke, to_drags

LAYER = LayerState("Photo", "layer", width=100, height=80, x=10, y=20)


def corner(x, y):
    return Anchor((x, y), (x, y), (x, y))


def stroke(*points, number=1, closed=False):
    return Stroke("Eyes", number, tuple(corner(*point) for point in points), closed)


def sentence(function, *arguments):
    with pytest.raises(EditError) as caught:
        function(*arguments)
    return str(caught.value)


# ---- layers


def test_one_layer_can_be_edited():
    assert edit_model.check_layers([LAYER]) is LAYER


@pytest.mark.parametrize(
    ("layers", "floating", "expected"),
    [
        ([], False, "No layer is selected: select the layer to edit in the Layers dialog."),
        (
            [LAYER, LAYER],
            False,
            "2 layers are selected: select only the one to edit in the Layers dialog.",
        ),
        (
            [LAYER],
            True,
            "There is a floating selection: anchor it first (Layer ▸ Anchor Floating Layer or Mask), "
            "then try again.",
        ),
        (
            [LayerState("Photo", "mask")],
            False,
            "The mask of layer “Photo” is being edited: click the layer's picture beside the mask "
            "in the Layers dialog.",
        ),
        (
            [LayerState("Alpha", "channel")],
            False,
            "“Alpha” is a channel: select a layer in the Layers dialog.",
        ),
        (
            [LayerState("Photo", "layer", 1, 1, pixels_locked=True)],
            False,
            "The pixels of layer “Photo” are locked: unlock them in the Layers dialog, or select "
            "another layer.",
        ),
    ],
)
def test_other_layers_say_why_not(layers, floating, expected):
    assert sentence(edit_model.check_layers, layers, floating) == expected


# ---- strokes


def test_a_straight_stroke_is_two_points_in_layer_pixels():
    drags = to_drags([stroke((30, 40), (50.5, 60))], LAYER)
    assert drags == (Drag("Stroke 1 of path “Eyes”", ((20, 20), (40.5, 40))),)


def test_each_anchor_of_a_straight_stroke_is_kept():
    (drag,) = to_drags([stroke((30, 40), (50, 40), (50, 60))], LAYER)
    assert drag.points == ((20, 20), (40, 20), (40, 40))


def test_control_points_on_the_line_make_no_curve():
    line = Stroke(
        "Eyes", 1, (Anchor((20, 40), (30, 40), (40, 40)), Anchor((60, 40), (70, 40), (80, 40)))
    )
    (drag,) = to_drags([line], LAYER)
    assert drag.points == ((20, 20), (60, 20))


def test_a_curve_is_followed():
    """A quarter circle of radius 40 around (70, 40) of the image, as Bézier curves have it."""
    k = 40 * 0.5522847
    curve = Stroke(
        "Eyes",
        1,
        (Anchor((30, 40), (30, 40), (30, 40 + k)), Anchor((70 - k, 80), (70, 80), (70, 80))),
    )
    (drag,) = to_drags([curve], LAYER)
    assert drag.points[0] == (20, 20)
    assert drag.points[-1] == (60, 60)
    assert len(drag.points) > 6
    for x, y in drag.points:
        assert ((x - 60) ** 2 + (y - 20) ** 2) ** 0.5 == pytest.approx(40, abs=0.05)


@pytest.mark.parametrize(
    ("strokes", "expected"),
    [
        (
            [],
            "Draw a path first: with the Paths tool, click the point to move, then click where it "
            "should go. Shift+click begins the next pair.",
        ),
        (
            [stroke((30, 40), (50, 40)), stroke((30, 40), number=2)],
            "Stroke 2 of path “Eyes” has only one point: add a second one where the first should "
            "go, or delete it.",
        ),
        (
            [stroke((30, 40), (50, 40), (50, 50), closed=True)],
            "Stroke 1 of path “Eyes” is closed: a drag needs an open stroke, from the point to "
            "move to where it should go.",
        ),
        (
            [stroke((30, 40), (30, 40.5))],
            "Stroke 1 of path “Eyes” ends where it begins: move its last point to where it should "
            "go.",
        ),
        (
            [stroke((9, 40), (50, 40))],
            "Stroke 1 of path “Eyes” begins outside layer “Photo”: begin it on the layer.",
        ),
        (
            [stroke((30, 40), (110, 40))],
            "Stroke 1 of path “Eyes” ends outside layer “Photo”: end it on the layer, or enlarge "
            "the layer (Layer ▸ Layers to Image Size).",
        ),
    ],
)
def test_strokes_that_are_no_drags_say_why(strokes, expected):
    assert sentence(to_drags, strokes, LAYER) == expected


# ---- selection


def mask_of(*selected):
    rows = bytearray(100 * 80)
    for x, y in selected:
        rows[y * 100 + x] = 1  # the faintest feather
    return PixelBuffer(100, 80, 1, bytes(rows))


def test_a_handle_in_the_feather_is_inside():
    edit_model.check_selection([Drag("a", ((20.9, 30.9), (40, 40)))], mask_of((20, 30)), LAYER)


def test_a_handle_outside_the_selection_says_so():
    drags = [Drag("Stroke 3 of path “Eyes”", ((21, 30), (40, 40)))]
    assert sentence(edit_model.check_selection, drags, mask_of((20, 30)), LAYER) == (
        "Stroke 3 of path “Eyes” begins outside the selection: the selection is the part that may "
        "change, so it must hold the point to move. Enlarge it, or select nothing (Select ▸ None)."
    )


def test_a_selection_beside_the_layer_says_so():
    assert sentence(edit_model.check_selection, [], mask_of(), LAYER) == (
        "The selection lies outside layer “Photo”: select the part of the layer that may change, "
        "or select nothing (Select ▸ None)."
    )


# ---- request and record


def an_edit(settings=None, mask=None):
    image = PixelBuffer(100, 80, 4, bytes(range(256)) * 125)
    drags = (Drag("a", ((20, 20), (40.5, 40))),)
    return Edit(LAYER, image, mask, drags, settings or Settings(), preview_every=10)


def test_a_buffer_is_named_by_its_content():
    buffer = PixelBuffer(2, 1, 4, b"12345678")
    assert buffer.sha256 == hashlib.sha256(b"2x1x4:12345678").digest()
    assert wire.to_reference(buffer).format == rpc.PIXEL_FORMAT_RGBA8
    with pytest.raises(ValueError, match="7 bytes for 2 × 1 pixels"):
        PixelBuffer(2, 1, 4, b"1234567")


def test_a_request_says_all():
    settings = Settings("a dog", "reference", "sd15", 7, lora_steps=0, max_drag_steps=120)
    edit = replace(an_edit(settings, mask_of((20, 20))), region=(1, 2, 30, 40), edit_id="it")
    request = wire.to_drag_request(edit)
    preparation = request.preparation
    assert request.preview_every == 10
    assert request.edit_id == "it"
    region = request.preparation.region
    assert (region.x, region.y, region.width, region.height) == (1, 2, 30, 40)
    assert (preparation.prompt, preparation.model, preparation.seed) == ("a dog", "sd15", 7)
    assert preparation.mode == rpc.MODE_REFERENCE
    assert preparation.mask.format == rpc.PIXEL_FORMAT_Y8
    assert [(p.x, p.y) for p in preparation.trajectories[0].points] == [(20, 20), (40.5, 40)]
    assert preparation.hyper_parameters.lora_steps == 0
    assert preparation.hyper_parameters.HasField("lora_steps")
    assert preparation.hyper_parameters.max_drag_steps == 120


@pytest.mark.parametrize("drag_steps", [0, -1])
def test_what_is_left_to_the_mode_is_unset(drag_steps):
    edit = an_edit(Settings(max_drag_steps=drag_steps))
    preparation = wire.to_drag_request(edit).preparation
    assert preparation.mode == rpc.MODE_DEFAULT
    assert not preparation.HasField("mask")
    assert not preparation.HasField("region")
    assert not preparation.hyper_parameters.ListFields()


def test_the_description_for_the_dialog():
    strokes = [stroke((30, 40), (50, 40)), stroke((30, 50), (50, 50), number=2)]
    drags = to_drags(strokes, LAYER)
    assert edit_model.describe(drags, True) == "2 drags; only the selection may change."
    assert edit_model.describe(drags[:1], False) == "1 drag; the whole layer may change."


def test_an_edit_without_drags_says_so():
    told = sentence(edit_model.check_drags, replace(an_edit(), drags=()))
    assert told == "There is no point to drag: press the mouse on the part to move, and pull."
    edit_model.check_drags(an_edit(mask=mask_of((20, 20))))
    assert "outside the selection" in sentence(
        edit_model.check_drags, an_edit(mask=mask_of((1, 1)))
    )


def test_the_summary_of_a_result():
    run = {"device": "cpu", "drag_steps": 12, "taken_early": True, "phases": [{"seconds": 30.6}]}
    result = Result(0, 0, PixelBuffer(1, 1, 4, b"abcd"), json.dumps(run))
    assert edit_model.summary(result) == "12 iterations in 31 s on cpu, taken early."
    without = replace(result, run='{"device": "cpu", "phases": [{"seconds": 2}]}')
    assert edit_model.summary(without) == "Done in 2 s on cpu."


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("default", rpc.MODE_DEFAULT),
        ("fast", rpc.MODE_FAST),
        ("reference", rpc.MODE_REFERENCE),
    ],
)
def test_every_mode_can_be_asked_for(mode, expected):
    request = wire.to_drag_request(an_edit(Settings(mode=mode)))
    assert request.preparation.mode == expected
    assert set(wire.MODES.values()) == set(rpc.Mode.values()) - {rpc.MODE_UNSPECIFIED}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, ""), (0.4, ""), (12.3, "about 12 s left"), (150, "about 2 min left")],
)
def test_time_left(seconds, text):
    assert edit_model.remaining_text(seconds) == text
