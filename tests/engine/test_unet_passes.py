"""Recorded passes give what direct ones give. tests/gpu records them on a card; here a stand-in for the graph does the work anew."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dragdiffusion.engine import unet_passes
from dragdiffusion.engine.config import LoraConfig
from dragdiffusion.engine.diffusion_model import DiffusionModel
from dragdiffusion.engine.low_memory import NO_SAVINGS, Savings
from engine.tiny_model import edit, make_config, make_model, make_request, reference_config


class WorkedAnew(unet_passes._RecordedPass):
    """Without a card: replaying is doing it again, on the same places."""

    made: list[WorkedAnew]

    def __init__(
        self, function: Any, inputs: tuple[Tensor, ...], trained: tuple[Tensor, ...] | None
    ) -> None:
        self.made.append(self)
        self.function, self.trained, self.replays = function, trained, 0
        learns = trained is not None
        self.inputs = tuple(
            t.detach().clone().requires_grad_(learns and t.requires_grad) for t in inputs
        )
        every = (*self.inputs, *(trained or ()))
        self.needs_gradient = [t.requires_grad for t in every]
        self.wanted = [t for t in every if t.requires_grad]
        self.work()
        self.output_gradients = tuple(torch.zeros_like(t) for t in self.outputs)

    def work(self) -> None:
        with torch.set_grad_enabled(self.trained is not None):
            self.results = self.function(*self.inputs)
        if not hasattr(self, "outputs"):
            self.outputs = tuple(torch.empty_like(t) for t in self.results)
        for place, result in zip(self.outputs, self.results, strict=True):
            place.copy_(result.detach())

    def replay(self) -> None:
        self.replays += 1
        self.work()

    def replay_backward(self) -> None:
        self.gradients = torch.autograd.grad(self.results, self.wanted, self.output_gradients)


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[WorkedAnew]:
    WorkedAnew.made = []
    monkeypatch.setattr(unet_passes, "_can_record", lambda _model: True)
    monkeypatch.setattr(unet_passes, "_RecordedPass", WorkedAnew)
    return WorkedAnew.made


LORA = LoraConfig(steps=3, rank=2, batch_size=2)
CASES = {
    "default": make_config(warp=True, lora=LORA),
    "with a mask term": make_config(mask_weight=0.1),
    "with guidance": make_config(guidance_scale=2.0),
    "reference": reference_config(lora=LORA),
}


@pytest.mark.parametrize("case", CASES)
def test_an_edit_of_recorded_passes_is_the_same(case: str, recorded: list[WorkedAnew]) -> None:
    request = make_request(CASES[case], mask=mask(), include_raw=True)
    with pytest.MonkeyPatch.context() as direct:
        direct.setattr(unet_passes, "_can_record", lambda _model: False)
        wanted = edit(make_model(), request)
    assert not recorded
    model = make_model()
    found = edit(model, request)
    assert np.array_equal(found.raw, wanted.raw)
    assert model.passes is unet_passes.DIRECT
    assert len(recorded) < 8 < sum(one.replays for one in recorded)


def test_what_cannot_be_recorded_is_done_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise RuntimeError("operation not permitted when stream is capturing")

    request = make_request(include_raw=True)
    wanted = edit(make_model(), request)
    monkeypatch.setattr(unet_passes, "_can_record", lambda _model: True)
    monkeypatch.setattr(unet_passes, "_RecordedPass", refuse)
    assert np.array_equal(edit(make_model(), request).raw, wanted.raw)


def test_too_little_memory_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(unet_passes, "_can_record", lambda _model: True)
    monkeypatch.setattr(unet_passes, "_RecordedPass", refuse)
    model = make_model()
    with pytest.raises(torch.OutOfMemoryError):
        edit(model, make_request())
    assert model.passes is unet_passes.DIRECT


@pytest.mark.parametrize(
    ("device", "wanted", "savings", "records"),
    [
        ("cuda", True, NO_SAVINGS, True),
        ("cuda", True, Savings(compact_reference=True, parked=True), True),
        ("cuda", True, Savings(recomputed=True), False),
        ("cuda", True, Savings(reference_on_host=True), False),
        ("cuda", False, NO_SAVINGS, False),
        ("cpu", True, NO_SAVINGS, False),
    ],
)
def test_a_card_records_where_memory_and_settings_let_it(
    device: str, wanted: bool, savings: Savings, records: bool
) -> None:
    model = SimpleNamespace(device=torch.device(device), records_passes=wanted, savings=savings)
    assert unet_passes._can_record(model) == records


def test_results_of_one_pass_outlive_the_next(recorded: list[WorkedAnew]) -> None:
    model: DiffusionModel = make_model()
    prompt = model.embed_prompt("")
    with unet_passes.graphed(model), torch.no_grad():
        first = model.predict_noise(torch.zeros(1, 4, 8, 8), 301, prompt)
        kept = first.clone()
        second = model.predict_noise(torch.ones(1, 4, 8, 8), 301, prompt)
    assert torch.equal(first, kept)
    assert not torch.equal(first, second)
    assert len(recorded) == 1


@pytest.mark.parametrize("case", CASES)
def test_projections_of_timestep_and_prompt_are_kept(case: str) -> None:
    request = make_request(CASES[case], mask=mask(), include_raw=True)
    pictures, counts = [], []
    for keeps in (False, True):
        model = make_model()
        with pytest.MonkeyPatch.context() as patch:
            if not keeps:
                patch.setattr(unet_passes, "_can_keep", lambda _model: False)
            counts.append(count_projections(model.unet, patch))
            modules = list(model.unet.modules())
            pictures.append(edit(model, request).raw)
        assert all(a is b for a, b in zip(modules, model.unet.modules(), strict=True))
        assert not any("forward" in vars(module) for module in modules)
    assert np.array_equal(*pictures)
    assert 0 < counts[1]["timestep"] < counts[0]["timestep"]
    assert 0 < counts[1]["prompt"] < counts[0]["prompt"] / 2


def count_projections(unet: Any, patch: pytest.MonkeyPatch) -> Counter[str]:
    """Of the timestep and of the prompt, from now on."""
    kinds, counts = {}, Counter[str]()
    for name, module in unet.named_modules():
        if name.endswith("time_emb_proj"):
            kinds[module] = "timestep"
        elif name.endswith(("attn2.to_k", "attn2.to_v")):
            kinds[module] = "prompt"
    project = torch.nn.Linear.forward

    def counting(module: torch.nn.Linear, values: Tensor) -> Tensor:
        counts[kinds.get(module, "other")] += 1
        return project(module, values)

    patch.setattr(torch.nn.Linear, "forward", counting)
    return counts


def test_kept_projections_are_those_of_the_prompt_and_the_timestep() -> None:
    model, latent = make_model(), torch.zeros(1, 4, 8, 8)
    prompts = [model.embed_prompt(text) for text in ("a", "b")]
    orders = [(prompt, timestep) for prompt in prompts for timestep in (301, 301, 1)]
    with torch.no_grad():
        wanted = [model.predict_noise(latent, timestep, prompt) for prompt, timestep in orders]
        with unet_passes.repeated(model):
            found = [model.predict_noise(latent, timestep, prompt) for prompt, timestep in orders]
            pair = model.predict_noise(latent.expand(2, -1, -1, -1), 1, torch.cat(prompts))
    assert all(map(torch.equal, found, wanted))
    assert torch.allclose(pair, torch.cat([wanted[2], wanted[5]]), atol=1e-5)
    assert not torch.equal(wanted[0], wanted[2])
    assert not torch.equal(wanted[2], wanted[5])


def test_a_layer_whose_forward_is_somebody_else_s_keeps_it() -> None:
    """As accelerate's hooks set it on the layer itself."""
    model, asked = make_model(), []
    layer = model.unet.get_submodule("mid_block.resnets.0.time_emb_proj")
    project = layer.forward

    def theirs(values: Tensor) -> Tensor:
        asked.append(values)
        return project(values)

    layer.forward = theirs
    with unet_passes.repeated(model):
        for _ in range(2):
            model.predict_noise(torch.zeros(1, 4, 8, 8), 301, model.embed_prompt(""))
    assert len(asked) == 1
    assert model.unet.mid_block.resnets[0].time_emb_proj is layer
    assert layer.forward is theirs


@pytest.mark.parametrize(
    ("savings", "is_compiled", "keeps"),
    [
        (NO_SAVINGS, False, True),
        (Savings(reference_on_host=True), False, True),
        (Savings(recomputed=True), False, False),
        (NO_SAVINGS, True, False),
    ],
)
def test_projections_are_kept_where_that_is_right(
    savings: Savings, is_compiled: bool, keeps: bool
) -> None:
    model = SimpleNamespace(savings=savings, is_compiled=is_compiled)
    assert unet_passes._can_keep(model) == keeps


def mask() -> np.ndarray:
    mask = np.zeros((32, 32), np.uint8)
    mask[4:28, 4:28] = 255
    return mask
