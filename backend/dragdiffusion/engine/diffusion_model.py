"""The latent diffusion model: encode, decode, predict noise, and the decoder features F(z).

Weights are frozen: gradients reach the latent (and LoRA factors), never a weight of the model.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import LatentConsistencyModelPipeline
from diffusers.models.attention import FeedForward
from diffusers.models.resnet import ResnetBlock2D
from jaxtyping import Float
from torch import Tensor, nn

from dragdiffusion.engine.errors import InvalidRequest, ModelUnavailable
from dragdiffusion.engine.low_memory import NO_SAVINGS, on_device
from dragdiffusion.engine.unet_passes import DIRECT, DirectPasses, Pass


@dataclass(frozen=True, eq=False)
class ModelParts:
    """What a Stable Diffusion folder holds, as diffusers and transformers load it."""

    unet: Any  # UNet2DConditionModel
    vae: Any  # AutoencoderKL
    text_encoder: Any  # CLIPTextModel
    tokenizer: Any  # CLIPTokenizer
    scheduler_config: Mapping[str, Any]


_log = logging.getLogger(__name__)
_MAX_COMPILED_SHAPES = (
    128  # of one block's code: its widths and heights, with and without a gradient
)
_WEAKEST_GUIDANCE = 3.0  # of those that an LCM is trained with: edits go without guidance


class _FeaturesReached(Exception):
    """Ends the UNet's forward pass where nothing that follows is needed."""


class DiffusionModel:
    def __init__(
        self,
        parts: ModelParts,
        *,
        name: str,
        family: str,
        device: torch.device,
        dtype: torch.dtype,
        fingerprint: str = "",
    ) -> None:
        self.name, self.family = name, family
        self.fingerprint = fingerprint  # of the weights
        self.device, self.dtype = torch.device(device), dtype
        self.unet, self.vae, self.text_encoder = (
            _frozen(module, self.device, dtype)
            for module in (parts.unet, parts.vae, parts.text_encoder)
        )
        self._guidance = _guidance_embedding(self.unet)
        self.savings = NO_SAVINGS  # memory_plan.following sets others for a while
        self.records_passes = True  # where that can be
        self.is_compiled = False
        self.passes: DirectPasses = DIRECT  # unet_passes sets others for a while
        self.tokenizer = parts.tokenizer
        self.scheduler_config = dict(parts.scheduler_config)

    @classmethod
    def from_pipeline(
        cls,
        pipeline: Any,
        *,
        name: str,
        family: str,
        device: torch.device | str,
        dtype: torch.dtype,
        fingerprint: str = "",
    ) -> DiffusionModel:
        parts = ModelParts(
            unet=pipeline.unet,
            vae=pipeline.vae,
            text_encoder=pipeline.text_encoder,
            tokenizer=pipeline.tokenizer,
            scheduler_config=pipeline.scheduler.config,
        )
        return cls(
            parts,
            name=name,
            family=family,
            device=torch.device(device),
            dtype=dtype,
            fingerprint=fingerprint,
        )

    def compile(self) -> None:
        """Fuses the small operations of the UNet's blocks, once for each of their shapes, which takes minutes.

        What it changes is rounding. Attention is left as it is: its keys and values change with every timestep. Where there
        is nothing to compile with, torch says so in the log and the blocks work as before. Blocks are compiled when they first
        work, so torch's settings for that, which are the process's, stay as they are set here.
        """
        torch._dynamo.config.suppress_errors = True
        torch._dynamo.config.recompile_limit = _MAX_COMPILED_SHAPES
        for module in self.unet.modules():
            if isinstance(module, ResnetBlock2D | FeedForward):
                module.compile(dynamic=False)
        self.is_compiled = True

    @property
    def vae_factor(self) -> int:
        """Image pixels to a latent pixel."""
        return 2 ** (len(self.vae.config.block_out_channels) - 1)

    @property
    def working_size(self) -> int:
        """Image pixels: side of the square on which the model was trained."""
        return self.unet.config.sample_size * self.vae_factor

    @property
    def gradient_scale(self) -> float:
        """Losses are multiplied by it so that gradients in half precision do not underflow."""
        return 1024.0 if self.dtype is torch.float16 else 1.0

    @torch.no_grad()
    def embed_prompt(self, prompt: str) -> Float[Tensor, "1 tokens c"]:
        tokens = self.tokenizer(
            [prompt],
            padding="max_length",
            max_length=self.tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        )
        with on_device(self.text_encoder, self.device):
            return self.text_encoder(tokens.input_ids.to(self.device))[0]

    def embed_prompts(
        self, prompt: str, *, negative_prompt: str = "", guided: bool
    ) -> Float[Tensor, "b tokens d"]:
        """Guided: (negative prompt, prompt)."""
        if not guided:
            return self.embed_prompt(prompt)
        return torch.cat([self.embed_prompt(negative_prompt), self.embed_prompt(prompt)])

    @torch.no_grad()
    def encode(self, image: Float[Tensor, "1 3 h w"]) -> Float[Tensor, "1 c rows cols"]:
        """z_0, the mean of the VAE's posterior, scaled."""
        mean = self._through_vae(lambda values: self.vae.encode(values).latent_dist.mean, image)
        return mean * self.vae.config.scaling_factor

    @torch.no_grad()
    def decode(self, latent: Float[Tensor, "1 c rows cols"]) -> Float[Tensor, "1 3 h w"]:
        """ModelUnavailable where float16 overflowed on the way to this latent."""
        scaled = latent.float() / self.vae.config.scaling_factor
        return self._through_vae(lambda values: self.vae.decode(values).sample, scaled)

    def _through_vae(self, work: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
        """In float32 from then on where float16 overflows, as in some checkpoints: the picture would be black."""
        with on_device(self.vae, self.device):
            result = work(values.to(self.device, self.vae.dtype)).float()
            if self.dtype is not torch.float16 or result.isfinite().all():
                return result
            if self.vae.dtype is torch.float16 and values.isfinite().all():
                _log.warning("the VAE of %s overflows in float16: it works in float32", self.name)
                self.vae.float()
                result = work(values.to(self.device, self.vae.dtype))
        if not result.isfinite().all():
            raise ModelUnavailable(
                f"{self.name} overflows in float16, so there is no picture. Let the daemon work in "
                "float32 (setting dtype), or use another model."
            )
        return result

    def predict_noise(
        self,
        latent: Float[Tensor, "b c rows cols"],
        timestep: int | Tensor,
        prompt: Float[Tensor, "b tokens d"],
    ) -> Float[Tensor, "b c rows cols"]:
        """What the UNet says of the latent: ε, or v in a v-prediction model (see `ddim`)."""
        (noise,) = self.run_pass("noise", self.noise_pass, latent, timestep, prompt)
        return noise

    def features(
        self,
        latent: Float[Tensor, "b c rows cols"],
        timestep: int,
        prompt: Float[Tensor, "b tokens d"],
        *,
        block: int,
    ) -> Float[Tensor, "b f frows fcols"]:
        """F(z), the output of an up block; the pass ends there."""

        def features(*inputs: Tensor) -> tuple[Tensor]:
            with self.tap(block, stop=True) as tapped, suppress(_FeaturesReached):
                self.noise_pass(*inputs)
            return (tapped[0].float(),)

        return self.run_pass(f"features {block}", features, latent, timestep, prompt)[0]

    def noise_and_features(
        self,
        latent: Float[Tensor, "b c rows cols"],
        timestep: int,
        prompt: Float[Tensor, "b tokens d"],
        *,
        block: int,
    ) -> tuple[Float[Tensor, "b c rows cols"], Float[Tensor, "b f frows fcols"]]:
        def both(*inputs: Tensor) -> tuple[Tensor, Tensor]:
            with self.tap(block) as tapped:
                (noise,) = self.noise_pass(*inputs)
            return noise, tapped[0].float()

        name = f"noise and features {block}"
        noise, features = self.run_pass(name, both, latent, timestep, prompt)
        return noise, features

    def noise_pass(self, latent: Tensor, timestep: Tensor, prompt: Tensor) -> tuple[Tensor]:
        """What `predict_noise` does with its inputs, for `run_pass`."""
        noise = self.unet(
            latent.to(self.dtype), timestep, prompt, timestep_cond=self._guidance
        ).sample
        return (noise.float(),)

    def run_pass(
        self, name: str, function: Pass, latent: Tensor, timestep: int | Tensor, prompt: Tensor
    ) -> tuple[Tensor, ...]:
        """Of the UNet, or of a part of it; functions of one name do the same operations."""
        return self.passes.run(name, function, latent, timestep, prompt)

    @contextmanager
    def tap(self, block: int, *, stop: bool = False) -> Iterator[list[Tensor]]:
        """The list that is given receives the block's output of the passes made inside."""
        tapped: list[Tensor] = []

        def keep(_module: nn.Module, _inputs: tuple[Any, ...], output: Tensor) -> None:
            tapped.append(output)
            if stop:
                raise _FeaturesReached

        hook = self._up_block(block).register_forward_hook(keep)
        try:
            yield tapped
        finally:
            hook.remove()

    def _up_block(self, block: int) -> nn.Module:
        blocks = self.unet.up_blocks
        if block >= len(blocks):
            raise InvalidRequest(
                f"feature_block must be below {len(blocks)}: the model {self.name} has no more.",
                field="hyper_parameters.feature_block",
            )
        return blocks[block]


def _guidance_embedding(unet: Any) -> Float[Tensor, "1 d"] | None:
    """For UNets that are told by how much to guide (LCM, arXiv 2310.04378, section 4.3), all others None."""
    size = unet.config.get("time_cond_proj_dim")
    if size is None:
        return None
    embed: Any = LatentConsistencyModelPipeline.get_guidance_scale_embedding
    embedding: Tensor = embed(None, torch.tensor([_WEAKEST_GUIDANCE]), embedding_dim=size)
    return embedding.to(unet.device, unet.dtype)


def _frozen(module: Any, device: torch.device, dtype: torch.dtype) -> Any:
    if module.dtype != dtype:
        module = module.to(dtype)
    return module.to(device).eval().requires_grad_(False)
