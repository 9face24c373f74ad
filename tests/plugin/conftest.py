"""The plug-in's GIMP-free parts run in the tests' own Python: its folder and its vendored packages come onto the path."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = ROOT / "gimp_plugin" / "drag_diffusion"

sys.path.insert(0, str(PLUGIN))
sys.path.append(str(PLUGIN / "vendor"))
# At once where all is up to date.
subprocess.run([sys.executable, ROOT / "install" / "vendor.py"], check=True)


@pytest.fixture
def fake_daemon():
    from fakes_plugin.fake_daemon import FakeDaemon

    with FakeDaemon() as daemon:
        yield daemon
