"""Every kind of layer in a real GIMP: the drag changes the selected part, exactly there, and nothing else.

All kinds run in one GIMP. The daemon without a model inverts colours in sRGB, so what must come is known.
"""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.slow

LOOK = """
    import array
    from gi.repository import Gio

    def whole(drawable):
        return Gegl.Rectangle.new(0, 0, drawable.get_width(), drawable.get_height())

    def raw(drawable):
        '''In its own format, bit for bit.'''
        return bytes(drawable.get_buffer().get(whole(drawable), 1.0, None, Gegl.AbyssPolicy.NONE))

    def look(image):
        '''What the image shows, pixel by pixel: premultiplied floats, and bytes in sRGB.'''
        shown = Gimp.Layer.new_from_visible(image, image, "shown")
        fine = shown.get_buffer().get(whole(shown), 1.0, "R'aG'aB'aA float", Gegl.AbyssPolicy.NONE)
        fine, seen = array.array("f", bytes(fine)), pixels(shown)
        shown.delete()
        return [(fine[i : i + 4], seen[i : i + 4]) for i in range(0, len(seen), 4)]

    def state(image):
        '''All that must not change but for one more layer.'''
        def tell(layer):
            mask = layer.get_mask()
            children = [tell(child) for child in layer.get_children()] if layer.is_group() else []
            own = "" if layer.is_group() else hashlib.sha256(raw(layer)).hexdigest()
            return [layer.get_name(), layer.get_width(), layer.get_height(), *list(layer.get_offsets())[1:],
                    layer.get_opacity(), layer.get_visible(), len(layer.get_filters()), own,
                    type(layer).__name__, hasattr(layer, "is_rasterized") and layer.is_rasterized(),
                    mask and hashlib.sha256(raw(mask)).hexdigest(), children]
        return {
            "layers": [tell(layer) for layer in image.get_layers()],
            "selection": hashlib.sha256(raw(image.get_selection())).hexdigest(),
            "channels": len(image.get_channels()),
            "paths": len(image.get_paths()),
            "images": len(Gimp.get_images()),
            "precision": int(image.get_precision()),
            "base": int(image.get_base_type()),
            "profile": bool(image.get_color_profile()),
        }

    def without_new(told):
        def strip(layers):
            return [[*layer[:-1], strip(layer[-1])] for layer in layers
                    if not layer[0].startswith("Drag edit: ")]
        return {**told, "layers": strip(told["layers"])}

    def run_kind(image, layer, drag=((40, 30), (50, 40)), select=(30, 20, 31, 27), **more):
        new_path(image, drag)
        if select:
            image.select_rectangle(Gimp.ChannelOps.REPLACE, *select)
        coverage = bytes(image.get_selection().get_buffer().get(
            Gegl.Rectangle.new(0, 0, image.get_width(), image.get_height()), 1.0, "Y u8", Gegl.AbyssPolicy.NONE))
        before, seen = state(image), look(image)
        told = {"call": call(image, [layer], **more.get("arguments", {}))}
        after, now = state(image), look(image)
        told["rest"] = without_new(after) == before
        told["as_before"] = after == before
        if told["call"][0] != "SUCCESS":
            return told
        siblings = layer.get_parent().get_children() if layer.get_parent() else image.get_layers()
        new = siblings[siblings.index(layer) - 1]
        _ok, left, top = layer.get_offsets()
        box = [left, top, left + layer.get_width(), top + layer.get_height()]
        if select:
            x, y, w, h = select
            box = [max(box[0], x), max(box[1], y), min(box[2], x + w), min(box[3], y + h)]
        told["new"] = new.get_name()
        told["place"] = [*list(new.get_offsets())[1:], new.get_width(), new.get_height()]
        told["wanted_place"] = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
        inside = {row * image.get_width() + column
                  for row in range(max(0, box[1]), min(image.get_height(), box[3]))
                  for column in range(max(0, box[0]), min(image.get_width(), box[2]))
                  if not more.get("masked") or column >= left + 40}
        def difference(one, other):
            return max((abs(a - b) for i in range(len(one)) if i not in inside
                        for a, b in zip(one[i][0], other[i][0])), default=0)
        told["outside"] = difference(seen, now)
        if told["outside"] > 1e-6:  # GIMP computes otherwise where there are more layers: does an empty one do the same?
            new.set_visible(False)
            empty = Gimp.Layer.new(image, "Empty", new.get_width(), new.get_height(),
                                   Gimp.ImageType.RGBA_IMAGE, 100.0, Gimp.LayerMode.NORMAL)
            empty.set_offsets(*told["place"][:2])
            image.insert_layer(empty, layer.get_parent(), 0)
            told["outside"] = difference(look(image), now)
        told["transparent"] = all(now[i][1][3] == seen[i][1][3] for i in inside if seen[i][1][3] in (0, 255))
        if more.get("covered"):  # what the image shows there is not the layer alone
            source, made = pixels(layer), pixels(new)
            seen, now, inside = [], [], range(new.get_width() * new.get_height())
            for i in inside:
                at = 4 * ((new.get_offsets()[2] - top + i // new.get_width()) * layer.get_width()
                          + new.get_offsets()[1] - left + i % new.get_width())
                seen.append((0, source[at : at + 4]))
                now.append((0, made[4 * i : 4 * i + 4]))
        opaque = [i for i in inside if seen[i][1][3] == 255]
        told["opaque"] = len(opaque)
        told["off"] = max((abs(255 - seen[i][1][c] - now[i][1][c]) for i in opaque for c in range(3)), default=-1)
        return told

    def grayed(image, kind):
        layer = Gimp.Layer.new(image, "Photo", 80, 60, kind, 100.0, Gimp.LayerMode.NORMAL)
        set_pixels(layer, bytes(value for i in range(4800) for value in (*3 * [i * 7 % 256], 255)))
        layer.set_offsets(15, 10)
        image.insert_layer(layer, None, 0)
        return layer

    def masked(layer, apply=True):
        '''Its left half hidden.'''
        mask = layer.create_mask(Gimp.AddMaskType.WHITE)
        layer.add_mask(mask)
        mask.get_buffer().set(whole(mask), "Y u8", (bytes(40) + bytes([255]) * 40) * 60)
        layer.set_edit_mask(False)
        layer.set_apply_mask(apply)
        return layer

    def filtered(layer, operation="gegl:invert-gamma"):
        layer.append_filter(Gimp.DrawableFilter.new(layer, operation, "Filter"))
        return layer

    def grouped(image, parent=None, name="Group"):
        group = Gimp.GroupLayer.new(image, name)
        image.insert_layer(group, parent, 0)
        return group

    def drawn(image, fill=True):
        path = Gimp.Path.new(image, "Outline")
        image.insert_path(path, None, 0)
        corners = [(16, 11), (94, 11), (94, 69), (16, 69)]
        path.stroke_new_from_points(
            Gimp.PathStrokeType.BEZIER, [number for corner in corners for number in 3 * corner], True)
        layer = Gimp.VectorLayer.new(image, path)
        image.insert_layer(layer, None, 0)
        layer.set_enable_fill(fill)
        layer.set_fill_color(Gegl.Color.new("rgb(0.9, 0.3, 0.1)"))
        layer.set_stroke_width(14)
        layer.refresh()
        layer.set_name("Photo")
        return layer

    def linked(image, parent=None):
        source = new_image(80, 60)
        new_layer(source, offset=(0, 0))
        file = Gio.File.new_for_path(sys.path[0] + "/linked.png")
        Gimp.file_save(Gimp.RunMode.NONINTERACTIVE, source, file, None)
        source.delete()
        layer = Gimp.LinkLayer.new(image, file)
        image.insert_layer(layer, parent, 0)
        layer.set_offsets(15, 10)
        layer.set_name("Photo")
        return layer

    def profiled(make, **more):
        image = new_image(**more)
        image.set_color_profile(make())
        return image
"""

PLAIN = "image = new_image(); layer = new_layer(image)"
# Lines that make `image` and `layer`, and where needed the arguments `more` of run_kind.
KINDS = {
    "smaller than the image": PLAIN,
    "larger than the image": "image = new_image(); layer = new_layer(image, size=(160, 130), offset=(-20, -15))",
    "partly outside": "image = new_image(); layer = new_layer(image, offset=(-20, 5))\nmore['drag'] = ((10, 30), (20, 40)); more['select'] = (0, 20, 31, 27)",
    "selection beyond the layer": PLAIN + "\nmore['select'] = (5, 5, 60, 60)",
    "no selection": PLAIN + "\nmore['select'] = None",
    "no alpha": "image = new_image(); layer = new_layer(image, alpha=False)",
    "half transparent": PLAIN
    + "\nrows = bytearray(pixels(layer)); rows[3::4] = bytes(2400) + bytes([255]) * 2400; set_pixels(layer, bytes(rows))",
    "below others": PLAIN + "\nnew_layer(image, 'Top', size=(10, 10), offset=(0, 0))",
    "hidden": PLAIN
    + "\nlayer.set_visible(False); new_layer(image, 'Under'); more['covered'] = True",
    "layer mask": "image = new_image(); new_layer(image, 'Under', (120, 90), (0, 0))\nlayer = masked(new_layer(image)); more['masked'] = True",
    "layer mask not applied": "image = new_image(); layer = masked(new_layer(image), apply=False)",
    "in a group": "image = new_image(); layer = new_layer(image, parent=grouped(image))",
    "in a group in a group": "image = new_image(); layer = new_layer(image, parent=grouped(image, grouped(image, name='Outer')))",
    "in a locked group": "image = new_image(); group = grouped(image); layer = new_layer(image, parent=group)\ngroup.set_lock_position(True)",
    "in a group with locked pixels": "image = new_image(); group = grouped(image); layer = new_layer(image, parent=group)\ngroup.set_lock_content(True)",
    "group": "image = new_image(); layer = grouped(image, name='Photo'); new_layer(image, 'One', parent=layer)\nnew_layer(image, 'Two', (30, 30), (40, 30), parent=layer)",
    "group with a filter": "image = new_image(); layer = grouped(image, name='Photo'); new_layer(image, 'One', parent=layer)\nfiltered(layer)",
    "filter": "image = new_image(); layer = filtered(new_layer(image))",
    "filter, left out": "image = new_image(); layer = filtered(new_layer(image)); more['arguments'] = {'with_filters': False}",
    "group with a filter, not left out": "image = new_image(); layer = grouped(image, name='Photo'); new_layer(image, 'One', parent=layer)\nfiltered(layer); more['arguments'] = {'with_filters': False}",
    "filter that makes the layer larger": "image = new_image(); layer = filtered(new_layer(image), 'gegl:dropshadow')",
    "filter, with a profile": "image = profiled(Gimp.ColorProfile.new_rgb_adobe); layer = filtered(new_layer(image))",
    "gray": "image = new_image(base=Gimp.ImageBaseType.GRAY); layer = grayed(image, Gimp.ImageType.GRAY_IMAGE)",
    "gray with alpha": "image = new_image(base=Gimp.ImageBaseType.GRAY); layer = grayed(image, Gimp.ImageType.GRAYA_IMAGE)",
    "gray, 32 bit linear": "image = new_image(base=Gimp.ImageBaseType.GRAY, precision=Gimp.Precision.FLOAT_LINEAR); layer = grayed(image, Gimp.ImageType.GRAYA_IMAGE)",
    "indexed": PLAIN
    + "\nimage.convert_indexed(Gimp.ConvertDitherType.NONE, Gimp.ConvertPaletteType.GENERATE, 64, False, False, '')",
    "Adobe RGB": "image = profiled(Gimp.ColorProfile.new_rgb_adobe); layer = new_layer(image)",
    "Adobe RGB, 16 bit": "image = profiled(Gimp.ColorProfile.new_rgb_adobe, precision=Gimp.Precision.U16_NON_LINEAR); layer = new_layer(image)",
    "1 × 1": "image = new_image(1, 1); layer = new_layer(image, size=(1, 1), offset=(0, 0))\nmore['drag'] = ((0, 0), (0.9, 0.9)); more['select'] = None",
    "text": "image = new_image(); new_layer(image, 'Under', (120, 90), (0, 0))\nlayer = Gimp.TextLayer.new(image, 'WWW', Gimp.context_get_font(), 40, Gimp.Unit.pixel())\nimage.insert_layer(layer, None, 0); layer.set_offsets(15, 10); layer.set_name('Photo'); more['covered'] = True",
}
PRECISIONS = [
    f"{depth}_{curve}"
    for depth in ("U8", "U16", "U32", "HALF", "FLOAT", "DOUBLE")
    for curve in ("LINEAR", "NON_LINEAR", "PERCEPTUAL")
]
KINDS |= {
    name: f"image = new_image(precision=Gimp.Precision.{name}); layer = new_layer(image)"
    for name in PRECISIONS
}
NEW_IN_3_2 = {
    "vector": "image = new_image(); new_layer(image, 'Under', (120, 90), (0, 0)); layer = drawn(image)",
    "vector, without fill": "image = new_image(); new_layer(image, 'Under', (120, 90), (0, 0))\nlayer = drawn(image, fill=False); more['covered'] = True; more['select'] = (10, 20, 31, 27)",
    "link": "image = new_image(); layer = linked(image)",
    "link in a group": "image = new_image(); group = grouped(image); layer = linked(image, group)",
}
KINDS |= NEW_IN_3_2
# Rounding: two 8 bit scales meet.
COARSE = {"Adobe RGB": 2, "filter, with a profile": 2, "U8_LINEAR": 13}


@pytest.fixture(scope="module")
def told(gimp):
    script = ""
    for name, make in KINDS.items():
        lines = [
            "more = {}",
            *make.split("\n"),
            f"result[{name!r}] = run_kind(image, layer, **more)",
            "image.delete()",
        ]
        is_there = "hasattr(Gimp, 'LinkLayer')" if name in NEW_IN_3_2 else "True"
        script += f"if {is_there}:\n" + "".join(f"    {line}\n" for line in lines)
    with gimp.fake_daemon():
        return gimp.batch(LOOK, script, timeout=600)


@pytest.fixture
def kind(told, name):
    if name in NEW_IN_3_2 and name not in told:
        pytest.skip("GIMP has this kind of layer from 3.2 on")
    return told[name]


@pytest.mark.parametrize("name", KINDS)
def test_it_changes_what_is_selected_and_nothing_else(kind):
    assert kind["call"] == ["SUCCESS", ""]
    assert kind["rest"]
    assert not kind["as_before"]
    assert kind["new"] == "Drag edit: Photo"
    assert kind["place"] == kind["wanted_place"]
    assert kind["outside"] <= 1e-6
    assert kind["transparent"]


@pytest.mark.parametrize("name", [name for name in KINDS if name not in ("indexed",)])
def test_the_colours_are_right(kind, name):
    assert kind["opaque"] > 0
    assert 0 <= kind["off"] <= COARSE.get(name, 1)
