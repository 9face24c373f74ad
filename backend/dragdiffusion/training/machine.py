"""What a stage trains on: two processes on a CPU, or one process with a graphics card."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from transformers import CLIPTokenizer

from .pair import Partner, train_in_pair
from .scene_workers import SceneWorkers


@dataclass(frozen=True, slots=True)
class Machine:
    device: str = "cpu"
    workers: int = 0  # processes that render scenes; 0: two processes train, and each renders
    channels_last: bool = False  # how the denoiser's convolutions lay out what they compute
    half_norms: bool = False  # whether its norms read and write bfloat16, as all else does
    records: bool = False  # whether its operations are started all at once, as a CUDA graph

    @classmethod
    def of(
        cls,
        device: str,
        workers: int | None,
        *,
        channels_last: bool,
        half_norms: bool,
        records: bool,
    ) -> Machine:
        """A card needs workers: all cores but two, unless said otherwise."""
        if workers is None:
            workers = 0 if device == "cpu" else max(1, (os.cpu_count() or 1) - 2)
        if device != "cpu" and not workers:
            raise ValueError("Training on a card needs at least one worker: --workers 1.")
        return cls(device, workers, channels_last, half_norms, records and device != "cpu")

    @property
    def processes(self) -> int:
        return 1 if self.workers else 2

    @contextmanager
    def scenes(
        self, first_seed: int = 0, tokenizer: CLIPTokenizer | None = None
    ) -> Iterator[SceneWorkers | None]:
        """The workers, or None where the training processes render; before the card is touched."""
        if not self.workers:
            yield None
            return
        workers = SceneWorkers(self.workers, first_seed, tokenizer)
        try:
            yield workers
        finally:
            workers.stop()

    def train(self, work: Callable[[Partner], None]) -> None:
        if self.workers:
            torch.set_float32_matmul_precision("high")
            work(Partner(0, None))
        else:
            train_in_pair(work)
