"""GIMP in a tree is started when the daemon outside it can be found."""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest


def test_gimp_waits_for_the_daemon(demo: ModuleType, tmp_path: Path) -> None:
    program, endpoint = tmp_path / "dragdiffusion", tmp_path / "endpoint.json"
    places = SimpleNamespace(demo=tmp_path, daemon=program)
    program.write_text(f"#!/bin/sh\nsleep 0.3\ntouch {endpoint}\nexec sleep 60\n")
    program.chmod(0o755)
    with demo._daemon(places, os.environ, endpoint):
        assert endpoint.exists()

    endpoint.unlink()
    program.write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(SystemExit, match=r"did not start; its log: .*daemon\.log"):
        demo._daemon(places, os.environ, endpoint).__enter__()
