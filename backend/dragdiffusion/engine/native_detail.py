"""The user's own fine detail, carried to where the parts went.

A large region is edited at the model's working size, and enlarging the result gives nothing that is finer. But where the
model's picture is what the warp put there, it is known which of the user's pixels belong: those that the motion field says
it came from. What they have over the same pixels seen at the working size is added. Where the model invented, nothing is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor
from torch.nn import functional

from dragdiffusion.engine import geometry, images
from dragdiffusion.engine.drag_types import Pixels, Rectangle
from dragdiffusion.engine.geometry import WorkingSpace
from dragdiffusion.engine.latent_warp import origins_of, seen_from

_AGREEMENT = 0.2  # difference (of 2) from the warped picture at which e⁻¹ of the detail is carried
_NEIGHBOURHOOD = 1.5  # working pixels over which that difference is averaged
_TEARING = 1.0  # change of the motion from one working pixel to the next: the same
_SOFTENING = 1.0  # working pixels: nothing appears abruptly
_CHUNK = 2**18  # native pixels worked on at once: what bounds the memory


@dataclass(frozen=True)
class Carried:
    """What the warp says about a result at the working size (h, w; padded, as the model sees it)."""

    origins: Float[Tensor, "2 h w"]  # (row, col) in the source, of each pixel
    expected: Float[Tensor, "1 3 h w"]  # the warped picture, [-1, 1]
    trust: Float[Tensor, "1 1 h w"]  # 0 … 1: the model's picture shows just that


def compare(
    result: Float[Tensor, "1 3 h w"],
    picture: Float[Tensor, "1 3 h w"],
    motion: Float[Tensor, "2 h w"],
) -> Carried:
    """`result`: the model's, of `picture` with its parts moved along `motion` (pixels); on any device."""
    origins, bare = origins_of(motion)
    expected = seen_from(picture, origins, bare)
    difference = (result.detach().float().cpu() - expected).square().mean(dim=1, keepdim=True)
    agrees = torch.exp(-_blurred(difference, _NEIGHBOURHOOD) / _AGREEMENT**2)
    whole = torch.exp(-_blurred(_tearing(origins), _SOFTENING) / _TEARING**2)
    return Carried(origins, expected, agrees * whole * _far_from(bare))


def add_detail(
    edited: Pixels, source: Pixels, mask: Pixels | None, space: WorkingSpace, carried: Carried
) -> Pixels:
    """`edited`, RGB of the region at native size, with what is finer than the working size from `source`, the user's RGBA.

    Only inside `mask`. The same pixels where the region was not shrunk: nothing was lost.
    """
    region = space.region
    if space.height >= region.height and space.width >= region.width:
        return edited
    focus = _inside(mask, region)
    detailed = edited.copy()
    if focus is None:
        return detailed
    own = torch.from_numpy(np.ascontiguousarray(images.crop(source, region)))
    height = max(1, _CHUNK // focus.width)
    for top in range(focus.y, focus.bottom, height):
        band = Rectangle(focus.x, top, focus.width, min(height, focus.bottom - top))
        detail = _detail(own, space, band, carried).numpy()
        if mask is not None:
            detail *= images.crop(images.crop(mask, region), band)[..., None] > 0
        part = images.crop(detailed, band)
        part[:] = np.rint((part + detail).clip(0, 255))
    return detailed


def _inside(mask: Pixels | None, region: Rectangle) -> Rectangle | None:
    """Of the region, what the mask encloses."""
    if mask is None:
        return Rectangle(0, 0, region.width, region.height)
    return geometry.mask_bounds(images.crop(mask, region))


def _detail(
    own: UInt8[Tensor, "rows cols 4"], space: WorkingSpace, band: Rectangle, carried: Carried
) -> Float[Tensor, "band_rows band_cols 3"]:
    """What `own` pixels have over the working picture, in levels of 255, as far as it is trusted."""
    scale = (own.shape[0] / space.height, own.shape[1] / space.width)
    rows = (torch.arange(band.y, band.bottom) + 0.5) / scale[0] - 0.5
    cols = (torch.arange(band.x, band.right) + 0.5) / scale[1] - 0.5
    identity = torch.stack(torch.meshgrid(rows, cols, indexing="ij"))
    trust = _enlarged(carried.trust, space, identity, "bilinear")[0]
    came_from = identity + _enlarged(_shifts(carried.origins)[None], space, identity, "bilinear")
    factor = torch.tensor(scale)[:, None, None]
    sampled = _sampled(own, (came_from + 0.5) * factor - 0.5)
    coarse = _enlarged(carried.expected, space, identity, "bicubic").permute(1, 2, 0)
    return trust[..., None] * (sampled - (coarse + 1) * 127.5)


def _enlarged(
    field: Float[Tensor, "1 c h w"],
    space: WorkingSpace,
    places: Float[Tensor, "2 rows cols"],
    mode: str,
) -> Float[Tensor, "c rows cols"]:
    """The field at `places` (row, col; a pixel's centre is a whole number): as a resized picture would be there."""
    field = field[..., : space.height, : space.width]
    sides = torch.tensor([space.height, space.width])[:, None, None]
    grid = ((places + 0.5) * 2 / sides - 1).flip(0).permute(1, 2, 0)[None]
    return functional.grid_sample(
        field, grid, mode=mode, padding_mode="border", align_corners=False
    )[0]


def _sampled(
    own: UInt8[Tensor, "rows cols 4"], places: Float[Tensor, "2 h w"]
) -> Float[Tensor, "h w 3"]:
    """Catmull-Rom, tap by tap from the bytes themselves, so that a large region is never copied; transparent is white."""
    first = places.floor()
    weights = _cubic_weights(places - first)
    found = torch.zeros(*places.shape[1:], 3)
    for down in range(4):
        for right in range(4):
            taps = _taken(own, first.long() + torch.tensor([down - 1, right - 1])[:, None, None])
            alpha = taps[..., 3:] / 255
            share = (weights[down][0] * weights[right][1])[..., None]
            found += share * (taps[..., :3] * alpha + 255 * (1 - alpha))
    return found


def _taken(own: UInt8[Tensor, "rows cols 4"], at: Int[Tensor, "2 h w"]) -> Float[Tensor, "h w 4"]:
    rows, cols = at[0].clamp(0, own.shape[0] - 1), at[1].clamp(0, own.shape[1] - 1)
    taken = own.flatten(0, 1).index_select(0, (rows * own.shape[1] + cols).flatten())
    return taken.unflatten(0, tuple(rows.shape)).float()


def _cubic_weights(share: Float[Tensor, "2 h w"]) -> list[Float[Tensor, "2 h w"]]:
    """Of the four pixels round a place that is so far (0 … 1) behind the second of them."""
    s, s2, s3 = share, share**2, share**3
    return [
        (-s3 + 2 * s2 - s) / 2,
        (3 * s3 - 5 * s2 + 2) / 2,
        (-3 * s3 + 4 * s2 + s) / 2,
        (s3 - s2) / 2,
    ]


def _shifts(origins: Float[Tensor, "2 h w"]) -> Float[Tensor, "2 h w"]:
    height, width = origins.shape[1:]
    rows, cols = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return origins - torch.stack([rows, cols])


def _tearing(origins: Float[Tensor, "2 h w"]) -> Float[Tensor, "1 1 h w"]:
    """Squared change of the motion at each pixel, up to 4: between two parts, pixels come from nowhere in particular."""
    shifts = _shifts(origins)
    down = functional.pad((shifts[:, 1:] - shifts[:, :-1]).square().sum(dim=0), (0, 0, 0, 1))
    right = functional.pad((shifts[..., 1:] - shifts[..., :-1]).square().sum(dim=0), (0, 1))
    return (down + right).clamp(max=4.0)[None, None]


def _far_from(bare: Bool[Tensor, "h w"]) -> Float[Tensor, "1 1 h w"]:
    grown = functional.max_pool2d(bare.float()[None, None], 5, 1, 2)
    return (1 - functional.avg_pool2d(grown, 3, 1, 1, count_include_pad=False)) * (1 - grown)


def _blurred(values: Float[Tensor, "1 1 h w"], sigma: float) -> Float[Tensor, "1 1 h w"]:
    """By a Gaussian, out to three of its widths."""
    reach = round(3 * sigma)
    kernel = torch.exp(-((torch.arange(-reach, reach + 1) / sigma) ** 2) / 2)
    kernel = kernel / kernel.sum()
    padded = functional.pad(values, (reach,) * 4, mode="replicate")
    rows = functional.conv2d(padded, kernel.view(1, 1, -1, 1))
    return functional.conv2d(rows, kernel.view(1, 1, 1, -1))
