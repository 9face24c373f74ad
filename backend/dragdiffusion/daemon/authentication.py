"""Every call must carry the token of the endpoint file; each that does counts as activity."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable
from typing import Any, NoReturn

import grpc


class Activity:
    """When the daemon was last of use."""

    def __init__(self) -> None:
        self._last = self._before = time.monotonic()

    def touch(self) -> None:
        self._before, self._last = self._last, time.monotonic()

    @property
    def idle_seconds(self) -> float:
        return time.monotonic() - self._last

    @property
    def idle_seconds_before(self) -> float:
        """As it was when the last call came."""
        return self._last - self._before


class TokenInterceptor(grpc.ServerInterceptor):
    """Refuses calls without "authorization: Bearer TOKEN"; the others are activity."""

    def __init__(self, token: str, activity: Activity) -> None:
        self._expected = f"Bearer {token}".encode()
        self._activity = activity
        self._refusal = grpc.unary_unary_rpc_method_handler(_refuse)

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler | None:
        for key, value in handler_call_details.invocation_metadata:
            if key == "authorization" and self._fits(value):
                self._activity.touch()
                return continuation(handler_call_details)
        return self._refusal

    def _fits(self, value: str | bytes) -> bool:
        given = value.encode("utf-8") if isinstance(value, str) else value
        return hmac.compare_digest(given, self._expected)


def _refuse(request: Any, context: grpc.ServicerContext) -> NoReturn:
    del request
    context.abort(
        grpc.StatusCode.UNAUTHENTICATED,
        "The token is missing or wrong: read it from the daemon's endpoint file again.",
    )
