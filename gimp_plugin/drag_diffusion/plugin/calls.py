"""Calls of the daemon behind an open window: a thread does them, and their events come in the main thread."""

from __future__ import annotations

from typing import Any, AsyncIterator, Callable, Optional

from gi.repository import GLib

from plugin.worker import Finished, Job

POLL_MILLISECONDS = 40


class Call:
    """Tells `on_event` each event, and then `on_end` the error that ended it, or None."""

    def __init__(
        self,
        make_events: Callable[[], AsyncIterator[Any]],
        on_event: Callable[[Any], None],
        on_end: Callable[[Optional[BaseException]], None],
    ) -> None:
        self._on_event, self._on_end = on_event, on_end
        self._job = Job(make_events)
        self._job.start()
        self._source = GLib.timeout_add(POLL_MILLISECONDS, self._poll)

    def cancel(self) -> None:
        """Ask it to stop; `on_end` follows."""
        self._job.cancel()

    def forget(self) -> None:
        """Stop, and tell nothing any more: its window closes."""
        self._job.cancel()
        if self._source:
            GLib.source_remove(self._source)
            self._source = 0

    def _poll(self) -> bool:
        while self._source:
            event = self._job.next_event(0)
            if event is None:
                return GLib.SOURCE_CONTINUE
            if isinstance(event, Finished):
                self._source = 0
                self._on_end(event.error)
            else:
                self._on_event(event)
        return GLib.SOURCE_REMOVE
