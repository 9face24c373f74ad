"""Hyper-parameters by mode and model family: what a request that sets none of them gets."""

from __future__ import annotations

from dataclasses import replace
from math import ceil
from typing import NamedTuple

from dragdiffusion.engine.config import (
    DragConfig,
    Fit,
    Generation,
    LoraConfig,
    Mode,
    SupervisionTarget,
    TimestepSpacing,
)
from dragdiffusion.models.catalogue import ModelSource
from dragdiffusion.models.families import Family

# The paper's, for every family: arXiv 2306.14435, section 4.1, and its code.
_REFERENCE = DragConfig(mode=Mode.REFERENCE)
# The same on the embedded model: as there, F(z) is the last block but one, and both are under reference-latent control.
_REFERENCE_EMBEDDED = DragConfig(
    mode=Mode.REFERENCE, working_size=128, feature_block=1, reference_start_layer=5
)

# Found on held-out scenes of the embedded model's own world, whose true result is known (docs/evaluation.md).
_EMBEDDED = DragConfig(
    mode=Mode.DEFAULT,
    working_size=128,
    fit=Fit.AREA,
    lora=LoraConfig(steps=0),  # 20 steps changed nothing there: ±0.5 dB, ±0.2 px
    num_inference_steps=25,
    inversion_strength=0.56,  # 14 steps: higher up the model forgets where things were put
    feature_block=1,
    feature_scale=0.25,
    pixel_centres=True,
    max_drag_steps=20,
    learning_rate=0.05,
    mask_weight=0.0,  # the lock does its work, and the UNet's last block is not needed
    supervision_radius=2,  # of a 32 × 32 grid
    tracking_radius=2,
    arrival_distance=0.5,  # 2 image pixels
    settle=True,
    warp=True,
    supervision_target=SupervisionTarget.ORIGINAL,
    drag_steps_per_timestep=5,  # at the four highest levels: the rest belongs to the model
    lock_outside_mask=True,
    reference_from_inversion=True,
    reference_start_layer=6,
)
_EMBEDDED_FAST = replace(
    _EMBEDDED,
    mode=Mode.FAST,
    inversion_strength=0.4,
    drag_steps_per_timestep=2,
    max_drag_steps=6,
    learning_rate=0.12,  # few steps have to be long ones
)

# A quarter of the operations of the paper's 80 × 4 at its likeness and its drags, with the same mean rate (docs/evaluation.md).
_CHEAP_LORA = LoraConfig(
    steps=80, batch_size=1, learning_rate=1e-3, used_timesteps=True, cosine=True
)

# The same with GoodDrag's numbers for features (arXiv 2404.07206): r1 4, r2 12, 0.02.
_SD1 = DragConfig(
    mode=Mode.DEFAULT,
    fit=Fit.AREA,
    lora=_CHEAP_LORA,
    inversion_strength=0.6,
    pixel_centres=True,
    max_drag_steps=30,
    learning_rate=0.02,
    mask_weight=0.0,
    supervision_radius=4,
    tracking_radius=12,
    settle=True,
    warp=True,
    supervision_target=SupervisionTarget.ORIGINAL,
    drag_steps_per_timestep=5,
    lock_outside_mask=True,
    reference_from_inversion=True,
)
_SD1_FAST = replace(
    _SD1,
    mode=Mode.FAST,
    lora=LoraConfig(steps=0),
    num_inference_steps=20,
    inversion_strength=0.5,
    drag_steps_per_timestep=2,
    max_drag_steps=6,
)

_PROFILES = {
    (Mode.REFERENCE, Family.EMBEDDED): _REFERENCE_EMBEDDED,
    (Mode.DEFAULT, Family.EMBEDDED): _EMBEDDED,
    (Mode.FAST, Family.EMBEDDED): _EMBEDDED_FAST,
    (Mode.DEFAULT, Family.SD1): _SD1,
    (Mode.FAST, Family.SD1): _SD1_FAST,
}


_FEW_STEPS = 10  # trailing: 99, 199, … 999 are among the timesteps that LCM knows (19, 39, … 999)
_GENERATIONS = {
    Family.EMBEDDED: Generation(num_inference_steps=25, guidance_scale=3.0, width=128, height=128),
}


class Defaults(NamedTuple):
    """What a request gets that sets nothing."""

    drag: DragConfig
    generation: Generation


def defaults(mode: Mode, source: ModelSource) -> Defaults:
    """For this model."""
    generation = _GENERATIONS.get(source.family, Generation())
    if source.few_steps:
        generation = replace(
            generation,
            num_inference_steps=_FEW_STEPS,
            guidance_scale=1.0,
            timestep_spacing=TimestepSpacing.TRAILING,
        )
    config = default_config(mode, source.family, few_steps=source.few_steps)
    return Defaults(config, generation)


def default_config(mode: Mode, family: Family, *, few_steps: bool = False) -> DragConfig:
    """The hyper-parameters of this mode for models of this family; `few_steps`: for one that was distilled."""
    config = _PROFILES.get((mode, family), _REFERENCE)
    return _in_few_steps(config) if few_steps and mode is not Mode.REFERENCE else config


def _in_few_steps(config: DragConfig) -> DragConfig:
    """As high up as ever; all drag steps at the upper three levels."""
    return replace(
        config,
        lora=LoraConfig(steps=0),  # would train the distillation away
        num_inference_steps=_FEW_STEPS,
        timestep_spacing=TimestepSpacing.TRAILING,
        drag_steps_per_timestep=ceil(config.max_drag_steps / 3),
    )
