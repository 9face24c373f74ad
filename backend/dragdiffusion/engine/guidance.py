"""Classifier-free guidance: the UNet sees (negative prompt, prompt), and its two answers become one.

With one prompt there is one answer, and it stays as it is.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def for_every_prompt(
    latent: Float[Tensor, "1 c h w"], prompts: Float[Tensor, "b tokens d"]
) -> Float[Tensor, "b c h w"]:
    return latent.expand(len(prompts), -1, -1, -1)


def guided_noise(
    noise: Float[Tensor, "b c h w"], guidance_scale: float
) -> Float[Tensor, "1 c h w"]:
    """ε of (negative prompt, prompt): away from the one, towards the other."""
    if len(noise) == 1:
        return noise
    negative, positive = noise.chunk(2)
    return negative + guidance_scale * (positive - negative)


def guided_features(
    features: Float[Tensor, "b f h w"], guidance_scale: float
) -> Float[Tensor, "1 f2 h w"]:
    """F of (negative prompt, prompt), one after the other in the channels, each as much as it weighs in ε.

    That is (1 − c)·F(negative) and c·F(positive) with c = g ÷ (2g − 1): |1 − g| and g, scaled to a sum of one
    (DragDiffusion's code for generated images).
    """
    if len(features) == 1:
        return features
    negative, positive = features.chunk(2)
    share = guidance_scale / (2 * guidance_scale - 1)
    return torch.cat([(1 - share) * negative, share * positive], dim=1)
