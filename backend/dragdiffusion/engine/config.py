"""The hyper-parameters of one edit, by their symbols in the paper (Shi et al., arXiv 2306.14435)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum

from dragdiffusion.engine.errors import InvalidRequest


class Mode(str, Enum):
    """Which set of hyper-parameters the same loop runs with."""

    DEFAULT = "default"
    FAST = "fast"
    REFERENCE = "reference"


class SupervisionTarget(str, Enum):
    """What the moved patch is compared with in motion supervision."""

    CURRENT = "current"  # sg(F(q)) of this iteration: the paper, Eq. 3
    ORIGINAL = "original"  # F_0(h⁰): GoodDrag (arXiv 2404.07206), no drift


class TimestepSpacing(str, Enum):
    """Where the timesteps of a schedule lie: diffusers' names (Lin et al., arXiv 2305.08891, table 2)."""

    LEADING = "leading"  # 1, 21, … 981 of 50: the official code
    TRAILING = "trailing"  # 19, 39, … 999: no step is spent on a latent that is the picture already


class Fit(str, Enum):
    """How the region is brought to the size at which the model works."""

    WIDTH = "width"  # down to `working_size` wide, never up: what the official code was given
    AREA = "area"  # up or down to `working_size`² pixels: what the model was trained on


@dataclass(frozen=True)
class LoraConfig:
    """Identity-preserving fine-tuning on the one image (paper, section 3.2)."""

    steps: int = 80  # optimisation steps; 0: no fine-tuning
    rank: int = 16
    learning_rate: float = 5e-4  # AdamW
    batch_size: int = 4  # noise samples a step
    used_timesteps: bool = False  # only those that inversion and denoising use, in turns
    cosine: bool = False  # the learning rate warms up over a tenth of the steps, then falls to 0
    up_blocks_only: bool = False  # the backward pass ends where the decoder begins

    def __post_init__(self) -> None:
        _require(0 <= self.steps <= 10_000, "lora_steps", "between 0 and 10000")
        _require(1 <= self.rank <= 256, "lora_rank", "between 1 and 256")
        _require(self.learning_rate > 0, "lora_learning_rate", "greater than 0")
        _require(1 <= self.batch_size <= 64, "lora_batch_size", "between 1 and 64")


@dataclass(frozen=True)
class DragConfig:
    """Every number that affects an edit. The defaults are the paper's for Stable Diffusion 1.5."""

    mode: Mode = Mode.REFERENCE
    lora: LoraConfig = field(default_factory=LoraConfig)
    working_size: int = 512  # pixels, side of the square on which the model was trained
    fit: Fit = Fit.WIDTH
    num_inference_steps: int = 50  # T, DDIM steps of the whole schedule
    timestep_spacing: TimestepSpacing = TimestepSpacing.LEADING
    inversion_strength: float = 0.7  # fraction of the schedule that is inverted
    guidance_scale: float = 1.0  # classifier-free guidance in denoising; 1: none
    feature_block: int = 2  # index of the up block whose output is F(z)
    feature_scale: float = 0.5  # side of the feature grid ÷ side of the working image
    pixel_centres: bool = (
        False  # map pixel centres on pixel centres; the official code maps indices
    )
    max_drag_steps: int = 80  # K, iterations of motion supervision at most
    learning_rate: float = 0.01  # Adam on z_t
    mask_weight: float = 0.1  # λ, weight of the unmasked-area term
    supervision_radius: int = 1  # r1, half side of the supervised square, feature pixels
    tracking_radius: int = 3  # r2, half side of the tracking square, feature pixels
    arrival_distance: float = 2.0  # a handle this near to its target has arrived, feature pixels
    settle: bool = (
        False  # iterate to the end even where every handle has arrived: trackers are optimists
    )
    warp: bool = False  # begin with the picture warped along the drags, and refine from there
    supervision_target: SupervisionTarget = SupervisionTarget.CURRENT
    drag_steps_per_timestep: int = 0  # latent steps before each DDIM step; 0: all at one timestep
    lock_outside_mask: bool = (
        False  # set the latent outside the mask to the reference's while denoising
    )
    reference_from_inversion: bool = (
        False  # reference latents: False: z_t denoised again (official)
    )
    reference_start_step: int = 0  # first denoising step under reference-latent control
    reference_start_layer: int = 10  # first self-attention layer under it, counted from 0
    seed: int = 0

    def __post_init__(self) -> None:
        _require(32 <= self.working_size <= 4096, "working_size", "between 32 and 4096")
        _require(1 <= self.num_inference_steps <= 1000, "num_inference_steps", "between 1 and 1000")
        _require(0 < self.inversion_strength <= 1, "inversion_strength", "in (0, 1]")
        _require(self.guidance_scale >= 1, "guidance_scale", "at least 1")
        _require(self.feature_block >= 0, "feature_block", "at least 0")
        _require(0 < self.feature_scale <= 1, "feature_scale", "in (0, 1]")
        _require(0 <= self.max_drag_steps <= 2000, "max_drag_steps", "between 0 and 2000")
        _require(self.learning_rate > 0, "learning_rate", "greater than 0")
        _require(self.mask_weight >= 0, "mask_weight", "at least 0")
        _require(0 <= self.supervision_radius <= 32, "supervision_radius", "between 0 and 32")
        _require(1 <= self.tracking_radius <= 64, "tracking_radius", "between 1 and 64")
        _require(self.arrival_distance >= 0, "arrival_distance", "at least 0")
        _require(self.drag_steps_per_timestep >= 0, "drag_steps_per_timestep", "at least 0")
        _require(self.reference_start_step >= 0, "reference_start_step", "at least 0")
        _require(self.reference_start_layer >= 0, "reference_start_layer", "at least 0")

    @property
    def num_inverted_steps(self) -> int:
        """Number of DDIM steps from z_0 to z_t."""
        return max(1, round(self.num_inference_steps * self.inversion_strength))


@dataclass(frozen=True)
class Generation:
    """How a model makes a picture from a prompt, complete. The defaults are Stable Diffusion 1.5's."""

    prompt: str = ""
    negative_prompt: str = ""  # what the picture is not to show; counts where there is guidance
    seed: int = 0
    num_inference_steps: int = 50  # T, DDIM steps
    guidance_scale: float = 7.5  # classifier-free guidance; 1: none
    width: int = 512  # pixels
    height: int = 512
    timestep_spacing: TimestepSpacing = TimestepSpacing.LEADING

    def __post_init__(self) -> None:
        steps, at = self.num_inference_steps, "generation"
        _require(1 <= steps <= 1000, "num_inference_steps", "between 1 and 1000", at)
        _require(1 <= self.guidance_scale <= 100, "guidance_scale", "between 1 and 100", at)
        for name, side in (("width", self.width), ("height", self.height)):
            fits = 32 <= side <= 4096 and side % 8 == 0
            _require(fits, name, "a multiple of 8 between 32 and 4096", at)

    def settle(self, config: DragConfig) -> DragConfig:
        """The hyper-parameters of a drag on such a picture: what follows from how it was made."""
        return replace(
            config,
            num_inference_steps=self.num_inference_steps,
            timestep_spacing=self.timestep_spacing,
            guidance_scale=self.guidance_scale,
            lora=replace(config.lora, steps=0),  # the model knows what it made itself
            working_size=self.width,
            fit=Fit.WIDTH,
            reference_from_inversion=True,  # the sampling trajectory is exact
        )


def _require(holds: bool, name: str, range_text: str, message: str = "hyper_parameters") -> None:
    if not holds:
        raise InvalidRequest(f"{name} must be {range_text}.", field=f"{message}.{name}")
