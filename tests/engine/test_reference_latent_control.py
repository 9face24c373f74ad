"""Recorded keys and values give what denoising both latents side by side gives."""

import torch
from diffusers.models.attention_processor import Attention
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from dragdiffusion.engine.diffusion_model import DiffusionModel
from dragdiffusion.engine.reference_latent_control import (
    record_reference,
    reference_latent_control,
    self_attention_layers,
)


class _SideBySide:
    """The published way: a batch of (reference, edited), in which both use the reference's keys and values."""

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
    ) -> Tensor:
        del encoder_hidden_states, attention_mask

        def heads(projected: Tensor) -> Tensor:
            return projected.unflatten(-1, (attn.heads, -1)).transpose(1, 2)

        key, value = (p(hidden_states)[:1].expand(2, -1, -1) for p in (attn.to_k, attn.to_v))
        out = scaled_dot_product_attention(
            heads(attn.to_q(hidden_states)), heads(key), heads(value)
        )
        return attn.to_out[0](out.transpose(1, 2).flatten(2))


@torch.no_grad()
def test_replay_equals_the_reference_side_by_side(any_model: DiffusionModel) -> None:
    reference, edited = torch.randn(2, 1, 4, 8, 8)
    prompt = any_model.embed_prompt("a")
    with record_reference(any_model.unet, start_layer=2) as recorded:
        any_model.predict_noise(reference, 301, prompt)
    with reference_latent_control(any_model.unet, tuple(recorded), start_layer=2):
        replayed = any_model.predict_noise(edited, 301, prompt)

    layers = self_attention_layers(any_model.unet)[2:]
    assert len(recorded) == len(layers)
    found = [layer.processor for layer in layers]
    for layer in layers:
        layer.set_processor(_SideBySide())
    both = any_model.predict_noise(torch.cat([reference, edited]), 301, prompt.expand(2, -1, -1))
    for layer, processor in zip(layers, found, strict=True):
        layer.set_processor(processor)
    torch.testing.assert_close(replayed, both[1:], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_recording_changes_nothing_and_processors_come_back(any_model: DiffusionModel) -> None:
    latent, prompt = torch.randn(1, 4, 8, 8), any_model.embed_prompt("a")
    before = dict(any_model.unet.attn_processors)
    plain = any_model.predict_noise(latent, 301, prompt)
    with record_reference(any_model.unet, start_layer=0) as recorded:
        torch.testing.assert_close(any_model.predict_noise(latent, 301, prompt), plain)
    assert recorded
    assert all(any_model.unet.attn_processors[name] is before[name] for name in before)


def test_layers_come_in_the_order_in_which_they_run(any_model: DiffusionModel) -> None:
    order: list[Attention] = []
    layers = self_attention_layers(any_model.unet)
    hooks = [layer.register_forward_hook(lambda m, _i, _o: order.append(m)) for layer in layers]
    with torch.no_grad():
        any_model.predict_noise(torch.randn(1, 4, 8, 8), 1, any_model.embed_prompt(""))
    for hook in hooks:
        hook.remove()
    assert order == layers
