import pytest

from plugin.edit_model import Drag, LayerState
from plugin.points import End, Points

LAYER = LayerState("Photo", "layer", width=100, height=80)
FIRST = Drag("Stroke 1 of path “Eyes”", ((10, 10), (30, 10)))


def pull(points, start, *way, curved=False):
    points.press(start, reach=5, curved=curved)
    for point in way:
        points.pull(point)
    points.release()


def test_press_pull_release_makes_a_drag():
    points = Points(LAYER)
    assert points.press((40, 30), reach=5)
    points.pull((50, 35))
    points.pull((60, 40))
    assert points.is_pulling
    points.release()
    assert points.drags == (Drag("Arrow 1", ((40, 30), (60, 40))),)
    assert points.selected == End(0, True)


@pytest.mark.parametrize(
    ("start", "to", "expected"),
    [((12, 11), (20, 20), ((20, 20), (30, 10))), ((29, 8), (50, 60), ((10, 10), (50, 60)))],
)
def test_an_end_is_taken_and_moved(start, to, expected):
    points = Points(LAYER, [FIRST])
    pull(points, start, to)
    assert points.drags == (Drag(FIRST.stroke, expected),)


def test_of_two_ends_the_nearer_is_taken_and_on_one_place_the_target():
    points = Points(LAYER, [FIRST, Drag("b", ((30, 10), (50, 50)))])
    assert points.find((30, 10), 5) == End(0, True)
    assert points.find((49, 50), 5) == End(1, True)
    assert points.find((70, 70), 5) is None


def test_a_press_beside_the_layer_begins_nothing():
    points = Points(LAYER)
    assert not points.press((101, 5), reach=5)
    points.pull((50, 50))
    points.release()
    assert points.drags == ()
    assert not points.can_undo


def test_points_stay_on_the_layer():
    points = Points(LAYER)
    pull(points, (90, 70), (200, 300))
    target = points.drags[0].points[-1]
    assert LAYER.contains(target)
    assert target == pytest.approx((100, 80), abs=0.02)


def test_a_click_alone_makes_no_drag_and_a_click_on_an_end_selects_it():
    points = Points(LAYER, [FIRST])
    pull(points, (60, 60))
    assert points.drags == (FIRST,)
    pull(points, (10, 10))
    assert points.selected == End(0, False)
    assert not points.can_undo


def test_an_end_that_is_pulled_onto_the_other_springs_back():
    points = Points(LAYER, [FIRST])
    pull(points, (30, 10), (10.2, 10.1))
    assert points.drags == (FIRST,)
    assert not points.can_undo


def test_a_curve_keeps_its_shape_when_an_end_moves():
    curve = Drag("a", ((10, 10), (20, 20), (30, 10)))  # a roof, upside down
    points = Points(LAYER, [curve])
    pull(points, (30, 10), (10, 30))  # a quarter turn
    assert points.drags[0].points == ((10, 10), pytest.approx((0, 20)), (10, 30))
    points.undo()
    pull(points, (30, 10), (50, 10))  # twice as wide: twice as deep
    assert points.drags[0].points[1] == pytest.approx((30, 30))


def test_with_shift_the_drag_follows_the_pointer():
    points = Points(LAYER)
    pull(points, (10, 10), (20, 30), (20.5, 30.5), (30, 40), (50, 40), curved=True)
    assert points.drags[0].points == ((10, 10), (20, 30), (30, 40), (50, 40))


def test_a_line_that_is_pulled_bends_and_its_ends_stay():
    points = Points(LAYER, [FIRST])
    pull(points, (20, 11), (20, 21))
    (bent,) = points.drags
    assert (bent.points[0], bent.points[-1]) == FIRST.points
    assert max(y for _x, y in bent.points) == pytest.approx(20, abs=0.1)
    assert all(10 <= x <= 30 for x, _y in bent.points)
    assert points.selected == End(0, True)
    points.undo()
    assert points.drags == (FIRST,)


def test_beside_a_line_and_with_shift_on_it_a_new_drag_begins():
    points = Points(LAYER, [FIRST])
    pull(points, (20, 13), (20, 40))
    assert points.drags[1].points == ((20, 13), (20, 40))
    pull(points, (15.5, 10), (15.5, 30), (40, 30), curved=True)
    assert points.drags[2].points == ((15.5, 10), (15.5, 30), (40, 30))


def test_a_line_bends_no_further_than_the_layer():
    points = Points(LAYER, [FIRST])
    pull(points, (20, 10), (20, -500))
    assert all(LAYER.contains(point) for point in points.drags[0].points)


def test_a_closed_curve_is_a_drag_too():
    points = Points(LAYER)
    pull(points, (10, 10), (20, 30), (40, 10), (10, 10), curved=True)
    assert len(points.drags) == 1


def test_a_gesture_can_be_abandoned():
    points = Points(LAYER, [FIRST])
    points.press((30, 10), reach=5)
    points.pull((70, 70))
    points.abandon()
    points.release()
    assert points.drags == (FIRST,)
    assert not points.can_undo


def test_undo_and_redo_go_through_every_change():
    points = Points(LAYER)
    pull(points, (40, 30), (60, 40))
    pull(points, (60, 40), (70, 50))
    points.delete()
    seen = [points.drags]
    while points.can_undo:
        points.undo()
        seen.append(points.drags)
    assert [len(drags) for drags in seen] == [0, 1, 1, 0]
    for drags in reversed(seen[:-1]):
        points.redo()
        assert points.drags == drags
    assert not points.can_redo
    points.redo()  # nothing
    points.undo()
    pull(points, (5, 5), (20, 20))
    assert not points.can_redo  # a change ends what could be redone


def test_undo_waits_for_the_end_of_a_gesture():
    points = Points(LAYER)
    pull(points, (40, 30), (60, 40))
    points.press((5, 5), reach=3)
    points.undo()
    assert len(points.drags) == 2


def test_right_click_deletes_that_drag():
    points = Points(LAYER, [FIRST, Drag("b", ((40, 40), (50, 50)))])
    points.delete(points.find((50, 50), 5))
    assert points.drags == (FIRST,)
    assert points.selected is None
    points.delete()  # nothing is selected
    assert points.drags == (FIRST,)


def test_tab_goes_through_the_ends_and_out():
    points = Points(LAYER, [FIRST, Drag("b", ((40, 40), (50, 50)))])
    ends = []
    while points.select_next():
        ends.append(points.selected)
    assert ends == [End(0, False), End(0, True), End(1, False), End(1, True)]
    assert points.selected is None
    assert points.select_next(-1)
    assert points.selected == End(1, True)
    assert not Points(LAYER).select_next()


def test_arrow_keys_in_a_row_are_one_step_of_undo():
    points = Points(LAYER, [FIRST])
    points.select_next()
    for _ in range(3):
        points.nudge(0, 1)
    assert points.drags[0].points == ((10, 13), (30, 10))
    points.select_next()
    points.nudge(-10, 0)
    assert points.drags[0].points == ((10, 13), (20, 10))
    points.undo()
    points.undo()
    assert points.drags == (FIRST,)
    assert not points.can_undo


def test_arrow_keys_do_not_let_a_drag_vanish_or_leave():
    points = Points(LAYER, [Drag("a", ((1, 1), (3, 1)))])
    points.select_next()
    points.nudge(2, 0)
    assert points.drags[0].points == ((1, 1), (3, 1))
    points.nudge(-10, -10)
    assert points.drags[0].points == ((0, 0), (3, 1))


def test_a_drag_can_be_added_without_a_mouse():
    points = Points(LAYER)
    points.add((40, 40), (60, 40))
    points.add((40, 50), (60, 50))
    assert [drag.stroke for drag in points.drags] == ["Arrow 1", "Arrow 2"]
    points.undo()
    points.undo()
    assert points.drags == ()
