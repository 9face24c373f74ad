"""What the tests' scripts use inside GIMP's own Python."""

import hashlib
import json
from pathlib import Path

from gi.repository import Gegl, Gimp

SRGB = "R'G'B'A u8"
PROCEDURE = "plug-in-drag-diffusion"
RE_EDIT = "plug-in-drag-diffusion-re-edit"

Gegl.init(None)


def write_json(path, value):
    fresh = Path(path + ".new")
    fresh.write_text(json.dumps(value), encoding="utf-8")
    fresh.replace(path)


def new_image(width=120, height=90, base=Gimp.ImageBaseType.RGB, precision=None):
    return Gimp.Image.new_with_precision(
        width, height, base, precision or Gimp.Precision.U8_NON_LINEAR
    )


def new_layer(image, name="Photo", size=(80, 60), offset=(15, 10), parent=None, alpha=True):
    """A layer with a gradient in each colour, so that every pixel differs."""
    kind = Gimp.ImageType.RGBA_IMAGE if alpha else Gimp.ImageType.RGB_IMAGE
    layer = Gimp.Layer.new(image, name, *size, kind, 100.0, Gimp.LayerMode.NORMAL)
    rows = bytearray()
    for y in range(size[1]):
        for x in range(size[0]):
            rows += bytes((3 * x % 256, 4 * y % 256, (x * y) % 256, 255))
    set_pixels(layer, bytes(rows))
    layer.set_offsets(*offset)
    image.insert_layer(layer, parent, 0)
    return layer


def set_pixels(layer, rows):
    assert len(rows) == 4 * layer.get_width() * layer.get_height()
    buffer = layer.get_buffer()
    buffer.set(Gegl.Rectangle.new(0, 0, layer.get_width(), layer.get_height()), SRGB, rows)
    buffer.flush()


def pixels(layer):
    whole = Gegl.Rectangle.new(0, 0, layer.get_width(), layer.get_height())
    return bytes(layer.get_buffer().get(whole, 1.0, SRGB, Gegl.AbyssPolicy.NONE))


def digest(layer):
    return hashlib.sha256(pixels(layer)).hexdigest()


def selection(image, layer):
    """Coverage where the layer is, one byte a pixel."""
    _ok, x, y = layer.get_offsets()
    there = Gegl.Rectangle.new(x, y, layer.get_width(), layer.get_height())
    buffer = image.get_selection().get_buffer()
    return bytes(buffer.get(there, 1.0, "Y u8", Gegl.AbyssPolicy.NONE))


def new_path(image, *strokes, name="Drags", closed=False):
    """A path with one stroke for each list of points, selected as GIMP selects what is drawn."""
    path = Gimp.Path.new(image, name)
    image.insert_path(path, None, 0)
    for points in strokes:
        coordinates = [number for point in points for number in 3 * list(point)]
        path.stroke_new_from_points(Gimp.PathStrokeType.BEZIER, coordinates, closed)
    image.set_selected_paths([path])
    return path


def call(image, layers, run_mode=Gimp.RunMode.NONINTERACTIVE, name=PROCEDURE, **arguments):
    """Call the procedure; its status and its sentence."""
    procedure = Gimp.get_pdb().lookup_procedure(name)
    config = procedure.create_config()
    config.set_property("run-mode", run_mode)
    config.set_property("image", image)
    config.set_core_object_array("drawables", layers)
    for key, value in arguments.items():
        config.set_property(key.replace("_", "-"), value)
    values = procedure.run(config)
    status = values.index(0)
    names = ("EXECUTION_ERROR", "CALLING_ERROR", "PASS_THROUGH", "SUCCESS", "CANCEL")
    (name,) = [name for name in names if status == getattr(Gimp.PDBStatusType, name)]
    return name, (Gimp.get_pdb().get_last_error() or "") if name != "SUCCESS" else ""


def describe(image):
    """The layers from the top, for comparison."""
    return [
        {
            "name": layer.get_name(),
            "size": [layer.get_width(), layer.get_height()],
            "offset": list(layer.get_offsets())[1:],
            "digest": digest(layer),
        }
        for layer in image.get_layers()
    ]


def read_record(layer):
    return json.loads(bytes(layer.get_parasite("drag-diffusion-edit").get_data()))
