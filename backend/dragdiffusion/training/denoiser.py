"""The parts that are trained together on latents: denoiser, text encoder, noise schedule."""

from __future__ import annotations

from dataclasses import dataclass

from diffusers import DDIMScheduler, UNet2DConditionModel
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

TRAIN_TIMESTEPS = 1000


@dataclass(frozen=True, slots=True)
class UnetRecipe:
    channels: tuple[int, ...] = (64, 128, 192)
    heads: tuple[int, ...] = (1, 2, 3)  # 64 channels a head: attention at 32 x 32 stays affordable
    norm_groups: int = 16
    text_width: int = 128
    text_layers: int = 2
    batch_size: int = 16
    learning_rate: float = 1e-3
    warmup_steps: int = 150
    average_decay: float = 0.999
    snr_limit: float = 5.0  # γ of min-SNR-γ (Hang et al. 2023)
    caption_dropout: float = 0.1
    bank_start: int = 1500  # scenes encoded before the first step, in each process
    bank_capacity: int = 12000
    reuse: int = 3  # how often a latent is drawn on average
    log_every: int = 250
    export_seconds: float = 600

    @classmethod
    def for_card(cls) -> UnetRecipe:
        """A card asks for more scenes at once, and has room for them: 10 GB."""
        return cls(bank_start=4000, bank_capacity=400_000)


def new_unet(recipe: UnetRecipe) -> UNet2DConditionModel:
    """Stable Diffusion's UNet in small; attention at full size only on the way up.

    The last up block must attend at 32 x 32 because reference-latent control works there.
    """
    attention_levels = len(recipe.channels) - 1
    return UNet2DConditionModel(
        sample_size=32,
        in_channels=4,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=recipe.channels,
        down_block_types=("DownBlock2D",) + ("CrossAttnDownBlock2D",) * attention_levels,
        up_block_types=("CrossAttnUpBlock2D",) * len(recipe.channels),
        cross_attention_dim=recipe.text_width,
        # diffusers' historical name: for this class it is the number of heads in each block.
        attention_head_dim=recipe.heads,
        norm_num_groups=recipe.norm_groups,
    )


def new_text_encoder(recipe: UnetRecipe, tokenizer: CLIPTokenizer) -> CLIPTextModel:
    width = recipe.text_width
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=recipe.text_layers,
        num_attention_heads=4,
        max_position_embeddings=tokenizer.model_max_length,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        hidden_act="quick_gelu",
        projection_dim=width,
    )
    text_encoder = CLIPTextModel(config)
    # Words must differ from the start, or the few steps are spent on telling them apart.
    nn.init.normal_(text_encoder.get_input_embeddings().weight, std=0.1)
    return text_encoder


def new_scheduler() -> DDIMScheduler:
    """Stable Diffusion 1.5's noise schedule."""
    return DDIMScheduler(
        num_train_timesteps=TRAIN_TIMESTEPS,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type="epsilon",
    )
