"""The loss on features with a known answer."""

import pytest
import torch

from dragdiffusion.engine.drag_types import FeaturePoint
from dragdiffusion.engine.feature_grid import FeatureGrid
from dragdiffusion.engine.motion_supervision import Pull, motion_supervision_loss, unit_step


def _ramp(slope_row: float, slope_col: float) -> FeatureGrid:
    rows, cols = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    return FeatureGrid((slope_row * rows + slope_col * cols)[None, None], 16, 16)


def test_loss_on_a_ramp_is_its_slope_times_the_square() -> None:
    # One pixel along the rows changes a ramp of slope 3 by 3 everywhere: 9 · 3.
    handle = FeaturePoint(8.0, 8.0)
    pull = Pull(handle, FeaturePoint(14.0, 8.0), handle)
    loss = motion_supervision_loss(_ramp(3.0, 5.0), _ramp(3.0, 5.0), [pull], radius=1)
    assert loss.item() == pytest.approx(27.0)


def test_losses_of_handles_add_up() -> None:
    handle = FeaturePoint(8.0, 8.0)
    pulls = [
        Pull(handle, goal, handle) for goal in (FeaturePoint(14.0, 8.0), FeaturePoint(8.0, 14.0))
    ]
    loss = motion_supervision_loss(_ramp(3.0, 5.0), _ramp(3.0, 5.0), pulls, radius=1)
    assert loss.item() == pytest.approx(9 * (3.0 + 5.0))


def test_original_patch_that_has_moved_one_step_costs_nothing() -> None:
    before = torch.randn(1, 4, 16, 16)
    after = torch.roll(before, shifts=1, dims=2)
    pull = Pull(FeaturePoint(8.0, 8.0), FeaturePoint(12.0, 8.0), FeaturePoint(8.0, 8.0))
    loss = motion_supervision_loss(
        FeatureGrid(after, 16, 16), FeatureGrid(before, 16, 16), [pull], radius=2
    )
    assert loss.item() == pytest.approx(0.0, abs=1e-4)


@pytest.mark.parametrize("handle", [(0, 0), (0, 15), (15, 0), (15, 15), (7, 0), (15, 7)])
@pytest.mark.parametrize("radius", [1, 5])
def test_every_border_gives_a_finite_loss_and_gradient(
    handle: tuple[int, int], radius: int
) -> None:
    features = torch.randn(1, 3, 16, 16, requires_grad=True)
    grid = FeatureGrid(features, 16, 16)
    point = FeaturePoint(float(handle[0]), float(handle[1]))
    pull = Pull(point, FeaturePoint(30.0, -5.0), FeaturePoint(3.0, 12.0))
    loss = motion_supervision_loss(grid, grid.detach(), [pull], radius=radius)
    loss.backward()
    assert torch.isfinite(loss)
    assert features.grad is not None
    assert torch.isfinite(features.grad).all()


def test_step_is_one_pixel_or_what_is_left() -> None:
    assert unit_step(FeaturePoint(0, 0), FeaturePoint(3, 4)) == pytest.approx((0.6, 0.8))
    assert unit_step(FeaturePoint(0, 0), FeaturePoint(0, 0.25)) == (0.0, 0.25)
    assert unit_step(FeaturePoint(2, 2), FeaturePoint(2, 2)) == (0.0, 0.0)
