"""Prepared images, kept within a bound of memory: the least recently used go first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, Protocol, TypeVar


class Sized(Protocol):
    """What the store needs to know of a session."""

    @property
    def num_bytes(self) -> int: ...


S = TypeVar("S", bound=Sized)


class SessionStore(Generic[S]):
    """At most `max_bytes` of sessions; one that is larger on its own is not kept."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._sessions: OrderedDict[Hashable, S] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        with self._lock:
            return len(self._sessions)

    @property
    def num_bytes(self) -> int:
        with self._lock:
            return self._total()

    def get(self, key: Hashable) -> S | None:
        with self._lock:
            if key in self._sessions:
                self._sessions.move_to_end(key)
            return self._sessions.get(key)

    def put(self, key: Hashable, session: S) -> None:
        with self._lock:
            self._sessions[key] = session
            self._sessions.move_to_end(key)
            self._evict()

    def limit(self, max_bytes: int) -> None:
        """Lower the bound."""
        with self._lock:
            self._max_bytes = min(self._max_bytes, max_bytes)
            self._evict()

    def clear(self) -> None:
        with self._lock:
            self._sessions.clear()

    def _evict(self) -> None:
        while self._sessions and self._total() > self._max_bytes:
            self._sessions.popitem(last=False)

    def _total(self) -> int:
        return sum(session.num_bytes for session in self._sessions.values())
