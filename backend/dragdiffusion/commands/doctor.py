"""`dragdiffusion doctor`: what works here, what does not, and what to do about it."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dragdiffusion import __version__
from dragdiffusion.client.connection import DaemonError
from dragdiffusion.client.launch import find_daemon, find_silent_daemon
from dragdiffusion.commands.cache import find_cache
from dragdiffusion.commands.errors import BadInput
from dragdiffusion.commands.outputs import nearest_existing
from dragdiffusion.daemon import endpoint as endpoints
from dragdiffusion.engine.errors import DragDiffusionError
from dragdiffusion.models import catalogue, inventory
from dragdiffusion.models.catalogue import ModelSource
from dragdiffusion.models.inventory import State
from dragdiffusion.settings import GIB, Settings

if TYPE_CHECKING:
    from dragdiffusion.models.load import Placement

PLUGIN = Path("plug-ins") / "drag_diffusion"
_INSTALL = "Run the installer (install/install.py)."
_OTHER_BUILD = (
    "Run the installer with --torch-index and the address that https://pytorch.org/get-started/locally names "
    "for your card, for instance of an older CUDA."
)


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    subject: str
    text: str
    advice: str = ""  # empty: all is well


def run_doctor() -> int:
    """Print a line for each check; the number of problems, at most 1."""
    problems = 0
    for check in CHECKS:
        for finding in check():
            problems += bool(finding.advice)
            mark = "problem" if finding.advice else "ok"
            print(f"{mark:<8} {finding.subject}: {finding.text}", flush=True)
            if finding.advice:
                print(f"{'':<8} → {finding.advice}")
    return min(problems, 1)


def check_python() -> Iterator[Finding]:
    text = f"{platform.python_version()} at {sys.executable}; dragdiffusion {__version__}"
    advice = "" if sys.version_info >= (3, 10) else "Install Python 3.10 or newer."
    yield Finding("Python", text, advice)


def check_command() -> Iterator[Finding]:
    """The installer makes a link in ~/.local/bin, where most systems look from the next login on."""
    here = Path(sys.executable).with_name("dragdiffusion")
    missing = f"not on the PATH, perhaps until you log in again; it is {here}"
    yield Finding("Command dragdiffusion", shutil.which("dragdiffusion") or missing)


def check_torch() -> Iterator[Finding]:
    try:
        import diffusers
        import torch

        from dragdiffusion.models.load import place

        settings = Settings()
        placement = place(settings.device, settings.dtype)
    except DragDiffusionError as error:
        yield Finding("Device", str(error), 'Set device to "auto".')
    except Exception as error:  # whatever a broken installation raises
        yield Finding("torch", f"does not start ({error})", _INSTALL)
    else:
        yield Finding("torch", f"{torch.__version__}, diffusers {diffusers.__version__}")
        yield _device_finding(placement, asked=settings.device)
        yield _memory_finding(settings)


def _device_finding(placement: Placement, *, asked: str) -> Finding:
    import torch

    text = f"{placement.description}, {placement.dtype_name}"
    if placement.device.type != "cpu":
        try:
            torch.ones(1, device=placement.device).add(1).item()
        except Exception as error:  # whatever a driver raises
            reason = str(error).splitlines()[0]
            return Finding("Device", f"{text}, does not compute ({reason})", _OTHER_BUILD)
        return Finding("Device", text)
    card = _nvidia_card() if asked == "auto" else ""
    if not card:
        return Finding("Device", f"{text} (no accelerator found: large models will be slow)")
    if torch.version.cuda is None:
        advice = f"This PyTorch is built for the CPU. {_INSTALL} It takes the NVIDIA build."
    else:
        advice = f"Update its driver to one for CUDA {torch.version.cuda}. Too old a card for that? {_OTHER_BUILD}"
    return Finding("Device", f"{text}, not the card that is here, {card}", advice)


def _nvidia_card() -> str:
    """As the driver names it; "" for none."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ""
    query = [program, "--query-gpu=name", "--format=csv,noheader"]
    answer = subprocess.run(query, capture_output=True, text=True, check=False)
    return answer.stdout.splitlines()[0] if answer.returncode == 0 and answer.stdout else ""


def _memory_finding(settings: Settings) -> Finding:
    from dragdiffusion.daemon.torch_engine import TorchEngine

    engine = TorchEngine(settings)
    engine.start()
    total, free = engine.device_memory_bytes()
    text = (
        f"{free / GIB:.1f} of {total / GIB:.1f} GiB free, memory = {settings.memory}; "
        "Stable Diffusion 1.5 at 512 × 512 takes 2.6 to 4.5 GiB in float16 on a graphics card, "
        "6 to 7 GiB in float32 on a CPU"
    )
    return Finding("Memory", text)


def check_models() -> Iterator[Finding]:
    embedded, *others = catalogue.known_models()
    if catalogue.is_available(embedded):
        size = catalogue.size_bytes(embedded) / 1e6
        yield Finding("Model embedded", f"{size:.0f} MB")
    else:
        yield Finding("Model embedded", "its files are missing", _INSTALL)
    for model in others:
        yield _check_download(model)


def _check_download(model: ModelSource) -> Finding:
    subject, get = f"Model {model.name}", f"dragdiffusion models download {model.name}"
    item = inventory.look_at(model)
    if item.state is State.READY:
        return Finding(subject, f"{item.here_bytes / 1e6:,.0f} MB")
    if item.state is State.DAMAGED:
        what = ", ".join(item.damaged) or "a file is missing or cut off"
        return Finding(subject, f"damaged: {what}", f"Run `{get}`: it fetches that again.")
    if item.state is State.PARTIAL:
        return Finding(subject, f"partly downloaded; to go on: {get}")
    return Finding(subject, f"not here; for photographs: {get}")


def check_daemon() -> Iterator[Finding]:
    running = find_daemon()
    if running is not None:
        text = f"version {running.version} on {running.address}, process {running.pid}"
        other = running.version != __version__
        yield Finding("Daemon", text, "Run `dragdiffusion stop`." if other else "")
        return
    silent = find_silent_daemon()
    if silent is not None:
        yield Finding(
            "Daemon",
            f"process {silent.pid} does not answer",
            f"Run `dragdiffusion stop`, which ends it; its log is {silent.log_file}.",
        )
    else:
        yield Finding("Daemon", "not running; it starts when it is needed")


def check_folders() -> Iterator[Finding]:
    for folder in dict.fromkeys((endpoints.endpoint_file().parent, endpoints.state_folder())):
        advice = "" if _is_writable(folder) else f"Make {folder} writable."
        yield Finding("Folder", str(folder), advice)


def check_store() -> Iterator[Finding]:
    try:
        cache = find_cache()
    except (BadInput, DaemonError) as error:
        yield Finding("Prepared images", str(error), "Correct the settings.")
        return
    unusable = cache.max_bytes and not _is_writable(cache.folder)
    advice = f"Make {cache.folder} writable, or set store_folder." if unusable else ""
    yield Finding("Prepared images", f"{cache} in {cache.folder}", advice)


def _is_writable(folder: Path) -> bool:
    """Or can be made."""
    existing = nearest_existing(folder)
    return existing.is_dir() and os.access(existing, os.W_OK)


def check_gimp() -> Iterator[Finding]:
    found = list(find_gimps())
    for command, version in found:
        advice = "" if version.startswith("3.") else "The plug-in needs GIMP 3.0 or newer."
        yield Finding("GIMP", f"{version} ({command})", advice)
    if not found:
        yield Finding("GIMP", "not found", "Install GIMP 3 from https://www.gimp.org/downloads.")


def find_gimps() -> Iterator[tuple[str, str]]:
    """The GIMPs here, as (command, version)."""
    for command in (["gimp"], ["gimp-console"], ["flatpak", "run", "org.gimp.GIMP"], *_bundles()):
        if shutil.which(command[0]) is None:
            continue
        try:
            answer = subprocess.run(
                [*command, "--version"], capture_output=True, text=True, timeout=60, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            continue
        version = re.search(r"\b\d+\.\d+\.\d+", answer.stdout)
        if version is not None:
            yield " ".join(command), version[0]
            return


def _bundles() -> list[list[str]]:
    if sys.platform == "darwin":
        return [["/Applications/GIMP.app/Contents/MacOS/gimp"]]
    if sys.platform == "win32":
        programs = Path(os.environ.get("PROGRAMFILES", r"C:\Program Files"))
        return [[str(path)] for path in sorted(programs.glob("GIMP 3*/bin/gimp-console*.exe"))]
    return []


def check_plugin() -> Iterator[Finding]:
    profiles = list(find_profiles())
    for profile in profiles:
        yield _plugin_finding(profile)
    if not profiles:
        yield Finding("Plug-in", "GIMP 3 has no profile yet", f"Start GIMP once. {_INSTALL}")


def _plugin_finding(profile: Path) -> Finding:
    entry = profile / PLUGIN / f"{PLUGIN.name}.py"
    subject = f"Plug-in in {profile}"
    if not entry.is_file():
        return Finding(subject, "not installed", _INSTALL)
    if not os.access(entry, os.X_OK):
        return Finding(
            subject, "not executable, so GIMP ignores it", f"Run: chmod +x {str(entry)!r}"
        )
    if not (entry.parent / "vendor").is_dir():
        return Finding(subject, "its libraries are missing", _INSTALL)
    program = _daemon_program(entry.parent / "daemon.json")
    if program and not Path(program).exists():
        return Finding(subject, f"it would start {program}, which is not there", _INSTALL)
    return Finding(subject, "installed")


def _daemon_program(told: Path) -> str:
    """What the plug-in starts, as its installer wrote it; "" if that cannot be read."""
    try:
        return str(json.loads(told.read_text(encoding="utf-8"))["command"][0])
    except (OSError, ValueError, LookupError, TypeError):
        return ""


def find_profiles() -> Iterator[Path]:
    """The profile folders of GIMP 3, native, Flatpak and Snap."""
    override = os.environ.get("GIMP3_DIRECTORY")
    if override:
        yield Path(override)
        return
    for root in _profile_roots(Path.home()):
        yield from sorted(folder for folder in root.glob("3.*") if folder.is_dir())


def _profile_roots(home: Path) -> list[Path]:
    if sys.platform == "win32":
        return [Path(os.environ.get("APPDATA", home / "AppData" / "Roaming")) / "GIMP"]
    if sys.platform == "darwin":
        return [home / "Library" / "Application Support" / "GIMP"]
    configuration = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
    return [
        configuration / "GIMP",
        home / ".var" / "app" / "org.gimp.GIMP" / "config" / "GIMP",
        home / "snap" / "gimp" / "current" / ".config" / "GIMP",
    ]


CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    check_python,
    check_command,
    check_torch,
    check_models,
    check_folders,
    check_store,
    check_daemon,
    check_gimp,
    check_plugin,
)
