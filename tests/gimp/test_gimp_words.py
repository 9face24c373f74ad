"""The plug-in in GIMP's own language: menu, documentation, dialog."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from gimp_desktop import PICTURE, WATCH, make_picture, wait

LANGUAGES = {
    "de": (
        "_Durch Ziehen bearbeiten…",
        "Z_ufallsstartwert",
        "Durch Ziehen bearbeiten",
        "Ziehpunkte",
    ),
    "zh_CN": ("拖拽编辑(_D)…", "随机种子(_U)", "拖拽编辑", "拖拽点"),
}
ENGLISH = "_Drag Edit…"
ASK_PDB = """
procedure = Gimp.get_pdb().lookup_procedure("plug-in-drag-diffusion")
result["menu"] = procedure.get_menu_label()
result["arguments"] = {a.name: [a.nick, a.blurb] for a in procedure.get_arguments()}
"""


@contextmanager
def language(gimp: Any, code: str) -> Iterator[None]:
    """As chosen in GIMP's preferences."""
    gimprc = gimp.folder / "profile" / "gimprc"
    usual = gimprc.read_text(encoding="utf-8")
    gimprc.write_text(f'{usual}(language "{code}")\n', encoding="utf-8")
    try:
        yield
    finally:
        gimprc.write_text(usual, encoding="utf-8")
        (gimp.folder / "profile" / "pluginrc").unlink(
            missing_ok=True
        )  # has the menu in that language


def test_menu_and_documentation_are_in_the_language_of_gimp(gimp):
    assert gimp.batch(ASK_PDB)["menu"] == ENGLISH
    for code, (menu, seed, *_) in LANGUAGES.items():
        with language(gimp, code):
            told = gimp.batch(ASK_PDB)
        assert told["menu"] == menu
        assert told["arguments"]["seed"][0] == seed
    assert gimp.batch(ASK_PDB)["menu"] == ENGLISH


@pytest.mark.slow
@pytest.mark.parametrize("code", LANGUAGES)
def test_the_dialog_in_another_language(gimp, desktop, fake_daemon, code):
    _menu, _seed, title, points = LANGUAGES[code]
    make_picture(gimp.folder / "picture.png")
    with language(gimp, code):
        desktop.open_gimp(
            PICTURE,
            'result["call"] = call(image, [layer], Gimp.RunMode.INTERACTIVE, prompt="slow 0.8")',
            WATCH,
        )
        dialog = desktop.open_dialog(f"^{title}$")
    desktop.maximize()
    wait(lambda: desktop.times("prepared"), "the preparation")
    desktop.tool("xdotool", "windowactivate", "--sync", dialog)
    desktop.screenshot(f"dialog-{code}.png")
    desktop.pull(desktop.on_canvas(259, 124), desktop.on_canvas(300, 160))
    desktop.press(dialog, "Return")
    wait(lambda: fake_daemon.requests, "the request")
    desktop.screenshot(f"progress-{code}.png")
    wait(lambda: desktop.times("result"), "the result")
    desktop.screenshot(f"after-{code}.png")
    desktop.press(dialog, "Return")
    wait(lambda: desktop.state().get("records"), "the layer")
    assert points in desktop.state()["paths"]
