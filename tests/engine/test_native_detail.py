"""Detail goes where the parts went, and nowhere else."""

import numpy as np
import pytest
import torch

from dragdiffusion.engine import images, native_detail
from dragdiffusion.engine.drag_types import Pixels, Rectangle
from dragdiffusion.engine.geometry import WorkingSpace
from dragdiffusion.engine.latent_warp import warped_picture

_SIDE, _SHRINK = 32, 4
_REGION = Rectangle(8, 4, _SIDE * _SHRINK, _SIDE * _SHRINK)
_SPACE = WorkingSpace(_REGION, _SIDE, _SIDE, _SIDE, _SIDE, 0.25, True)
_PART = (slice(10, 22), slice(4, 16))  # rows, columns of the working picture
_SHIFT = 14  # columns


def source() -> Pixels:
    """A fine pattern everywhere, grey on the average; the part is lighter."""
    rows, cols = np.mgrid[: 4 + _REGION.height, : 8 + _REGION.width]
    grey = 110 + 40 * ((rows // 2 + cols // 2) % 2)
    top, left = 4 + _PART[0].start * _SHRINK, 8 + _PART[1].start * _SHRINK
    side = 12 * _SHRINK
    grey[top : top + side, left : left + side] += 60
    return np.dstack([grey, grey, grey, np.full_like(grey, 255)]).astype(np.uint8)


def motion() -> torch.Tensor:
    field = torch.zeros(2, _SIDE, _SIDE)
    field[1][_PART] = _SHIFT
    return field


def native(rows: slice, cols: slice) -> tuple[slice, slice]:
    return (
        slice(rows.start * _SHRINK, rows.stop * _SHRINK),
        slice(cols.start * _SHRINK, cols.stop * _SHRINK),
    )


LANDED = native(slice(14, 18), slice(22, 26))  # the part's middle, at its target
LEFT = native(slice(13, 19), slice(7, 13))  # and where it was
STILL = native(slice(26, 30), slice(4, 28))


def edited_by(result: torch.Tensor, mask: Pixels | None = None) -> tuple[Pixels, Pixels]:
    """The result enlarged, and the same with detail."""
    picture = images.to_working_image(source(), _SPACE)
    plain = images.to_region_pixels(result, _SPACE)
    carried = native_detail.compare(result, picture, motion())
    return plain, native_detail.add_detail(plain, source(), mask, _SPACE, carried)


def warped() -> torch.Tensor:
    return warped_picture(images.to_working_image(source(), _SPACE), motion())[0]


def psnr(result: Pixels, truth: Pixels) -> float:
    return 10 * np.log10(255**2 / max(np.square(result.astype(float) - truth).mean(), 1e-3))


def test_moved_and_unmoved_pixels_get_their_own_detail_back() -> None:
    plain, detailed = edited_by(warped())
    own = images.crop(source(), _REGION)[..., :3]
    moved = np.roll(own, _SHIFT * _SHRINK, axis=1)
    for place, truth in ((LANDED, moved), (STILL, own)):
        assert psnr(plain[place], truth[place]) < 25  # enlarging alone has lost the pattern
        assert psnr(detailed[place], truth[place]) > psnr(plain[place], truth[place]) + 8


def test_nothing_is_added_to_what_the_model_invented() -> None:
    result = warped()
    result[..., 10:22, 18:30] = -0.9
    plain, detailed = edited_by(result)
    np.testing.assert_array_equal(detailed[LANDED], plain[LANDED])
    assert not np.array_equal(detailed[STILL], plain[STILL])


def test_nothing_is_added_where_a_part_left() -> None:
    plain, detailed = edited_by(warped())
    np.testing.assert_array_equal(detailed[LEFT], plain[LEFT])


def test_only_inside_the_mask() -> None:
    mask = np.zeros(source().shape[:2], np.uint8)
    mask[40:100, 60:120] = 9
    plain, detailed = edited_by(warped(), mask)
    inside = images.crop(mask, _REGION) > 0
    np.testing.assert_array_equal(detailed[~inside], plain[~inside])
    assert not np.array_equal(detailed[inside], plain[inside])


def test_bands_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    _, whole = edited_by(warped())
    monkeypatch.setattr(native_detail, "_CHUNK", 7 * _REGION.width)
    _, in_bands = edited_by(warped())
    np.testing.assert_array_equal(in_bands, whole)


def test_what_was_not_shrunk_stays_as_it_is() -> None:
    space = WorkingSpace(Rectangle(0, 0, _SIDE, _SIDE), _SIDE, _SIDE, _SIDE, _SIDE, 0.25, True)
    small = np.ascontiguousarray(source()[:_SIDE, :_SIDE])
    picture = images.to_working_image(small, space)
    plain = images.to_region_pixels(picture, space)
    carried = native_detail.compare(picture, picture, torch.zeros(2, _SIDE, _SIDE))
    assert native_detail.add_detail(plain, small, None, space, carried) is plain
