"""Every hyper-parameter of the contract has its field in the engine, and arrives there."""

from __future__ import annotations

import re
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from dragdiffusion.daemon import wire
from dragdiffusion.engine.config import (
    DragConfig,
    Fit,
    Generation,
    Mode,
    SupervisionTarget,
    TimestepSpacing,
)
from dragdiffusion.engine.drag_types import Stage
from dragdiffusion.engine.errors import InvalidRequest
from dragdiffusion.models.families import Family
from dragdiffusion.models.profiles import default_config
from dragdiffusion_rpc import drag_pb2 as rpc

FIELDS = list(rpc.HyperParameters.DESCRIPTOR.fields)
OTHER = {
    "fit": rpc.FIT_AREA,
    "supervision_target": rpc.SUPERVISION_TARGET_ORIGINAL,
    "timestep_spacing": rpc.TIMESTEP_SPACING_TRAILING,
}
EXPECTED = {
    "fit": Fit.AREA,
    "supervision_target": SupervisionTarget.ORIGINAL,
    "timestep_spacing": TimestepSpacing.TRAILING,
}
CONTRACT = Path(rpc.__file__).with_name("drag.proto").read_text(encoding="utf-8")
NOT_ON_THE_WIRE = {"mode", "seed", "lora"}  # fields of the request itself, or spread out


def flat(config: DragConfig) -> dict[str, Any]:
    values = asdict(config)
    return values | {f"lora_{name}": value for name, value in values["lora"].items()}


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_a_hyper_parameter_arrives(field: Any) -> None:
    before = flat(DragConfig())[field.name]
    value = OTHER.get(field.name)
    if value is None:
        value = {bool: True, int: 7, float: 1.0}[type(before)]
        value = 0.25 if field.name == "feature_scale" else 64 if "working" in field.name else value
    message = rpc.PrepareRequest(hyper_parameters=rpc.HyperParameters(**{field.name: value}))
    after = flat(wire.to_config(message, DragConfig()))
    assert after.pop(field.name) == EXPECTED.get(field.name, value)
    changed = {name for name, now in after.items() if now != flat(DragConfig())[name]}
    assert changed <= {"lora"}


DEFAULTS = {
    "HyperParameters": flat(default_config(Mode.REFERENCE, Family.SD1)),
    "Generation": {name: value for name, value in asdict(Generation()).items() if value != ""},
    "PrepareRequest": {"seed": DragConfig().seed},
}


@pytest.mark.parametrize("message", DEFAULTS)
def test_the_contract_tells_every_default(message: str) -> None:
    """A field's comment is "meaning; default"."""
    body = CONTRACT.partition(f"message {message} {{")[2].partition("\n}")[0]
    told = dict(re.findall(r"(\w+) = \d+; +// .+; (\S+)$", body, re.MULTILINE))
    fields = rpc.DESCRIPTOR.message_types_by_name[message].fields_by_name
    expected = {name: v for name, v in DEFAULTS[message].items() if name in fields}
    assert {name: read(text) for name, text in told.items()} == {
        name: v.name if isinstance(v, Enum) else v for name, v in expected.items()
    }


def read(text: str) -> bool | float | str:
    if text in ("true", "false"):
        return text == "true"
    try:
        return float(text)
    except ValueError:
        return text


def test_the_engine_has_no_other() -> None:
    names = set(flat(DragConfig())) - NOT_ON_THE_WIRE
    assert names == {field.name for field in FIELDS}


def test_what_is_not_set_takes_the_default() -> None:
    defaults = DragConfig(learning_rate=0.5, seed=1)
    config = wire.to_config(rpc.PrepareRequest(seed=2**64 - 1), defaults)
    assert (config.learning_rate, config.seed) == (0.5, 2**64 - 1)


def test_zero_is_a_value() -> None:
    message = rpc.PrepareRequest(hyper_parameters=rpc.HyperParameters(lora_steps=0))
    assert wire.to_config(message, DragConfig()).lora.steps == 0


def test_a_generation_comes_back_as_it_went() -> None:
    sent = Generation("a", "b", 2**64 - 1, 8, 1.5, 64, 72, TimestepSpacing.TRAILING)
    message = wire.from_generation(sent)
    assert len(message.ListFields()) == len(asdict(sent)) == len(message.DESCRIPTOR.fields)
    assert wire.to_generation(message, Generation()) == sent
    message.ClearField("timestep_spacing")
    assert wire.to_generation(message, sent) == sent


def test_the_field_at_fault_is_named_as_in_the_contract() -> None:
    names = {field.name for field in FIELDS}
    for name in ("lora_rank", "learning_rate", "feature_scale", "tracking_radius"):
        message = rpc.PrepareRequest(
            hyper_parameters=rpc.HyperParameters(**{name: 0})  # type: ignore[arg-type]
        )
        with pytest.raises(InvalidRequest) as raised:
            wire.to_config(message, DragConfig())
        assert raised.value.field.removeprefix("hyper_parameters.") in names


@pytest.mark.parametrize("field", ["fit", "supervision_target", "timestep_spacing"])
def test_a_choice_that_is_not_known_is_refused(field: str) -> None:
    unknown = rpc.HyperParameters(**{field: 77})  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match="not known") as raised:
        wire.to_config(rpc.PrepareRequest(hyper_parameters=unknown), DragConfig())
    assert raised.value.field == f"hyper_parameters.{field}"
    unspecified = rpc.HyperParameters(**{field: 0})  # type: ignore[arg-type]
    message = rpc.PrepareRequest(hyper_parameters=unspecified)
    assert wire.to_config(message, DragConfig()) == DragConfig()


@pytest.mark.parametrize("stage", list(Stage))
def test_every_stage_has_its_number(stage: Stage) -> None:
    assert rpc.Stage.Name(wire._from_stage(stage)) == f"STAGE_{stage.name}"
