"""Installs DragDiffusion for GIMP for the current user, and shows it at work. Safe to run again.

Linux and macOS: bash install/install.sh, which looks for a Python that is new enough. Windows: py install\\install.py
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import place_plugin
import torch_build
from demo import demo_in_tree, drag_sample_scene
from places import Places, places

ROOT = Path(__file__).resolve().parent.parent
GIMP_TREE = Path(os.environ.get("GIMP_TREE") or "/var/cache/dragdiffusion/gimp3-trixie")
TREE_SCRIPT = ROOT / "install" / "gimp_tree.sh"


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="install", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--yes", action="store_true", help="answer every question with yes: install GIMP 3 (root)")
    add("--no-gimp", action="store_true", help="do not offer to install GIMP 3")
    add("--no-demo", action="store_true", help="leave out the demonstration at the end")
    build = parser.add_mutually_exclusive_group()
    for name, text in (("cpu", "the CPU build of PyTorch"), ("cuda", "its NVIDIA build")):
        build.add_argument(f"--{name}", dest="torch", action="store_const", const=name, help=text)
    build.add_argument(
        "--torch-index",
        dest="torch",
        metavar="URL",
        help="another build (AMD, Intel, older NVIDIA cards): the index that pytorch.org names for it",
    )
    add("--uninstall", action="store_true", help="remove daemon, prepared images and plug-in")
    add("--purge", action="store_true", help="with --uninstall: models, logs and settings too")
    options = parser.parse_args(arguments)
    if options.purge and not options.uninstall:
        parser.error("--purge needs --uninstall")
    return options


def install(options: argparse.Namespace, here: Places) -> None:
    step("1/4  The daemon")
    warn_of_sudo()
    make_daemon(torch_build.chosen_build(options.torch or ""), here)

    step("2/4  GIMP 3")
    where = find_gimp()
    if not where and not options.no_gimp and may_install_gimp(yes=options.yes):
        run("bash", TREE_SCRIPT, GIMP_TREE)
        where = find_gimp()
        here.gimp_note.write_text(where, encoding="utf-8")  # uninstalling, it is told what came
    print(tell(where))

    step("3/4  The plug-in")
    run(here.python, ROOT / "install" / "vendor.py")
    if not place(here, where):
        print("No GIMP 3 profile was found: start GIMP 3 once, then run this again.")

    step("4/4  A drag, for real")
    if not options.no_demo:
        drag_sample_scene(here, where if sys.platform == "linux" else "")

    step("Ready")
    say_how_to_go_on(here, where)


def warn_of_sudo() -> None:
    user = os.environ.get("SUDO_USER", "root")
    if user != "root" and is_root():
        print(f"With sudo all of this goes into {Path.home()}, for root's own GIMP.")
        print(f"To use it as {user}, stop this (Ctrl+C) and run it again without sudo.")


def is_root() -> bool:
    return sys.platform != "win32" and os.geteuid() == 0


def make_daemon(build: str, here: Places) -> None:
    version = sys.version.split()[0]
    print(f"Python {version}, PyTorch {torch_build.VERSION} for {build}, into {here.venv}")
    size = "some hundred MB" if build == "cpu" else "several GB"
    print(f"What is missing of it is downloaded now, up to {size}: that can take minutes …")
    here.home.mkdir(parents=True, exist_ok=True)
    if not works(here.python, "-c", ""):
        run(sys.executable, "-m", "venv", "--clear", here.venv)
    if here.daemon.exists():  # an older daemon must not serve the new plug-in
        works(here.daemon, "stop")
    pip = (here.python, "-m", "pip", "install", "-qq", *torch_build.COMPILE_LATER)
    run(*pip, "--upgrade", "pip")
    run(here.python, ROOT / "install" / "torch_build.py", build)
    built = ROOT / "build"  # what setuptools leaves there would bring back files that are gone
    shutil.rmtree(built, ignore_errors=True)
    run(*pip, ROOT)  # a folder is installed anew, though the version be the same
    shutil.rmtree(built, ignore_errors=True)
    if here.link:
        here.link.parent.mkdir(parents=True, exist_ok=True)
        here.link.unlink(missing_ok=True)
        here.link.symlink_to(here.daemon)
    run(here.daemon, "--version")


def find_gimp() -> str:
    """ "host", the folder of a Debian 13 tree (gimp_tree.sh), or "" for none."""
    if sys.platform == "linux":
        command: list[str | Path] = ["bash", TREE_SCRIPT, "--where", GIMP_TREE]
        told = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        return told.stdout.strip()
    return "host" if place_plugin.installed_series() else ""


def tell(where: str) -> str:
    if where:
        return "GIMP 3 is installed." if where == "host" else f"GIMP 3 is in {where}."
    roots = place_plugin.config_roots(Path.home(), os.environ, sys.platform)
    if place_plugin.existing_profiles(roots):
        return (
            "GIMP 3 is not on the PATH, as one from Flatpak or Snap is not; but it was used here."
        )
    how = "install it (https://www.gimp.org/downloads)"
    if sys.platform == "linux" and works("bash", TREE_SCRIPT, "--packaged"):
        how = "apt install gimp" if is_root() else "sudo apt install gimp"
    return f"GIMP 3 was not found: {how}, then run this again."


def may_install_gimp(*, yes: bool) -> bool:
    """From the system's packages or as a tree, which takes root; asks unless that was answered."""
    if sys.platform != "linux" or not is_root() or shutil.which("apt-get") is None:
        return False
    if yes:
        return True
    packaged = works("bash", TREE_SCRIPT, "--packaged")
    how = "from this system's packages" if packaged else f"Debian 13's, 1.2 GB in {GIMP_TREE}"
    if not sys.stdin.isatty():
        print(f"GIMP 3 is not on this machine; --yes would set it up ({how}).")
        return False
    try:
        answer = input(f"GIMP 3 is not on this machine. Set it up now ({how})? [Y/n] ")
    except EOFError:
        return False
    return answer.strip()[:1].lower() in ("", "y")


def place(here: Places, where: str) -> bool:
    """In the GIMP profiles of this user, and that of a GIMP in the Debian 13 tree; by a Python that can make the help pages."""
    program = ROOT / "install" / "place_plugin.py"
    command: list[str | Path] = [here.python, program, "place", "--daemon", here.daemon]
    runs = [command, *([*command, "--profile", profile] for profile in tree_profiles(where))]
    told = [subprocess.run(c, stdout=subprocess.PIPE, text=True, check=True).stdout for c in runs]
    print("".join(told), end="")
    return any(told)


def in_tree(where: str) -> bool:
    return where == str(GIMP_TREE)


def tree_profiles(where: str) -> list[Path]:
    """That of the GIMP in the tree, unless GIMP3_DIRECTORY names it, as which it is found anyway."""
    if not in_tree(where) or os.environ.get("GIMP3_DIRECTORY"):
        return []
    return [GIMP_TREE / "root" / ".config" / "GIMP" / "3.0"]


def say_how_to_go_on(here: Places, where: str) -> None:
    command = here.link or here.daemon
    picture = here.demo / "before.png"
    if in_tree(where):
        picture = demo_in_tree(GIMP_TREE) / picture.name
        print("To start this GIMP, with a daemon that it can reach, in a desktop session:")
        print(f"  export DRAGDIFFUSION_ENDPOINT_FILE={GIMP_TREE}/tmp/dragdiffusion.json")
        print(f"  {command} serve --idle-exit-minutes 0 &")
        print(f"  bash {TREE_SCRIPT} --run {GIMP_TREE} gimp; {command} stop")
        print(f"It sees files in {GIMP_TREE} alone: copy pictures to {GIMP_TREE}/tmp, its /tmp.")
    else:
        subprocess.run([here.daemon, "doctor"], check=False)  # its lines say what is still to do
    print("If GIMP is open, close it and start it again: only then it finds the plug-in.")
    print("In GIMP: open a picture, select what may change, then Filters ▸ Drag Edit…")
    print("Press on what should move, pull to where it should go, and press Drag.")
    if picture.exists():
        inside = f"/{picture.relative_to(GIMP_TREE)}" if in_tree(where) else picture
        print(f"A picture for a first try: {inside}")
    print(f"Without GIMP: {command} edit PICTURE.png --point 40,60:90,60 --output RESULT.png")
    print(f"For photographs get a larger model: {command} models download sd15")


def uninstall(options: argparse.Namespace, here: Places) -> None:
    if here.daemon.exists():
        # Prepared images are of no use without the daemon, and made from the user's pictures.
        for command in (("cache", "clear"), ("stop",)):
            subprocess.run([here.daemon, *command], check=False)
    where = find_gimp()
    profiles = place_plugin.profiles_to_use(Path.home(), os.environ, sys.platform)
    profiles += tree_profiles(where)
    removed = [str(placed) for placed in map(place_plugin.remove, profiles) if placed]
    if removed:
        print("Removed the plug-in:", *removed, sep="\n")
    if here.link and here.link.is_symlink() and here.link.readlink() == here.daemon:
        here.link.unlink()
    for folder in (here.venv, here.demo, *([demo_in_tree(GIMP_TREE)] if in_tree(where) else [])):
        shutil.rmtree(folder, ignore_errors=True)
    print(f"Removed the daemon: {here.venv}")
    set_up = here.gimp_note.read_text(encoding="utf-8") if here.gimp_note.exists() else ""
    if options.purge:
        purge(profiles, set_up, here)
    for folder in (here.cache / "prepared", here.cache, here.home):
        with suppress(OSError):  # something else is in there, or nothing ever was
            folder.rmdir()
    print("What stays:", *what_stays(set_up, purged=options.purge), sep="\n  ")


def purge(profiles: list[Path], set_up: str, here: Places) -> None:
    if set_up not in ("", "host") and Path(set_up).exists():
        run("bash", TREE_SCRIPT, "--remove", set_up)
    for profile in profiles:
        place_plugin.forget(profile)
    for folder in (here.home, here.state, here.config):
        shutil.rmtree(folder, ignore_errors=True)
    print("Removed models, logs, settings and presets.")


def what_stays(set_up: str, *, purged: bool) -> Iterator[str]:
    """`set_up`: where the installer set GIMP up, as `find_gimp` says it; "" if it did not."""
    if not purged:
        yield "downloaded models, logs, settings and presets: --uninstall --purge removes them too"
        if set_up not in ("", "host"):
            yield f"GIMP 3 in {set_up} (1.2 GB): so does it"
    if set_up == "host":
        yield "GIMP 3, an ordinary package of this system: apt autoremove gimp"
    elif set_up:
        yield "debootstrap, if it came with GIMP 3: apt autoremove debootstrap"
    yield f"this folder, which you can delete: {ROOT}"


def step(title: str) -> None:
    bold = sys.stdout.isatty() and sys.platform != "win32"
    print(f"\n\033[1m{title}\033[0m" if bold else f"\n{title}", flush=True)


def run(*command: str | Path) -> None:
    """Its output is shown."""
    subprocess.run(command, check=True)


def works(*command: str | Path) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


if __name__ == "__main__":
    if sys.version_info < (3, 10):  # noqa: UP036
        raise SystemExit(
            f"This is Python {sys.version.split()[0]}: the daemon needs 3.10 or newer. Start the installer with one."
        )
    # In order with what the programs print that it calls; and not every console knows every sign.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True, errors="replace")
    chosen = parse(sys.argv[1:])
    try:
        (uninstall if chosen.uninstall else install)(chosen, places())
    except subprocess.CalledProcessError as failed:
        shown = " ".join(map(str, failed.cmd))
        raise SystemExit(f"The installation stopped: this failed, see above: {shown}") from None
    except KeyboardInterrupt:
        raise SystemExit("\nStopped. Run it again to go on.") from None
