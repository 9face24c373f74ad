"""Optimisers whose two halves run in the two processes of a pair; one process has the whole.

AdamW for everything that is a vector or a table; Muon (Jordan 2024, with the update scale of Liu et
al. 2025, arXiv 2502.16982) for the matrices and convolutions of the denoiser: with so few steps, its
orthogonal updates learn more from each.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .pair import Partner, SharedWeights


class PairedAdam:
    """AdamW on this process's half of the shared weights, with clipping and averaging."""

    def __init__(
        self,
        weights: SharedWeights,
        partner: Partner,
        *,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 1e-2,
        average_decay: float = 0.998,
    ) -> None:
        self.weights, self.partner = weights, partner
        self.betas, self.weight_decay = betas, weight_decay
        self.average_decay = average_decay
        middle = self._middle() if partner.processes == 2 else len(weights)
        self.half = slice(0, middle) if partner.leads else slice(middle, len(weights))
        self.first_moment = torch.zeros_like(weights.values[self.half])
        self.second_moment = torch.zeros_like(self.first_moment)
        self.step_count = 0
        weights.use_gradients_of(partner.rank)

    @torch.no_grad()
    def step(self, learning_rate: float) -> Tensor:
        """Average both gradients, update, and clear; returns the gradient's norm before clipping.

        The norm stays a tensor: on a card its number would be there only after all work is done.
        """
        rank = self.partner.rank
        self.partner.exchange(0.0)  # both backward passes are done
        gradient = self.weights.gradients[:, self.half].mean(0)
        norm = self.partner.total(gradient.square().sum()).sqrt()
        gradient *= (1.0 / (norm + 1e-6)).clamp_max(1.0)
        self.step_count += 1
        self._update(gradient, learning_rate)
        self._update_average()
        self.weights.gradients[rank].zero_()
        self.partner.exchange(0.0)  # both halves are written
        return norm

    def state(self) -> dict[str, Any]:
        """This half's state; the halves are saved by their own processes."""
        return {
            "first_moment": self.first_moment,
            "second_moment": self.second_moment,
            "step_count": self.step_count,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        if len(state["first_moment"]) != len(self.first_moment):
            raise ValueError(
                "The checkpoint was written by another number of processes. Go on as it was "
                "begun (--device, --workers), or take another --work folder."
            )
        self.first_moment.copy_(state["first_moment"])
        self.second_moment.copy_(state["second_moment"])
        self.step_count = int(state["step_count"])

    def _middle(self) -> int:
        """Where the leader's half ends."""
        return len(self.weights) // 2

    def _update(self, gradient: Tensor, learning_rate: float) -> None:
        values = self.weights.values[self.half]
        self._adam(values, gradient, self.first_moment, self.second_moment, learning_rate)

    def _adam(
        self, values: Tensor, gradient: Tensor, first: Tensor, second: Tensor, learning_rate: float
    ) -> None:
        """Decoupled weight decay, then Adam with bias correction (Loshchilov & Hutter 2019)."""
        first_beta, second_beta = self.betas
        first.lerp_(gradient, 1 - first_beta)
        second.mul_(second_beta).addcmul_(gradient, gradient, value=1 - second_beta)
        first_correction = 1 - first_beta**self.step_count
        second_correction = 1 - second_beta**self.step_count
        denominator = (second / second_correction).sqrt_().add_(1e-8)
        values.mul_(1 - learning_rate * self.weight_decay)
        values.addcdiv_(first, denominator, value=-learning_rate / first_correction)

    def _update_average(self) -> None:
        """Young averages forget faster, so that the random start soon has no weight."""
        decay = min(self.average_decay, (1 + self.step_count) / (10 + self.step_count))
        average = self.weights.average[self.half]
        average.lerp_(self.weights.values[self.half], 1 - decay)


@dataclass(frozen=True, slots=True)
class _Run:
    """Parameters of one kind that lie side by side in this process's half."""

    place: slice
    shape: tuple[int, ...]  # (count, rows, columns) of matrices, (elements,) of the rest

    def of(self, flat: Tensor) -> Tensor:
        return flat[self.place].view(self.shape)


class PairedMuon(PairedAdam):
    """Muon for matrices, AdamW for the rest; a parameter belongs wholly to one process."""

    momentum = 0.95

    def __init__(
        self,
        weights: SharedWeights,
        partner: Partner,
        *,
        adam_only: set[int],
        weight_decay: float = 1e-2,
        average_decay: float = 0.999,
    ) -> None:
        """`adam_only`: ids of parameters that are tables or the first or last layer."""
        super().__init__(weights, partner, weight_decay=weight_decay, average_decay=average_decay)
        runs = list(self._runs(adam_only))
        self._stacks = [run for run in runs if len(run.shape) == 3]
        self._vectors = [run for run in runs if len(run.shape) == 1]

    def _runs(self, adam_only: set[int]) -> Iterator[_Run]:
        def kind(parameter: Tensor) -> tuple[int, ...]:
            """Rows and columns of a matrix; nothing for what AdamW updates."""
            if parameter.ndim < 2 or id(parameter) in adam_only:
                return ()
            return (parameter.shape[0], parameter.numel() // parameter.shape[0])

        start = 0
        for shape, neighbours in itertools.groupby(self._own_parameters(), kind):
            sizes = [parameter.numel() for parameter in neighbours]
            place = slice(start, start + sum(sizes))
            start = place.stop
            yield _Run(place, (len(sizes), *shape) if shape else (sum(sizes),))

    def _own_parameters(self) -> Iterator[Tensor]:
        offset = 0
        for parameter in self.weights.parameters:
            if self.half.start <= offset < self.half.stop:
                yield parameter
            offset += parameter.numel()

    def _middle(self) -> int:
        """The first boundary between parameters past half of the matrices' work."""
        costs = [
            p.numel() * min(p.shape[0], p.numel() // p.shape[0]) for p in self.weights.parameters
        ]
        offset, spent = 0, 0
        for parameter, cost in zip(self.weights.parameters, costs, strict=True):
            if spent >= sum(costs) / 2:
                break
            offset, spent = offset + parameter.numel(), spent + cost
        return offset

    def _update(self, gradient: Tensor, learning_rate: float) -> None:
        values = self.weights.values[self.half]
        for run in self._vectors:
            first, second = run.of(self.first_moment), run.of(self.second_moment)
            self._adam(run.of(values), run.of(gradient), first, second, learning_rate)
        directions = [self._direction(run, gradient) for run in self._stacks]
        for run, update in zip(self._stacks, orthogonalised(directions), strict=True):
            # Scaled to the size of an AdamW update.
            scale = 0.2 * max(run.shape[1:]) ** 0.5
            weights = run.of(values)
            weights.mul_(1 - learning_rate * self.weight_decay)
            weights.add_(update, alpha=-learning_rate * scale)

    def _direction(self, run: _Run, gradient: Tensor) -> Tensor:
        """Nesterov momentum."""
        moment, slope = run.of(self.first_moment), run.of(gradient)
        moment.lerp_(slope, 1 - self.momentum)
        return slope.lerp(moment, self.momentum)


def orthogonalised(stacks: list[Tensor]) -> list[Tensor]:
    """For every matrix (…, rows, columns) the nearest one with singular values near 1.

    Five Newton-Schulz steps, each of which multiplies by a polynomial of the Gram matrix from the
    left; so the polynomials are multiplied up first, small and square, those of one size together
    (a card would wait for the launches of many small ones), and the long matrices are multiplied
    once.
    """
    wides = [_wide(stack) for stack in stacks]
    wides = [wide / (wide.norm(dim=(-2, -1), keepdim=True) + 1e-7) for wide in wides]
    products: dict[int, Tensor] = {}
    for size in {wide.shape[-2] for wide in wides}:
        alike = [index for index, wide in enumerate(wides) if wide.shape[-2] == size]
        grams = [(wides[index] @ wides[index].mT).view(-1, size, size) for index in alike]
        parts = _newton_schulz(torch.cat(grams)).split([len(gram) for gram in grams])
        products |= dict(zip(alike, parts, strict=True))
    results = []
    for index, (stack, wide) in enumerate(zip(stacks, wides, strict=True)):
        product = products[index].view(*wide.shape[:-1], -1)
        result = (product.bfloat16() @ wide.bfloat16()).float()
        results.append(result if result.shape == stack.shape else result.mT)
    return results


def _wide(stack: Tensor) -> Tensor:
    return stack if stack.shape[-2] <= stack.shape[-1] else stack.mT


def _newton_schulz(gram: Tensor) -> Tensor:
    """The product of the five steps' polynomials, for every Gram matrix of (…, size, size)."""
    if gram.ndim > 2 and gram.device.type == "cpu":  # its caches hold one matrix, not all
        return torch.stack([_newton_schulz(one) for one in gram])
    identity = torch.eye(gram.shape[-1], device=gram.device)
    product = identity
    for _ in range(5):
        # Coefficients of the quintic that grows small singular values fastest (Jordan 2024).
        step = 3.4445 * identity - 4.7750 * gram + 2.0315 * gram @ gram
        product = step @ product
        gram = step @ gram @ step
    return product
