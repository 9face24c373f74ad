"""A prepared image as bytes and back: the same to the last bit, or refused."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor

from dragdiffusion.engine import editor, lora, session_archive
from dragdiffusion.engine.config import Generation, LoraConfig
from dragdiffusion.engine.ddim import DdimSchedule
from dragdiffusion.engine.diffusion_model import DiffusionModel
from dragdiffusion.engine.drag_types import DragRequest, StageStep
from dragdiffusion.engine.editor import EditSession
from dragdiffusion.engine.errors import Cancelled, UnusableArchive
from dragdiffusion.engine.generation import generate
from dragdiffusion.engine.low_memory import Savings
from dragdiffusion.engine.memory_plan import following
from dragdiffusion.engine.reference_branch import ReferenceBranch, ReferenceView
from dragdiffusion.engine.reference_latent_control import KeyValue, LayerInput
from engine.tiny_model import make_config, make_model, make_request, reference_config, run

LORA = LoraConfig(steps=2, rank=2, batch_size=1)
CONFIGS = {
    "default": make_config(lora=LORA),
    "reference": reference_config(lora=LORA),
    "plain": make_config(),
    "guided": make_config(guidance_scale=3.0, reference_start_step=1),
}


def prepare(model: DiffusionModel, request: DragRequest) -> EditSession:
    return run(editor.open_session(model, request, stop=Event()))


def restore(
    model: DiffusionModel, request: DragRequest, payload: bytes, events: list[Any] | None = None
) -> EditSession:
    return run(session_archive.restore(model, request, payload, stop=Event()), events)


@pytest.fixture(params=[True, False], ids=["kept", "recorded-again"])
def keep(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether keys and values are in the archive."""
    if not request.param:
        monkeypatch.setattr(session_archive, "RECORDING_AT_MOST", 0)
    return request.param


def assert_same(found: Any, expected: Any, where: str = "session") -> None:
    """Of one type, value, number format and layout in memory, all the way down."""
    assert type(found) is type(expected), where
    if isinstance(expected, Tensor):
        assert torch.equal(found, expected), where
        layouts = [
            (t.dtype, t.shape, t.stride(), t.device, t.requires_grad) for t in (found, expected)
        ]
        assert layouts[0] == layouts[1], where
    elif dataclasses.is_dataclass(expected):
        for part in dataclasses.fields(expected):
            if part.name != "phase_seconds":
                pair = (getattr(found, part.name), getattr(expected, part.name))
                assert_same(*pair, f"{where}.{part.name}")
    elif isinstance(expected, dict):
        assert list(found) == list(expected), where
        for name in expected:
            assert_same(found[name], expected[name], f"{where}[{name}]")
    elif isinstance(expected, tuple):
        assert len(found) == len(expected), where
        for i, pair in enumerate(zip(found, expected, strict=True)):
            assert_same(*pair, f"{where}[{i}]")
    else:
        assert found == expected, where


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def test_a_restored_session_is_the_same_and_edits_the_same(
    config: str, dtype: torch.dtype, keep: bool
) -> None:
    model, request = make_model(dtype=dtype), make_request(CONFIGS[config])
    session = prepare(model, request)
    payload = session_archive.archive(session)
    expected = run(editor.drag(session, request, stop=Event()))

    events: list[Any] = []
    restored = restore(model, request, payload, events)

    assert_same(restored, session)
    assert set(restored.phase_seconds) == {"restore"}
    edited = run(editor.drag(restored, request, stop=Event()))
    np.testing.assert_array_equal(edited.image, expected.image)
    steps = [event.step for event in events if isinstance(event, StageStep)]
    assert steps == ([] if keep else list(range(1, request.config.num_inverted_steps + 1)))


@pytest.mark.usefixtures("keep")
def test_a_generated_picture_s_session_is_the_same_too() -> None:
    model = make_model()
    generation = Generation("sun", width=32, height=32, num_inference_steps=10, guidance_scale=3.0)
    generated = run(generate(model, generation, stop=Event()))
    image = np.dstack([generated.pixels, np.full((32, 32), 255, np.uint8)])
    request = replace(
        make_request(generation.settle(make_config())),
        image=image,
        prompt="sun",
        generation=generation,
    )
    work = editor.open_session(model, request, stop=Event(), generated=generated)
    session = run(work)
    restored = restore(model, request, session_archive.archive(session))
    assert_same(restored, session)
    assert len(restored.branch.prompts) == 2


def test_whatever_a_session_holds_is_archived() -> None:
    """A new field must be written and read by session_archive, or made there from model and request: then add it here."""
    made = {"key", "model", "region", "phase_seconds"}
    assert {f.name for f in dataclasses.fields(EditSession)} == made | {"lora", "branch"}
    made = {"model", "schedule", "guidance_scale", "start_layer"}
    written = {"prompts", "latents", "key_values", "feature_block", "views"}
    assert {f.name for f in dataclasses.fields(ReferenceBranch)} == made | written
    made = {"timesteps", "alphas", "predicts_velocity"}
    assert {f.name for f in dataclasses.fields(DdimSchedule)} == made
    assert ReferenceView._fields == ("lower", "features")
    assert KeyValue._fields == ("key", "value")
    assert lora.LoraFactors._fields == ("down", "up")


def test_a_large_recording_stays_out(
    model: DiffusionModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = prepare(model, make_request(CONFIGS["default"]))
    whole = len(session_archive.archive(session))
    branch = session.branch
    pairs = [*(pair for layers in branch.key_values for pair in layers), *branch.views.values()]
    size = sum(t.numel() * t.element_size() for pair in pairs for t in pair)
    assert size > 0
    monkeypatch.setattr(session_archive, "RECORDING_AT_MOST", size)
    assert len(session_archive.archive(session)) == whole
    monkeypatch.setattr(session_archive, "RECORDING_AT_MOST", size - 1)
    assert len(session_archive.archive(session)) < whole - size


def test_one_that_was_recorded_to_save_memory_is_recorded_again(model: DiffusionModel) -> None:
    request = make_request(CONFIGS["default"])
    with following(model, Savings(compact_reference=True)):
        session = prepare(model, request)
        restored = restore(model, request, session_archive.archive(session))
    assert isinstance(session.branch.key_values[-1][0], LayerInput)
    assert_same(restored, session)


def test_restoring_stops_when_told(model: DiffusionModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_archive, "RECORDING_AT_MOST", 0)
    request, stop = make_request(CONFIGS["default"]), Event()
    payload = session_archive.archive(prepare(model, request))
    work = session_archive.restore(model, request, payload, stop=stop)
    next(work)
    stop.set()
    with pytest.raises(Cancelled):
        next(work)


# ---- what does not fit ----


def _changed(
    payload: bytes, change: Callable[[dict[str, Tensor], dict[str, Any]], object]
) -> bytes:
    tensors, header = load(payload), json.loads(session_archive._metadata(payload)["session"])
    change(tensors, header)
    return save(tensors, {"session": json.dumps(header)})


UNUSABLE: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda _: b"",
    "noise": lambda _: bytes(range(256)) * 9,
    "short": lambda payload: payload[:-100],
    "no-header": lambda payload: save(load(payload)),
    "format": lambda payload: _changed(payload, lambda _, h: h.update(format=99)),
    "missing": lambda payload: _changed(payload, lambda t, _: t.pop("latent.2")),
    "more": lambda payload: _changed(payload, lambda t, _: t.update(more=torch.zeros(1))),
    "shape": lambda payload: _changed(
        payload, lambda t, _: t.update({"latent.0": torch.zeros(1, 4, 4, 4)})
    ),
    "dtype": lambda payload: _changed(
        payload, lambda t, _: t.update(prompts=t["prompts"].double())
    ),
    "no-lora": lambda payload: _changed(payload, lambda _, h: h.update(projections=[])),
    "projection": lambda payload: _changed(payload, lambda _, h: h.update(projections=["no.such"])),
    "not-a-projection": lambda payload: _changed(
        payload, lambda _, h: h.update(projections=["down_blocks"])
    ),
    "levels": lambda payload: _changed(payload, lambda _, h: h["recording"]["layers"].pop()),
    "layers": lambda payload: _changed(
        payload, lambda _, h: h["recording"]["layers"].__setitem__(1, 9)
    ),
    "block": lambda payload: _changed(payload, lambda _, h: h["recording"].update(feature_block=7)),
    "views": lambda payload: _changed(payload, lambda _, h: h["recording"].update(views=[77])),
    "words": lambda payload: _changed(payload, lambda _, h: h.update(recording="none")),
}


@pytest.fixture(scope="module")
def archived() -> tuple[DiffusionModel, DragRequest, bytes]:
    """A model, a request, and its archive, which is whole."""
    model, request = make_model(), make_request(CONFIGS["default"])
    payload = session_archive.archive(prepare(model, request))
    restore(model, request, payload)
    return model, request, payload


@pytest.mark.parametrize("case", UNUSABLE)
def test_what_does_not_fit_is_refused(
    case: str, archived: tuple[DiffusionModel, DragRequest, bytes]
) -> None:
    model, request, payload = archived
    with pytest.raises(UnusableArchive):
        restore(model, request, UNUSABLE[case](payload))


def test_that_of_another_request_is_refused(model: DiffusionModel) -> None:
    payload = session_archive.archive(prepare(model, make_request(CONFIGS["default"])))
    for other in (
        make_request(CONFIGS["plain"]),
        make_request(replace(CONFIGS["default"], lora=replace(LORA, rank=3))),
        make_request(replace(CONFIGS["default"], inversion_strength=0.3)),
        make_request(replace(CONFIGS["default"], guidance_scale=2.0)),
        make_request(replace(CONFIGS["default"], working_size=64)),
        make_request(replace(CONFIGS["default"], reference_start_layer=0)),
    ):
        with pytest.raises(UnusableArchive):
            restore(model, other, payload)


# ---- the name ----


def name_of(model: DiffusionModel, request: DragRequest | None = None) -> str:
    key = editor.session_key(model.name, request or make_request())
    return session_archive.archive_name(model, key)


def test_the_name_is_the_same_in_every_process(model: DiffusionModel) -> None:
    import os
    import subprocess
    import sys

    program = (
        "from engine.test_session_archive import name_of; from engine.tiny_model import make_model;"
        "print(name_of(make_model()))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": os.pathsep.join(sys.path)}
    told = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == name_of(model)
    assert len(name_of(model)) == 64


def test_the_name_changes_with_all_that_matters(
    model: DiffusionModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {name_of(model)}

    def is_new(name: str) -> bool:
        count = len(names)
        names.add(name)
        return len(names) > count

    assert is_new(name_of(model, make_request(prompt="another")))
    assert is_new(name_of(model, make_request(make_config(lora=LORA))))
    assert is_new(name_of(model, make_request(make_config(seed=1))))
    model.fingerprint = "retrained"
    assert is_new(name_of(model))
    assert is_new(name_of(make_model(dtype=torch.bfloat16)))
    monkeypatch.setattr(session_archive, "FORMAT", 99)
    assert is_new(name_of(model))
    monkeypatch.setattr(session_archive, "version", lambda _name: "99")
    assert is_new(name_of(model))
    monkeypatch.setattr(session_archive, "_code_digest", lambda: "other code")
    assert is_new(name_of(model))


def test_the_code_s_digest_is_of_the_code() -> None:
    folder = Path(editor.__file__).parent
    digest = session_archive._code_digest()
    assert digest == session_archive._digest_of(sorted(folder.glob("*.py")))
    assert digest != session_archive._digest_of([folder / "editor.py"])


def test_what_has_no_lasting_name_is_refused(model: DiffusionModel) -> None:
    with pytest.raises(TypeError, match="cannot hold"):
        session_archive.archive_name(model, ("key", object()))
