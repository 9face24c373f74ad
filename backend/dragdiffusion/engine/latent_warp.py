"""The latent with which dragging begins: that of the picture whose parts have already been moved.

Motion supervision moves a part a feature pixel at a time, and on a long way it loses what it carries. So the picture is
warped along the motion field, encoded, and brought to the noise level of the inverted latent with that latent's own
noise, moved along. Where a part left, the surroundings are continued and the noise is fresh: there the model invents.
(FastDrag, arXiv 2405.15769, warps the noisy latent itself, by a field that knows no outlines.)
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from dragdiffusion.engine import images
from dragdiffusion.engine.reference_branch import ReferenceBranch

_OVERSAMPLING = 2  # samples to a pixel and axis, so that stretching tears no holes
_FRONT = 8.0  # weight of what moves furthest over what stays, as a power of e
_BARE = 0.5  # a pixel that less than this was moved onto has to be invented
_BARE_CELL = 0.25  # a latent cell with a larger share of such pixels gets fresh noise
_STILL = 0.5  # latent cells: noise that would move less stays


@torch.no_grad()
def warped_latent(
    branch: ReferenceBranch,
    picture: Float[Tensor, "1 3 h w"],
    motion: Float[Tensor, "2 h w"],
    *,
    seed: int,
) -> Float[Tensor, "1 c rows cols"]:
    """z of the branch's top level, of `picture` ([-1, 1]) moved along `motion` (pixels)."""
    level, inverted = branch.top_level, branch.latents[-1]
    alpha = branch.schedule.alphas[level]
    noise = (inverted - alpha**0.5 * branch.latents[0]) / (1 - alpha) ** 0.5
    moved, bare = warped_picture(picture, motion)
    noise = _moved_noise(noise.cpu(), motion, bare, seed=seed).to(inverted)
    return alpha**0.5 * branch.model.encode(moved) + (1 - alpha) ** 0.5 * noise


def warped_picture(
    picture: Float[Tensor, "1 3 h w"], motion: Float[Tensor, "2 h w"]
) -> tuple[Float[Tensor, "1 3 h w"], Bool[Tensor, "h w"]]:
    """The picture with every pixel moved, and which pixels were left bare: there the surroundings are continued."""
    origins, bare = origins_of(motion)
    return seen_from(picture, origins, bare), bare


def seen_from(
    picture: Float[Tensor, "1 3 h w"], origins: Float[Tensor, "2 h w"], bare: Bool[Tensor, "h w"]
) -> Float[Tensor, "1 3 h w"]:
    """The picture, each pixel fetched from its origin (row, col), the surroundings continued over what is bare."""
    height, width = bare.shape
    sides = torch.tensor([height, width])[:, None, None]
    places = ((origins + 0.5) * 2 / sides - 1).flip(0).permute(1, 2, 0)[None]
    moved = functional.grid_sample(
        picture.cpu(), places, mode="bicubic", padding_mode="border", align_corners=False
    )
    known = (~bare).float()[None, None]
    return images.fill_unknown(moved.clamp(-1, 1) * known, known)


def origins_of(
    motion: Float[Tensor, "2 h w"],
) -> tuple[Float[Tensor, "2 h w"], Bool[Tensor, "h w"]]:
    """(row, col) in the source of what is seen at each pixel after the motion, and where that is nothing.

    What moves furthest lies in front. Computed on the CPU: sums in a fixed order give the same picture every time.
    """
    height, width = motion.shape[-2:]
    shifts = functional.interpolate(
        motion.cpu()[None], scale_factor=_OVERSAMPLING, mode="bilinear"
    )[0]
    rows, cols = _landing_places(shifts)
    start = torch.stack([rows - shifts[0], cols - shifts[1]])
    distance = shifts.norm(dim=0)
    front = torch.exp(_FRONT * distance / distance.max().clamp(min=1e-6))
    sums = torch.zeros(4, height * width)  # origins, their weight, how much landed
    for row, col, share in _neighbours(rows, cols):
        inside = (row >= 0) & (row < height) & (col >= 0) & (col < width)
        place = row.clamp(0, height - 1) * width + col.clamp(0, width - 1)
        weight = share * inside
        landed = torch.cat([start * (weight * front), (weight * front)[None], weight[None]])
        sums.index_add_(1, place.flatten(), landed.flatten(1))
    origins = (sums[:2] / sums[2].clamp(min=1e-8)).unflatten(1, (height, width))
    return origins, (sums[3] / _OVERSAMPLING**2 < _BARE).unflatten(0, (height, width))


def _landing_places(
    shifts: Float[Tensor, "2 h w"],
) -> tuple[Float[Tensor, "h w"], Float[Tensor, "h w"]]:
    """Of every sample, in pixels; a pixel's centre is a whole number."""
    height, width = shifts.shape[-2:]
    rows = (torch.arange(height) + 0.5)[:, None] / _OVERSAMPLING
    cols = (torch.arange(width) + 0.5)[None, :] / _OVERSAMPLING
    return rows + shifts[0] - 0.5, cols + shifts[1] - 0.5


def _neighbours(
    rows: Float[Tensor, "h w"], cols: Float[Tensor, "h w"]
) -> list[tuple[Int[Tensor, "h w"], Int[Tensor, "h w"], Float[Tensor, "h w"]]]:
    """The four pixels round each place, with their bilinear shares."""
    found = []
    for row in (rows.floor(), rows.floor() + 1):
        for col in (cols.floor(), cols.floor() + 1):
            share = (1 - (rows - row).abs()) * (1 - (cols - col).abs())
            found.append((row.long(), col.long(), share))
    return found


def _moved_noise(
    noise: Float[Tensor, "1 c rows cols"],
    motion: Float[Tensor, "2 h w"],
    bare: Bool[Tensor, "h w"],
    *,
    seed: int,
) -> Float[Tensor, "1 c rows cols"]:
    """Whole cells are moved, so that it stays white; where two meet, the one that came from further stays."""
    rows, cols = noise.shape[-2:]
    fresh = torch.randn(noise.shape, generator=torch.Generator().manual_seed(seed))
    share_bare = functional.adaptive_avg_pool2d(bare.float()[None, None], (rows, cols))
    moved = torch.where(share_bare > _BARE_CELL, fresh, noise).flatten(2)
    cell = torch.tensor([motion.shape[1] / rows, motion.shape[2] / cols])[:, None, None]
    shifts = functional.adaptive_avg_pool2d(motion.cpu()[None], (rows, cols))[0] / cell
    distance = shifts.norm(dim=0).flatten()
    to_row = torch.arange(rows)[:, None] + shifts[0].round().long()
    to_col = torch.arange(cols)[None, :] + shifts[1].round().long()
    inside = (to_row >= 0) & (to_row < rows) & (to_col >= 0) & (to_col < cols)
    goes = inside.flatten() & (distance >= _STILL)
    order = distance.argsort(stable=True)
    order = order[goes[order]]
    places = (to_row * cols + to_col).flatten()[order]
    winner = torch.full((rows * cols,), -1).scatter_reduce(
        0, places, torch.arange(len(order)), reduce="amax"
    )
    taken = winner >= 0
    moved[..., taken] = noise.flatten(2)[..., order[winner[taken]]]
    return moved.unflatten(2, (rows, cols))
