"""Drives a real GIMP 3: this system's own, or the one that install/gimp_tree.sh unpacked.

Everything that GIMP reads or writes lies in one folder that has the same name outside and inside the tree.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from running_gimp import SERVE, SERVE_DAEMON, RunningGimp

ROOT = Path(__file__).resolve().parents[2]
TREE_SCRIPT = ROOT / "install" / "gimp_tree.sh"
MISSING = (
    "GIMP 3 IS NOT HERE, so nothing is known about the plug-in inside GIMP: run "
    "install/gimp_tree.sh as root, then these tests again."
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.gimp)
            # A key that reaches a window before it listens is lost on a busy machine. What is wrong fails twice.
            item.add_marker(pytest.mark.flaky(reruns=1))


@dataclass(frozen=True)
class Gimp:
    """GIMP with the plug-in under test in a profile of its own."""

    where: str  # the tree, or "host"
    folder: Path

    @property
    def endpoint_file(self) -> Path:
        return self.folder / "endpoint.json"

    @property
    def preferences(self) -> Path:
        """What a GIMP starts with; the gimprc in its profile it writes anew now and then."""
        return self.folder / "preferences"

    @contextmanager
    def fake_daemon(self, **options: Any) -> Iterator[Any]:
        """A daemon without a model, announced to the plug-in."""
        from fakes_plugin.fake_daemon import FakeDaemon

        try:
            with FakeDaemon(**options) as daemon:
                self.endpoint_file.write_text(json.dumps(daemon.endpoint), encoding="utf-8")
                yield daemon
        finally:
            self.endpoint_file.unlink(missing_ok=True)

    def command(self, *command: str | Path) -> list[str]:
        where = "/" if self.where == "host" else self.where
        return [str(part) for part in (TREE_SCRIPT, "--run", where, *command)]

    def environment(self, **changes: str) -> dict[str, str]:
        return {
            **os.environ,
            "GIMP3_DIRECTORY": str(self.folder / "profile"),
            "DRAGDIFFUSION_ENDPOINT_FILE": str(self.endpoint_file),
            **changes,
        }

    def host_command(self, *arguments: str) -> str:
        """A command line for DRAGDIFFUSION_DAEMON_COMMAND that runs this Python, from inside the tree too."""
        out = [] if self.where == "host" else ["/usr/sbin/chroot", f"/proc/{os.getpid()}/root"]
        paths = f"{ROOT / 'backend'}:{ROOT / 'protos'}:{ROOT / 'tests'}"
        # One thread: with more, torch's threads wait for each other where other programs run too.
        variables = [f"PYTHONPATH={paths}", "OMP_NUM_THREADS=1", "DRAGDIFFUSION_STORE_BYTES=0"]
        return " ".join([*out, "env", *variables, sys.executable, *arguments])

    def make_script(self, *parts: str) -> str:
        """A script of these parts, with inside_gimp's names in reach and a dictionary `result` that comes back."""
        (self.folder / "result.json").unlink(missing_ok=True)
        return (
            f"import sys\nsys.path.insert(0, {str(self.folder)!r})\n"
            "from inside_gimp import *\nresult = {}\n"
            + "".join(textwrap.dedent(part) + "\n" for part in parts)
            + f"write_json({str(self.folder / 'result.json')!r}, result)\n"
        )

    def batch(self, *script: str, timeout: float = 120, **environment: str) -> dict[str, Any]:
        """Run the script in gimp-console; what it put into `result`."""
        console = self.other_console if environment else self.console
        console.begin(self.make_script(*script), **environment)
        console.finish(timeout)
        return self.read_result()

    @cached_property
    def console(self) -> RunningGimp:
        return RunningGimp(self, "gimp-console")

    @cached_property
    def other_console(self) -> RunningGimp:
        """With variables of its own in the environment."""
        return RunningGimp(self, "gimp-console", "other-console")

    def read_result(self) -> dict[str, Any]:
        return json.loads((self.folder / "result.json").read_text(encoding="utf-8"))


def _skip_or_fail(reason: str) -> None:
    """In CI nothing is left out silently."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def gimp() -> Iterator[Gimp]:
    where = subprocess.run(
        [TREE_SCRIPT, "--where"], capture_output=True, text=True, check=True
    ).stdout.strip()
    if not where:
        _skip_or_fail(MISSING)
    inside = None if where == "host" else f"{where}/tmp"
    folder = Path(tempfile.mkdtemp(prefix="dragdiffusion-tests-", dir=inside))
    made = Gimp(where, folder)
    _make_profile(made)
    yield made
    made.console.close()
    made.other_console.close()
    shutil.rmtree(folder, ignore_errors=True)


def _make_profile(gimp: Gimp) -> None:
    """A profile with the plug-in and little else, which starts in two seconds."""
    # At once where all is up to date.
    subprocess.run([sys.executable, ROOT / "install" / "vendor.py"], check=True)
    plug_ins = gimp.folder / "plug-ins"
    placing = (ROOT / "install" / "place_plugin.py", "place", "--daemon", "/none")
    subprocess.run([sys.executable, *placing, "--profile", gimp.folder], check=True)
    (plug_ins / "drag_diffusion" / "daemon.json").unlink()
    for script in (SERVE, Path(__file__).with_name("inside_gimp.py")):
        shutil.copy(script, gimp.folder)
    for name in ("python-eval", "file-png", "help", "web-browser"):
        (plug_ins / name).symlink_to(_own_plug_ins(gimp) / name)
    profile = gimp.folder / "profile"
    temporary = gimp.folder / "temporary"  # a GIMP that is killed leaves its files here
    profile.mkdir()
    temporary.mkdir()
    told = subprocess.run(
        gimp.command("gimp-console", "--version"), capture_output=True, text=True, check=True
    )
    version = told.stdout.split()[-1]
    gimp.preferences.write_text(
        f'(plug-in-path "{plug_ins}")\n(check-updates no)\n(color-profile-policy keep)\n'
        f'(temp-path "{temporary}")\n(swap-path "{temporary}")\n'
        f'(show-welcome-dialog no)\n(config-version "{version}")\n',
        encoding="utf-8",
    )


def _own_plug_ins(gimp: Gimp) -> Path:
    root = Path("/") if gimp.where == "host" else Path(gimp.where)
    (found,) = root.glob("usr/lib/*/gimp/3.*/plug-ins")
    return Path("/") / found.relative_to(root)


@pytest.fixture
def fake_daemon(gimp: Gimp) -> Iterator[Any]:
    """A daemon without a model, announced to the plug-in."""
    with gimp.fake_daemon() as daemon:
        yield daemon


@pytest.fixture(scope="session")
def processes(gimp: Gimp) -> None:
    """The tree sees the processes outside: it needs a mount, which some containers do not allow."""
    root = Path("/" if gimp.where == "host" else gimp.where)
    if not (root / "proc" / str(os.getpid())).exists():
        _skip_or_fail(f"/proc cannot be mounted in {root}")


@pytest.fixture(scope="session")
def host_command(gimp: Gimp, processes: None) -> Any:
    """Gimp.host_command, where it can be run."""
    del processes
    return gimp.host_command


@pytest.fixture(scope="module")
def real_daemon(gimp: Gimp, host_command: Any) -> Iterator[str]:
    """The command by which the plug-in starts the daemon; one daemon for all tests of a file."""
    from dragdiffusion.daemon import endpoint as endpoints

    gimp.endpoint_file.unlink(missing_ok=True)
    yield host_command(*SERVE_DAEMON)
    endpoint = endpoints.read(gimp.endpoint_file)
    if endpoint is not None:
        os.kill(endpoint.pid, signal.SIGTERM)


@pytest.fixture(scope="session")
def screen(gimp: Gimp) -> Iterator[Any]:
    from gimp_desktop import open_screen

    yield from open_screen(gimp)


@pytest.fixture
def desktop(screen: Any) -> Iterator[Any]:
    """A screen for GIMP, 1280 × 860 pixels; the same one for all tests, and the same GIMP where that can be."""
    screen.begin()
    yield screen
    screen.finish()


@pytest.fixture
def set_theme(gimp: Gimp) -> Iterator[Any]:
    """`set_theme("light")`, before GIMP is opened."""
    before = gimp.preferences.read_text(encoding="utf-8")
    yield lambda scheme: gimp.preferences.write_text(
        f"{before}(theme-color-scheme {scheme})\n", encoding="utf-8"
    )
    gimp.preferences.write_text(before, encoding="utf-8")
