"""A part with an outline moves as a whole, one without is stretched, and nothing moves outside the mask."""

import pytest
import torch

from dragdiffusion.engine.motion_field import Way, motion_field, reach_of, reshaped

SIZE = 64


def disc(row: float, col: float, radius: float, *, size: int = SIZE) -> torch.Tensor:
    rows, cols = torch.meshgrid(torch.arange(size) + 0.5, torch.arange(size) + 0.5, indexing="ij")
    return torch.hypot(rows - row, cols - col) < radius


def picture_of(part: torch.Tensor) -> torch.Tensor:
    picture = torch.full((1, 3, *part.shape), -0.5)
    picture[..., part] = 0.7
    return picture


def mask_of(inside: torch.Tensor) -> torch.Tensor:
    return inside.float()[None, None]


def test_a_part_with_an_outline_moves_as_a_whole_and_its_surroundings_stay() -> None:
    part = disc(30, 24, 11)
    way = Way((30.0, 24.0), (32.0, 40.0))

    moved = motion_field(picture_of(part), mask_of(disc(31, 32, 27)), [way])

    inner, outer = disc(30, 24, 10), ~disc(30, 24, 13)
    assert moved[0][inner] == pytest.approx(2.0, abs=0.2)
    assert moved[1][inner] == pytest.approx(16.0, abs=1.0)
    assert moved[:, outer].abs().max() < 1.0


def test_two_colours_that_both_differ_from_the_surroundings_are_one_part() -> None:
    part, stripe = disc(30, 24, 11), disc(30, 24, 11)
    stripe[:28], stripe[33:] = False, False
    picture = picture_of(part)
    picture[..., stripe] = -1.0
    picture[:, 0, stripe] = 1.0

    moved = motion_field(picture, mask_of(disc(31, 32, 27)), [Way((30.0, 24.0), (30.0, 40.0))])

    assert moved[1][part & disc(30, 24, 10)].min() > 13


def test_a_part_without_an_outline_is_stretched() -> None:
    plain = torch.zeros(1, 3, SIZE, SIZE)

    moved = motion_field(plain, mask_of(disc(32, 32, 28)), [Way((32.0, 32.0), (32.0, 44.0))])

    along = moved[1][32, 32:60]
    assert along[0] == pytest.approx(12.0, abs=0.1)
    assert (along.diff() <= 1e-3).all()
    assert along[-1] < 1.0


def test_handles_share_the_pixels_between_them() -> None:
    plain = torch.zeros(1, 3, SIZE, SIZE)
    ways = [Way((32.0, 22.0), (32.0, 14.0)), Way((32.0, 42.0), (32.0, 50.0))]

    moved = motion_field(plain, mask_of(disc(32, 32, 28)), ways)

    assert moved[1][32, 22] == pytest.approx(-8.0, abs=0.1)
    assert moved[1][32, 42] == pytest.approx(8.0, abs=0.1)
    assert moved[1][32, 31:33].abs().max() < 1.0


def test_nothing_moves_outside_the_mask_nor_without_a_way() -> None:
    inside = disc(32, 32, 20)

    moved = motion_field(
        picture_of(disc(32, 24, 8)), mask_of(inside), [Way((32.0, 24.0), (32.0, 36.0))]
    )
    still = motion_field(
        picture_of(disc(32, 24, 8)), mask_of(inside), [Way((32.0, 24.0), (32.0, 24.0))]
    )

    assert moved[:, ~inside].abs().max() == 0
    assert still.abs().max() == 0


def test_a_large_picture_moves_as_its_small_copy_does() -> None:
    small = motion_field(
        picture_of(disc(60, 48, 22, size=128)),
        mask_of(disc(62, 64, 54, size=128)),
        [Way((60.0, 48.0), (60.0, 80.0))],
    )
    large = motion_field(
        picture_of(disc(240, 192, 88, size=512)),
        mask_of(disc(248, 256, 216, size=512)),
        [Way((240.0, 192.0), (240.0, 320.0))],
    )

    assert large.shape == (2, 512, 512)
    of_large = large[1][disc(240, 192, 72, size=512)].mean().item()
    of_small = small[1][disc(60, 48, 18, size=128)].mean().item()
    assert of_large == pytest.approx(4 * of_small, rel=0.05)


def test_without_a_mask_the_surroundings_of_the_drag_may_move() -> None:
    reach = reach_of([Way((20.0, 20.0), (20.0, 40.0))], SIZE, SIZE)[0, 0] > 0

    assert reach[20, 30]
    assert reach[35, 30]
    assert not reach[60, 60]


@pytest.mark.parametrize("right", [10.0, -10.0])
def test_a_reshaped_part_is_held_behind_the_handle_or_ahead_of_it(right: float) -> None:
    way = Way((32.0, 32.0), (32.0, 32.0 + right))
    everywhere = torch.tensor([0.0, right])[:, None, None].expand(2, SIZE, SIZE)

    grown, shrunk = (field[1, 31] / right for field in reshaped(everywhere, way))

    if right < 0:
        grown, shrunk = grown.flip(0), shrunk.flip(0)
    assert grown[:22] == pytest.approx(0)
    assert grown[32:] == pytest.approx(1)
    assert (grown.diff() >= 0).all()
    assert shrunk[:32] == pytest.approx(1)
    assert shrunk[48:] == pytest.approx(0)
    assert (shrunk.diff() <= 0).all()
