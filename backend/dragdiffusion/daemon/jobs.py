"""One device, one edit at a time; the others wait in line and know their place.

    queue = JobQueue(max_waiting=16)
    job = queue.submit(lambda stop: some_generator(stop))
    for event in job.events():    # Queued(position), then what the generator yields
        ...
    job.cancel()                  # from any thread; the generator's stop event is set

All work runs in one thread of the queue, since torch keeps a pool of threads for each thread that calls it. What is not
read by a slow client waits here, but previews replace one another.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from dragdiffusion.engine.drag_types import Preview
from dragdiffusion.engine.errors import Cancelled, DragDiffusionError, OutOfMemory

Work = Callable[[threading.Event], Generator[Any, None, None]]


class Stopping(DragDiffusionError):
    """The daemon is shutting down."""


@dataclass(frozen=True)
class Queued:
    """The job waits; `position` jobs are before it."""

    position: int


class Job:
    """Work that waits, runs or is done, and the events that it has given."""

    def __init__(self, work: Work, *, is_edit: bool = True) -> None:
        self.is_edit = is_edit
        self._work = work
        self._stop = threading.Event()
        self._events: deque[Any] = deque()
        self._changed = threading.Condition()
        self._done = False
        self._error: BaseException | None = None
        self._reason: DragDiffusionError = Cancelled("The edit was cancelled.")

    def cancel(self, reason: DragDiffusionError | None = None) -> None:
        """Ask the work to stop; it does so within one iteration."""
        with self._changed:
            if reason is not None:
                self._reason = reason
            self._stop.set()

    @property
    def cancelled(self) -> bool:
        return self._stop.is_set()

    def events(self) -> Iterator[Any]:
        """What happens, as it happens; raises what ended the work early."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._events or self._done)
                if not self._events:
                    break
                event = self._events.popleft()
            yield event
        if self._error is not None:
            raise self._error

    def post(self, event: object) -> None:
        with self._changed:
            if self._events and isinstance(event, (Preview, Queued)):
                self._events = deque(e for e in self._events if type(e) is not type(event))
            self._events.append(event)
            self._changed.notify_all()

    def run(self) -> None:
        error: BaseException | None = None
        try:
            with closing(self._work(self._stop)) as steps:
                for event in steps:
                    self._raise_if_cancelled()
                    self.post(event)
        except Cancelled:
            error = self._reason
        except BaseException as raised:  # handed to the reader of events()
            error = raised
        self._finish(error)
        del self._work  # with it the request's pixels

    def let_go(self) -> None:
        """End the events of a cancelled job now, even if its work has not stopped yet."""
        self._finish(self._reason)

    def _finish(self, error: BaseException | None) -> None:
        with self._changed:
            if self._done:
                return
            self._error = error
            self._done = True
            if error is not None:
                self._events.clear()
            self._changed.notify_all()

    def _raise_if_cancelled(self) -> None:
        if self._stop.is_set():
            raise self._reason


class JobQueue:
    """The line before the device."""

    def __init__(self, max_waiting: int) -> None:
        self._max_waiting = max_waiting
        self._waiting: deque[Job] = deque()
        self._running: Job | None = None
        self._closed = False
        self._idle_since = time.monotonic()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._serve, name="device", daemon=True)
        self._thread.start()

    @property
    def num_edits(self) -> int:
        """How many wait or run."""
        with self._changed:
            return sum(job.is_edit for job in self._jobs())

    @property
    def idle_seconds(self) -> float:
        """How long nothing has waited or run."""
        with self._changed:
            return 0.0 if self._jobs() else time.monotonic() - self._idle_since

    def submit(self, work: Work, *, is_edit: bool = True) -> Job:
        job = Job(work, is_edit=is_edit)
        with self._changed:
            if self._closed:
                raise Stopping("The daemon is stopping: start it again and repeat the edit.")
            if len(self._waiting) >= self._max_waiting:
                raise OutOfMemory(
                    f"{len(self._waiting)} edits wait already: try again when some are done."
                )
            self._waiting.append(job)
            self._tell_positions()
            self._changed.notify_all()
        return job

    def cancel(self, job: Job, reason: DragDiffusionError | None = None) -> None:
        """Cancel a job; one that waits leaves the line at once."""
        job.cancel(reason)
        with self._changed:
            if job in self._waiting:
                self._waiting.remove(job)
                job.let_go()
                self._tell_positions()

    def close(self) -> None:
        """Cancel everything and take no more."""
        with self._changed:
            self._closed = True
            jobs = self._jobs()
            self._changed.notify_all()
        for job in jobs:
            self.cancel(job, Stopping("The daemon was stopped while the edit ran."))
            job.let_go()

    def join(self, timeout: float) -> bool:
        """Wait for the running job to end after close(); False if it did not."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _serve(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting:
                    return
                job = self._running = self._waiting.popleft()
                self._tell_positions()
            job.run()
            with self._changed:
                if job.is_edit:
                    self._idle_since = time.monotonic()
                self._running = None
            del job

    def _jobs(self) -> list[Job]:
        return [*([self._running] if self._running else []), *self._waiting]

    def _tell_positions(self) -> None:
        before = sum(job.is_edit for job in self._jobs()[: self._running is not None])
        for job in self._waiting:
            job.post(Queued(before))
            before += job.is_edit


def once(action: Callable[[], None]) -> Generator[object, None, None]:
    """An action as work for the queue."""
    action()
    yield None
