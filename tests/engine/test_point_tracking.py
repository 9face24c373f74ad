"""A known shift of the features is found again."""

import pytest
import torch

from dragdiffusion.engine.drag_types import FeaturePoint
from dragdiffusion.engine.feature_grid import FeatureGrid
from dragdiffusion.engine.point_tracking import read_templates, track_points


@pytest.mark.parametrize("shift", [(0, 0), (2, -3), (-3, 3)])
def test_finds_a_shift_within_the_radius(shift: tuple[int, int]) -> None:
    before = torch.randn(1, 8, 20, 20)
    after = torch.roll(before, shifts=shift, dims=(2, 3))
    handles = [FeaturePoint(10.0, 9.0), FeaturePoint(10.0, 9.0), FeaturePoint(6.0, 12.0)]
    templates = read_templates(FeatureGrid(before, 20, 20), handles)
    found = track_points(FeatureGrid(after, 20, 20), templates, handles, radius=3)
    assert found == tuple(FeaturePoint(h.row + shift[0], h.col + shift[1]) for h in handles)


def test_never_leaves_the_square() -> None:
    before = torch.randn(1, 8, 20, 20)
    after = torch.roll(before, shifts=6, dims=2)
    handle = FeaturePoint(10.0, 10.0)
    templates = read_templates(FeatureGrid(before, 20, 20), [handle])
    (found,) = track_points(FeatureGrid(after, 20, 20), templates, [handle], radius=2)
    assert max(abs(found.row - 10), abs(found.col - 10)) <= 2


@pytest.mark.parametrize("corner", [(0, 0), (0, 19), (19, 0), (19, 19)])
def test_stays_on_the_grid_at_every_corner(corner: tuple[int, int]) -> None:
    grid = FeatureGrid(torch.randn(1, 4, 20, 20), 20, 20)
    handle = FeaturePoint(float(corner[0]), float(corner[1]))
    assert track_points(grid, read_templates(grid, [handle]), [handle], radius=3) == (handle,)


def test_a_handle_between_samples_that_did_not_move_is_found_where_it_was() -> None:
    grid = FeatureGrid(torch.randn(1, 4, 20, 20), 20, 20)
    handle = FeaturePoint(7.3, 11.8)
    assert track_points(grid, read_templates(grid, [handle]), [handle], radius=3) == (handle,)


def test_the_first_of_equals_is_taken() -> None:
    grid = FeatureGrid(torch.zeros(1, 1, 20, 20), 20, 20)
    handle = FeaturePoint(10.0, 10.0)
    found = track_points(grid, read_templates(grid, [handle]), [handle], radius=2)
    assert found == (FeaturePoint(8.0, 8.0),)
