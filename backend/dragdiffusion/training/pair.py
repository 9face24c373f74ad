"""Two single-threaded processes train one model: twice one core, whatever else the machine does.

Measured on two cores: threads inside an operation wait for each other hundreds of times a step,
so that any other process on the machine slows training several times; two processes that meet
three times a step lose only what the other process takes. Weights, their average and both
gradients live in shared memory as flat vectors; each process updates its half of the vector.

On a graphics card one process trains alone: it has no partner to wait for, and the whole vector.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection

import torch
import torch.multiprocessing as multiprocessing
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Partner:
    """The way to the other process; a dead partner raises EOFError instead of blocking for ever."""

    rank: int  # 0 keeps clock, log and checkpoints
    connection: Connection | None  # None: this process trains alone

    @property
    def leads(self) -> bool:
        return self.rank == 0

    @property
    def processes(self) -> int:
        return 1 if self.connection is None else 2

    def exchange(self, mine: float) -> float:
        """Wait for the partner; give it a number and take its own. Alone: 0."""
        if self.connection is None:
            return 0.0
        self.connection.send(mine)
        theirs: float = self.connection.recv()
        return theirs

    def follow_leader(self, mine: float) -> float:
        """Wait for the partner; both get the leader's number."""
        theirs = self.exchange(mine)
        return mine if self.leads else theirs

    def total(self, mine: Tensor) -> Tensor:
        """The sum of both processes' numbers; alone it stays where it is, and nothing waits."""
        return mine if self.connection is None else mine + self.exchange(float(mine))


def train_in_pair(work: Callable[[Partner], None]) -> None:
    """Run `work` in this process (rank 0) and in a forked one (rank 1).

    Fork keeps everything built before the call; tensors in shared memory stay shared.
    """
    torch.set_num_threads(1)
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    follower = context.Process(target=_follow, args=(work, there, here), daemon=True)
    follower.start()
    there.close()
    work(Partner(0, here))
    follower.join()


def _follow(work: Callable[[Partner], None], mine: Connection, leaders: Connection) -> None:
    leaders.close()
    torch.set_num_threads(1)
    try:
        work(Partner(1, mine))
    except EOFError:
        return  # the leader is gone: nothing left to do


class SharedWeights:
    """All trainable weights of some modules as one flat vector in shared memory, or on a card.

    Build it before the fork. `average` holds the exponential moving average of the weights.
    Parameters of one shape lie side by side, so that the optimiser can take them as one stack.
    """

    def __init__(
        self, modules: list[nn.Module], device: str = "cpu", *, processes: int = 2
    ) -> None:
        """Also moves the modules to the device; each process has its own row of gradients."""
        for module in modules:
            module.to(device)
        self.parameters = _sorted_parameters(modules)
        flat = torch.cat([parameter.detach().flatten() for parameter in self.parameters])
        self.values = flat.clone().share_memory_()  # does nothing on a card
        self.average = flat.clone().share_memory_()
        self.gradients = torch.zeros(processes, len(flat), device=device).share_memory_()
        self._point_to(self.parameters, self.values)

    def __len__(self) -> int:
        return len(self.values)

    def use_gradients_of(self, rank: int) -> None:
        """Let backward accumulate into this process's row."""
        offset = 0
        for parameter in self.parameters:
            end = offset + parameter.numel()
            parameter.grad = self.gradients[rank, offset:end].view_as(parameter)
            offset = end

    def show_average_in(self, modules: list[nn.Module]) -> None:
        """Make copies of the modules read the average instead of the weights."""
        self._point_to(_sorted_parameters(modules), self.average)

    @staticmethod
    def _point_to(parameters: list[nn.Parameter], flat: Tensor) -> None:
        offset = 0
        for parameter in parameters:
            end = offset + parameter.numel()
            parameter.data = flat[offset:end].view_as(parameter)
            offset = end


def _sorted_parameters(modules: list[nn.Module]) -> list[nn.Parameter]:
    """Vectors first, then by shape; equal shapes keep their order."""
    parameters = [p for module in modules for p in module.parameters()]
    return sorted(parameters, key=lambda parameter: (parameter.ndim, parameter.shape))
