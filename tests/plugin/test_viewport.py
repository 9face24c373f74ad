import pytest

from plugin.viewport import LARGEST, MARGIN, Viewport

PORT = Viewport(400, 200).resized(416, 316)


def test_the_layer_fits_and_is_in_the_middle():
    assert PORT.zoom == 1
    assert PORT.place((0, 0)) == (MARGIN, 58)
    assert PORT.to_layer((MARGIN, 58)) == (0, 0)


def test_it_still_fits_in_a_canvas_of_another_size():
    assert PORT.resized(216, 600).zoom == 0.5
    assert PORT.resized(816, 616).place((200, 100)) == (408, 308)


def test_zoom_keeps_what_is_under_the_pointer():
    before = PORT.to_layer((100, 120))
    port = PORT.zoomed(2, (100, 120)).zoomed(1.5, (100, 120))
    assert port.zoom == 3
    assert port.to_layer((100, 120)) == pytest.approx(before)


def test_zoom_has_limits_and_ends_in_the_whole_layer():
    near = PORT.zoomed(1e6, (100, 100))
    assert near.zoom == LARGEST
    assert near.zoomed(1e-9, (5, 5)) == PORT


def test_a_small_layer_can_be_seen_pixel_by_pixel():
    small = Viewport(40, 20).resized(416, 316)
    assert small.zoom == 10
    assert small.zoomed(0.1, (208, 158)).zoom == 1
    assert small.zoomed(0.01, (208, 158)).zoom == 1


def test_panning_moves_by_the_pointers_way_but_not_out_of_sight():
    port = PORT.zoomed(4, (208, 158))
    x, y = port.place((200, 100))
    assert port.panned(30, -20).place((200, 100)) == pytest.approx((x + 30, y - 20))
    far = port.panned(1e6, 1e6)
    assert far.place((0, 0)) == pytest.approx((208, 158))


def test_another_size_keeps_the_middle_when_zoomed():
    port = PORT.zoomed(4, (208, 158))
    middle = port.to_layer((208, 158))
    assert port.resized(616, 516).to_layer((308, 258)) == pytest.approx(middle)
