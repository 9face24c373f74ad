"""How far a call is and how long it still takes, from what each stage costs.

A stage's cost is its steps times the seconds of one step. Until a stage has been measured on this model, its seconds
are guessed from its weight relative to a stage that has: the weights are the measured TFLOPs of Stable Diffusion 1.5 at
512 × 512 (an inversion step: 0.80; one LoRA sample: 1.73; a drag step: 1.73; a denoising step: 0.79; VAE: 1.3 and 2.5).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from dragdiffusion.engine.config import DragConfig, Generation
from dragdiffusion.engine.drag_types import Stage

_WEIGHTS = {
    Stage.LOADING_MODEL: 8.0,
    Stage.SAMPLING: 1.6,  # with guidance
    Stage.ENCODING: 1.3,
    Stage.FINE_TUNING: 1.73,  # of one noise sample
    Stage.INVERTING: 0.8,
    Stage.WARPING: 1.3,
    Stage.DRAGGING: 1.73,
    Stage.DENOISING: 0.79,
    Stage.COMPOSITING: 2.5,
}
_SMOOTHING = 0.3  # of the newest step in the moving average of a stage's seconds


@dataclass
class _Pace:
    seconds: float  # of one step, a moving average
    weight: float  # of one step
    steps: int  # measured

    def note(self, seconds: float, steps: int) -> None:
        self.seconds += _SMOOTHING * (seconds - self.seconds)
        self.steps += steps


class PaceBook:
    """How fast each stage went in earlier edits, and goes in this one, with the same model."""

    def __init__(self) -> None:
        self._paces: dict[tuple[str, Stage], _Pace] = {}

    def note(self, model: str, stage: Stage, pace: _Pace) -> None:
        known = self._paces.setdefault((model, stage), pace)
        if known is not pace:
            known.note(pace.seconds, pace.steps)

    def seconds(self, model: str, stage: Stage, weight: float) -> float | None:
        """Of one step, as measured; else as the measured stages let expect; else None."""
        if (model, stage) in self._paces:
            return self._paces[model, stage].seconds
        if stage is Stage.LOADING_MODEL:
            return None
        measured = [
            pace
            for (name, known), pace in list(self._paces.items())
            if name == model and known is not Stage.LOADING_MODEL
        ]
        weights = sum(pace.weight * pace.steps for pace in measured)
        return weight * sum(p.seconds * p.steps for p in measured) / weights if weights else None


@dataclass
class _Part:
    steps: int
    weight: float
    done: int = 0

    @property
    def left(self) -> int:
        return max(0, self.steps - self.done)


@dataclass(frozen=True)
class Reading:
    """What the meter shows."""

    stage: Stage
    fraction: float
    eta_seconds: float | None
    step: int
    steps: int


def plan(
    config: DragConfig,
    generation: Generation | None = None,
    *,
    load: bool,
    prepare: bool,
    drag: bool,
) -> dict[Stage, int]:
    """The stages that a call will go through, and their steps."""
    stages: dict[Stage, int] = {}
    if load:
        stages[Stage.LOADING_MODEL] = 1
    if prepare and generation is not None:
        stages[Stage.SAMPLING] = generation.num_inference_steps
        stages[Stage.INVERTING] = config.num_inverted_steps  # the reference down
    elif prepare:
        stages[Stage.ENCODING] = 1
        stages[Stage.FINE_TUNING] = config.lora.steps
        stages[Stage.INVERTING] = 2 * config.num_inverted_steps  # up, and the reference down
    if drag and config.warp:
        stages[Stage.WARPING] = 1
    if drag:
        stages[Stage.DRAGGING] = config.max_drag_steps
        stages[Stage.DENOISING] = config.num_inverted_steps
        stages[Stage.COMPOSITING] = 1
    return {stage: steps for stage, steps in stages.items() if steps > 0}


def plan_generation(generation: Generation, *, load: bool) -> dict[Stage, int]:
    """The same of a call that makes a picture."""
    stages = {Stage.SAMPLING: generation.num_inference_steps, Stage.COMPOSITING: 1}
    return {Stage.LOADING_MODEL: 1, **stages} if load else stages


class ProgressMeter:
    """Turns "step 3 of 40 of this stage" into a fraction of the whole call that never falls, and an ETA."""

    def __init__(
        self,
        stages: dict[Stage, int],
        *,
        model: str,
        lora_batch: int,
        paces: PaceBook,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model = model
        self._paces = paces
        self._clock = clock
        self._lora_batch = lora_batch
        self._parts = {stage: _Part(steps, self._weight(stage)) for stage, steps in stages.items()}
        self._last = clock()
        self._fraction = 0.0
        self._latest: Stage | None = None

    def advance(self, stage: Stage, step: int, steps: int) -> Reading:
        """`step` of `steps` of the stage is done."""
        part = self._parts.setdefault(stage, _Part(steps, self._weight(stage)))
        now = self._clock()
        if step > part.done:
            steps_done = step - part.done
            pace = _Pace((now - self._last) / steps_done, part.weight, steps_done)
            self._paces.note(self._model, stage, pace)
        self._last = now
        part.steps, part.done = steps, step
        self._close_earlier_than(stage)
        self._latest = stage
        return self._reading(stage, step, steps)

    def _close_earlier_than(self, stage: Stage) -> None:
        order = list(Stage)
        for other, part in self._parts.items():
            if order.index(other) < order.index(stage) and not self._may_return(other, stage):
                part.steps = part.done

    def _may_return(self, earlier: Stage, stage: Stage) -> bool:
        """Dragging and denoising alternate, until two denoising steps follow one another."""
        alternating = (earlier, stage) == (Stage.DRAGGING, Stage.DENOISING)
        return alternating and self._latest is Stage.DRAGGING

    def _weight(self, stage: Stage) -> float:
        weight = _WEIGHTS.get(stage, 1.0)
        return weight * self._lora_batch if stage is Stage.FINE_TUNING else weight

    def _reading(self, stage: Stage, step: int, steps: int) -> Reading:
        seconds = {
            other: self._paces.seconds(self._model, other, part.weight)
            for other, part in self._parts.items()
        }
        known = all(seconds[other] is not None for other, part in self._parts.items() if part.left)
        costs = {
            other: (seconds[other] if known else None) or part.weight
            for other, part in self._parts.items()
        }
        done = sum(costs[other] * part.done for other, part in self._parts.items())
        left = sum(costs[other] * part.left for other, part in self._parts.items())
        if done + left > 0:
            self._fraction = min(1.0, max(self._fraction, done / (done + left)))
        return Reading(stage, self._fraction, left if known else None, step, steps)
