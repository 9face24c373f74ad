"""The only thread beside GIMP's: it runs an asyncio generator and hands its events over. No GIMP in here.

Use, in the main thread:
    job = Job(lambda: daemon.drag(edit, installation))
    job.start()
    event = job.next_event(0.1)  # again and again, until it is a Finished
"""

from __future__ import annotations

import asyncio
import queue
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, AsyncIterator, Callable, Optional


@dataclass(frozen=True)
class Finished:
    """The last event of a job. No error and not cancelled: it did what it should."""

    error: Optional[BaseException] = None
    cancelled: bool = False

    def raise_error(self) -> None:
        if self.error is not None:
            raise self.error


class Job:
    """Runs an asynchronous generator in a thread of its own; its events are taken from the main thread."""

    def __init__(self, make_events: Callable[[], AsyncIterator[Any]]) -> None:
        self._make_events = make_events
        self._events: "queue.Queue[Any]" = queue.Queue()
        self._loop = asyncio.new_event_loop()
        self._task: "Optional[asyncio.Task[None]]" = None
        self._thread: Optional[threading.Thread] = None

    def start(self) -> None:
        self._task = self._loop.create_task(self._pump())
        self._thread = threading.Thread(
            target=self._run, args=(self._task,), name="drag-edit", daemon=True
        )
        self._thread.start()

    def next_event(self, timeout: float) -> Any:
        """The next event, or None if none came within `timeout` seconds (0: do not wait)."""
        try:
            return self._events.get(timeout=timeout) if timeout else self._events.get_nowait()
        except queue.Empty:
            return None

    def cancel(self) -> None:
        """Ask it to stop; a Finished(cancelled=True) follows, unless it had finished."""
        with suppress(RuntimeError):  # the loop is closed: it has finished
            self._loop.call_soon_threadsafe(self._cancel_task)

    def join(self, timeout: float) -> None:
        if self._thread is not None:
            self._thread.join(timeout)

    def _cancel_task(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _run(self, task: "asyncio.Task[None]") -> None:
        finished = Finished()
        try:
            self._loop.run_until_complete(task)
        except asyncio.CancelledError:
            finished = Finished(cancelled=True)
        except Exception as error:  # whatever it is, the main thread tells the user
            finished = Finished(error=error)
        finally:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()
            self._events.put(finished)

    async def _pump(self) -> None:
        async for event in self._make_events():
            self._events.put(event)
