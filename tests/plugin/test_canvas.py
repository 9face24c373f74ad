import math
import time

import pytest

from plugin import canvas
from plugin.canvas import Bitmap, Mark
from plugin.edit_model import Drag, LayerState, PixelBuffer
from plugin.points import End

WIDTH, HEIGHT, STRIDE = 60, 30, 184  # rows are padded, as GdkPixbuf's are
GRAY = (100, 100, 100)
DRAG = Drag("a", ((12.5, 15.5), (46.5, 15.5)))


def blank(width=WIDTH, height=HEIGHT, stride=STRIDE):
    return Bitmap(width, height, stride, bytearray(bytes([100]) * (stride * height)))


def pixel(bitmap, x, y):
    at = bitmap.stride * y + 3 * x
    return tuple(bitmap.rgb[at : at + 3])


def drawn(marks, bitmap=None):
    bitmap = bitmap or blank()
    canvas.draw(bitmap, marks)
    return bitmap


def test_a_drag_is_a_red_dot_a_line_and_a_blue_head():
    bitmap = drawn(canvas.make_marks([DRAG], lambda point: point))
    assert pixel(bitmap, 12, 15) == canvas.HANDLE
    assert pixel(bitmap, 28, 15) == canvas.LINE
    assert pixel(bitmap, 46, 15) == canvas.TARGET
    assert pixel(bitmap, 28, 4) == GRAY


def test_a_handle_is_drawn_where_it_is_now():
    bitmap = drawn(canvas.make_marks([DRAG], lambda point: point, handles=[(28.5, 15.5)]))
    assert pixel(bitmap, 28, 15) == canvas.HANDLE
    assert pixel(bitmap, 14, 15) == canvas.LINE


def test_points_are_placed_and_marks_have_the_size_of_the_screens_pixels():
    marks = canvas.make_marks([DRAG], lambda point: (point[0] * 2, point[1] * 2), size=2)
    single = canvas.make_marks([DRAG], lambda point: point)
    assert marks[0].points == ((25, 31), (93, 31))
    assert [mark.radius for mark in marks] == [2 * mark.radius for mark in single]


@pytest.mark.parametrize(("is_target", "x"), [(False, (12, 7)), (True, (51, 15))])
def test_the_selected_end_has_a_ring(is_target, x):
    bitmap = drawn(canvas.make_marks([DRAG], lambda point: point, selected=End(0, is_target)))
    assert pixel(bitmap, *x) == canvas.SELECTED


@pytest.mark.parametrize("end", [(50.0, 20.0), (10.0, 25.0), (20.0, 12.2), (48.0, 12.0), (10, 8)])
@pytest.mark.parametrize("radius", [0.7, 1.4, 4.5])
def test_a_line_covers_what_is_near_it_and_nothing_else(end, radius):
    """Against the distance of every pixel, computed the plain way."""
    start = (10.0, 12.0)
    bitmap = drawn([Mark((start, end), radius, (200, 0, 0))])
    for y in range(HEIGHT):
        for x in range(WIDTH):
            distance = canvas.distance_from_line((x + 0.5, y + 0.5), start, end)
            share = min(1.0, max(0.0, radius + 0.5 - distance))
            assert pixel(bitmap, x, y)[0] == pytest.approx(100 + 100 * share, abs=1), (x, y)


def test_the_padding_of_rows_is_left_alone():
    bitmap = drawn([Mark(((-5, 3), (80, 40)), 4, (0, 0, 0))])
    assert len(bitmap.rgb) == STRIDE * HEIGHT
    padding = [bitmap.rgb[STRIDE * y + 3 * WIDTH : STRIDE * (y + 1)] for y in range(HEIGHT)]
    assert all(row == bytes([100] * 4) for row in padding)


def test_drawing_over_the_border_is_harmless():
    marks = canvas.make_marks(
        [Drag("a", ((-500, -500), (600, 600))), Drag("b", ((-9, -9), (-4, -4)))],
        lambda point: point,
    )
    assert pixel(drawn(marks), 0, 0) != GRAY
    assert drawn([Mark(((-90, 5), (-20, 9)), 3, (0, 0, 0))]).rgb == blank().rgb


def test_it_is_fast_enough_to_follow_the_mouse():
    """Ten drags over a canvas of 1200 × 900 pixels; the bound is generous, it takes about a tenth."""
    bitmap = blank(1200, 900, 3600)
    ways = [
        tuple((600 + 40 * n + 20 * n * math.cos(t / 8), 20 * n + 10 * t) for t in range(60))
        for n in range(10)
    ]
    marks = canvas.make_marks([Drag("a", way) for way in ways], lambda point: point)
    began = time.process_time()
    canvas.draw(bitmap, marks)
    assert time.process_time() - began < 1


@pytest.mark.parametrize(("coverage", "alpha"), [(255, 0), (0, canvas.VEIL_ALPHA)])
def test_what_may_not_change_is_veiled(coverage, alpha):
    assert canvas.make_veil(bytes([coverage] * 2)) == bytes((*canvas.VEIL, alpha)) * 2


def test_a_preview_gets_the_mask_as_its_alpha():
    assert canvas.to_gray(b"\x05\xff") == bytes([5, 5, 5, 255, 255, 255])
    assert canvas.with_alpha(b"abcdef", b"\x05\xff") == b"abc\x05def\xff"


def test_a_mask_is_thinned_out_for_the_canvas():
    mask = PixelBuffer(5, 3, 1, bytes(range(15)))
    layer = LayerState("Photo", "layer", 5, 3)
    assert canvas.thin_out(mask, layer, 2) == (3, 2, bytes([0, 2, 4, 10, 12, 14]))
    assert canvas.thin_out(mask, layer, 1) == (5, 3, mask.rows)


@pytest.mark.parametrize("step", [1, 2, 3, 7])
@pytest.mark.parametrize("place", [(0, 0, 5, 4), (3, 2, 6, 5), (6, 3, 5, 5), (10, 7, 1, 1)])
def test_a_mask_of_a_part_is_thinned_out_as_one_of_the_whole_layer(place, step):
    layer = LayerState("Photo", "layer", 11, 8)
    x, y, width, height = place
    rows = [bytearray(11) for _ in range(8)]
    for row in range(y, y + height):
        rows[row][x : x + width] = bytes(range(1 + 20 * row, 1 + 20 * row + width))
    part = b"".join(bytes(row[x : x + width]) for row in rows[y : y + height])
    whole = PixelBuffer(11, 8, 1, b"".join(rows))
    thin = canvas.thin_out(PixelBuffer(width, height, 1, part, x, y), layer, step)
    assert thin == canvas.thin_out(whole, layer, step)
