from plugin import canvas

GRAY = bytes([100] * 3 * 40 * 20)


def pixel(rgb, x, y):
    at = 3 * (40 * y + x)
    return tuple(rgb[at : at + 3])


def test_a_drag_is_a_red_dot_a_line_and_a_blue_head():
    drawn = canvas.draw(40, 20, GRAY, [[(8.5, 10.5), (30.5, 10.5)]])
    assert pixel(drawn, 8, 10) == canvas.HANDLE
    assert pixel(drawn, 18, 10) == canvas.LINE
    assert pixel(drawn, 30, 10) == canvas.TARGET
    assert pixel(drawn, 18, 2) == (100, 100, 100)


def test_what_may_not_change_is_dimmed():
    mask = bytes([255] * 20 + [0] * 20) * 20
    drawn = canvas.draw(40, 20, GRAY, [], mask)
    assert pixel(drawn, 3, 3) == (100, 100, 100)
    assert pixel(drawn, 30, 3) == (45, 45, 45)


def test_drawing_over_the_border_is_harmless():
    assert len(canvas.draw(40, 20, GRAY, [[(-5, -5), (60, 40)]])) == len(GRAY)
