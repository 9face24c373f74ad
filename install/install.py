"""Installs DragDiffusion for GIMP for the current user, and shows it at work. Safe to run again.

Linux and macOS: bash install/install.sh, which looks for a Python that is new enough. Windows: py install\\install.py
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import place_plugin
import torch_build
from demo import drag_sample_scene
from places import Places, places

ROOT = Path(__file__).resolve().parent.parent
GIMP_TREE = Path("/var/cache/dragdiffusion/gimp3-trixie")
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
    add("--purge", action="store_true", help="with --uninstall: downloaded models and logs too")
    options = parser.parse_args(arguments)
    if options.purge and not options.uninstall:
        parser.error("--purge needs --uninstall")
    return options


def install(options: argparse.Namespace, here: Places) -> None:
    step("1/4  The daemon")
    make_daemon(torch_build.chosen_build(options.torch or ""), here)

    step("2/4  GIMP 3")
    where = find_gimp()
    if not where and not options.no_gimp and may_install_gimp(yes=options.yes):
        run("bash", TREE_SCRIPT, GIMP_TREE)
        where = find_gimp()
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
    pip = (here.python, "-m", "pip", "install", "-qq")
    run(*pip, "--upgrade", "pip")
    run(here.python, ROOT / "install" / "torch_build.py", build)
    run(*pip, ROOT)
    run(*pip, "--force-reinstall", "--no-deps", ROOT)  # the same version may have changed
    if here.link:
        here.link.parent.mkdir(parents=True, exist_ok=True)
        here.link.unlink(missing_ok=True)
        here.link.symlink_to(here.daemon)
    run(here.daemon, "--version")


def find_gimp() -> str:
    """ "host", the folder of a Debian 13 tree (gimp_tree.sh), or "" for none."""
    if sys.platform == "linux":
        command = ["bash", TREE_SCRIPT, "--where", GIMP_TREE]
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
    return "GIMP 3 was not found: install it (https://www.gimp.org/downloads), then run this again."


def may_install_gimp(*, yes: bool) -> bool:
    """From the system's packages, which takes root; asks unless that was answered."""
    is_root = sys.platform == "linux" and os.geteuid() == 0
    if not is_root or shutil.which("apt-get") is None:
        return False
    if yes:
        return True
    if not sys.stdin.isatty():
        return False
    answer = input("GIMP 3 is not on this machine. Set it up now? [Y/n] ")
    return not answer or answer[0] in "yY"


def place(here: Places, where: str) -> bool:
    """In the GIMP profiles of this user, and that of a GIMP in the Debian 13 tree; by a Python that can make the help pages."""
    command = [here.python, ROOT / "install" / "place_plugin.py", "place", "--daemon", here.daemon]
    runs = [command, [*command, "--profile", tree_profile()]] if in_tree(where) else [command]
    told = [subprocess.run(c, stdout=subprocess.PIPE, text=True, check=True).stdout for c in runs]
    print("".join(told), end="")
    return any(told)


def in_tree(where: str) -> bool:
    return where == str(GIMP_TREE)


def tree_profile() -> Path:
    return GIMP_TREE / "root" / ".config" / "GIMP" / "3.0"


def say_how_to_go_on(here: Places, where: str) -> None:
    if in_tree(where):
        print("Start this GIMP, with a daemon that it can reach, in a desktop session:")
        print(f"  export DRAGDIFFUSION_ENDPOINT_FILE={GIMP_TREE}/tmp/dragdiffusion.json")
        print(f"  {here.link} serve & bash {TREE_SCRIPT} --run {GIMP_TREE} gimp")
    else:
        subprocess.run([here.daemon, "doctor"], check=False)  # its lines say what is still to do
    print("In GIMP: open a picture, select what may change, then Filters ▸ Drag Edit…")
    print("Press on what should move, pull to where it should go, and press Drag.")
    if (here.demo / "before.png").exists():
        print(f"A picture for a first try: {here.demo / 'before.png'}")
    command = here.link or here.daemon
    print(f"Without GIMP: {command} edit PICTURE.png --point 40,60:90,60 --output RESULT.png")


def uninstall(options: argparse.Namespace, here: Places) -> None:
    if here.daemon.exists():
        # Prepared images are of no use without the daemon, and made from the user's pictures.
        for command in (("cache", "clear"), ("stop",)):
            subprocess.run([here.daemon, *command], check=False)
    profiles = place_plugin.profiles_to_use(Path.home(), os.environ, sys.platform)
    profiles += [tree_profile()] if in_tree(find_gimp()) else []
    removed = [str(placed) for placed in map(place_plugin.remove, profiles) if placed]
    if removed:
        print("Removed the plug-in:", *removed, sep="\n")
    if here.link and here.link.is_symlink() and here.link.readlink() == here.daemon:
        here.link.unlink()
    for folder in (here.venv, here.demo):
        shutil.rmtree(folder, ignore_errors=True)
    for folder in (here.cache / "prepared", here.cache):
        with suppress(OSError):  # something else is in there, or nothing ever was
            folder.rmdir()
    print(f"Removed the daemon: {here.venv}")
    if options.purge:
        for folder in (here.home, here.state):
            shutil.rmtree(folder, ignore_errors=True)
        print("Removed models and logs.")
    else:
        print("Downloaded models and logs were kept; --uninstall --purge removes them too.")


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
    sys.stdout.reconfigure(line_buffering=True, errors="replace")
    chosen = parse(sys.argv[1:])
    try:
        (uninstall if chosen.uninstall else install)(chosen, places())
    except subprocess.CalledProcessError as failed:
        shown = " ".join(map(str, failed.cmd))
        raise SystemExit(f"The installation stopped: this failed, see above: {shown}") from None
    except KeyboardInterrupt:
        raise SystemExit("\nStopped. Run it again to go on.") from None
