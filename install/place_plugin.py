"""Places the plug-in in every GIMP 3 profile on this machine, or takes it away.

To place it takes the daemon's Python, which can make the help pages; the rest is standard library only.

python install/place_plugin.py place --daemon /path/to/dragdiffusion [--profile DIR]...
python install/place_plugin.py remove [--profile DIR]...
python install/place_plugin.py profiles
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from catalogues import compile_all

PLUGIN_NAME = "drag_diffusion"
PLUGIN_SOURCE = Path(__file__).resolve().parent.parent / "gimp_plugin" / PLUGIN_NAME
PROFILE_NAME = re.compile(r"3\.\d+")  # GIMP names a profile by its stable series: 3.0, 3.2
VERSION = re.compile(r"\b(3)\.(\d+)\.\d+")


def config_roots(home: Path, environ: Mapping[str, str], platform: str) -> list[Path]:
    """The folders that hold GIMP's profiles: native, Flatpak and Snap builds each have their own."""
    if platform == "win32":
        return [Path(environ.get("APPDATA", home / "AppData" / "Roaming")) / "GIMP"]
    if platform == "darwin":
        return [home / "Library" / "Application Support" / "GIMP"]
    native = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    return [
        native / "GIMP",
        home / ".var" / "app" / "org.gimp.GIMP" / "config" / "GIMP",
        home / "snap" / "gimp" / "current" / ".config" / "GIMP",
    ]


def existing_profiles(roots: list[Path]) -> list[Path]:
    """Every profile folder of a GIMP 3, oldest series first."""
    found = [
        folder
        for root in roots
        if root.is_dir()
        for folder in root.iterdir()
        if folder.is_dir() and PROFILE_NAME.fullmatch(folder.name)
    ]
    return sorted(found, key=lambda folder: (str(folder.parent), int(folder.name[2:])))


def installed_series() -> str | None:
    """The series of the GIMP 3 on PATH, or where macOS and Windows have programs, such as "3.0"; or None."""
    for command in ("gimp-console", "gimp", *bundles(os.environ, sys.platform)):
        executable = shutil.which(command)
        if executable is None:
            continue
        answer = subprocess.run(
            [executable, "--version"], capture_output=True, text=True, check=False, timeout=60
        )
        match = VERSION.search(answer.stdout)
        if match:
            return f"{match[1]}.{match[2]}"
    return None


def bundles(environ: Mapping[str, str], platform: str) -> list[str]:
    """GIMPs that are not on PATH by themselves."""
    if platform == "darwin":
        return ["/Applications/GIMP.app/Contents/MacOS/gimp"]
    if platform != "win32":
        return []
    folders = [Path(environ.get("PROGRAMFILES", r"C:\Program Files"))]
    if "LOCALAPPDATA" in environ:  # installed for one user
        folders.append(Path(environ["LOCALAPPDATA"]) / "Programs")
    return [
        str(path)
        for folder in folders
        for path in sorted(folder.glob("GIMP 3*/bin/gimp-console-3*.exe"))
    ]


def profiles_to_use(
    home: Path,
    environ: Mapping[str, str],
    platform: str,
    *,
    series: Callable[[], str | None] = installed_series,
) -> list[Path]:
    """The existing profiles, that of an installed GIMP which was never started, and what GIMP3_DIRECTORY names."""
    roots = config_roots(home, environ, platform)
    profiles = existing_profiles(roots)
    installed = series()
    if installed and roots[0] / installed not in profiles:
        profiles.append(roots[0] / installed)
    if environ.get("GIMP3_DIRECTORY"):
        profiles.append(home / environ["GIMP3_DIRECTORY"])
    return profiles


def place(profile: Path, daemon: Path) -> Path:
    """Copies the plug-in into `profile`, in one step as GIMP sees it, and tells it where the daemon is."""
    from help_pages import write_help  # not everybody's Python has what it needs

    plug_ins = profile / "plug-ins"
    plug_ins.mkdir(parents=True, exist_ok=True)
    fresh = profile / f".{PLUGIN_NAME}.new"  # beside plug-ins, where GIMP does not look
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(PLUGIN_SOURCE, fresh, ignore=shutil.ignore_patterns("__pycache__"))
    compile_all(fresh / "locale")
    write_help(fresh / "help")
    command = {"command": [str(daemon), "serve"]}
    (fresh / "daemon.json").write_text(json.dumps(command) + "\n", encoding="utf-8")
    entry = fresh / f"{PLUGIN_NAME}.py"
    entry.chmod(entry.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    placed = plug_ins / PLUGIN_NAME
    shutil.rmtree(placed, ignore_errors=True)
    fresh.replace(placed)
    return placed


def remove(profile: Path) -> Path | None:
    """Takes the plug-in out of `profile`; None if it was not there."""
    placed = profile / "plug-ins" / PLUGIN_NAME
    if not placed.is_dir():
        return None
    shutil.rmtree(placed)
    return placed


def forget(profile: Path) -> None:
    """The values that GIMP keeps of the plug-in's last calls; the prompt is one of them."""
    for kept in (profile / "plug-in-settings").glob("*plug-in-drag-diffusion*"):
        kept.unlink()


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=("place", "remove", "profiles"))
    parser.add_argument("--daemon", type=Path, help="the dragdiffusion executable (for place)")
    parser.add_argument(
        "--profile", type=Path, action="append", help="this GIMP profile instead of those found"
    )
    parsed = parser.parse_args(arguments)
    if parsed.action == "place" and parsed.daemon is None:
        parser.error("place needs --daemon")
    return parsed


def _run(parsed: argparse.Namespace) -> Iterator[Path]:
    profiles = parsed.profile or profiles_to_use(Path.home(), os.environ, sys.platform)
    for profile in profiles:
        if parsed.action == "profiles":
            yield profile
        elif parsed.action == "place":
            yield place(profile, parsed.daemon)
        elif (removed := remove(profile)) is not None:
            yield removed


if __name__ == "__main__":
    for path in _run(_parse(sys.argv[1:])):
        print(path)
