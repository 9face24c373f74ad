"""The engine's and the daemon's errors.

DragDiffusionError              every error raised on purpose; its text is a sentence for the user
├── InvalidRequest(field)       a request that can never work          → INVALID_ARGUMENT
├── ImageNotFound(field)        a buffer that was not uploaded         → NOT_FOUND
├── ModelNotFound               a model nobody knows                   → NOT_FOUND
├── ModelUnavailable            a known model that cannot work here    → FAILED_PRECONDITION
├── OutOfMemory                 the device's or the cache's memory     → RESOURCE_EXHAUSTED
├── UnusableArchive             a stored preparation, made anew        (never leaves the daemon)
└── Cancelled                   the caller asked to stop               → CANCELLED
"""

from threading import Event


class DragDiffusionError(Exception):
    """Raised on purpose; the text is one sentence that says what to do. `field`: what of the request is at fault."""

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class InvalidRequest(DragDiffusionError):
    """A request that can never work. `field` names what is wrong in it, for instance "trajectories[1]"."""


class ImageNotFound(DragDiffusionError):
    """A pixel buffer that the daemon does not hold: upload it and ask again."""


class ModelNotFound(DragDiffusionError):
    """No model has this name, and it is neither a folder nor a file."""


class ModelUnavailable(DragDiffusionError):
    """The model is known but its files are not on this machine, or are damaged, or its numbers overflow."""


class OutOfMemory(DragDiffusionError):
    """The device or the cache has no room; the text says what to reduce."""


class UnusableArchive(DragDiffusionError):
    """A stored preparation that is damaged or of something else; the text says what is wrong with it."""


class Cancelled(DragDiffusionError):
    """The stop event was set while the work ran."""


def check_stop(stop: Event) -> None:
    if stop.is_set():
        raise Cancelled("The edit was cancelled.")
