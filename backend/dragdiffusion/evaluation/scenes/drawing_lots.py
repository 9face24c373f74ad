"""Random choices of a scene's parameters, in one place so that every kind reads the same."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


class Lots:
    """Draws parameters from one seed; the order of the calls decides the values."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)

    def between(self, low: float, high: float) -> float:
        return float(self._random.uniform(low, high))

    def one_of(self, names: Sequence[str]) -> str:
        return names[int(self._random.integers(len(names)))]

    def chance(self, probability: float) -> bool:
        return bool(self._random.random() < probability)

    def sign(self) -> int:
        return 1 if self.chance(0.5) else -1

    def seed(self) -> int:
        return int(self._random.integers(2**62))
