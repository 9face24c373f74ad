"""What every stage of training shares: the loop, the checkpoint, the report.

A stage runs in two processes (see `pair`). A subclass says what one batch's loss is, which
learning rate belongs to which share of the time, and what to report.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

import torch
from torch import Tensor

from .optimizer import PairedAdam
from .pair import Partner, SharedWeights
from .run import TrainingRun, load_checkpoint, save_checkpoint
from .scene_batches import FOLLOWER_SEED, SceneStream

_OUT_OF_TIME = 2.0  # a share of the time that says: stop now


class PairedStage(ABC):
    """One stage in one of its two processes; `optimizer` must be set by the subclass."""

    name: str
    log_every: int
    batch_size: int  # of both processes together

    def __init__(self, run: TrainingRun, weights: SharedWeights, optimizer: PairedAdam) -> None:
        self.run, self.weights, self.optimizer = run, weights, optimizer
        self.partner: Partner = optimizer.partner
        self.stream = SceneStream(first_seed=self.partner.rank * FOLLOWER_SEED)
        self.generator = torch.Generator().manual_seed(self.partner.rank)

    @abstractmethod
    def batch_loss(self, fraction: float) -> Tensor:
        """Loss of this process's half of the next batch, at this share of the time."""

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
        if self.optimizer.step_count % self.log_every == 0:
            self._report(loss.item())
        return True

    def warmup(self, steps: int) -> float:
        return min(1.0, (self.optimizer.step_count + 1) / steps)

    def resume(self) -> None:
        """Go on from the last checkpoint if there is one."""
        state = load_checkpoint(self.checkpoint_path())
        if state is None:
            return
        if self.partner.leads:
            self.weights.values.copy_(state["values"])
            self.weights.average.copy_(state["average"])
        self.optimizer.load_state(state["optimizer"])
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
        self.partner.exchange(0.0)  # neither goes on before both are saved

    def checkpoint_path(self) -> Path:
        return self.run.work / f"{self.name}-{self.partner.rank}.pt"

    def _report(self, loss: float) -> None:
        self.save()
        if self.partner.leads:
            step = self.optimizer.step_count
            self.run.log(
                f"{self.name} step {step} samples {step * self.batch_size} "
                f"scenes {2 * self.stream.drawn} seconds {self.run.spent_seconds:.0f} "
                f"loss {loss:.4f} {self.held_out_figures()}"
            )
