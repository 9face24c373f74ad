"""Runs inside GIMP 3: opens the sample scene, draws a path and a selection, and calls the plug-in as a script would.

DEMO_FOLDER holds before.png and scene.json; after.png and drag.xcf are written beside them.
"""

import json
import os
from pathlib import Path
from typing import Any

import gi

gi.require_version("Gimp", "3.0")
from gi.repository import Gimp, Gio  # noqa: E402

FOLDER = Path(os.environ["DEMO_FOLDER"])


def demo_file(name: str) -> Any:
    return Gio.File.new_for_path(str(FOLDER / name))


def call(name: str, image: Any, **properties: Any) -> None:
    """Calls an image procedure of the PDB; raises with its own sentence when it fails."""
    procedure = Gimp.get_pdb().lookup_procedure(name)
    if procedure is None:
        raise RuntimeError(f"GIMP does not know {name}: the plug-in was not found or did not load.")
    config = procedure.create_config()
    config.set_property("image", image)
    config.set_core_object_array("drawables", image.get_selected_drawables())
    for key, value in properties.items():
        config.set_property(key, value)
    result = procedure.run(config)
    if result.index(0) != Gimp.PDBStatusType.SUCCESS:
        raise RuntimeError(f"{name}: {Gimp.get_pdb().get_last_error()}")


def drag_sample_scene() -> None:
    scene = json.loads((FOLDER / "scene.json").read_text(encoding="utf-8"))
    image = Gimp.file_load(Gimp.RunMode.NONINTERACTIVE, demo_file("before.png"))
    path = Gimp.Path.new(image, "From the part to its new place")
    image.insert_path(path, None, 0)
    stroke = path.bezier_stroke_new_moveto(*scene["handle"])
    path.bezier_stroke_lineto(stroke, *scene["target"])
    image.set_selected_paths([path])
    image.select_ellipse(Gimp.ChannelOps.REPLACE, *scene["selection"])
    Gimp.Selection.feather(image, 4.0)

    call("plug-in-drag-diffusion", image, prompt=scene["prompt"])

    print("layers:", ", ".join(layer.get_name() for layer in image.get_layers()), flush=True)
    Gimp.file_save(Gimp.RunMode.NONINTERACTIVE, image, demo_file("drag.xcf"), None)
    Gimp.file_save(Gimp.RunMode.NONINTERACTIVE, image, demo_file("after.png"), None)


drag_sample_scene()
