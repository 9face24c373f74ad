"""The plug-in lands in every GIMP 3 profile, whatever way GIMP was installed, and nowhere else."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

LAYOUTS = {
    "native": ("linux", ".config/GIMP/3.0"),
    "native, next series": ("linux", ".config/GIMP/3.2"),
    "flatpak": ("linux", ".var/app/org.gimp.GIMP/config/GIMP/3.0"),
    "snap": ("linux", "snap/gimp/current/.config/GIMP/3.0"),
    "macOS": ("darwin", "Library/Application Support/GIMP/3.0"),
    "Windows": ("win32", "AppData/Roaming/GIMP/3.0"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_finds_the_profile_of_each_kind_of_installation(place_plugin, tmp_path, layout):
    platform, folder = LAYOUTS[layout]
    profile = tmp_path / folder
    profile.mkdir(parents=True)
    (profile.parent / "2.10").mkdir()  # GIMP 2 runs no Python 3 plug-in

    found = place_plugin.profiles_to_use(tmp_path, {}, platform, series=lambda: None)

    assert found == [profile]


def test_a_gimp_of_windows_is_found_where_programs_are(place_plugin, tmp_path):
    environ = {"PROGRAMFILES": str(tmp_path / "all"), "LOCALAPPDATA": str(tmp_path / "one")}
    console = tmp_path / "one" / "Programs" / "GIMP 3" / "bin" / "gimp-console-3.0.exe"
    console.parent.mkdir(parents=True)
    console.touch()

    assert place_plugin.bundles(environ, "win32") == [str(console)]
    assert place_plugin.bundles(environ, "linux") == []


def test_xdg_config_home_moves_the_native_profile(place_plugin, tmp_path):
    profile = tmp_path / "elsewhere" / "GIMP" / "3.0"
    profile.mkdir(parents=True)
    environ = {"XDG_CONFIG_HOME": str(tmp_path / "elsewhere")}

    assert place_plugin.profiles_to_use(tmp_path, environ, "linux", series=lambda: None) == [
        profile
    ]


@pytest.mark.parametrize("told", ["mine", "/srv/mine"])
def test_a_profile_that_gimp_is_told_of_is_one_of_them(place_plugin, tmp_path, told):
    environ = {"GIMP3_DIRECTORY": told}
    found = place_plugin.profiles_to_use(tmp_path, environ, "linux", series=lambda: "3.0")
    assert found == [tmp_path / ".config" / "GIMP" / "3.0", tmp_path / told]


def test_a_gimp_that_was_never_started_gets_its_profile(place_plugin, tmp_path):
    found = place_plugin.profiles_to_use(tmp_path, {}, "linux", series=lambda: "3.2")
    assert found == [tmp_path / ".config" / "GIMP" / "3.2"]


def test_no_gimp_no_profile(place_plugin, tmp_path):
    assert place_plugin.profiles_to_use(tmp_path, {}, "linux", series=lambda: None) == []


def test_placing_twice_leaves_one_complete_executable_plugin(place_plugin, tmp_path):
    daemon = Path("/opt/dragdiffusion/bin/dragdiffusion")
    stale = tmp_path / "plug-ins" / "drag_diffusion" / "of_an_older_version.py"

    place_plugin.place(tmp_path, daemon)
    stale.write_text("")
    placed = place_plugin.place(tmp_path, daemon)

    assert os.access(placed / "drag_diffusion.py", os.X_OK)
    assert (placed / "plugin").is_dir()
    for language in ("de", "zh_CN"):
        assert (placed / "locale" / language / "LC_MESSAGES" / "drag-diffusion.mo").is_file()
    assert not stale.exists()
    assert json.loads((placed / "daemon.json").read_text()) == {"command": [str(daemon), "serve"]}
    assert [folder.name for folder in (tmp_path / "plug-ins").iterdir()] == ["drag_diffusion"]


def test_every_link_of_the_help_pages_leads_somewhere(place_plugin, tmp_path):
    folder = place_plugin.place(tmp_path, Path("/daemon")) / "help" / "en"
    places = {
        page: set(re.findall(r' id="([^"]+)"', page.read_text())) for page in folder.glob("*.html")
    }
    assert {page.name for page in places} == {"index.html", "cli.html", "scripting.html"}
    for page in places:
        for link in re.findall(r' (?:href|src)="([^"]+)"', page.read_text(encoding="utf-8")):
            address, _, anchor = link.partition("#")
            target = folder / address if address else page
            assert target.is_file(), f"{page.name} → {link}"
            assert not anchor or anchor in places[target], f"{page.name} → {link}"
    index = ElementTree.parse(folder / "gimp-help.xml").getroot()
    for item in index:
        page, _, anchor = item.attrib["ref"].partition("#")
        assert anchor in {"", *places[folder / page]}, item.attrib


def test_remove_takes_the_plugin_and_nothing_else(place_plugin, tmp_path):
    place_plugin.place(tmp_path, Path("/daemon"))
    neighbour = tmp_path / "plug-ins" / "another"
    neighbour.mkdir()

    assert place_plugin.remove(tmp_path) == tmp_path / "plug-ins" / "drag_diffusion"
    assert place_plugin.remove(tmp_path) is None
    assert list((tmp_path / "plug-ins").iterdir()) == [neighbour]
