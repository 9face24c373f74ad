"""Drags in every image of a folder, in gimp-console (docs/scripting.md).

gimp-console -i --batch-interpreter=python-fu-eval --quit -b 'exec(open("docs/drag_folder.py").read()); drag_folder("photos", "dragged", [[(0.5, 0.4), (0.6, 0.4)]])'
"""

from pathlib import Path

from gi.repository import Gimp, Gio

ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".xcf")


def drag_folder(source, target, drags, **arguments):
    """Drag in each image and save it with its new layer as XCF; RuntimeError names those that failed.

    drags: for each handle the points of its way as shares of the image's width and height. An XCF file that has
    paths keeps its own. arguments: those of the procedure, with _ for -.
    """
    failed = []
    Path(target).mkdir(parents=True, exist_ok=True)
    for file in sorted(Path(source).iterdir()):
        if file.suffix.lower() in ENDINGS:
            sentence = drag_file(file, Path(target) / f"{file.name}.xcf", drags, arguments)
            print(f"{file.name}: {sentence or 'dragged'}", flush=True)
            failed += [file.name] * bool(sentence)
    if failed:
        raise RuntimeError(f"Not dragged: {', '.join(failed)}")


def drag_file(source, target, drags, arguments):
    """Why it could not be dragged; empty where it was."""
    image = Gimp.file_load(Gimp.RunMode.NONINTERACTIVE, Gio.File.new_for_path(str(source)))
    if image is None:
        return Gimp.get_pdb().get_last_error()
    try:
        if not image.get_paths():
            add_path(image, drags)
        procedure = Gimp.get_pdb().lookup_procedure("plug-in-drag-diffusion")
        config = procedure.create_config()
        config.set_property("image", image)
        config.set_core_object_array("drawables", image.get_selected_layers())
        for name, value in arguments.items():
            config.set_property(name.replace("_", "-"), value)
        if procedure.run(config).index(0) != Gimp.PDBStatusType.SUCCESS:
            return Gimp.get_pdb().get_last_error()
        to = Gio.File.new_for_path(str(target))
        saved = Gimp.file_save(Gimp.RunMode.NONINTERACTIVE, image, to, None)
        return "" if saved else Gimp.get_pdb().get_last_error()
    finally:
        image.delete()


def add_path(image, drags):
    width, height = image.get_width(), image.get_height()
    path = Gimp.Path.new(image, "Drags")
    image.insert_path(path, None, 0)
    for drag in drags:
        corners = [(x * width, y * height) for x, y in drag]
        numbers = [number for corner in corners for number in 3 * corner]
        path.stroke_new_from_points(Gimp.PathStrokeType.BEZIER, numbers, False)
    image.set_selected_paths([path])
