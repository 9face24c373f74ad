"""Where the installer puts things on each platform: where the daemon looks for them (platformdirs), without that package."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

NAME = "dragdiffusion"


@dataclass(frozen=True)
class Places:
    home: Path  # the daemon's environment, the demonstration, downloaded models
    cache: Path  # prepared images
    state: Path  # logs
    config: Path  # settings; what the plug-in remembers
    links: Path | None  # a folder of commands, for a link to the program; None: no such folder
    programs: str  # a virtual environment's folder of programs
    suffix: str  # of a program

    @property
    def venv(self) -> Path:
        return self.home / "venv"

    @property
    def demo(self) -> Path:
        return self.home / "demo"

    @property
    def gimp_note(self) -> Path:
        """Where the installer set GIMP 3 up, if it did."""
        return self.home / "gimp-set-up-by-installer"

    @property
    def python(self) -> Path:
        return self.venv / self.programs / f"python{self.suffix}"

    @property
    def daemon(self) -> Path:
        return self.venv / self.programs / f"{NAME}{self.suffix}"

    @property
    def link(self) -> Path | None:
        return self.links and self.links / NAME


def places(
    home: Path | None = None,
    environ: Mapping[str, str] = os.environ,
    platform: str = sys.platform,
) -> Places:
    """Those of this user."""
    user = home or Path.home()
    if platform == "win32":
        local = Path(environ.get("LOCALAPPDATA") or user / "AppData" / "Local") / NAME
        return Places(local, local / "Cache", local, local, None, "Scripts", ".exe")
    links = user / ".local" / "bin"
    config = Path(environ.get("XDG_CONFIG_HOME") or user / ".config") / NAME
    if platform == "darwin":
        library = user / "Library"
        support = library / "Application Support" / NAME
        return Places(support, library / "Caches" / NAME, support, config, links, "bin", "")
    return Places(
        Path(environ.get("XDG_DATA_HOME") or user / ".local" / "share") / NAME,
        Path(environ.get("XDG_CACHE_HOME") or user / ".cache") / NAME,
        user / ".local" / "state" / NAME,
        config,
        links,
        "bin",
        "",
    )
