"""Re-edit Drag in a real GIMP, without its window, with a daemon that has no model."""

from __future__ import annotations

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
REOPEN = """
    from gi.repository import Gio
    file = Gio.File.new_for_path(sys.path[0] + "/kept.xcf")
    assert Gimp.file_save(Gimp.RunMode.NONINTERACTIVE, image, file, None)
    image.delete()
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


def again(gimp, *script, **arguments):
    """Drag, do what the script says, and edit again."""
    return gimp.batch(DRAGGED, *script[:1], f"MORE = {arguments!r}", AGAIN, *script[1:])


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
        REOPEN + "    Gimp.Selection.none(image); image.remove_path(image.get_paths()[0])",
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
            list(layer.get_offsets()), layer.get_parent().get_name(),
            bytes(layer.get_parasite("mine").get_data()).decode()]
    group = Gimp.GroupLayer.new(image, "Group")
    image.insert_layer(group, None, 0)
    image.reorder_item(old, group, 0)
    top = new_layer(image, "Top", parent=group)
    old.set_name("Mine"); old.set_opacity(40); old.set_mode(Gimp.LayerMode.MULTIPLY)
    old.set_visible(False); old.set_color_tag(Gimp.ColorTag.RED); old.set_lock_alpha(True)
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


def test_the_points_follow_a_source_that_was_moved_and_renamed(gimp, fake_daemon):
    told = again(
        gimp,
        REOPEN + "    layer.set_name('Other'); layer.set_offsets(3, 2)",
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
    first, second = fake_daemon.requests
    assert not second.preparation.HasField("mask")
    assert second.preparation == first.preparation


def test_a_selection_that_was_not_kept_is_taken_from_the_image(gimp, fake_daemon):
    told = again(gimp, "old.detach_parasite('drag-diffusion-selection')")
    assert told["call"] == ["SUCCESS", ""]
    first, second = fake_daemon.requests
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
    first, second = fake_daemon.requests
    assert second.preparation == first.preparation


ERRORS = {
    "no record": (
        "old = below",
        "Layer “Below” was not made by Drag Edit, so there is no drag to edit again: select a layer "
        "that was, or drag this one with Filters ▸ Drag Edit….",
    ),
    "source gone": (
        "image.remove_layer(layer)",
        "Layer “Photo”, which was dragged to make “Drag edit: Photo”, is not in the image any more: "
        "bring it back under that name, or drag “Drag edit: Photo” itself with Filters ▸ Drag Edit….",
    ),
    "not readable": (
        "old.attach_parasite(Gimp.Parasite.new('drag-diffusion-edit', Gimp.PARASITE_PERSISTENT, b'{'))",
        "What layer “Drag edit: Photo” keeps of its drag cannot be read: drag the layer below it anew "
        "with Filters ▸ Drag Edit….",
    ),
    "cut away": (
        "layer.resize(20, 50, -40, 0)",
        "A point of that drag lies outside layer “Photo” now: enlarge the layer (Layer ▸ Layer to "
        "Image Size), or place that point anew in the dialog of Re-edit Drag.",
    ),
    "filters": (
        "old.append_filter(Gimp.DrawableFilter.new(old, 'gegl:invert-gamma', 'Invert'))",
        "Layer “Drag edit: Photo” has filters, which the layer in its place would not have: merge or "
        "remove them (fx in the Layers dialog), or add the result as a layer of its own.",
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
