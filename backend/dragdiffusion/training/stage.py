"""What every stage of training shares: the loop, the checkpoint, the report.

A stage runs in two processes (see `pair`), or in one with a card and workers that render its
scenes (see `machine`). A subclass says what one batch's loss is, which learning rate belongs to
which share of the time, and what to report.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .latent_bank import Ring
from .optimizer import PairedAdam
from .pair import Partner, SharedWeights
from .run import TrainingRun, load_checkpoint, save_checkpoint
from .scene_batches import FOLLOWER_SEED, SceneStream, to_signed
from .scene_workers import CHUNK, SceneWorkers

HANDED_OVER = 8  # chunks that the workers hand over at once: calls of one size
_OUT_OF_TIME = 2.0  # a share of the time that says: stop now


@dataclass(frozen=True, slots=True)
class Pace:
    """How many scenes a step takes, and how often a stage reports."""

    batch_size: int  # of all processes together
    log_every: int  # steps of a pair
    log_seconds: float = 15  # of a process that trains alone
    save_seconds: float = 60  # likewise


class PairedStage(ABC):
    """One stage in one of its processes."""

    name: str
    first_seed = 0  # of the leader's scenes
    picture_capacity = 100_000  # on a card: 5 GB

    def __init__(
        self,
        run: TrainingRun,
        weights: SharedWeights,
        optimizer: PairedAdam,
        *,
        pace: Pace,
        workers: SceneWorkers | None,
    ) -> None:
        """`workers` render for a process that trains alone."""
        self.run, self.weights, self.optimizer = run, weights, optimizer
        self.partner: Partner = optimizer.partner
        self.pace, self.workers = pace, workers
        self.device = weights.values.device
        self.stream = workers or SceneStream(self.first_seed + self.partner.rank * FOLLOWER_SEED)
        self.generator = torch.Generator(self.device).manual_seed(self.partner.rank)
        self.pictures = Ring(self.picture_capacity)
        self._last_report = self._last_save = 0.0
        self._reported_step = 0

    @property
    def share(self) -> int:
        """How many scenes of a batch are this process's."""
        return self.pace.batch_size // self.partner.processes

    @abstractmethod
    def batch_loss(self, fraction: float) -> Tensor:
        """Loss of this process's share of the next batch, at this share of the time."""

    @abstractmethod
    def learning_rate(self, fraction: float) -> float: ...

    @abstractmethod
    def held_out_figures(self) -> str:
        """Figures on scenes that training never sees, for the log."""

    @abstractmethod
    def finish(self) -> None:
        """Called by the leader when the time is spent."""

    def run_to_end(self) -> None:
        """Train until the time is spent or a stop is asked for; both leave a checkpoint."""
        self.resume()
        while self.train_step():
            pass
        self.save()
        if self.partner.leads and not self.run.stopped:
            self.finish()

    def train_step(self) -> bool:
        """One optimiser step of both processes; False when the time is spent."""
        fraction = self.partner.follow_leader(
            _OUT_OF_TIME if self.run.finished else self.run.fraction
        )
        if fraction >= 1:
            return False
        loss = self.batch_loss(fraction)
        loss.backward()
        self.optimizer.step(self.learning_rate(fraction))
        self.run.count_step()
        if self._report_is_due():
            self._report(loss.item())
        return True

    def _report_is_due(self) -> bool:
        """After a number of steps, so that both of a pair do it; alone after a time."""
        if self.partner.processes == 2:
            return self.optimizer.step_count % self.pace.log_every == 0
        return self.run.spent_seconds - self._last_report >= self.pace.log_seconds

    def warmup(self, steps: int) -> float:
        return min(1.0, (self.optimizer.step_count + 1) / steps)

    def resume(self) -> None:
        """Go on from the last checkpoint if there is one."""
        state = load_checkpoint(self.checkpoint_path())
        if state is not None:
            self._take_up(state)
        self._last_report = self._last_save = self.run.spent_seconds
        self._reported_step = self.optimizer.step_count
        if self.workers is not None:
            self.workers.start()

    def images(self, count: int) -> Tensor:
        """Pictures in -1..1 for a step: new ones, or some of those that the workers rendered."""
        if self.workers is None:
            return self.stream.images(count)
        while self.pictures.size < count:
            self.pictures.add(self._next_rendered()[0])
        for images, _ in self._new_rendered():
            self.pictures.add(images)
        (drawn,) = self.pictures.draw(count, self.generator)
        return to_signed(drawn)

    def _new_rendered(self) -> Iterator[tuple[Tensor, Tensor]]:
        """What the workers have ready, without waiting; not much more than a step uses."""
        assert self.workers is not None
        for _ in range(0, self.share, HANDED_OVER * CHUNK):
            if self.workers.ready(HANDED_OVER):
                yield self._next_rendered()

    def _next_rendered(self) -> tuple[Tensor, Tensor]:
        """Pictures (n, SIZE, SIZE, 3) in 0..255 and tokens from the workers, on the device."""
        assert self.workers is not None
        rendered = self.workers.take(HANDED_OVER, pinned=self.device.type != "cpu")
        images, tokens = (part.to(self.device, non_blocking=True) for part in rendered)
        return images, tokens

    def _take_up(self, state: dict[str, Any]) -> None:
        self.optimizer.load_state(state["optimizer"])
        if self.partner.leads:
            self.weights.values.copy_(state["values"])
            self.weights.average.copy_(state["average"])
        self.generator.set_state(state["generator"])
        torch.set_rng_state(state["noise"])
        self.stream.next_seed = state["next_seed"]
        self.run.spent_seconds = state["seconds"]

    def save(self) -> None:
        """Each process saves its half of the optimiser; the leader also the weights."""
        state = {
            "optimizer": self.optimizer.state(),
            "generator": self.generator.get_state(),
            "noise": torch.get_rng_state(),
            "next_seed": self.stream.next_seed,
            "seconds": self.run.spent_seconds,
        }
        if self.partner.leads:
            state |= {"values": self.weights.values, "average": self.weights.average}
        save_checkpoint(self.checkpoint_path(), state)
        self._last_save = self.run.spent_seconds
        self.partner.exchange(0.0)  # neither goes on before both are saved

    def checkpoint_path(self) -> Path:
        return self.run.work / f"{self.name}-{self.partner.rank}.pt"

    def _report(self, loss: float) -> None:
        if self.partner.processes == 2 or self._save_is_due():
            self.save()
        if self.workers is not None and not self.run.stopped:
            self.workers.check()
        if self.partner.leads:
            step, seconds = self.optimizer.step_count, self.run.spent_seconds
            new_samples = (step - self._reported_step) * self.pace.batch_size
            rate = new_samples / max(seconds - self._last_report, 1e-9)
            self.run.log(
                f"{self.name} step {step} samples {step * self.pace.batch_size} "
                f"({rate:.0f}/s) scenes {self.partner.processes * self.stream.drawn} "
                f"seconds {seconds:.0f} loss {loss:.4f} {self.held_out_figures()}"
            )
            self._last_report, self._reported_step = seconds, step

    def _save_is_due(self) -> bool:
        return self.run.spent_seconds - self._last_save >= self.pace.save_seconds
