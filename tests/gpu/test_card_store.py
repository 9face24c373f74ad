"""A prepared image that was written and read again gives the picture that it gave before."""

from __future__ import annotations

from dataclasses import replace
from threading import Event

import numpy as np
import pytest
import torch
from engine.tiny_model import run

from dragdiffusion.engine import editor, session_archive
from dragdiffusion.engine.config import Mode
from gpu.card import HALF, NEEDS_CARD, bench, mean_difference, report, scene, scene_request

pytestmark = NEEDS_CARD


@pytest.mark.parametrize("keeps_recording", [True, False])
def test_a_restored_session_gives_the_same_picture(
    monkeypatch: pytest.MonkeyPatch, keeps_recording: bool
) -> None:
    if not keeps_recording:
        monkeypatch.setattr(session_archive, "RECORDING_AT_MOST", 0)
    engine = bench(HALF, mode=Mode.FAST)
    config = replace(engine.config, lora=replace(engine.config.lora, steps=2))
    request, model = scene_request(scene("ball"), config), engine.model
    session = run(editor.open_session(model, request, stop=Event()))
    payload = session_archive.archive(session)
    restored = run(session_archive.restore(model, request, payload, stop=Event()))

    pairs = zip(session.branch.latents, restored.branch.latents, strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    assert {t.device.type for t in restored.branch.latents} == {model.device.type}
    sessions = (session, session, restored)
    first, again, later = (_picture(editor.drag(s, request, stop=Event())) for s in sessions)
    spread, difference = mean_difference(first, again), mean_difference(first, later)
    report(
        f"store-{'kept' if keeps_recording else 'recorded-again'}",
        {"two edits of one session differ by": spread, "of the restored one": difference},
    )
    assert difference <= max(0.5, 2 * spread)
    assert spread <= 1


def _picture(work: object) -> np.ndarray:
    return run(work).image[..., :3]  # type: ignore[arg-type]
