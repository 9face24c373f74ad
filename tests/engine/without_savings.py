"""The engine without the savings that change no number, as the authors' code works: the yardstick of test_savings.

    with without_savings(model):
        ...  # inversion alone prepares; each edit records the reference anew, in a batch of two

Gradients go to every weight, LoRA stays beside the weights, the features are resized as a whole, timestep and prompt are projected
in every pass, two pictures are decoded.
Attention under control lays out its whole matrix; elsewhere it is the fused kernel here too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from dragdiffusion.engine import (
    editor,
    latent_optimization,
    lora,
    moved_parts,
    reference_branch,
    reference_latent_control,
    unet_passes,
)
from dragdiffusion.engine.config import LoraConfig
from dragdiffusion.engine.diffusion_model import DiffusionModel
from dragdiffusion.engine.feature_grid import FeatureGrid
from dragdiffusion.engine.reference_latent_control import (
    KeyValue,
    _processors,
    _project,
    _SelfAttention,
    self_attention_layers,
)


@contextmanager
def without_savings(model: DiffusionModel) -> Iterator[None]:
    """For reference mode with a mask and without guidance."""
    decode = model.decode
    with ExitStack() as stack:
        for place, name, stands_in in (
            (editor, "record_branch", _record_nothing),
            (moved_parts, "denoise", _denoise_both),
            (lora, "applied", _beside_the_weights),
            (latent_optimization, "FeatureGrid", _WholeGrid),
            (reference_latent_control, "scaled_dot_product_attention", _whole_attention),
            (torch.autograd, "grad", _gradients_of_everything),
            (unet_passes, "_can_keep", lambda _model: False),
            (model, "decode", lambda latent: [decode(latent), decode(latent)][0]),
        ):
            stack.enter_context(mock.patch.object(place, name, stands_in))
        yield


def _record_nothing(
    model: Any, schedule: Any, inverted: Any, prompts: Any, *, config: Any, **_: Any
) -> Iterator[reference_branch.ReferenceBranch]:
    yield reference_branch.ReferenceBranch(
        model,
        schedule,
        prompts,
        guidance_scale=config.guidance_scale,
        start_layer=config.reference_start_layer,
        latents=inverted,
        key_values=((),) * len(inverted),
    )


@torch.no_grad()
def _denoise_both(
    branch: reference_branch.ReferenceBranch, latent: Tensor, *, level: int, **_: Any
) -> Iterator[Tensor]:
    prompts = branch.prompts.expand(2, -1, -1)
    latents = torch.cat([branch.latents[level], latent])
    layers = self_attention_layers(branch.model.unet)[branch.start_layer :]
    for upper in range(level, 0, -1):
        with _processors(layers, [_SelfAttention(_of_the_first) for _ in layers]):
            noise = branch.model.predict_noise(latents, branch.schedule.timestep(upper), prompts)
        pairs = zip(noise.split(1), latents.split(1), strict=True)
        latents = torch.cat([branch.schedule.down(*pair, upper) for pair in pairs])
        yield latents[1:]


def _of_the_first(attn: Any, hidden_states: Tensor) -> KeyValue:
    own = _project(attn, hidden_states)
    return KeyValue(*(tensor[:1].expand(2, -1, -1) for tensor in own))


def _whole_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    return (query @ key.mT * query.shape[-1] ** -0.5).softmax(dim=-1) @ value


@contextmanager
def _beside_the_weights(model: DiffusionModel, weights: lora.LoraWeights) -> Iterator[None]:
    if not weights:  # nothing was learned, or it is on the model already
        yield
        return
    rank = next(iter(weights.values())).down.shape[0]
    model.unet.requires_grad_(False)
    generator = torch.Generator().manual_seed(0)
    with lora._trainable_adapter(model.unet, LoraConfig(rank=rank), generator=generator) as own:
        for name, (down, up) in weights.items():
            own[name].down.data, own[name].up.data = down, up
        model.unet.requires_grad_(True)
        yield


class _WholeGrid(FeatureGrid):
    """Resized to the whole grid, then read."""

    def __init__(self, features: Tensor, rows: int, cols: int) -> None:
        super().__init__(interpolate(features.float(), (rows, cols), mode="bilinear"), rows, cols)


def _gradients_of_everything(loss: Tensor, latent: Tensor) -> tuple[Tensor | None]:
    latent.grad = None
    loss.backward()  # type: ignore[no-untyped-call]
    return (latent.grad,)
