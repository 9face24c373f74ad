"""Coordinates there and back, and the region that is planned."""

from dataclasses import replace

import numpy as np
import pytest

from dragdiffusion.engine.config import DragConfig, Fit
from dragdiffusion.engine.drag_types import FeaturePoint, Point, Rectangle, Trajectory
from dragdiffusion.engine.geometry import plan_region, plan_working_space
from engine.tiny_model import make_config, make_request


def test_reference_mode_maps_pixel_indices_and_rounds_ties_to_even() -> None:
    space = plan_working_space(Rectangle(0, 0, 256, 256), DragConfig(), multiple=8)
    assert space.to_feature(Point(96.5, 120.5)) == FeaturePoint(60.0, 48.0)
    assert space.to_feature(Point(91.5, 93.5)) == FeaturePoint(46.0, 46.0)
    assert space.to_image(FeaturePoint(60.0, 48.0)) == Point(96.5, 120.5)


def test_default_mode_maps_centres_on_centres() -> None:
    config = make_config(working_size=128, feature_scale=0.25)
    space = plan_working_space(Rectangle(0, 0, 128, 128), config, multiple=4)
    assert space.to_feature(Point(2.0, 126.0)) == FeaturePoint(31.0, 0.0)


@pytest.mark.parametrize("centres", [True, False])
def test_there_and_back_through_a_scaled_region(centres: bool) -> None:
    config = make_config(working_size=128, feature_scale=1.0, pixel_centres=centres)
    space = plan_working_space(Rectangle(100, 50, 256, 256), config, multiple=4)
    point = Point(181.0, 95.0)  # the centre of a working pixel
    assert space.to_image(space.to_feature(point)) == pytest.approx(point)


@pytest.mark.parametrize("corner", [(0, 0), (33, 0), (0, 17), (33, 17)])
@pytest.mark.parametrize("config", [DragConfig(), make_config()])
def test_handles_at_the_corners_are_on_the_grid(
    corner: tuple[int, int], config: DragConfig
) -> None:
    space = plan_working_space(Rectangle(0, 0, 33, 17), config, multiple=8)
    row, col = space.handle_to_feature(Point(*map(float, corner)))
    assert 0 <= row <= space.feature_rows - 1
    assert 0 <= col <= space.feature_cols - 1


def test_sides_are_padded_and_never_stretched() -> None:
    space = plan_working_space(Rectangle(0, 0, 500, 341), DragConfig(), multiple=8)
    assert (space.width, space.height) == (500, 341)
    assert (space.padded_width, space.padded_height) == (504, 344)


def test_reference_mode_scales_down_to_the_width_and_never_up() -> None:
    wide = plan_working_space(Rectangle(0, 0, 1024, 600), DragConfig(), multiple=8)
    assert (wide.width, wide.height) == (512, 300)
    small = plan_working_space(Rectangle(0, 0, 256, 256), DragConfig(), multiple=8)
    assert (small.width, small.height) == (256, 256)


def test_default_mode_scales_to_the_models_area() -> None:
    config = make_config(working_size=128)
    assert plan_working_space(Rectangle(0, 0, 64, 64), config, multiple=4).width == 128
    wide = plan_working_space(Rectangle(0, 0, 400, 100), config, multiple=4)
    assert (wide.width, wide.height) == (256, 64)


def test_a_small_image_is_taken_whole() -> None:
    assert plan_region(make_request(width=40, height=30)) == Rectangle(0, 0, 40, 30)


def test_reference_mode_takes_the_whole_image() -> None:
    request = make_request(DragConfig(), width=2000, height=1000)
    assert plan_region(request) == Rectangle(0, 0, 2000, 1000)


def _large_request() -> object:
    mask = np.zeros((600, 800), np.uint8)
    mask[100:200, 700:790] = 255
    trajectory = Trajectory((Point(710.0, 110.0), Point(750.0, 150.0)))
    config = make_config(working_size=64, fit=Fit.AREA)
    return make_request(config, width=800, height=600, mask=mask, trajectories=(trajectory,))


def test_a_large_image_is_cropped_round_the_mask() -> None:
    request = _large_request()
    region = plan_region(request)
    assert region.width == region.height
    assert region.width < 300
    assert region.x <= 700 - 10
    assert region.right <= 800
    assert region.y <= 100
    assert region.bottom >= 200


def test_points_inside_the_mask_do_not_change_the_region() -> None:
    request = _large_request()
    assert plan_region(request) == plan_region(replace(request, trajectories=()))


def test_a_target_outside_the_mask_enlarges_the_region() -> None:
    request = _large_request()
    away = Trajectory((Point(710.0, 110.0), Point(300.0, 110.0)))
    region = plan_region(replace(request, trajectories=(away,)))
    assert region.x <= 300


def test_a_region_that_is_asked_for_is_used() -> None:
    region = Rectangle(3, 4, 16, 12)
    assert plan_region(make_request(region=region)) == region
