"""docs/scripting.md in a real GIMP: its tables of arguments and its batch example."""

from __future__ import annotations

import re
from pathlib import Path

from PIL import Image

DOCS = Path(__file__).resolve().parents[2] / "docs"
SCRIPT = DOCS / "drag_folder.py"


def test_every_argument_has_its_row(gimp):
    told = gimp.batch("""
        for name in (PROCEDURE, RE_EDIT, "plug-in-drag-diffusion-generate"):
            procedure = Gimp.get_pdb().lookup_procedure(name)
            result[name] = [argument.name for argument in procedure.get_arguments()]
    """)
    page = (DOCS / "scripting.md").read_text(encoding="utf-8")
    drag, re_edit, generate, _folder = re.split(r"^## ", page, flags=re.MULTILINE)
    documented = {}
    for section in (drag, re_edit, generate):
        rows = re.findall(r"^\| (`.*?) \|", section, flags=re.MULTILINE)
        (name, *_) = re.findall(r"`(plug-in-[a-z-]+)`", section)
        documented[name] = {word for row in rows for word in re.findall(r"`([a-z-]+)`", row)}
    assert documented == {name: set(arguments) for name, arguments in told.items()}


def test_every_image_of_a_folder_is_dragged_and_failures_are_named(gimp, fake_daemon):
    source = gimp.folder / "photos"
    source.mkdir()
    for name, size in (("a.png", (80, 60)), ("b.png", (40, 90))):
        Image.new("RGB", size, "teal").save(source / name)
    (source / "broken.png").write_bytes(b"no picture")
    (source / "notes.txt").write_text("left alone", encoding="utf-8")
    told = gimp.batch(
        SCRIPT.read_text(encoding="utf-8"),
        """
        from gi.repository import Gio
        folder = sys.path[0]
        try:
            drag_folder(folder + "/photos", folder + "/dragged", [[(0.5, 0.4), (0.6, 0.4)]], seed=7)
        except RuntimeError as error:
            result["told"] = str(error)
        result["open"] = len(Gimp.get_images())
        result["files"] = sorted(path.name for path in Path(folder + "/dragged").iterdir())
        result["layers"] = {}
        for name in result["files"]:
            file = Gio.File.new_for_path(folder + "/dragged/" + name)
            image = Gimp.file_load(Gimp.RunMode.NONINTERACTIVE, file)
            result["layers"][name] = len(image.get_layers())
            result["record " + name] = read_record(image.get_layers()[0])["drags"]
        """,
    )
    assert told["told"] == "Not dragged: broken.png"
    assert told["open"] == 0
    assert told["files"] == ["a.png.xcf", "b.png.xcf"]
    assert told["layers"] == {"a.png.xcf": 2, "b.png.xcf": 2}
    assert told["record a.png.xcf"] == [[[40, 24], [48, 24]]]
    assert told["record b.png.xcf"] == [[[20, 36], [24, 36]]]
    assert len(fake_daemon.requests) == 2
