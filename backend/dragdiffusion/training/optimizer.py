"""Optimisers whose two halves run in the two processes of a pair.

AdamW for everything that is a vector or a table; Muon (Jordan 2024, with the update scale of Liu et
al. 2025, arXiv 2502.16982) for the matrices and convolutions of the denoiser: with so few steps, its
orthogonal updates learn more from each.
"""

from __future__ import annotations

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
        middle = self._middle()
        self.half = slice(0, middle) if partner.leads else slice(middle, len(weights))
        self.first_moment = torch.zeros_like(weights.values[self.half])
        self.second_moment = torch.zeros_like(self.first_moment)
        self.step_count = 0
        weights.use_gradients_of(partner.rank)

    @torch.no_grad()
    def step(self, learning_rate: float) -> float:
        """Average both gradients, update, and clear; returns the gradient's norm before clipping."""
        rank = self.partner.rank
        self.partner.exchange(0.0)  # both backward passes are done
        gradient = self.weights.gradients[:, self.half].mean(0)
        square = float(gradient.square().sum())
        norm = (square + self.partner.exchange(square)) ** 0.5
        gradient *= min(1.0, 1.0 / (norm + 1e-6))
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
class _Matrix:
    """Where a weight that Muon updates lies in this process's half."""

    place: slice
    rows: int
    columns: int


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
        self._matrices: list[_Matrix] = []
        self._vectors: list[slice] = []
        offset = -self.half.start
        for parameter in weights.parameters:
            place = slice(offset, offset + parameter.numel())
            offset = place.stop
            if not 0 <= place.start < len(self.first_moment):
                continue
            if parameter.ndim < 2 or id(parameter) in adam_only:
                self._vectors.append(place)
            else:
                rows = parameter.shape[0]
                self._matrices.append(_Matrix(place, rows, parameter.numel() // rows))

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
        for place in self._vectors:
            self._update_vector(values[place], gradient[place], place, learning_rate)
        for matrix in self._matrices:
            self._update_matrix(values, gradient, matrix, learning_rate)

    def _update_vector(
        self, values: Tensor, gradient: Tensor, place: slice, learning_rate: float
    ) -> None:
        first, second = self.first_moment[place], self.second_moment[place]
        self._adam(values, gradient, first, second, learning_rate)

    def _update_matrix(
        self, values: Tensor, gradient: Tensor, matrix: _Matrix, learning_rate: float
    ) -> None:
        """Nesterov momentum, orthogonalised; scaled to the size of an AdamW update."""
        moment, slope = self.first_moment[matrix.place], gradient[matrix.place]
        moment.lerp_(slope, 1 - self.momentum)
        direction = slope.lerp(moment, self.momentum).view(matrix.rows, matrix.columns)
        update = orthogonalised(direction).flatten()
        scale = 0.2 * max(matrix.rows, matrix.columns) ** 0.5
        weights = values[matrix.place]
        weights.mul_(1 - learning_rate * self.weight_decay)
        weights.add_(update, alpha=-learning_rate * scale)


def orthogonalised(matrix: Tensor) -> Tensor:
    """The nearest matrix with singular values near 1: five Newton-Schulz steps.

    Every step multiplies by a polynomial of the Gram matrix from the left, so the polynomials are
    multiplied up first, small and square, and the long matrix is multiplied once.
    """
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    wide = wide / (wide.norm() + 1e-7)
    gram = wide @ wide.T
    identity = torch.eye(len(gram))
    product = identity
    for _ in range(5):
        # Coefficients of the quintic that grows small singular values fastest (Jordan 2024).
        step = 3.4445 * identity - 4.7750 * gram + 2.0315 * gram @ gram
        product = step @ product
        gram = step @ gram @ step
    result = (product.bfloat16() @ wide.bfloat16()).float()
    return result if matrix.shape[0] <= matrix.shape[1] else result.T
