"""Errors → gRPC status codes, each with one sentence for the user. Tracebacks go to the log only."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import grpc

from dragdiffusion.daemon.jobs import Stopping
from dragdiffusion.engine import errors

FIELD_KEY = "dragdiffusion-field"
_ABOUT_THE_MODEL = (errors.ModelNotFound, errors.ModelUnavailable)

_CODES: tuple[tuple[type[errors.DragDiffusionError], grpc.StatusCode], ...] = (
    (errors.InvalidRequest, grpc.StatusCode.INVALID_ARGUMENT),
    (errors.ImageNotFound, grpc.StatusCode.NOT_FOUND),
    (errors.ModelNotFound, grpc.StatusCode.NOT_FOUND),
    (errors.ModelUnavailable, grpc.StatusCode.FAILED_PRECONDITION),
    (errors.OutOfMemory, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (errors.Cancelled, grpc.StatusCode.CANCELLED),
    (Stopping, grpc.StatusCode.UNAVAILABLE),
)
_log = logging.getLogger(__name__)


@contextmanager
def errors_as_statuses(
    context: grpc.ServicerContext, log_file: str, *, model_field: str = "model"
) -> Iterator[None]:
    """End the call with the status that fits the error raised within. `model_field`: what names the model in the request."""
    try:
        yield
    except errors.DragDiffusionError as error:
        _log.info("%s: %s", type(error).__name__, error)
        field = model_field if isinstance(error, _ABOUT_THE_MODEL) else error.field
        _abort(context, code_of(error), str(error), field)
    except Exception as error:
        if not context.is_active():  # the client has gone: nobody to tell
            raise
        _log.exception("a defect")
        sentence = f"Something went wrong in the daemon ({type(error).__name__}). "
        _abort(context, grpc.StatusCode.INTERNAL, f"{sentence}Details are in {log_file}.", "")


def code_of(error: errors.DragDiffusionError) -> grpc.StatusCode:
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code
    return grpc.StatusCode.INTERNAL


def _abort(
    context: grpc.ServicerContext, code: grpc.StatusCode, sentence: str, field: str
) -> NoReturn:
    if field:
        context.set_trailing_metadata(((FIELD_KEY, field),))
    context.abort(code, sentence)
