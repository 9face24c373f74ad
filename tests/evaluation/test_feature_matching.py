"""The measure finds what was moved, as the definition says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from engine.tiny_model import make_image, make_model
from torch.nn import functional

from dragdiffusion.engine.diffusion_model import DiffusionModel
from dragdiffusion.engine.feature_grid import FeatureGrid
from dragdiffusion.evaluation.feature_matching import FeatureMatcher, _feature_at, _find
from dragdiffusion.evaluation.scene_cases import make_cases
from dragdiffusion.models import catalogue
from dragdiffusion.models.load import load_model, place


@pytest.mark.parametrize(("rows", "cols"), [(37, 50), (16, 16)])
def test_the_place_is_the_whole_picture_s_argmax(rows: int, cols: int) -> None:
    """As the official evaluation computes it: features enlarged to the picture, cosine, argmax."""
    draws = torch.Generator().manual_seed(1)
    before, after = (torch.randn(1, 12, 6, 9, generator=draws) for _ in range(2))
    row, col = rows // 3, cols // 2
    large_before, large_after = (
        functional.interpolate(features, (rows, cols), mode="bilinear")
        for features in (before, after)
    )
    feature = large_before[:, :, row, col, None, None]
    similarity = functional.cosine_similarity(feature, large_after, dim=1)[0]
    wanted = np.unravel_index(int(similarity.argmax()), (rows, cols))
    handle = _feature_at(FeatureGrid(before, rows, cols), (col + 0.5, row + 0.5))
    torch.testing.assert_close(handle, feature)
    found = _find(handle, FeatureGrid(after, rows, cols))
    assert found == (wanted[1] + 0.5, wanted[0] + 0.5)


@pytest.fixture(scope="module")
def embedded() -> DiffusionModel:
    return load_model(catalogue.resolve("embedded"), place("cpu", "float32"))


def test_what_moved_is_found_and_what_did_not_is_left_behind(embedded: DiffusionModel) -> None:
    matcher = FeatureMatcher(embedded)
    ball = make_cases(4, 3)[3]
    pairs, caption = ball.point_pairs, ball.caption
    done = matcher.distances_px(ball.image, ball.truth, pairs, caption)
    assert max(done) < 3
    undone = matcher.distances_px(ball.image, ball.image, pairs, caption)
    assert undone == pytest.approx([ball.drag_length], abs=3)
    assert matcher.distances_px(ball.image, ball.truth, pairs, caption) == done


def test_large_pictures_are_reduced_and_distances_are_not() -> None:
    """48 × 30 is measured as it is; 640 × 400 at the model's size, in pixels of the picture."""
    matcher = FeatureMatcher(make_model())
    assert matcher._model.working_size == 32
    for width, height, shape in ((48, 30, (30, 48)), (640, 400, (25, 40))):
        picture = make_image(width, height)[..., :3]
        assert matcher._to_working_image(picture).shape == (1, 3, *shape)
        pairs = (((5.5, 5.5), (width + 500.0, 5.5)),)  # 500 px from anywhere, at least
        (distance,) = matcher.distances_px(picture, picture, pairs, "a picture")
        assert 500 <= distance <= width + 500 + height
