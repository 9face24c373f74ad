import base64
import json
import os
from dataclasses import asdict, replace

import pytest

from plugin import cutout, landmarks, record
from plugin.edit_model import Drag, Edit, EditError, LayerState, PixelBuffer, Result, Settings

LAYER = LayerState("Photo", "layer", width=100, height=80, x=10, y=20, tattoo=7)
WHOLE = (0, 0, 100, 80)
SETTINGS = Settings(
    "Hündin", "fast", "sd15", 5, 30, 40, mask_grow=-3, mask_feather=9, with_filters=False
)
RESULT = Result(3, 4, PixelBuffer(1, 1, 4, b"abcd"), '{"device": "cpu"}')
WAY = ((20.0, 20.0), (40.5, 40.0))
LOOK = bytes(range(256))


def mask_of(x, y, width, height, value=255):
    rows = bytearray(100 * 80)
    for row in range(y, y + height):
        rows[100 * row + x : 100 * row + x + width] = bytes([value]) * width
    return PixelBuffer(100, 80, 1, bytes(rows))


def an_edit(selection=None, mask=None, settings=SETTINGS):
    image = PixelBuffer(100, 80, 4, bytes(n % 251 for n in range(4 * 100 * 80)))
    mask = mask or selection
    return Edit(LAYER, image, mask, (Drag("Stroke 1", WAY),), settings, selection=selection)


def kept(edit):
    parasites = record.to_parasites(edit, RESULT, LOOK)
    assert all(content.isascii() for content in parasites.values())  # GIMP's Python takes no other
    return parasites[record.PARASITE], parasites.get(record.SELECTION_PARASITE)


def test_the_record_tells_how_the_layer_was_made():
    told = json.loads(kept(an_edit())[0])
    assert told["settings"]["prompt"] == "Hündin"
    assert told["drags"] == [[[20, 20], [40.5, 40]]]
    assert told["region"] == [3, 4, 1, 1]
    assert (told["source_layer"], told["source_tattoo"]) == ("Photo", 7)
    assert told["run"] == {"device": "cpu"}


def test_what_is_kept_is_read_again():
    selection = mask_of(30, 10, 20, 15, value=200)
    read = record.read("Result", *kept(an_edit(selection, mask=mask_of(25, 5, 30, 25))))
    assert read.source == LAYER
    assert read.drags == (Drag("Arrow 1", WAY),)
    assert read.settings == SETTINGS
    assert read.had_selection
    assert read.region == (3, 4, 1, 1)
    assert read.look == LOOK
    assert read.landmarks == landmarks.choose(an_edit().image, read.drags)
    assert read.landmarks
    assert (read.selection.x, read.selection.y) == (30, 10)
    assert record.place(read.selection, WHOLE) == selection


def test_without_a_selection_there_is_none():
    read = record.read("Result", *kept(an_edit()))
    assert not read.had_selection
    assert read.selection is None


def test_a_selection_that_is_too_large_is_not_kept(monkeypatch):
    noise = PixelBuffer(100, 80, 1, os.urandom(100 * 80))
    assert kept(an_edit(noise))[1] is not None
    monkeypatch.setattr(record, "LARGEST_SELECTION", 4000)
    read = record.read("Result", *kept(an_edit(noise)))
    assert read.had_selection
    assert read.selection is None


@pytest.mark.parametrize("box", [(0, 0, 100, 80), (99, 79, 1, 1), (0, 0, 1, 1), (7, 0, 3, 80)])
def test_the_bounding_box_holds_all_that_is_selected(box):
    mask = mask_of(*box)
    part = record.crop(mask)
    assert part.region == box
    assert record.place(record.unpack(record.pack(part)), WHOLE) == mask


def test_an_empty_selection_stays_empty():
    mask = mask_of(0, 0, 0, 0)
    assert record.place(record.unpack(record.pack(record.crop(mask))), WHOLE) == mask


@pytest.mark.parametrize("by", [(5, -3), (-40, 0), (90, 70), (-200, 3), (3, 200)])
def test_a_selection_is_moved_and_cut_at_the_layers_edge(by):
    x, y = 30 + by[0], 10 + by[1]
    part = replace(record.crop(mask_of(30, 10, 20, 15)), x=x, y=y)
    placed = record.place(part, WHOLE)
    left, top, right, bottom = max(0, x), max(0, y), min(100, x + 20), min(80, y + 15)
    assert placed == mask_of(left, top, max(0, right - left), max(0, bottom - top))
    found = cutout.bounds([(x, y), (x + 20, y + 15)], LAYER)
    if left < right and top < bottom:
        assert found == (left, top, right - left, bottom - top)
    else:
        assert 0 in found[2:]


def test_a_selection_in_a_part_of_the_layer_is_kept_and_placed_as_in_the_whole():
    whole = mask_of(30, 10, 20, 15)
    rows = b"".join(whole.rows[100 * y + 25 : 100 * y + 60] for y in range(5, 40))
    part = PixelBuffer(35, 35, 1, rows, 25, 5)
    assert record.crop(part) == record.crop(whole)
    assert record.place(record.crop(whole), part.region) == part


def test_a_layer_without_a_record_says_what_to_select():
    with pytest.raises(EditError) as caught:
        record.read("Sky", None, None)
    assert str(caught.value) == (
        "Layer “Sky” was not made by Drag Edit, so there is no drag to edit again: select a layer "
        "that was, or drag this one with Filters ▸ Drag Edit."
    )


def broken(**changes):
    told = json.loads(kept(an_edit())[0])
    return json.dumps({**told, **changes}).encode()


GARBAGE = {
    "no JSON": (b"\xff{", None),
    "no record": (b"[]", None),
    "no drags": (b"{}", None),
    "not a number": (broken(drags=[[[1, float("nan")], [2, 2]]]), None),
    "one point": (broken(drags=[[[1, 1]]]), None),
    "size": (broken(source_size=["wide", 2]), None),
    "settings": (broken(settings=[1]), None),
    "region": (broken(region=[1, 2, 3]), None),
    "landmark": (broken(source_landmarks=[[0, 0, 2, 2, "eJwDAAAAAAE="]]), None),
    "look": (broken(source_look="ab"), None),
    "selection": (broken(), b"DDS1"),
    "selection's bytes": (broken(), base64.b64encode(record.HEADER.pack(b"DDS1", 0, 0, 9, 9))),
    "selection's size": (
        broken(),
        record.pack(PixelBuffer(2, 1, 1, b"ab"))[:-9],
    ),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_a_record_that_cannot_be_read_is_told(name):
    with pytest.raises(EditError, match="layer “R” keeps of its drag cannot be read"):
        record.read("R", *GARBAGE[name])


def test_what_a_record_lacks_is_as_usual():
    """Records of an earlier version, or of a later one."""
    told = json.loads(broken(settings={"prompt": "a dog", "mode": "new", "seed": "7", "more": 1}))
    for name in ("source_tattoo", "source_offset", "source_landmarks", "source_look", "region"):
        del told[name]
    read = record.read("R", json.dumps(told).encode(), None)
    assert read.settings == Settings(prompt="a dog")
    assert read.source.tattoo == 0
    assert (read.landmarks, read.look) == ((), b"")


def test_every_setting_comes_back():
    """A setting that is added must be written and read too."""
    assert all(value != getattr(Settings(), name) for name, value in asdict(SETTINGS).items())
    assert record.to_arguments(SETTINGS)["mask-feather"] == 9
    assert len(record.to_arguments(SETTINGS)) == len(asdict(SETTINGS))


OTHER = LayerState("Sky", "layer", 100, 80, tattoo=3)


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([OTHER, LAYER], 1),
        ([OTHER, replace(LAYER, x=0, width=50)], 1),
        ([OTHER, replace(LAYER, name="Renamed")], 1),
        ([replace(OTHER, tattoo=7), replace(LAYER, tattoo=3)], 1),  # a copy of the image
        ([OTHER, replace(LAYER, tattoo=12)], 1),
        ([OTHER, replace(LAYER, name="Renamed", width=50)], 1),
        ([replace(LAYER, tattoo=12, name="Renamed")], None),
        ([OTHER], None),
        ([], None),
    ],
)
def test_the_source_is_found_again(layers, expected):
    assert record.find_source(LAYER, layers) == expected


def test_a_record_without_tattoo_goes_by_the_name():
    then = replace(LAYER, tattoo=0)
    assert record.find_source(then, [replace(OTHER, tattoo=0), LAYER]) == 1
