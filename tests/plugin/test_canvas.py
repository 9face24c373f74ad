import pytest

from plugin import canvas
from plugin.edit_model import Drag, View

GRAY = bytes([100] * 3 * 40 * 20)


def pixel(rgb, x, y):
    at = 3 * (40 * y + x)
    return tuple(rgb[at : at + 3])


VIEW = View(40, 20, GRAY)


def test_a_drag_is_a_red_dot_a_line_and_a_blue_head():
    drawn = canvas.draw(VIEW, [Drag("a", ((8.5, 10.5), (30.5, 10.5)))])
    assert pixel(drawn, 8, 10) == canvas.HANDLE
    assert pixel(drawn, 18, 10) == canvas.LINE
    assert pixel(drawn, 30, 10) == canvas.TARGET
    assert pixel(drawn, 18, 2) == (100, 100, 100)


def test_a_handle_is_drawn_where_it_is_now():
    drawn = canvas.draw(VIEW, [Drag("a", ((8.5, 10.5), (30.5, 10.5)))], [(18.5, 10.5)])
    assert pixel(drawn, 18, 10) == canvas.HANDLE
    assert pixel(drawn, 10, 10) == canvas.LINE


def test_points_are_placed_in_the_part_that_is_shown():
    view = View(40, 20, GRAY, x=100, y=50, scale=0.5)
    assert view.place((120, 60)) == (10, 5)
    drawn = canvas.draw(view, [Drag("a", ((120, 70), (160, 70)))])
    assert pixel(drawn, 10, 10) == canvas.HANDLE


@pytest.mark.parametrize(("coverage", "brightness"), [(255, 100), (0, 45)])
def test_what_may_not_change_is_dimmed(coverage, brightness):
    drawn = canvas.dim(GRAY, bytes([coverage] * 40 * 20))
    assert pixel(drawn, 3, 3) == (brightness,) * 3


def test_drawing_over_the_border_is_harmless():
    assert len(canvas.draw(VIEW, [Drag("a", ((-5, -5), (60, 40)))])) == len(GRAY)
