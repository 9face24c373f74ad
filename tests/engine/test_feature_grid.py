"""Patches against what torch computes on the whole resized map."""

import pytest
import torch
from torch.nn import functional

from dragdiffusion.engine.feature_grid import FeatureGrid


@pytest.mark.parametrize(("rows", "cols"), [(24, 40), (6, 10), (7, 9)])
def test_read_equals_interpolation_of_the_whole_map(rows: int, cols: int) -> None:
    features = torch.randn(1, 5, 6, 10)
    whole = functional.interpolate(features, (rows, cols), mode="bilinear")
    read = FeatureGrid(features, rows, cols).read(
        [*map(float, range(rows))], [*map(float, range(cols))]
    )
    torch.testing.assert_close(read, whole, atol=1e-5, rtol=1e-5)


def test_read_between_samples_is_bilinear_of_the_resized_map() -> None:
    features = torch.randn(1, 3, 4, 4)
    whole = functional.interpolate(features, (16, 16), mode="bilinear")
    read = FeatureGrid(features, 16, 16).read([5.25], [9.5])
    upper = whole[:, :, 5, 9:11].mean(-1)
    lower = whole[:, :, 6, 9:11].mean(-1)
    torch.testing.assert_close(read[:, :, 0, 0], 0.75 * upper + 0.25 * lower)


@pytest.mark.parametrize(("outside", "border"), [(-1.0, 0.0), (8.2, 7.0)])
def test_read_outside_gives_the_border(outside: float, border: float) -> None:
    grid = FeatureGrid(torch.randn(1, 2, 8, 8), 8, 8)
    torch.testing.assert_close(grid.read([outside], [3.0]), grid.read([border], [3.0]))


def test_gradient_reaches_the_features() -> None:
    features = torch.randn(1, 2, 4, 4, requires_grad=True)
    FeatureGrid(features, 8, 8).read([0.0, 1.0], [7.0]).sum().backward()
    assert features.grad is not None
    assert features.grad.sum() == pytest.approx(4.0)
