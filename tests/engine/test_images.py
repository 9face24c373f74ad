"""Pixels to tensors and back, and the composite."""

import numpy as np
import pytest
import torch

from dragdiffusion.engine import images
from dragdiffusion.engine.config import DragConfig
from dragdiffusion.engine.drag_types import Rectangle
from dragdiffusion.engine.geometry import WorkingSpace, plan_working_space
from engine.tiny_model import make_config, make_image


def _space(width: int, height: int, config: DragConfig | None = None) -> WorkingSpace:
    return plan_working_space(Rectangle(0, 0, width, height), config or DragConfig(), multiple=8)


@pytest.mark.parametrize(("width", "height"), [(32, 32), (33, 17), (7, 1)])
def test_pixels_survive_the_way_to_the_model_and_back(width: int, height: int) -> None:
    pixels, space = make_image(width, height), _space(width, height)
    working = images.to_working_image(pixels, space)
    assert working.shape[-2:] == (space.padded_height, space.padded_width)
    np.testing.assert_array_equal(images.to_region_pixels(working, space), pixels[..., :3])


def test_padding_repeats_the_border() -> None:
    working = images.to_working_image(make_image(33, 17), _space(33, 17))
    torch.testing.assert_close(
        working[..., :17, 33:], working[..., :17, 32:33].expand(-1, -1, -1, 7)
    )


def test_what_is_transparent_lies_on_white() -> None:
    pixels = make_image(8, 8)
    pixels[..., 3] = 0
    assert images.to_working_image(pixels, _space(8, 8)).eq(1.0).all()


def test_a_scaled_region_comes_back_at_its_own_size() -> None:
    space = _space(50, 30, make_config(working_size=64))
    flat = np.full((30, 50, 4), 200, np.uint8)
    flat[..., 3] = 255
    back = images.to_region_pixels(images.to_working_image(flat, space), space)
    assert back.shape == (30, 50, 3)
    assert np.abs(back.astype(int) - 200).max() <= 1


def test_latent_mask_official_takes_the_top_left_pixel_and_the_lock_any() -> None:
    mask = np.zeros((16, 16), np.uint8)
    mask[0, 0] = mask[9, 9] = 1
    working = images.to_working_mask(mask, _space(16, 16))
    official = images.to_latent_mask(working, 2, 2, any_pixel=False)[0, 0]
    touched = images.to_latent_mask(working, 2, 2, any_pixel=True)[0, 0]
    assert official.tolist() == [[1, 0], [0, 0]]
    assert touched.tolist() == [[1, 0], [0, 1]]


def test_composite_keeps_the_users_pixels_outside_the_mask_and_blends_its_feather() -> None:
    source = make_image(8, 8)
    mask = np.zeros((8, 8), np.uint8)
    mask[2:6, 2:6], mask[4, 4] = 128, 255
    edited = np.full((8, 8, 3), 9, np.uint8)
    result = images.composite(edited, source, mask, Rectangle(0, 0, 8, 8))
    outside = mask == 0
    np.testing.assert_array_equal(result[outside][:, :3], source[outside][:, :3])
    assert not result[outside][:, 3].any()
    assert result[4, 4].tolist() == [9, 9, 9, 255]
    assert result[2, 2].tolist() == [9, 9, 9, 128]


def test_a_colour_shift_is_taken_out_of_the_mask() -> None:
    source = make_image(32, 32)
    mask = np.zeros((32, 32), np.uint8)
    mask[8:24, 8:24] = 255
    shifted = np.clip(source[..., :3].astype(int) // 2 + 20, 0, 255).astype(np.uint8)
    source[..., :3] = shifted - 5  # the model's picture is 5 levels too bright everywhere
    matched = images.match_surroundings(shifted, source, mask, Rectangle(0, 0, 32, 32))
    assert np.abs(matched.astype(int) - source[..., :3]).max() <= 1


def test_an_outline_that_moved_across_the_masks_edge_leaves_no_stain() -> None:
    """A brown ridge before a white sky, drawn four pixels further than it was: that is no tint of the mask's inside."""
    source = np.full((32, 32, 4), 255, np.uint8)
    source[16:, :, :3] = (120, 90, 70)
    edited = source[..., :3].copy()
    edited[12:16] = (120, 90, 70)
    mask = np.zeros((32, 32), np.uint8)
    mask[8:24, 8:24] = 255
    matched = images.match_surroundings(edited, source, mask, Rectangle(0, 0, 32, 32))
    assert np.abs(matched.astype(int) - edited)[mask > 0].max() <= 16


def test_nothing_is_matched_where_everything_may_change() -> None:
    source, mask = make_image(16, 16), np.full((16, 16), 255, np.uint8)
    edited = np.full((16, 16, 3), 77, np.uint8)
    matched = images.match_surroundings(edited, source, mask, Rectangle(0, 0, 16, 16))
    np.testing.assert_array_equal(matched, edited)


@pytest.mark.parametrize("side", [7, 16, 40])
def test_a_difference_is_spread_over_a_large_region_in_cells_as_it_is_pixel_by_pixel(
    side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A seam would show as a step at the mask's edge; the inside may differ where neither is known better."""
    source = make_image(90, 61)
    mask = np.zeros((61, 90), np.uint8)
    mask[12:50, 20:71] = 255
    rows, cols = np.mgrid[:61, :90]
    error = np.rint(6 * np.sin(rows / 20) + cols / 9)[..., None]
    edited = (source[..., :3] // 2 + 60 + error).astype(np.uint8)
    source[..., :3] = source[..., :3] // 2 + 60
    region = Rectangle(0, 0, 90, 61)
    exact = images.match_surroundings(edited, source, mask, region)
    monkeypatch.setattr(images, "_SPREAD_SIDE", side)
    monkeypatch.setattr(images, "_BAND", 1)
    coarse = images.match_surroundings(edited, source, mask, region)
    change = np.abs(coarse.astype(int) - exact)[mask > 0]
    assert change.mean() < 1
    assert change.max() <= 2 + 90 / side
    edge = np.abs(coarse.astype(int) - source[..., :3])[12:50, 20]
    assert edge.max() <= 1 + 90 / side


def test_composite_keeps_a_transparent_background() -> None:
    source = make_image(8, 8)
    source[:4, :, 3] = 0
    result = images.composite(source[..., :3], source, None, Rectangle(0, 0, 8, 8))
    np.testing.assert_array_equal(result[..., 3], source[..., 3])


def test_a_region_fades_out_only_inside_the_image() -> None:
    source = make_image(64, 64)
    result = images.composite(source[:32, :32, :3], source, None, Rectangle(0, 0, 32, 32))
    assert result[0, 0, 3] == 255
    assert result[31, 16, 3] < 255
    assert result[16, 31, 3] < 255
    assert result[16, 16, 3] == 255
