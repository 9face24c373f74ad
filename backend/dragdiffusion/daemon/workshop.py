"""What the RPC methods share."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from dragdiffusion.daemon.authentication import Activity
from dragdiffusion.daemon.buffers import BufferStore
from dragdiffusion.daemon.jobs import JobQueue, once
from dragdiffusion.daemon.progress import PaceBook
from dragdiffusion.daemon.workbench import Workbench
from dragdiffusion.settings import Settings


@dataclass(frozen=True)
class Workshop:
    """One for the life of a daemon."""

    settings: Settings
    buffers: BufferStore
    queue: JobQueue
    workbench: Workbench
    paces: PaceBook
    activity: Activity
    log_file: str
    stop_daemon: Callable[[], None]
    started: float = field(default_factory=time.monotonic)

    def release(self) -> None:
        """Free the model and the prepared images from memory, after the work that is queued."""
        for _ in self.queue.submit(
            lambda _stop: once(self.workbench.release), is_edit=False
        ).events():
            pass
