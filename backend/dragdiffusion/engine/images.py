"""Between the user's uint8 pixels and the model's [-1, 1] tensors; and back into the user's image."""

from __future__ import annotations

from math import ceil

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from dragdiffusion.engine.drag_types import Pixels, Rectangle
from dragdiffusion.engine.geometry import WorkingSpace

_SEAM = 1 / 16  # of the region's side: width of the fade where the region ends inside the image
_TINT = 16  # levels by which a VAE may tint a picture; a larger difference is an outline in another place
_SPREAD_SIDE = 2048  # cells; a difference to the surroundings is spread over no more on a side
_BAND = 256  # rows of cells worked on at once


def crop(pixels: Pixels, region: Rectangle) -> Pixels:
    return pixels[region.y : region.bottom, region.x : region.right]


def to_working_image(rgba: Pixels, space: WorkingSpace) -> Float[Tensor, "1 3 h w"]:
    """The region as the model sees it; what is transparent lies on white."""
    region = crop(rgba, space.region).astype(np.float32)
    colour, alpha = region[..., :3], region[..., 3:] / 255.0
    flattened = colour * alpha + 255.0 * (1.0 - alpha)
    image = torch.from_numpy(flattened).permute(2, 0, 1)[None] / 127.5 - 1.0
    image = image.contiguous()  # torch's channels-last kernels on a CPU round 100 times worse
    return _pad(_resize(image, space.height, space.width).clamp(-1.0, 1.0), space)


def to_working_mask(mask: Pixels, space: WorkingSpace) -> Float[Tensor, "1 1 h w"]:
    """1 where anything may change, however little of it."""
    editable = torch.from_numpy((crop(mask, space.region) > 0).astype(np.float32))[None, None]
    if editable.shape[-2:] != (space.height, space.width):
        resized = functional.interpolate(editable, (space.height, space.width), mode="area")
        editable = (resized > 0).float()
    return _pad(editable, space)


def to_latent_mask(
    working_mask: Float[Tensor, "1 1 h w"],
    latent_height: int,
    latent_width: int,
    *,
    any_pixel: bool,
) -> Float[Tensor, "1 1 lh lw"]:
    """`any_pixel`: a latent pixel may change where any of its image pixels may; else the top left one decides (official)."""
    size = (latent_height, latent_width)
    if any_pixel:
        return functional.adaptive_max_pool2d(working_mask, size)
    return functional.interpolate(working_mask, size, mode="nearest")


def unpad(image: Float[Tensor, "1 3 h w"], space: WorkingSpace) -> Float[Tensor, "1 3 rows cols"]:
    return image[..., : space.height, : space.width]


def to_region_pixels(image: Float[Tensor, "1 3 h w"], space: WorkingSpace) -> Pixels:
    """A decoded working image at the size of the region."""
    region = space.region
    return to_pixels(_resize(unpad(image, space).float(), region.height, region.width))


def to_pixels(image: Float[Tensor, "1 3 h w"]) -> Pixels:
    levels = ((image[0].detach().float().cpu() + 1.0) * 127.5).round().clamp(0.0, 255.0)
    return np.ascontiguousarray(levels.permute(1, 2, 0).numpy().astype(np.uint8))


def composite(edited: Pixels, source: Pixels, mask: Pixels | None, region: Rectangle) -> Pixels:
    """RGBA of the region: the model's colours, as opaque as mask and source are; the user's own colours where that is nothing.

    Alpha is the mask's coverage times the source's alpha: laid over the source, the feather blends and a transparent
    background stays transparent.
    """
    under = crop(source, region)
    coverage = np.ones(under.shape[:2], np.float32)
    if mask is not None:
        coverage = crop(mask, region).astype(np.float32) / 255.0
    coverage = coverage * _fade(region, source.shape[1], source.shape[0])
    alpha = np.rint(coverage * under[..., 3]).astype(np.uint8)
    colour = np.where(alpha[..., None] > 0, edited, under[..., :3])
    return np.dstack([colour, alpha])


def match_surroundings(edited: Pixels, source: Pixels, mask: Pixels, region: Rectangle) -> Pixels:
    """Takes out of the mask what the VAE changed round it, so that no seam shows.

    Outside the mask the model's picture should be the user's; by how much its colours are not is spread smoothly over the
    inside. Where an outline crosses the mask's edge in another place than before, its contrast must not spread as a stain.
    Right only where the latent outside the mask is the reference's: `lock_outside_mask`. Worked on in bands, and in a large
    region the difference is taken from cells of some pixels, so that what it takes in memory is bounded.
    """
    cell = ceil(max(region.width, region.height) / _SPREAD_SIDE)
    under, where = crop(source, region), crop(mask, region)
    bands = [slice(top, top + cell * _BAND) for top in range(0, region.height, cell * _BAND)]
    found = [_surrounding_error(edited[b], under[b], where[b], cell) for b in bands]
    spread = fill_unknown(*(torch.cat(parts, dim=2) for parts in zip(*found, strict=True)))
    corrected = np.empty_like(edited)
    for band in bands:
        part = edited[band]
        change = _enlarged_rows(spread, band.start, part.shape[0], cell)[..., : region.width]
        corrected[band] = np.rint((part + change[0].permute(1, 2, 0).numpy()).clip(0, 255))
    return corrected


def _surrounding_error(
    edited: Pixels, under: Pixels, where: Pixels, cell: int
) -> tuple[Float[Tensor, "1 3 rows cols"], Float[Tensor, "1 1 rows cols"]]:
    """What is missing to the user's colours, in each cell that is not wholly in the mask; and which those are."""
    outside = torch.from_numpy((where == 0).astype(np.float32))[None, None]
    missing = (under[..., :3].astype(np.float32) - edited).clip(-_TINT, _TINT)
    error = torch.from_numpy(missing).permute(2, 0, 1)[None]
    if cell == 1:
        return error, outside
    share = functional.avg_pool2d(outside, cell, ceil_mode=True)
    means = functional.avg_pool2d(error * outside, cell, ceil_mode=True) / share.clamp(min=1e-6)
    return means, (share > 0).float()


def _enlarged_rows(
    cells: Float[Tensor, "1 3 h w"], top: int, count: int, cell: int
) -> Float[Tensor, "1 3 rows cols"]:
    """So many rows of the cells drawn at the size of pixels, bilinearly."""
    if cell == 1:
        return cells[..., top : top + count, :]
    places = ((torch.arange(top, top + count) + 0.5) / cell - 0.5).clamp(0, cells.shape[2] - 1)
    above = places.floor().long()
    below = (above + 1).clamp(max=cells.shape[2] - 1)
    share = (places - above)[:, None]
    lines = cells[..., above, :] * (1 - share) + cells[..., below, :] * share
    return functional.interpolate(lines, (count, cells.shape[3] * cell), mode="bilinear")


def fill_unknown(
    values: Float[Tensor, "1 c h w"], known: Float[Tensor, "1 1 h w"]
) -> Float[Tensor, "1 c h w"]:
    """Fills what is not known from ever coarser averages of what is; where nothing is known, 0."""
    if known.min() > 0 or max(values.shape[-2:]) == 1:
        return values * known.clamp(max=1.0)
    share = functional.avg_pool2d(known, 2, ceil_mode=True)
    means = functional.avg_pool2d(values * known, 2, ceil_mode=True) / share.clamp(min=1e-6)
    coarse = fill_unknown(means, (share > 0).float())
    filled = functional.interpolate(coarse, values.shape[-2:], mode="bilinear")
    return known * values + (1 - known) * filled


def _fade(region: Rectangle, image_width: int, image_height: int) -> np.ndarray:
    """1 inside, falling towards those borders of the region that are not borders of the image."""
    rows = _ramp(region.height, fade_in=region.y > 0, fade_out=region.bottom < image_height)
    cols = _ramp(region.width, fade_in=region.x > 0, fade_out=region.right < image_width)
    return np.minimum(rows[:, None], cols[None, :])


def _ramp(length: int, *, fade_in: bool, fade_out: bool) -> np.ndarray:
    seam = max(1.0, length * _SEAM)
    position = np.arange(length, dtype=np.float32) + 0.5
    before = np.minimum(1.0, position / seam) if fade_in else np.ones(length, np.float32)
    after = np.minimum(1.0, (length - position) / seam) if fade_out else before * 0 + 1
    return np.minimum(before, after)


def _resize(
    image: Float[Tensor, "1 c h w"], height: int, width: int
) -> Float[Tensor, "1 c rows cols"]:
    if image.shape[-2:] == (height, width):
        return image
    return functional.interpolate(image, (height, width), mode="bicubic", antialias=True)


def _pad(image: Float[Tensor, "1 c h w"], space: WorkingSpace) -> Float[Tensor, "1 c rows cols"]:
    right, bottom = space.padded_width - space.width, space.padded_height - space.height
    return functional.pad(image, (0, right, 0, bottom), mode="replicate")
