"""The UNet's passes recorded on a card: the same pictures as direct ones, also while another thread asks the card for its memory."""

from __future__ import annotations

import logging
import threading

import numpy as np
import pytest
import torch
from engine.test_unet_passes import CASES, mask
from engine.tiny_model import edit, make_model, make_request

from dragdiffusion.engine import unet_passes
from dragdiffusion.engine.diffusion_model import DiffusionModel, ModelParts

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA card here"),
]


def on_card() -> DiffusionModel:
    small = make_model()
    parts = ModelParts(
        small.unet, small.vae, small.text_encoder, small.tokenizer, small.scheduler_config
    )
    return DiffusionModel(
        parts, name="tiny", family="embedded", device=torch.device("cuda"), dtype=torch.float32
    )


@pytest.mark.parametrize("case", CASES)
def test_an_edit_of_recorded_passes_is_the_same(
    case: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    request = make_request(CASES[case], mask=mask(), include_raw=True)
    model = on_card()
    with monkeypatch.context() as direct:
        direct.setattr(unet_passes, "_can_record", lambda _model: False)
        wanted = edit(model, request).raw.astype(int)
    recordings, record = [], unet_passes.record
    # The work itself is not kept: its outputs would keep nodes of the recording's stream alive.
    monkeypatch.setattr(unet_passes, "record", lambda work: (recordings.append(1), record(work))[1])
    finished = threading.Event()
    asking = threading.Thread(target=_ask_for_memory, args=(finished,))
    asking.start()
    try:
        with caplog.at_level(logging.WARNING):
            found = edit(model, request).raw
    finally:
        finished.set()
        asking.join()
    assert not caplog.records
    assert recordings
    assert np.abs(found - wanted).max() <= 1


def _ask_for_memory(finished: threading.Event) -> None:
    while not finished.wait(0.001):
        torch.cuda.mem_get_info()
