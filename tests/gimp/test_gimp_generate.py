"""Generate Layer in a real GIMP, and drags on what it made, with a daemon that has no model."""

from __future__ import annotations

import pytest

GENERATE = """
    NAME = "plug-in-drag-diffusion-generate"
    def generate(image, layers, **arguments):
        procedure = Gimp.get_pdb().lookup_procedure(NAME)
        config = procedure.create_config()
        config.set_property("run-mode", Gimp.RunMode.NONINTERACTIVE)
        config.set_property("image", image)
        config.set_core_object_array("drawables", layers)
        for key, value in arguments.items():
            config.set_property(key, value)
        values = procedure.run(config)
        assert values.index(0) == Gimp.PDBStatusType.SUCCESS, Gimp.get_pdb().get_last_error()
        return values.index(1)
"""
FLOWER = """
    image = new_image()
    layer = new_layer(image)
    new = generate(image, [layer], prompt="a flower", seed=7, model="tiny")
    new_path(image, [(40, 30), (60, 40)])
"""
DRAG = 'result["call"] = call(image, [new], **MORE)'


def drag(gimp, *script, **arguments):
    return gimp.batch(GENERATE, FLOWER, *script, f"MORE = {arguments!r}", DRAG)


def test_it_is_registered_with_documented_arguments(gimp):
    told = gimp.batch(
        GENERATE,
        """
        procedure = Gimp.get_pdb().lookup_procedure(NAME)
        result["label"] = procedure.get_menu_label()
        result["menus"] = procedure.get_menu_paths()
        result["arguments"] = {a.name: a.blurb for a in procedure.get_arguments()}
        """,
    )
    assert told["label"] == "_Generate Layer…"
    assert told["menus"] == ["<Image>/Filters"]
    names = ["run-mode", "image", "drawables", "prompt", "model", "width", "height", "seed"]
    assert list(told["arguments"]) == [*names, "negative-prompt", "steps", "guidance-scale"]
    assert all(told["arguments"].values())


def test_a_layer_is_made_above_the_selected_one_in_the_middle_of_the_selection(gimp, fake_daemon):
    told = gimp.batch(
        GENERATE,
        """
        image = new_image()
        below = new_layer(image, "Below")
        group = Gimp.GroupLayer.new(image, "Group")
        image.insert_layer(group, None, 0)
        layer = new_layer(image, parent=group)
        top = new_layer(image, "Top", parent=group)
        before = describe(image)
        first = generate(image, [layer], prompt="a flower", seed=7, width=32, height=24)
        result["names"] = [child.get_name() for child in group.get_children()]
        result["middle"] = list(first.get_offsets())[1:]
        result["pixel"] = list(pixels(first)[4 * 33 : 4 * 33 + 4])
        result["selected"] = [one.get_name() for one in image.get_selected_layers()]
        image.select_rectangle(Gimp.ChannelOps.REPLACE, 10, 20, 40, 30)
        second = generate(image, [below], prompt="x" * 60, width=32, height=24)
        result["there"] = list(second.get_offsets())[1:]
        result["layers"] = [one.get_name() for one in image.get_layers()]
        """,
    )
    assert told["names"] == ["Top", "Generated: a flower", "Photo"]
    assert told["middle"] == [44, 33]  # of 120 × 90
    assert told["pixel"] == [7, 1, 1, 255]
    assert told["selected"] == ["Generated: a flower"]
    assert told["there"] == [14, 23]
    assert told["layers"] == ["Group", f"Generated: {39 * 'x'}…", "Below"]
    assert [request.generation.seed for request in fake_daemon.generations] == [7, 0]


def test_what_is_asked_for_is_sent_and_kept(gimp, fake_daemon):
    told = gimp.batch(
        GENERATE,
        """
        asked = {"negative-prompt": "a leaf", "steps": 12, "guidance-scale": 4.5}
        layer = generate(new_image(), [], prompt="a flower", **asked)
        kept = json.loads(bytes(layer.get_parasite("drag-diffusion-generated").get_data()))
        result["how"] = json.loads(kept["how"])
        """,
    )
    (request,) = fake_daemon.generations
    assert request.generation.negative_prompt == told["how"]["negative_prompt"] == "a leaf"
    assert request.generation.num_inference_steps == told["how"]["num_inference_steps"] == 12
    assert request.generation.guidance_scale == told["how"]["guidance_scale"] == 4.5


def test_without_an_image_it_gets_one_of_its_own(gimp, fake_daemon):
    del fake_daemon
    told = gimp.batch(
        GENERATE,
        """
        layer = generate(None, [], prompt="a flower")
        image = layer.get_image()
        result["size"] = [image.get_width(), image.get_height()]
        result["layers"] = describe(image)
        """,
    )
    assert told["size"] == [64, 48]
    assert told["layers"][0]["size"] == [64, 48]
    assert told["layers"][0]["offset"] == [0, 0]


def test_on_an_empty_image(gimp, fake_daemon):
    del fake_daemon
    told = gimp.batch(
        GENERATE,
        'result["at"] = list(generate(new_image(), [], prompt="a flower").get_offsets())[1:]',
    )
    assert told["at"] == [28, 21]


@pytest.mark.parametrize(
    "change",
    [
        "",
        "new.set_offsets(5, 9); new.set_opacity(40)",
        """
        from gi.repository import Gio
        file = Gio.File.new_for_path(sys.path[0] + "/made.xcf")
        assert Gimp.file_save(Gimp.RunMode.NONINTERACTIVE, image, file, None)
        image = Gimp.file_load(Gimp.RunMode.NONINTERACTIVE, file)
        new = image.get_layers()[0]
        """,
    ],
    ids=["at once", "moved", "saved"],
)
def test_a_drag_starts_from_how_it_was_made(gimp, fake_daemon, change):
    told = drag(gimp, change, lora_steps=40)
    assert told["call"] == ["SUCCESS", ""]
    preparation = fake_daemon.requests[0].preparation
    assert preparation.generation.prompt == "a flower"
    assert preparation.generation.seed == 7
    assert preparation.generation.num_inference_steps == 25
    assert (preparation.prompt, preparation.model) == ("", "tiny")
    assert not preparation.hyper_parameters.ListFields()


@pytest.mark.parametrize(
    ("change", "arguments"),
    [
        ("set_pixels(new, b'1234' + pixels(new)[4:])", {}),
        ("new.append_filter(Gimp.DrawableFilter.new(new, 'gegl:invert-gamma', 'Invert'))", {}),
        ("new.scale(80, 60, True)", {}),
        ("image.convert_grayscale()", {}),
        ("", {"prompt": "a dog"}),
        ("", {"model": "other"}),
    ],
    ids=["painted", "filter", "scaled", "gray", "another prompt", "another model"],
)
def test_what_was_changed_is_dragged_as_any_other(gimp, fake_daemon, change, arguments):
    told = drag(gimp, change, **arguments)
    assert told["call"] == ["SUCCESS", ""]
    preparation = fake_daemon.requests[0].preparation
    assert not preparation.HasField("generation")
    assert preparation.prompt == arguments.get("prompt", "")


@pytest.mark.parametrize(
    ("base", "precision", "starts"),
    [
        ("RGB", "FLOAT_LINEAR", True),
        ("RGB", "HALF_LINEAR", True),
        ("RGB", "U16_NON_LINEAR", True),
        ("GRAY", "U8_NON_LINEAR", False),
    ],
)
def test_every_kind_of_image_takes_it(gimp, fake_daemon, base, precision, starts):
    told = gimp.batch(
        GENERATE,
        f"""
        image = new_image(base=Gimp.ImageBaseType.{base}, precision=Gimp.Precision.{precision})
        new = generate(image, [], prompt="a flower", seed=7)
        new_path(image, [(40, 30), (60, 40)])
        MORE = {{}}
        """,
        DRAG,
    )
    assert told["call"] == ["SUCCESS", ""]
    assert fake_daemon.requests[0].preparation.HasField("generation") == starts


def test_a_drag_on_it_can_be_edited_again(gimp, fake_daemon):
    told = drag(gimp)
    assert told["call"] == ["SUCCESS", ""]
    gimp.batch(
        GENERATE,
        FLOWER,
        """
        assert call(image, [new])[0] == "SUCCESS"
        assert call(image, [image.get_layers()[0]], name=RE_EDIT)[0] == "SUCCESS"
        """,
    )
    _other, first, second = fake_daemon.requests
    assert second.preparation == first.preparation
    assert second.preparation.HasField("generation")


def test_what_cannot_be_done_is_said_and_changes_nothing(gimp, fake_daemon):
    told = gimp.batch(
        GENERATE,
        """
        image = new_image()
        layer = new_layer(image)
        before = describe(image)
        result["failed"] = call(image, [layer], name=NAME, prompt="fail NOT_FOUND No such model.")
        result["as_before"] = describe(image) == before
        image.select_rectangle(Gimp.ChannelOps.REPLACE, 30, 20, 40, 30)
        Gimp.Selection.float(image, [layer], 0, 0)
        result["floating"] = call(image, [layer], name=NAME, prompt="a flower")
        """,
    )
    assert told["failed"] == ["EXECUTION_ERROR", "No such model."]
    assert told["as_before"]
    assert told["floating"] == [
        "EXECUTION_ERROR",
        "There is a floating selection: anchor it first (Layer ▸ Anchor Floating Layer or Mask), then "
        "try again.",
    ]
    assert len(fake_daemon.generations) == 1
