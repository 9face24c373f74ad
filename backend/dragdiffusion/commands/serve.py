"""`dragdiffusion serve`."""

from __future__ import annotations

from dragdiffusion.daemon.server import serve
from dragdiffusion.daemon.torch_engine import TorchEngine
from dragdiffusion.settings import Settings


def run_daemon(settings: Settings) -> int:
    """The daemon with the real engine; the exit status."""
    return serve(settings, TorchEngine(settings))
