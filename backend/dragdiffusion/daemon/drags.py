"""The drags that wait or run, by the names that their clients gave them, so that one can be told to take what it has.

with drags.named("a name") as enough:
    ...                      # drag until `enough` is set
drags.finish("a name")       # from any thread
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from dragdiffusion.engine.errors import InvalidRequest


class NamedDrags:
    """See the module's text."""

    def __init__(self) -> None:
        self._enough: dict[str, threading.Event] = {}
        self._lock = threading.Lock()

    @contextmanager
    def named(self, edit_id: str) -> Iterator[threading.Event]:
        """The event that finish() sets; with an empty name nobody can."""
        enough = threading.Event()
        if not edit_id:
            yield enough
            return
        with self._lock:
            if edit_id in self._enough:
                raise InvalidRequest(
                    "Another drag that runs has this edit_id: choose a new one for every drag.",
                    field="edit_id",
                )
            self._enough[edit_id] = enough
        try:
            yield enough
        finally:
            with self._lock:
                del self._enough[edit_id]

    def finish(self, edit_id: str) -> bool:
        """Whether there is such a drag."""
        with self._lock:
            enough = self._enough.get(edit_id)
        if enough is None:
            return False
        enough.set()
        return True
