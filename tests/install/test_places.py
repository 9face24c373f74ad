"""The installer puts things where the daemon looks for them, on each platform."""

from __future__ import annotations

from pathlib import Path, PurePath
from types import ModuleType

import pytest
from platformdirs import PlatformDirs
from platformdirs.macos import MacOS
from platformdirs.unix import Unix

from dragdiffusion.daemon import endpoint

MOVED = ("DATA", "CACHE", "CONFIG")


@pytest.mark.parametrize(("platform", "kind"), [("linux", Unix), ("darwin", MacOS)])
@pytest.mark.parametrize("moved", [False, True], ids=["standard", "XDG"])
def test_where_the_daemon_looks(
    places: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    platform: str,
    kind: type[PlatformDirs],
    moved: bool,
) -> None:
    environ = {"HOME": str(tmp_path)}
    if moved and platform == "linux":
        environ |= {f"XDG_{name}_HOME": str(tmp_path / name) for name in MOVED}
    for name in MOVED:
        monkeypatch.delenv(f"XDG_{name}_HOME", raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    here, standard = places.places(tmp_path, environ, platform), kind("dragdiffusion", False)

    assert here.home == standard.user_data_path
    assert here.cache == standard.user_cache_path
    assert here.state == endpoint.state_folder(environ, platform)
    if platform == "linux":
        assert here.config == standard.user_config_path
    assert here.daemon == here.home / "venv" / "bin" / "dragdiffusion"
    assert here.link == tmp_path / ".local" / "bin" / "dragdiffusion"


def test_windows(places: ModuleType, tmp_path: Path) -> None:
    environ = {"LOCALAPPDATA": str(tmp_path / "Local"), "HOME": str(tmp_path)}
    here = places.places(tmp_path, environ, "win32")

    # platformdirs of this platform cannot tell: user_data_path, user_cache_path of an app without an author.
    assert here.home == tmp_path / "Local" / "dragdiffusion"
    assert here.cache == here.home / "Cache"
    assert here.config == here.home
    assert here.state == endpoint.state_folder(environ, "win32")
    assert here.daemon.relative_to(here.venv) == PurePath("Scripts", "dragdiffusion.exe")
    assert here.link is None
