"""What is moved lands where it should, what is left bare continues its surroundings, and noise stays white."""

import pytest
import torch

from dragdiffusion.engine.latent_warp import _moved_noise, warped_picture


def shift(rows: float, cols: float, part: torch.Tensor) -> torch.Tensor:
    motion = torch.zeros(2, *part.shape)
    motion[0][part], motion[1][part] = rows, cols
    return motion


def square(top: int, left: int, side: int, *, size: int = 32) -> torch.Tensor:
    inside = torch.zeros(size, size, dtype=torch.bool)
    inside[top : top + side, left : left + side] = True
    return inside


def test_without_motion_the_picture_stays_as_it_was() -> None:
    picture = torch.rand(1, 3, 32, 32) * 2 - 1

    moved, bare = warped_picture(picture, torch.zeros(2, 32, 32))

    assert not bare.any()
    torch.testing.assert_close(moved[..., 1:-1, 1:-1], picture[..., 1:-1, 1:-1], atol=1e-4, rtol=0)


def test_a_moved_square_lands_and_its_place_continues_the_surroundings() -> None:
    picture = torch.full((1, 3, 32, 32), -0.5)
    part = square(8, 4, 8)
    picture[..., part] = 0.75

    moved, bare = warped_picture(picture, shift(2, 14, part))

    landed, left = square(11, 19, 6), square(9, 5, 6)
    assert moved[0, :, landed].min() == pytest.approx(0.75, abs=0.02)
    assert bare[left].all()
    assert moved[0, :, left].max() < 0.2
    assert not bare[square(20, 0, 8)].any()


def test_what_moves_lies_in_front_of_what_stays() -> None:
    picture = torch.full((1, 3, 32, 32), -1.0)
    part = square(8, 4, 8)
    picture[..., part] = 1.0

    moved, _ = warped_picture(picture, shift(0, 14, part))

    assert moved[0, :, square(9, 19, 6)].min() > 0.9


def test_noise_moves_in_whole_cells_and_is_fresh_where_nothing_is() -> None:
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    part = square(8, 4, 8)
    bare = part.clone()

    moved = _moved_noise(noise, shift(0, 12, part), bare, seed=0)

    assert torch.equal(moved[..., 2:4, 4:6], noise[..., 2:4, 1:3])
    assert not torch.isin(moved[..., 2:4, 1:3], noise).any()
    assert torch.equal(moved[..., 5:, :], noise[..., 5:, :])
    assert torch.equal(moved, _moved_noise(noise, shift(0, 12, part), bare, seed=0))


def test_noise_that_would_leave_the_picture_is_lost() -> None:
    noise = torch.randn(1, 4, 8, 8)
    part = square(8, 20, 8)

    moved = _moved_noise(noise, shift(0, 40, part), torch.zeros(32, 32, dtype=torch.bool), seed=0)

    assert torch.equal(moved, noise)
