"""Re-edit Drag in a real GIMP, without its window, with a daemon that has no model."""

from __future__ import annotations

import textwrap

import pytest

DRAGGED = """
    image = new_image()
    below = new_layer(image, "Below", (120, 90), (0, 0))
    layer = new_layer(image)
    path = new_path(image, [(40, 30), (60, 40)], [(50, 35), (45, 50)])
    Gimp.context_set_feather(True)
    Gimp.context_set_feather_radius(8, 8)
    image.select_rectangle(Gimp.ChannelOps.REPLACE, 30, 20, 40, 30)
    arguments = {"mode": "fast", "model": "tiny", "lora_steps": 3, "max_drag_steps": 9}
    assert call(image, [layer], prompt="Hündin", seed=7, mask_grow=4, mask_feather=2, **arguments)[0] == "SUCCESS"
    old = image.get_layers()[0]
    assert old.get_name() == "Drag edit: Photo"
"""
FILE = """
    from gi.repository import Gio
    file = Gio.File.new_for_path(sys.path[0] + "/dragged.xcf")
"""
SAVE = "assert Gimp.file_save(Gimp.RunMode.NONINTERACTIVE, image, file, None)"
OPEN = """
    image = Gimp.file_load(Gimp.RunMode.NONINTERACTIVE, file)
    old, layer, below = image.get_layers()
"""
AGAIN = """
    before = describe(image)
    result["call"] = call(image, [old], name=RE_EDIT, **MORE)
    result["as_before"] = describe(image) == before
    result["layers"] = [layer.get_name() for layer in image.get_layers()]
    new = image.get_layers()[0]
"""


@pytest.fixture(scope="module")
def dragged(gimp):
    """A file with a drag, made once; and the daemon that made it."""
    with gimp.fake_daemon() as daemon:
        gimp.batch(DRAGGED, FILE, SAVE)
        yield daemon


@pytest.fixture
def fake_daemon(dragged):
    """It knows of that drag alone."""
    del dragged.requests[1:]
    return dragged


def again(gimp, *script, **arguments):
    """Open the file, do what the script says, and edit again."""
    return gimp.batch(FILE, OPEN, *script[:1], f"MORE = {arguments!r}", AGAIN, *script[1:])


def test_it_is_registered_with_documented_arguments(gimp):
    told = gimp.batch("""
        procedure = Gimp.get_pdb().lookup_procedure(RE_EDIT)
        result["label"] = procedure.get_menu_label()
        result["menus"] = procedure.get_menu_paths()
        result["arguments"] = {a.name: a.blurb for a in procedure.get_arguments()}
    """)
    assert told["label"] == "_Re-edit Drag…"
    assert told["menus"] == ["<Image>/Filters"]
    assert list(told["arguments"]) == ["run-mode", "image", "drawables", "replace", "seed"]
    assert all(told["arguments"].values())


def test_from_a_saved_file_the_same_drag_is_made_again(gimp, fake_daemon):
    """The selection and the path are gone from the image, the settings are no last values."""
    told = again(
        gimp,
        "Gimp.Selection.none(image); image.remove_path(image.get_paths()[0])",
        """
        result["same_pixels"] = describe(image) == before
        result["record"] = read_record(new)
        result["selection"] = not Gimp.Selection.is_empty(image)
        result["paths"] = len(image.get_paths())
        """,
    )
    assert told["call"] == ["SUCCESS", ""]
    assert told["layers"] == ["Drag edit: Photo", "Photo", "Below"]
    assert told["same_pixels"]
    assert not told["selection"]
    assert told["paths"] == 0
    first, second = fake_daemon.requests
    assert first.preparation.prompt == "Hündin"
    assert second.preparation == first.preparation
    assert told["record"]["settings"]["mask_grow"] == 4


def test_a_layer_that_was_edited_again_can_be_edited_again(gimp, fake_daemon):
    told = again(
        gimp, "Gimp.Selection.none(image)", 'result["more"] = call(image, [new], name=RE_EDIT)'
    )
    assert told["more"] == ["SUCCESS", ""]
    first, _second, third = fake_daemon.requests
    assert third.preparation == first.preparation


def test_another_seed_gives_a_variation_as_a_layer_of_its_own(gimp, fake_daemon):
    told = again(gimp, "", replace=False, seed=11)
    assert told["call"] == ["SUCCESS", ""]
    assert told["layers"] == ["Drag edit: Photo #1", "Drag edit: Photo", "Photo", "Below"]
    first, second = fake_daemon.requests
    assert second.preparation.seed == 11
    second.preparation.seed = 7
    assert second.preparation == first.preparation


def test_the_layer_in_its_place_looks_and_stands_as_it_did(gimp, fake_daemon):
    del fake_daemon
    looks = """
    def looks(layer):
        return [
            layer.get_name(), layer.get_opacity(), layer.get_mode() == Gimp.LayerMode.MULTIPLY,
            layer.get_visible(), layer.get_color_tag() == Gimp.ColorTag.RED, layer.get_lock_alpha(),
            layer.get_lock_position(), layer.get_lock_visibility(),
            list(layer.get_offsets()), layer.get_parent().get_name(),
            bytes(layer.get_parasite("mine").get_data()).decode()]
    group = Gimp.GroupLayer.new(image, "Group")
    image.insert_layer(group, None, 0)
    image.reorder_item(old, group, 0)
    top = new_layer(image, "Top", parent=group)
    old.set_name("Mine"); old.set_opacity(40); old.set_mode(Gimp.LayerMode.MULTIPLY)
    old.set_visible(False); old.set_color_tag(Gimp.ColorTag.RED); old.set_lock_alpha(True)
    old.set_lock_position(True); old.set_lock_visibility(True)
    old.attach_parasite(Gimp.Parasite.new("mine", Gimp.PARASITE_PERSISTENT, b"kept"))
    mask = old.create_mask(Gimp.AddMaskType.WHITE)
    old.add_mask(mask)
    stripe = Gegl.Rectangle.new(0, 0, old.get_width(), 5)
    buffer = mask.get_buffer()
    buffer.set(stripe, "Y u8", bytes(5 * old.get_width())); buffer.flush(); del buffer
    image.set_selected_layers([old, below])
    result["before"] = looks(old)
    masked = digest(mask)
    """
    told = again(
        gimp,
        looks,
        """
        result["group"] = [child.get_name() for child in group.get_children()]
        new = group.get_children()[1]
        result["after"] = looks(new)
        result["mask_kept"] = digest(new.get_mask()) == masked
        result["selected"] = sorted(layer.get_name() for layer in image.get_selected_layers())
        result["is_new"] = new.get_id() != old.get_id() and not old.is_valid()
        """,
    )
    assert told["call"] == ["SUCCESS", ""]
    assert told["after"] == told["before"]
    assert told["group"] == ["Top", "Mine"]
    assert told["mask_kept"]
    assert told["selected"] == ["Below", "Mine"]
    assert told["is_new"]


@pytest.mark.parametrize("change", ["", "old.resize(20, 30, -9, -3)", "old.resize(99, 70, 9, 3)"])
def test_the_layer_in_its_place_has_the_old_ones_filters(gimp, fake_daemon, change):
    del fake_daemon
    told = again(
        gimp,
        f"""
        def filters():
            (old, *_rest) = image.get_layers()
            return [
                [f.get_operation_name(), f.get_name(), f.get_opacity(), f.get_visible(),
                 f.get_config().get_property("std-dev-x")] for f in old.get_filters()]
        result["first"] = describe(image)
        Gimp.Selection.none(image)  # a filter is limited to what is selected
        for name, visible in (("Soft", True), ("Unseen", False)):
            blur = Gimp.DrawableFilter.new(old, "gegl:gaussian-blur", name)
            blur.get_config().set_property("std-dev-x", 3.5 if visible else 2.0)
            blur.set_opacity(0.25)
            blur.set_visible(visible)
            old.append_filter(blur)
            blur.update()
        def shown():
            seen = Gimp.Layer.new_from_visible(image, image, "Seen")
            return digest(seen), seen.delete()
        result["shown"] = [shown()]
        {change}
        result["before"] = filters()
        """,
        """
        result["after"] = filters()
        result["shown"].append(shown())
        new.get_filters()[1].set_visible(False)
        new.get_filters()[1].update()
        result["shown"].append(shown())
        result["layers"] = describe(image)
        """,
    )
    assert told["call"] == ["SUCCESS", ""]
    assert told["before"] == [
        ["gegl:gaussian-blur", "Unseen", 0.25, False, 2.0],
        ["gegl:gaussian-blur", "Soft", 0.25, True, 3.5],
    ]
    assert told["after"] == told["before"]
    before, after, without_filter = told["shown"]
    assert after == before != without_filter
    assert told["layers"] == told["first"]  # the fake daemon's pixels are the same


@pytest.mark.parametrize(
    "convert",
    [
        "image.convert_grayscale()",
        "image.convert_indexed(Gimp.ConvertDitherType.NONE, Gimp.ConvertPaletteType.WEB, 0, False, False, '')",
        "image.convert_precision(Gimp.Precision.FLOAT_LINEAR)",
    ],
)
def test_in_any_kind_of_image_its_pixels_are_those_of_a_layer_that_is_added(
    gimp, fake_daemon, convert
):
    del fake_daemon
    told = again(
        gimp,
        f"""
        {convert}
        assert call(image, [old], name=RE_EDIT, replace=False)[0] == "SUCCESS"
        """,
        """
        result["digests"] = [digest(layer) for layer in image.get_layers()[:2]]
        """,
    )
    assert told["call"] == ["SUCCESS", ""]
    assert told["digests"][0] == told["digests"][1]


def test_a_layer_without_alpha_and_its_mask_are_made_to_fit(gimp, fake_daemon):
    del fake_daemon
    told = again(
        gimp,
        """
        result["first"] = describe(image)
        old.flatten()
        mask = old.create_mask(Gimp.AddMaskType.BLACK)
        old.add_mask(mask)
        old.resize(20, 30, -9, -3)
        """,
        """
        width = new.get_width()
        shown = new.get_mask().get_buffer()
        def corner(x, y):
            return shown.get(Gegl.Rectangle.new(x, y, 1, 1), 1.0, "Y u8", Gegl.AbyssPolicy.NONE)[0]
        result["mask"] = [corner(8, 3), corner(9, 2), corner(9, 3), corner(28, 32), corner(29, 32)]
        result["layers"] = describe(image)
        """,
    )
    assert told["call"] == ["SUCCESS", ""]
    assert told["layers"] == told["first"]
    assert told["mask"] == [255, 255, 0, 0, 255]  # the old one's where that lies, else none


def test_the_points_follow_a_source_that_was_moved_and_renamed(gimp, fake_daemon):
    told = again(
        gimp,
        "layer.set_name('Other'); layer.set_offsets(3, 2)",
        'result["offset"] = list(new.get_offsets())[1:]; result["old"] = before[0]["offset"]',
    )
    assert told["call"] == ["SUCCESS", ""]
    first, second = fake_daemon.requests
    assert second.preparation == first.preparation
    assert told["offset"] == [told["old"][0] - 12, told["old"][1] - 8]


def test_the_points_stay_where_they_are_on_a_source_that_was_cut(gimp, fake_daemon):
    told = again(gimp, "layer.resize(60, 50, -5, -4)")
    assert told["call"] == ["SUCCESS", ""]
    first, second = fake_daemon.requests
    ways = [
        [(point.x, point.y) for point in request.preparation.trajectories[0].points]
        for request in (first, second)
    ]
    assert ways[1] == [(x - 5, y - 4) for x, y in ways[0]]
    whole, cut = (
        fake_daemon.buffers[request.preparation.mask.sha256] for request in (first, second)
    )
    inside = b"".join(whole[80 * row + 5 : 80 * row + 65] for row in range(4, 54))
    # GIMP grows and softens a little otherwise where the layer's edge is nearer.
    assert max(abs(a - b) for a, b in zip(cut, inside, strict=True)) <= 8


ROTATE = "image.rotate(Gimp.RotationType.DEGREES{})"
FLIP = "image.flip(Gimp.OrientationType.{})"
# What is done to the image after the drag, and where its point (x, y) is then, both counted in the layer of 80 × 60.
CHANGES = {
    "moved": ("old.set_offsets(0, 0); layer.set_offsets(33, 44)", lambda x, y: (x, y)),
    "larger canvas": ("image.resize(200, 300, 40, 50)", lambda x, y: (x, y)),
    "cropped": ("image.crop(80, 50, 25, 18)", lambda x, y: (x - 10, y - 8)),
    "cropped, and scaled back": (
        "image.crop(80, 50, 25, 18); layer.resize(80, 60, 10, 8)",
        lambda x, y: (x, y),
    ),
    "layer to image size": ("layer.resize_to_image_size()", lambda x, y: (x + 15, y + 10)),
    "twice as large": ("image.scale(240, 180)", lambda x, y: (2 * x, 2 * y)),
    "smaller": ("image.scale(90, 60)", lambda x, y: (0.75 * x, 40 / 60 * y)),
    "stretched": ("image.scale(240, 90)", lambda x, y: (2 * x, y)),
    "renamed and scaled": (
        "layer.set_name('Other'); image.scale(240, 180)",
        lambda x, y: (2 * x, 2 * y),
    ),
    "renamed and cropped": (
        "layer.set_name('Other'); image.crop(80, 50, 25, 18)",
        lambda x, y: (x - 10, y - 8),
    ),
    "90 degrees": (ROTATE.format(90), lambda x, y: (60 - y, x)),
    "180 degrees": (ROTATE.format(180), lambda x, y: (80 - x, 60 - y)),
    "270 degrees": (ROTATE.format(270), lambda x, y: (y, 80 - x)),
    "mirrored": (FLIP.format("HORIZONTAL"), lambda x, y: (80 - x, y)),
    "upside down": (FLIP.format("VERTICAL"), lambda x, y: (x, 60 - y)),
    "turned and cropped": (
        ROTATE.format(90) + "; image.crop(60, 70, 22, 20)",
        lambda x, y: (60 - y - 2, x - 5),
    ),
    "painted on": (
        "set_pixels(layer, bytes(255 - b if n % 4 < 3 else b for n, b in enumerate(pixels(layer))))",
        lambda x, y: (x, y),
    ),
}


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("name", CHANGES)
def test_points_and_selection_are_where_they_were_in_the_picture(gimp, fake_daemon, name, whole):
    """`whole`: the result is as large as the layer, as it is where the layer is small."""
    change, move = CHANGES[name]
    enlarge = "old.resize(80, 60, *(a - b for a, b in zip(old.get_offsets()[1:], (15, 10))))"
    record = """
        told = read_record(old)
        told["region"] = [0, 0, 80, 60]
        old.attach_parasite(Gimp.Parasite.new(
            "drag-diffusion-edit", Gimp.PARASITE_PERSISTENT, json.dumps(told).encode()))
    """
    made = f"{enlarge}\n{textwrap.dedent(record)}" if whole else ""
    told = again(gimp, f"{made}\n{change}\nimage.select_rectangle(0, 0, 0, 3, 3)")
    assert told["call"] == ["SUCCESS", ""]
    first, second = fake_daemon.requests
    ways, moved = (
        [[(point.x, point.y) for point in way.points] for way in request.preparation.trajectories]
        for request in (first, second)
    )
    assert moved == [[pytest.approx(move(x, y), abs=0.01) for x, y in way] for way in ways]
    # The selection's middle and corners, 12 pixels inside and outside of it: it is softened.
    masks = [fake_daemon.buffers[request.preparation.mask.sha256] for request in (first, second)]
    sizes = [request.preparation.image for request in (first, second)]
    for x, y in [(35, 25), (27, 22), (43, 28), (3, 3), (77, 5), (5, 57)]:
        there = move(x, y)
        if 0 <= there[0] < sizes[1].width and 0 <= there[1] < sizes[1].height:
            then = masks[0][int(y) * sizes[0].width + int(x)]
            now = masks[1][int(there[1]) * sizes[1].width + int(there[0])]
            assert now == pytest.approx(then, abs=12), (x, y)
            assert then in (0, 255)


def test_lengths_of_the_settings_are_scaled_too(gimp, fake_daemon):
    del fake_daemon
    told = again(gimp, "image.scale(240, 180)", 'result["record"] = read_record(new)')
    assert told["call"] == ["SUCCESS", ""]
    assert told["record"]["settings"]["mask_grow"] == 8
    assert told["record"]["settings"]["mask_feather"] == 4
    assert told["record"]["settings"]["lora_steps"] == 3
    assert told["record"]["source_size"] == [160, 120]


def test_filters_that_were_left_out_are_left_out_again(gimp, fake_daemon):
    """Where the layer was cut since, its pieces are looked for without them too."""
    told = again(
        gimp,
        """
        Gimp.Selection.none(image)
        for operation in ("gegl:invert-gamma", "gegl:gaussian-blur"):
            one = Gimp.DrawableFilter.new(layer, operation, operation)
            layer.append_filter(one)
            one.update()
        assert call(image, [layer], with_filters=False)[0] == "SUCCESS"
        old = image.get_layers()[1]
        layer.resize(70, 50, -10, -8)
        """,
        """
        result["filters"] = [f.get_name() for f in image.get_layers()[1].get_filters()]
        """,
        replace=False,
    )
    assert told["call"] == ["SUCCESS", ""]
    assert told["filters"] == ["gegl:gaussian-blur", "gegl:invert-gamma"]
    _first, second, third = fake_daemon.requests
    ways = [[(p.x, p.y) for p in t.points] for t in third.preparation.trajectories]
    before = [[(p.x, p.y) for p in t.points] for t in second.preparation.trajectories]
    assert ways == [[(x - 10, y - 8) for x, y in way] for way in before]


def test_in_a_copy_of_the_image_the_source_goes_by_its_name(gimp, fake_daemon):
    told = again(
        gimp,
        """
        image.remove_layer(new_layer(image, "Passing"))  # so that the copy counts otherwise
        image = image.duplicate()
        old, layer, below = image.get_layers()
        """,
    )
    assert told["call"] == ["SUCCESS", ""]
    first, second = fake_daemon.requests
    assert second.preparation == first.preparation


def test_without_a_selection_then_there_is_none_now(gimp, fake_daemon):
    told = gimp.batch(
        """
        image = new_image()
        layer = new_layer(image)
        new_path(image, [(40, 30), (60, 40)])
        assert call(image, [layer])[0] == "SUCCESS"
        image.select_rectangle(Gimp.ChannelOps.REPLACE, 100, 75, 5, 5)
        old = image.get_layers()[0]
        MORE = {}
        """,
        AGAIN,
    )
    assert told["call"] == ["SUCCESS", ""]
    _, first, second = fake_daemon.requests
    assert not second.preparation.HasField("mask")
    assert second.preparation == first.preparation


def test_a_selection_that_was_not_kept_is_taken_from_the_image(gimp, fake_daemon):
    """GIMP 3.0.4 itself softens a selection otherwise once it was saved, so this image was not."""
    told = gimp.batch(DRAGGED, "old.detach_parasite('drag-diffusion-selection'); MORE = {}", AGAIN)
    assert told["call"] == ["SUCCESS", ""]
    _, first, second = fake_daemon.requests
    assert second.preparation == first.preparation


def test_a_drag_of_a_group_is_made_again(gimp, fake_daemon):
    told = gimp.batch(
        """
        image = new_image()
        group = Gimp.GroupLayer.new(image, "Group")
        image.insert_layer(group, None, 0)
        new_layer(image, parent=group)
        new_path(image, [(40, 30), (60, 40)])
        assert call(image, [group])[0] == "SUCCESS"
        old = image.get_layers()[0]
        MORE = {}
        """,
        AGAIN,
    )
    assert told["call"] == ["SUCCESS", ""]
    _, first, second = fake_daemon.requests
    assert second.preparation == first.preparation


NOT_TOLD = (
    "The size of layer “Photo” was changed since it was dragged, and nothing tells where the points "
    "of that drag lie in it now: undo that change, or drag the layer anew with Filters ▸ Drag Edit."
)
GONE = (
    "Layer “Photo”, which was dragged to make “Drag edit: Photo”, is not in the image any more: "
    "bring it back under that name, or drag “Drag edit: Photo” itself with Filters ▸ Drag Edit."
)
ERRORS = {
    "no record": (
        "old = below",
        "Layer “Below” was not made by Drag Edit, so there is no drag to edit again: select a layer "
        "that was, or drag this one with Filters ▸ Drag Edit.",
    ),
    "source gone": (
        "image.remove_layer(layer)",
        GONE,
    ),
    "source gone, another has its tattoo": (
        "tattoo = layer.get_tattoo(); image.remove_layer(layer); below.set_tattoo(tattoo)\n"
        "set_pixels(below, bytes(120 * 90 * 4))",
        GONE,
    ),
    "renamed and scaled alone": (
        "layer.set_name('Other'); layer.scale(160, 120, False)",
        NOT_TOLD.replace("Photo", "Other"),
    ),
    "not readable": (
        "old.attach_parasite(Gimp.Parasite.new('drag-diffusion-edit', Gimp.PARASITE_PERSISTENT, b'{'))",
        "What layer “Drag edit: Photo” keeps of its drag cannot be read: drag the layer below it anew "
        "with Filters ▸ Drag Edit.",
    ),
    "cut away": (
        "layer.resize(20, 50, -40, 0)",
        "A point of that drag lies outside layer “Photo” now: enlarge the layer (Layer ▸ Layer to "
        "Image Size), or place that point anew in the dialog of Re-edit Drag.",
    ),
    "scaled alone": ("layer.scale(160, 120, False)", NOT_TOLD),
    "result scaled alone": ("image.scale(240, 180); old.scale(20, 20, False)", NOT_TOLD),
    "turned a little": (
        "Gimp.Selection.none(image)\nfor one in (old, layer): one.transform_rotate(0.4, True, 0, 0)",
        NOT_TOLD,
    ),
    "cut and moved, and painted on": (
        "set_pixels(layer, bytes(80 * 60 * 4)); layer.resize(60, 50, 0, 0); old.set_offsets(0, 0)",
        NOT_TOLD,
    ),
    "locked": (
        "old.set_lock_content(True)",
        "The pixels of layer “Drag edit: Photo” are locked: unlock them in the Layers dialog, or "
        "select another layer.",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_is_one_clear_sentence_and_changes_nothing(gimp, fake_daemon, name):
    del fake_daemon
    make, sentence = ERRORS[name]
    told = again(gimp, make)
    assert told["call"] == ["EXECUTION_ERROR", sentence]
    assert told["as_before"]


def test_a_drag_that_fails_leaves_the_layer_as_it_was(gimp, fake_daemon):
    told = again(
        gimp,
        """
        record = read_record(old)
        record["settings"]["prompt"] = "fail RESOURCE_EXHAUSTED Too large: select less."
        content = json.dumps(record).encode()
        old.attach_parasite(Gimp.Parasite.new("drag-diffusion-edit", Gimp.PARASITE_PERSISTENT, content))
        """,
    )
    assert told["call"] == ["EXECUTION_ERROR", "Too large: select less."]
    assert told["as_before"]
    assert len(fake_daemon.requests) == 2
