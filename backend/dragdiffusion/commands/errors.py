"""What a command says when it cannot do what it was asked."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import grpc

from dragdiffusion.client.connection import DaemonError
from dragdiffusion.engine.errors import DragDiffusionError, InvalidRequest, ModelNotFound

FAILED = 1
BAD_INPUT = 2
INTERRUPTED = 130  # as shells have it
_BAD_INPUT_CODES = (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND)


class BadInput(Exception):
    """Arguments or files that cannot be used; the text says what to change."""


class CommandFailed(Exception):
    """What was asked for could not be done; the text says what to do about it."""


@contextmanager
def errors_as_exit_status() -> Iterator[None]:
    """One sentence on stderr and an exit status, instead of a traceback."""
    try:
        yield
    except KeyboardInterrupt:
        _end("Cancelled.", INTERRUPTED)
    except (BadInput, InvalidRequest, ModelNotFound) as error:
        _end(str(error), BAD_INPUT)
    except DaemonError as error:
        _end(str(error), BAD_INPUT if error.code in _BAD_INPUT_CODES else FAILED)
    except (DragDiffusionError, CommandFailed) as error:
        _end(str(error), FAILED)
    except OSError as error:
        _end(
            f"{error.strerror or error}: {error.filename}" if error.filename else str(error), FAILED
        )


def _end(sentence: str, status: int) -> None:
    print(f"dragdiffusion: {sentence}", file=sys.stderr)
    raise SystemExit(status)
