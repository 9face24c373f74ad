"""Pieces of a picture that is cut, turned and mirrored are found again, and what cannot be told is not."""

import random
from dataclasses import replace

import pytest

from plugin import landmarks
from plugin.edit_model import Drag, LayerState, PixelBuffer
from plugin.landmarks import Change

DRAGS = (Drag("Arrow 1", ((70.5, 40.0), (90.0, 55.0))),)


def picture_of(width, height, seed=1):
    return PixelBuffer(width, height, 4, random.Random(seed).randbytes(4 * width * height))


PICTURE = picture_of(160, 120)
PIECES = landmarks.choose(PICTURE, DRAGS)
OTHER = picture_of(160, 120, seed=2)


def pixel(picture, x, y):
    at = 4 * ((y - picture.y) * picture.width + x - picture.x)
    return picture.rows[at : at + 4]


def test_pieces_lie_near_the_points_and_are_in_their_place():
    assert len(PIECES) == landmarks.COUNT
    assert all(piece == landmarks.cut(PICTURE, piece.region) for piece in PIECES)
    assert landmarks.are_in_place(PIECES, PICTURE)
    x, y, width, height = box = landmarks.bounds(PIECES)
    assert 22 <= x < x + width <= 138
    assert 0 <= y < y + height <= 103
    assert landmarks.are_in_place(PIECES, landmarks.cut(PICTURE, box))
    assert not landmarks.are_in_place(PIECES, OTHER)


def test_pieces_of_a_part_are_where_the_layer_has_them():
    part = landmarks.cut(PICTURE, (40, 10, 80, 90))
    assert landmarks.are_in_place(landmarks.choose(part, DRAGS), PICTURE)


def test_a_picture_may_be_smaller_than_a_piece():
    small = picture_of(5, 3)
    (piece,) = landmarks.choose(small, (Drag("a", ((1.0, 1.0), (4.5, 2.0))),))[:1]
    assert (piece.width, piece.height) == (3, 3)
    assert landmarks.choose(picture_of(1, 1), DRAGS) == ()


def test_what_is_plain_has_no_pieces():
    assert landmarks.choose(PixelBuffer(160, 120, 4, b"abcd" * 160 * 120), DRAGS) == ()


@pytest.mark.parametrize("change", landmarks.TURNS)
def test_it_is_told_how_a_picture_was_turned_and_cut(change):
    turned = landmarks.turn(PICTURE, change)
    cut = landmarks.cut(turned, (11, 7, turned.width - 14, turned.height - 9))
    found = landmarks.find(PIECES, replace(cut, x=0, y=0), landmarks.TURNS)
    assert (found.swapped, found.scale) == (change.swapped, change.scale)
    for x, y in [(70, 40), (33, 50), (90, 70)]:
        there = found.region((x, y, 1, 1))
        assert there[2:] == (1, 1)
        assert pixel(replace(cut, x=0, y=0), *there[:2]) == pixel(PICTURE, x, y)
        assert found.point((x + 0.5, y + 0.5)) == (there[0] + 0.5, there[1] + 0.5)
    assert found.length(7) == 7


def test_one_piece_that_is_left_is_enough():
    painted = bytearray(PICTURE.rows)
    for piece in PIECES[1:]:
        at = 4 * (piece.y * 160 + piece.x)
        painted[at] ^= 1
    left = PixelBuffer(160, 120, 4, bytes(painted))
    assert landmarks.are_in_place(PIECES, left)
    assert landmarks.find(PIECES, left, landmarks.TURNS) == landmarks.UNCHANGED


def test_what_is_there_twice_or_not_at_all_tells_nothing():
    twice = PixelBuffer(160, 240, 4, 2 * PICTURE.rows)
    assert landmarks.find(PIECES, twice, landmarks.TURNS) is None
    assert landmarks.find(PIECES, OTHER, landmarks.TURNS) is None
    lower = replace(PIECES[0], y=PIECES[0].y + 5)  # two pieces that contradict each other
    assert landmarks.find((lower, *PIECES[1:]), PICTURE, landmarks.TURNS) is None


def test_a_pattern_without_end_is_given_up():
    stripes = PixelBuffer(160, 120, 4, (b"aaaabbbbccccdddd" * 40) * 120)
    pieces = landmarks.choose(stripes, DRAGS)
    assert pieces
    assert landmarks.find(pieces, stripes, landmarks.TURNS) is None


def test_one_place_tells_nothing_where_not_every_place_was_looked_at(monkeypatch):
    monkeypatch.setattr(landmarks, "TRIES", 1)
    assert landmarks.find(PIECES, PICTURE, landmarks.TURNS) is None


@pytest.mark.parametrize("turn", landmarks.TURNS)
def test_a_mask_is_turned_as_the_picture_is(turn):
    mask = PixelBuffer(3, 2, 1, b"abcdef", 4, 5)
    turned = landmarks.turn(mask, turn)
    wide = PixelBuffer(3, 2, 4, b"".join(bytes([level]) * 4 for level in mask.rows), 4, 5)
    assert landmarks.turn(wide, turn).rows[::4] == turned.rows
    assert (turned.width, turned.height) == turn.region(mask.region)[2:]


THEN = LayerState("Photo", "layer", 100, 80, 10, 20)
REGION = (30, 20, 40, 30)


def test_what_was_scaled_alike_is_told_by_the_sizes():
    now = LayerState("Photo", "layer", 150, 80, 15, 20)
    result = LayerState("Result", "layer", 60, 30, 60, 40)
    change = landmarks.scaled_alike(THEN, now, REGION, result)
    assert change.point((10, 10)) == (15, 10)
    assert change.region((10, 10, 20, 5)) == (15, 10, 30, 5)
    assert change.length(-10) == -12
    assert landmarks.scaled_alike(THEN, now, REGION, replace(result, x=61)) == change  # rounded
    for other in (replace(result, x=63), replace(result, width=40), replace(result, height=27)):
        assert landmarks.scaled_alike(THEN, now, REGION, other) is None


def test_looks_are_compared():
    look = bytes(range(200))
    assert landmarks.are_alike(look, look)
    assert landmarks.are_alike(look, bytes(level + 8 for level in look))
    assert not landmarks.are_alike(look, bytes(level + 9 for level in look))
    assert not landmarks.are_alike(look, look[1:])
    assert not landmarks.are_alike(b"", b"")


def test_a_way_is_carried_along():
    change = Change(swapped=True, scale=(-2.0, 1.0), shift=(100.0, 3.0))
    assert change.drag(DRAGS[0]) == Drag("Arrow 1", ((20.0, 73.5), (-10.0, 93.0)))
