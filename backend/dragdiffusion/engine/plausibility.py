"""How likely a model finds a picture, as far as its own noise prediction tells.

The prediction's error at several noise levels bounds the likelihood of the picture from below; of two pictures made from one
source the one with the smaller error is the likelier (Diffusion Classifier, Li et al., arXiv 2303.16203, compares prompts so).
"""

from __future__ import annotations

from math import ceil
from threading import Event

import torch
from jaxtyping import Float
from torch import Tensor

from dragdiffusion.engine.errors import check_stop
from dragdiffusion.engine.reference_branch import ReferenceBranch

_LEVELS = 6  # spread over those of the branch


@torch.no_grad()
def prediction_error(
    branch: ReferenceBranch,
    latent: Float[Tensor, "1 c h w"],
    weight: Float[Tensor, "1 1 h w"],
    *,
    seed: int,
    stop: Event,
) -> float:
    """Σ over the levels of the mean of (ε̂ − ε)² where `weight` is 1, of a z_0; the same seed draws the same noise."""
    generator = torch.Generator().manual_seed(seed)
    schedule, prompt = branch.schedule, branch.prompts[-1:]
    error = torch.zeros((), device=latent.device)
    for share in range(1, _LEVELS + 1):
        check_stop(stop)
        level = ceil(branch.top_level * share / _LEVELS)
        alpha = schedule.alphas[level]
        noise = torch.randn(latent.shape, generator=generator).to(latent)
        noisy = alpha**0.5 * latent + (1 - alpha) ** 0.5 * noise
        prediction = branch.model.predict_noise(noisy, schedule.timestep(level), prompt)
        difference = schedule.noise(prediction, noisy, level) - noise
        error += (difference.square().mean(dim=1, keepdim=True) * weight).sum() / weight.sum()
    return float(error)
