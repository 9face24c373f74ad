"""One stage of training in the background: time budget, clean stop, log, atomic checkpoints."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import torch


class TrainingRun:
    """The clock, the log and the stop signal of one stage.

    Time is counted over all runs of a stage, so that a schedule over a share of the budget goes on
    where it stopped; a process that was paused (SIGSTOP) must not lose its budget, therefore the
    steps report their own seconds through `spend`.
    """

    def __init__(
        self, stage: str, work: Path, minutes: float, step_limit: int | None = None
    ) -> None:
        """`minutes` count over all runs; `step_limit` steps of this run stop it like SIGTERM."""
        self.work = work
        self.budget_seconds = minutes * 60
        self.spent_seconds = 0.0
        self.stopped = False
        self._steps_left = step_limit
        self._log_path = work / f"{stage}.log"
        self._last_tick = time.monotonic()
        work.mkdir(parents=True, exist_ok=True)
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)

    @property
    def fraction(self) -> float:
        """Share of the time budget that is spent, 0..1."""
        return min(1.0, self.spent_seconds / self.budget_seconds)

    @property
    def finished(self) -> bool:
        return self.stopped or self.spent_seconds >= self.budget_seconds

    def spend(self) -> None:
        """Count the time since the last call; a gap of over a minute was a pause, not work."""
        now = time.monotonic()
        self.spent_seconds += min(now - self._last_tick, 60.0)
        self._last_tick = now

    def count_step(self) -> None:
        self.spend()
        if self._steps_left is not None:
            self._steps_left -= 1
            self.stopped |= self._steps_left <= 0

    def log(self, text: str) -> None:
        line = f"{time.strftime('%H:%M:%S')} {text}"
        print(line, flush=True)
        with self._log_path.open("a", encoding="utf-8") as log:
            log.write(line + "\n")

    def _stop(self, _signal: int, _frame: FrameType | None) -> None:
        self.stopped = True


def save_checkpoint(path: Path, state: Mapping[str, object]) -> None:
    """Write a checkpoint so that a crash leaves either the old or the new one."""
    unfinished = path.with_suffix(".unfinished")
    torch.save(dict(state), unfinished)
    unfinished.replace(path)


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """The last checkpoint, or None at the first run; our own files, tensors and numbers only."""
    if not path.exists():
        return None
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state
