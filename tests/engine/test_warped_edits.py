"""Whole edits that begin with the warp: every border, size and mask, and what an artist may draw."""

from threading import Event
from typing import Any

import numpy as np
import pytest

from dragdiffusion.engine import editor
from dragdiffusion.engine.config import DragConfig
from dragdiffusion.engine.diffusion_model import DiffusionModel
from dragdiffusion.engine.drag_types import DragStep, Point, Stage, StageStep, Trajectory
from dragdiffusion.engine.editor import EditSession
from engine.tiny_model import Geometry, edit, make_config, make_model, make_request, run


def _config(**changes: Any) -> DragConfig:
    return make_config(**({"warp": True, "settle": True} | changes))


def _way(*points: tuple[float, float]) -> Trajectory:
    return Trajectory(tuple(Point(float(x), float(y)) for x, y in points))


def _handles(events: list[Any]) -> list[tuple[Point, ...]]:
    return [event.handles for event in events if isinstance(event, DragStep)]


def test_the_parts_are_put_on_their_targets_before_the_first_step(model: DiffusionModel) -> None:
    events: list[Any] = []

    edit(model, make_request(_config(), trajectories=(_way((9, 9), (20, 14)),)), events)

    stages = [event.stage for event in events if isinstance(event, StageStep)]
    assert stages.count(Stage.WARPING) == 1
    assert stages.index(Stage.WARPING) < stages.index(Stage.DENOISING)
    first = _handles(events)[0][0]
    assert (first.x, first.y) == pytest.approx((20, 14), abs=2)


def test_a_way_with_a_bend_ends_at_its_target(model: DiffusionModel) -> None:
    events: list[Any] = []

    edit(model, make_request(_config(), trajectories=(_way((9, 9), (25, 9), (25, 25)),)), events)

    first = _handles(events)[0][0]
    assert (first.x, first.y) == pytest.approx((25, 25), abs=2)


@pytest.fixture(scope="module")
def prepared() -> tuple[DiffusionModel, EditSession]:
    """The whole image, which is prepared alike wherever the points lie."""
    model = make_model()
    return model, run(editor.open_session(model, make_request(_config()), stop=Event()))


@pytest.mark.parametrize("target", [(-10, 16), (50, 50), (16, 20), (20, 32)])
@pytest.mark.parametrize("handle", [(0, 0), (32, 0), (0, 32), (32, 32), (16, 0)])
def test_handles_at_every_border_and_targets_beyond_it(
    prepared: tuple[DiffusionModel, EditSession], handle: tuple[int, int], target: tuple[int, int]
) -> None:
    model, session = prepared
    request = make_request(_config(), trajectories=(_way(handle, target),))
    events: list[Any] = []

    edited = run(editor.drag(session, request, stop=Event()), events)

    assert session.key == editor.session_key(model.name, request)
    assert edited.image.shape == (32, 32, 4)
    losses = [event.loss for event in events if isinstance(event, DragStep)]
    assert losses
    assert np.isfinite(losses).all()
    assert all(0 <= x <= 32 and 0 <= y <= 32 for handles in _handles(events) for x, y in handles)


@pytest.mark.parametrize(
    ("width", "height"), [(33, 31), (64, 20), (17, 50), (5, 5), (1, 1), (90, 70)]
)
@pytest.mark.parametrize("masked", [True, False])
def test_any_size_of_image(width: int, height: int, masked: bool) -> None:
    mask = np.full((height, width), 255, np.uint8) if masked else None
    ways = (_way((width / 2, height / 2), (0, 0)),)

    request = make_request(_config(), width=width, height=height, mask=mask, trajectories=ways)
    edited = edit(make_model(Geometry.LIKE_SD), request)

    assert edited.image.shape == (edited.region.height, edited.region.width, 4)


def test_a_mask_of_one_pixel(model: DiffusionModel) -> None:
    mask = np.zeros((32, 32), np.uint8)
    mask[9, 9] = 255

    request = make_request(_config(), mask=mask, trajectories=(_way((9.5, 9.5), (20, 20)),))
    edited = edit(model, request)

    assert (edited.image[..., 3] > 0).sum() <= 1


def test_a_handle_on_its_target_takes_no_step(model: DiffusionModel) -> None:
    request = make_request(_config(), trajectories=(_way((9, 9), (9, 9)),))

    assert edit(model, request).drag_steps == 0


def test_two_handles_on_one_pixel_and_two_of_one_target(model: DiffusionModel) -> None:
    apart = (_way((9, 9), (20, 9)), _way((9, 9), (9, 20)))
    together = (_way((9, 9), (15, 15)), _way((20, 20), (15, 15)))

    for ways in (apart, together):
        assert edit(model, make_request(_config(), trajectories=ways)).drag_steps > 0


def test_without_steps_the_warp_alone_changes_the_picture(model: DiffusionModel) -> None:
    ways = (_way((9, 9), (20, 14)),)
    still = make_request(_config(max_drag_steps=0, warp=False), trajectories=ways)
    moved = make_request(_config(max_drag_steps=0), trajectories=ways)

    assert not np.array_equal(edit(model, still).image, edit(model, moved).image)


def test_the_same_request_gives_the_same_picture() -> None:
    request = make_request(_config(), trajectories=(_way((9, 9), (20, 14)),))

    first = edit(make_model(), request)
    second = edit(make_model(), request)

    assert np.array_equal(first.image, second.image)
