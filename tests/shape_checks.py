"""What the import hook of conftest.py checks the engine's functions with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from beartype import beartype


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """Functions inside functions are left: they would be prepared anew at every call, half of what the checks cost."""
    return function if "<locals>" in function.__qualname__ else beartype(function)
