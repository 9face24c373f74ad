"""When GIMP 3 is offered, and what is then installed: on a machine whose programs are played by scripts."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "install" / "gimp_tree.sh"
TOOLS = ("xvfb", "xauth", "xdotool", "openbox", "imagemagick")
GERMAN = "GNU-Bildbearbeitungsprogramm Version 3.0.4"


@dataclass
class Machine:
    """Debian 13 as root sees it, until told otherwise. Nothing is installed: `calls` has what would have been."""

    folder: Path

    def __post_init__(self) -> None:
        self.tell("id", "echo 0")
        self.tell("gimp-console", "exit 127")
        self.tell("dpkg-query", "exit 1")
        policy = 'echo "  Candidate: 3.0.4-3"; seq 20000'  # more than a pipe takes at once
        self.tell("apt-cache", f'[ "$LC_ALL" = C ] && {{ {policy}; }}')
        for name in ("apt-get", "debootstrap", "chroot", "mount"):
            self.tell(name, f'echo "{name} $*" >>{self.folder}/calls')

    def tell(self, program: str, script: str) -> None:
        (self.folder / program).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (self.folder / program).chmod(0o755)

    def run(self, *arguments: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
        usual = {"PATH": f"{self.folder}:{os.environ['PATH']}", "LANG": "de_DE.UTF-8"}
        return subprocess.run(
            ["bash", SCRIPT, *arguments],
            env=usual | environ,
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def calls(self) -> list[str]:
        told = self.folder / "calls"
        return told.read_text(encoding="utf-8").splitlines() if told.exists() else []

    def make_tree(self) -> Path:
        """As far as the script looks at it."""
        tree = self.folder / "tree"
        (tree / "usr" / "bin").mkdir(parents=True)
        (tree / "root").mkdir()
        shutil.copy("/bin/true", tree / "usr" / "bin" / "gimp-console")
        packages = ' "${test_tools[@]}"'
        listed = f"source <(grep -A1 ^test_tools= {SCRIPT}); echo gimp{packages}"
        told = subprocess.run(["bash", "-c", listed], capture_output=True, text=True, check=True)
        (tree / ".complete").write_text(told.stdout, encoding="utf-8")
        return tree


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_an_artist_gets_gimp_and_none_of_the_tests_tools(machine: Machine) -> None:
    assert machine.run(machine.folder / "tree").returncode == 0
    assert machine.calls == ["apt-get update -qq", "apt-get install -y -qq gimp"]


def test_the_tests_get_their_tools_with_it(machine: Machine) -> None:
    assert machine.run("--tests", machine.folder / "tree").returncode == 0
    assert machine.calls[1].startswith("apt-get install -y -qq --no-install-recommends gimp ")
    assert {*TOOLS} < {*machine.calls[1].split()}


def test_where_gimp_is_the_tests_get_what_is_missing(machine: Machine) -> None:
    machine.tell("gimp-console", f"echo {GERMAN}")
    machine.tell("dpkg-query", f'case "{" ".join(TOOLS[1:])}" in *"$4"*) echo ok installed;; esac')

    assert machine.run(machine.folder / "tree").returncode == 0
    assert machine.calls == []
    assert machine.run("--tests", machine.folder / "tree").returncode == 0
    asked = machine.calls[1].split()
    assert "xvfb" in asked
    assert {"gimp", *TOOLS[1:]}.isdisjoint(asked)

    machine.tell("dpkg-query", "echo install ok installed")
    assert machine.run("--tests", machine.folder / "tree").returncode == 0
    assert len(machine.calls) == 2


def test_an_older_debian_gets_a_tree(machine: Machine) -> None:
    machine.tell("apt-cache", 'echo "  Candidate: 2.10.34"')
    machine.tell("debootstrap", f'echo "debootstrap $*" >>{machine.folder}/calls; exit 1')
    assert machine.run("--packaged").returncode == 1
    assert machine.run(machine.folder / "tree", DEBIAN_MIRROR="http://mirror").returncode == 1
    tree = machine.folder / "tree"
    assert machine.calls[1:] == [f"debootstrap --variant=minbase trixie {tree} http://mirror"]


def test_nobody_but_root_can_set_it_up_or_use_a_tree(machine: Machine) -> None:
    tree = machine.make_tree()
    assert machine.run("--where", tree).stdout == f"{tree}\n"
    machine.tell("id", "echo 1000")
    assert machine.run("--where", tree).stdout == ""

    (tree / ".complete").unlink()
    refused = machine.run(tree)
    assert refused.returncode == 1
    assert f"needs root: sudo {SCRIPT} {tree}" in refused.stderr
    assert machine.calls == []


def test_gimp_in_a_tree_may_come_onto_the_screen(machine: Machine) -> None:
    tree = machine.make_tree()
    cookie = machine.folder / "cookie"
    cookie.write_bytes(b"\1\0")

    machine.run("--run", tree, "gimp", DISPLAY=":7", XAUTHORITY=str(cookie))

    assert machine.calls[-1].startswith(f"chroot {tree} /usr/bin/env -i ")
    assert machine.calls[-1].endswith("HOME=/root DISPLAY=:7 gimp")
    (copied,) = (tree / "root").iterdir()
    assert copied.name == ".Xauthority"
    assert copied.read_bytes() == b"\1\0"
    assert copied.stat().st_mode & 0o777 == 0o600


# ---- the installer's question

OFFER = "GIMP 3 is not on this machine"


def ask(
    install: ModuleType,
    patch: pytest.MonkeyPatch,
    *,
    root: bool = True,
    apt: bool = True,
    typed: str | None = "",
    yes: bool = False,
) -> bool:
    """`typed`: None where nobody can be asked."""
    terminal = io.StringIO(typed)
    patch.setattr(terminal, "isatty", lambda: typed is not None)
    patch.setattr(sys, "stdin", terminal)
    patch.setattr(os, "geteuid", lambda: 0 if root else 1000)
    patch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}" if apt else None)
    patch.setattr(install, "works", lambda *_command: True)
    return install.may_install_gimp(yes=yes)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it is never offered")
@pytest.mark.parametrize(
    ("typed", "agreed"),
    [
        ("\n", True),
        ("y\n", True),
        (" Yes\n", True),
        ("n\n", False),
        ("what?\n", False),
        ("", False),
    ],
)
def test_root_is_asked(
    install: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    typed: str,
    agreed: bool,
) -> None:
    assert ask(install, monkeypatch, typed=typed) is agreed
    assert "Set it up now (from this system's packages)? [Y/n]" in capsys.readouterr().out


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it is never offered")
def test_who_is_not_asked(
    install: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(install, monkeypatch, yes=True)
    assert not ask(install, monkeypatch, root=False, yes=True)
    assert not ask(install, monkeypatch, apt=False, yes=True)
    assert capsys.readouterr().out == ""
    assert not ask(install, monkeypatch, typed=None)
    assert "--yes would set it up (from this system's packages)" in capsys.readouterr().out


def test_without_gimp_on_the_path_it_says_how_to_get_it(
    install: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    for packaged, how in ((True, "not found: sudo apt install gimp, "), (False, "www.gimp.org")):
        monkeypatch.setattr(install, "works", lambda *_command, told=packaged: told)
        assert how in install.tell("")

    (tmp_path / ".var" / "app" / "org.gimp.GIMP" / "config" / "GIMP" / "3.0").mkdir(parents=True)
    assert "it was used here" in install.tell("")


def test_sudo_is_warned_of(
    install: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.delenv("SUDO_USER", raising=False)
    install.warn_of_sudo()
    assert capsys.readouterr().out == ""
    monkeypatch.setenv("SUDO_USER", "ada")
    install.warn_of_sudo()
    assert "To use it as ada" in capsys.readouterr().out
