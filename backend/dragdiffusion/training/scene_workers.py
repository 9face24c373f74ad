"""Scenes rendered ahead by processes of their own, for a card that trains faster than one renders.

Pictures go through memory that the forked processes share with this one; nothing is pickled, and
nothing needs room in /dev/shm.
"""

from __future__ import annotations

import mmap
import multiprocessing
import os
import signal
from dataclasses import dataclass
from multiprocessing.synchronize import Semaphore
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import CLIPTokenizer

from dragdiffusion.evaluation.scenes import SIZE, caption, render

from .scene_batches import SceneStream
from .tokenizer import TOKEN_LENGTH, tokenize

CHUNK = 32  # scenes that are handed over together
SLOTS = 8  # chunks that a process renders ahead
_PATIENCE = 5.0  # seconds of waiting before a look at whether the other side still lives


@dataclass(frozen=True, slots=True)
class _Slots:
    """One process's finished chunks: a ring in memory that both sides see."""

    images: NDArray[np.uint8]  # (SLOTS, CHUNK, SIZE, SIZE, 3)
    tokens: NDArray[np.int16]  # (SLOTS, CHUNK, TOKEN_LENGTH)
    rendered: Semaphore
    free: Semaphore


class SceneWorkers(SceneStream):
    """A stream of scenes whose pictures `count` processes render ahead, in the seeds' order.

    Make it before anything touches the card: the processes are forked at once, and wait for
    `start`, when `next_seed` is known.
    """

    def __init__(
        self, count: int, first_seed: int = 0, tokenizer: CLIPTokenizer | None = None
    ) -> None:
        """Without a tokenizer all tokens are 0."""
        super().__init__(first_seed)
        context = multiprocessing.get_context("fork")
        self._tokenizer = tokenizer
        self._start_seed = context.Value("q", -1)
        self._started = context.Event()
        self._slots = [
            _Slots(
                _shared((SLOTS, CHUNK, SIZE, SIZE, 3), np.dtype(np.uint8)),
                _shared((SLOTS, CHUNK, TOKEN_LENGTH), np.dtype(np.int16)),
                context.Semaphore(0),
                context.Semaphore(SLOTS),
            )
            for _ in range(count)
        ]
        self._taken = 0  # chunks
        self._processes = [
            context.Process(target=self._render_chunks, args=(number, os.getpid()), daemon=True)
            for number in range(count)
        ]
        for process in self._processes:
            process.start()

    def start(self) -> None:
        """Begin to render at `next_seed`."""
        self._start_seed.value = self.next_seed
        self._started.set()

    def stop(self) -> None:
        for process in self._processes:
            process.kill()
            process.join()

    def check(self) -> None:
        """Raise if a process ended: without it the stream would stand still."""
        for process in self._processes:
            if not process.is_alive():
                raise RuntimeError(
                    f"A process that renders scenes ended with exit code {process.exitcode}. "
                    "Look for its message above, and start the stage again: it goes on from "
                    "its last checkpoint."
                )

    def ready(self, chunks: int) -> bool:
        """Whether `take(chunks)` would not wait."""
        waiting = [slots.rendered.get_value() for slots in self._slots]
        for chunk in range(self._taken, self._taken + chunks):
            owner = chunk % len(waiting)
            if not waiting[owner]:
                return False
            waiting[owner] -= 1
        return True

    def take(self, chunks: int, *, pinned: bool = False) -> tuple[Tensor, Tensor]:
        """The next scenes: pictures (n, SIZE, SIZE, 3) in 0..255 and tokens (n, length)."""
        count = chunks * CHUNK
        images = torch.empty(count, SIZE, SIZE, 3, dtype=torch.uint8, pin_memory=pinned)
        tokens = torch.empty(count, TOKEN_LENGTH, dtype=torch.int16, pin_memory=pinned)
        for start in range(0, count, CHUNK):
            slots = self._slots[self._taken % len(self._slots)]
            place = self._taken // len(self._slots) % SLOTS
            while not slots.rendered.acquire(timeout=_PATIENCE):
                self.check()
            images[start : start + CHUNK] = torch.from_numpy(slots.images[place])
            tokens[start : start + CHUNK] = torch.from_numpy(slots.tokens[place])
            slots.free.release()
            self._taken += 1
        self.next_seed += count
        return images, tokens

    def _render_chunks(self, number: int, parent: int) -> None:
        """What process `number` does: every chunk whose turn is its own, until the parent ends."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent stops training, then this
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        torch.set_num_threads(1)
        while not self._started.wait(_PATIENCE):
            if os.getppid() != parent:
                return
        slots = self._slots[number]
        stream = SceneStream(self._start_seed.value + number * CHUNK)
        done = 0
        while True:
            while not slots.free.acquire(timeout=_PATIENCE):
                if os.getppid() != parent:
                    return
            place = done % SLOTS
            scenes = stream.scenes(CHUNK)
            for index, scene in enumerate(scenes):
                slots.images[place, index] = (render(scene).image * 255).round()
            if self._tokenizer is not None:
                captions = [caption(scene) for scene in scenes]
                slots.tokens[place] = tokenize(self._tokenizer, captions).numpy()
            slots.rendered.release()
            stream.next_seed += (len(self._slots) - 1) * CHUNK
            done += 1


def _shared(shape: tuple[int, ...], kind: np.dtype[Any]) -> NDArray[Any]:
    """Zeros in anonymous memory, which forked processes share."""
    memory = mmap.mmap(-1, int(np.prod(shape)) * kind.itemsize)
    return np.frombuffer(memory, kind).reshape(shape)
