"""What is counted without values is what a real edit computes."""

from __future__ import annotations

from threading import Event

import numpy as np
import pytest
from engine.tiny_model import make_config, make_model, make_request, reference_config, run
from torch.nn.attention import SDPBackend, sdpa_kernel

from dragdiffusion.engine import editor
from dragdiffusion.engine.config import DragConfig, LoraConfig
from dragdiffusion.evaluation.edit_flops import _Counter, count_edit


@pytest.mark.parametrize("mask", [np.full((32, 32), 255, np.uint8), None])
@pytest.mark.parametrize(
    "config", [reference_config(), make_config()], ids=["reference", "default"]
)
def test_a_real_edit_takes_what_is_counted(config: DragConfig, mask: np.ndarray | None) -> None:
    model, request = make_model(), make_request(config, mask=mask)
    session = run(editor.open_session(model, request, stop=Event()))
    with sdpa_kernel(SDPBackend.MATH), _Counter() as counter:  # as on the meta device
        edited = run(editor.drag(session, request, stop=Event()))
    counted = count_edit(model, request)
    assert edited.drag_steps == config.max_drag_steps
    assert counter.total == pytest.approx(counted.next_edit, rel=0.01)


def test_steps_are_multiplied() -> None:
    config = reference_config(lora=LoraConfig(steps=7, batch_size=2))
    flops = count_edit(make_model(), make_request(config))
    assert flops.steps["lora"] == 7
    assert flops.total("lora") == 7 * flops.step["lora"]
    whole = sum(flops.total(phase) for phase in flops.step)
    assert flops.first_edit == whole == flops.preparation + flops.next_edit
