"""Keys and values of the reference latent in the edited latent's self-attention (paper, section 3.5; MasaCtrl).

The reference branch does not depend on the edit: its keys and values are recorded once per image and replayed, which
gives the same numbers as denoising both latents side by side at half the work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.attention_processor import Attention
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention


class KeyValue(NamedTuple):
    key: Float[Tensor, "b n c"]
    value: Float[Tensor, "b n c"]


class LayerInput(NamedTuple):
    """What a layer makes its keys and values of: half as much to keep, two small products to do."""

    hidden_states: Float[Tensor, "b n c"]


ReferenceKeyValues = tuple[KeyValue | LayerInput, ...]
"""Of the controlled layers at one timestep, in the order in which the UNet runs them."""


def self_attention_layers(unet: Any) -> list[Attention]:
    """In the order in which the UNet runs them; the middle is registered last and runs between down and up."""
    return [layer for _, layer in self_attention_levels(unet)]


def self_attention_levels(unet: Any) -> list[tuple[int, Attention]]:
    """The same with how often the latent is halved where the layer is."""
    bottom = len(unet.down_blocks) - 1
    parts = [
        *enumerate(unet.down_blocks),
        (bottom, unet.mid_block),
        *((bottom - up, block) for up, block in enumerate(unet.up_blocks)),
    ]
    return [
        (level, module.attn1)
        for level, part in parts
        if part is not None
        for module in part.modules()
        if isinstance(module, BasicTransformerBlock)
    ]


@contextmanager
def record_reference(
    unet: Any, *, start_layer: int, compact: bool = False
) -> Iterator[list[KeyValue | LayerInput]]:
    """The list that is given receives the keys and values, or what they are made of, of the passes made inside."""
    recorded: list[KeyValue | LayerInput] = []

    def record(attn: Attention, hidden_states: Tensor) -> KeyValue:
        own = _project(attn, hidden_states)
        kept = LayerInput(hidden_states) if compact else own
        recorded.append(type(kept)(*(tensor.detach() for tensor in kept)))
        return own

    layers = self_attention_layers(unet)[start_layer:]
    with _processors(layers, [_SelfAttention(record) for _ in layers]):
        yield recorded


@contextmanager
def reference_latent_control(
    unet: Any, reference: ReferenceKeyValues, *, start_layer: int
) -> Iterator[None]:
    """Inside, the controlled layers attend to what was recorded. No recording: no control."""
    layers = self_attention_layers(unet)[start_layer:] if reference else []
    with _processors(layers, [_SelfAttention(_replay(recorded)) for recorded in reference]):
        yield


def _replay(recorded: KeyValue | LayerInput) -> Callable[[Attention, Tensor], KeyValue]:
    def replay(attn: Attention, hidden_states: Tensor) -> KeyValue:
        if isinstance(recorded, LayerInput):
            return _project(attn, recorded.hidden_states.to(hidden_states))
        return KeyValue(recorded.key.to(hidden_states), recorded.value.to(hidden_states))

    return replay


def _project(attn: Attention, hidden_states: Float[Tensor, "b n c"]) -> KeyValue:
    return KeyValue(attn.to_k(hidden_states), attn.to_v(hidden_states))


class _SelfAttention:
    """Scaled dot-product attention to the keys and values that `key_value` gives."""

    def __init__(self, key_value: Callable[[Attention, Tensor], KeyValue]) -> None:
        self._key_value = key_value

    def __call__(
        self,
        attn: Attention,
        hidden_states: Float[Tensor, "b n c"],
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
    ) -> Float[Tensor, "b n c"]:
        del encoder_hidden_states, attention_mask  # none in self-attention
        key, value = self._key_value(attn, hidden_states)
        query = attn.to_q(hidden_states)
        query, key, value = (_split_heads(t, attn.heads) for t in (query, key, value))
        attended = scaled_dot_product_attention(query, key, value)
        joined = attended.transpose(1, 2).flatten(2)
        return attn.to_out[1](attn.to_out[0](joined))


def _split_heads(projected: Float[Tensor, "b n c"], heads: int) -> Float[Tensor, "b heads n d"]:
    return projected.unflatten(-1, (heads, -1)).transpose(1, 2)


@contextmanager
def _processors(layers: list[Attention], processors: list[_SelfAttention]) -> Iterator[None]:
    found = [layer.processor for layer in layers]
    try:
        for layer, processor in zip(layers, processors, strict=True):
            layer.set_processor(processor)
        yield
    finally:
        for layer, processor in zip(layers, found, strict=True):
            layer.set_processor(processor)
