"""`dragdiffusion serve`."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from dragdiffusion.commands.errors import BadInput
from dragdiffusion.daemon.server import serve
from dragdiffusion.daemon.torch_engine import TorchEngine
from dragdiffusion.settings import Settings


def run_daemon(flags: dict[str, Any], *, replace: bool = False) -> int:
    """The daemon with the real engine, in the place of the one that runs if told so; the exit status."""
    settings = read_settings(flags)
    return serve(settings, TorchEngine(settings), replace=replace)


def read_settings(flags: dict[str, Any]) -> Settings:
    try:
        return Settings(**flags)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise BadInput(f"The setting {name} cannot be used: {first['msg']}.") from error
