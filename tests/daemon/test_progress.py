"""Fractions never fall; times left come from what was measured."""

from __future__ import annotations

import pytest

from dragdiffusion.daemon.progress import PaceBook, ProgressMeter, Reading, plan
from dragdiffusion.engine.config import DragConfig, Generation, LoraConfig
from dragdiffusion.engine.drag_types import Stage

CONFIG = DragConfig(
    lora=LoraConfig(steps=10, batch_size=4),
    num_inference_steps=20,
    inversion_strength=0.5,
    max_drag_steps=30,
)
SECONDS = {
    Stage.LOADING_MODEL: 5.0,
    Stage.ENCODING: 1.0,
    Stage.FINE_TUNING: 2.0,
    Stage.INVERTING: 0.25,
    Stage.DRAGGING: 0.5,
    Stage.DENOISING: 0.25,
    Stage.COMPOSITING: 1.0,
}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def run(paces: PaceBook, *, drag_steps: int = 30) -> tuple[list[Reading], list[float]]:
    """A whole edit; the readings, and the true time left at each."""
    clock = Clock()
    stages = plan(CONFIG, load=True, prepare=True, drag=True)
    meter = ProgressMeter(stages, model="m", lora_batch=4, paces=paces, clock=clock)
    readings, times = [], []
    for stage, steps in stages.items():
        for step in range(1, (drag_steps if stage is Stage.DRAGGING else steps) + 1):
            clock.now += SECONDS[stage]
            readings.append(meter.advance(stage, step, steps))
            times.append(clock.now)
    return readings, [clock.now - time for time in times]


def test_the_stages_of_a_call() -> None:
    assert plan(CONFIG, load=False, prepare=False, drag=True) == {
        Stage.DRAGGING: 30,
        Stage.DENOISING: 10,
        Stage.COMPOSITING: 1,
    }
    assert next(iter(plan(CONFIG, load=True, prepare=True, drag=False))) is Stage.LOADING_MODEL


def test_the_stages_of_a_drag_on_a_generated_image() -> None:
    made = Generation(num_inference_steps=20)
    stages = plan(CONFIG, made, load=False, prepare=True, drag=True)
    assert list(stages) == [
        Stage.SAMPLING,
        Stage.INVERTING,
        Stage.DRAGGING,
        Stage.DENOISING,
        Stage.COMPOSITING,
    ]
    assert (stages[Stage.SAMPLING], stages[Stage.INVERTING]) == (20, 10)


@pytest.mark.parametrize("drag_steps", [30, 7])
def test_the_fraction_rises_to_one(drag_steps: int) -> None:
    readings, _ = run(PaceBook(), drag_steps=drag_steps)
    fractions = [reading.fraction for reading in readings]
    assert fractions == sorted(fractions)
    assert fractions[0] > 0
    assert fractions[-1] == 1.0
    assert readings[-1].eta_seconds == 0


def test_a_first_edit_guesses_within_reason() -> None:
    readings, left = run(PaceBook())
    assert readings[0].eta_seconds is None  # only the model was loaded: nothing to go by
    for reading, true in zip(readings[5:-2], left[5:-2], strict=True):
        assert reading.eta_seconds == pytest.approx(true, rel=1.0)


def test_a_second_edit_knows() -> None:
    paces = PaceBook()
    run(paces)
    readings, left = run(paces)
    for reading, true in zip(readings, left, strict=True):
        assert reading.eta_seconds == pytest.approx(true, abs=0.01)


def test_alternating_stages_are_counted_to_their_end() -> None:
    clock = Clock()
    stages = plan(CONFIG, load=False, prepare=False, drag=True)
    meter = ProgressMeter(stages, model="m", lora_batch=4, paces=PaceBook(), clock=clock)
    fractions = []
    for level in range(1, 4):  # three times five drag steps and a denoising step: all arrived
        for step in range(5 * level - 4, 5 * level + 1):
            fractions.append(meter.advance(Stage.DRAGGING, step, 30).fraction)
        fractions.append(meter.advance(Stage.DENOISING, level, 10).fraction)
    for step in range(4, 11):
        fractions.append(meter.advance(Stage.DENOISING, step, 10).fraction)
    fractions.append(meter.advance(Stage.COMPOSITING, 1, 1).fraction)
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
