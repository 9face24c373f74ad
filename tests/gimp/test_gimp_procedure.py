"""The procedure in a real GIMP, with a daemon that has no model."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import time
from pathlib import Path

import pytest
from fakes_plugin import fake_daemon as fake_daemon_module

from dragdiffusion_rpc import drag_pb2 as rpc


def test_it_is_registered_with_menu_and_documented_arguments(gimp):
    told = gimp.batch("""
        procedure = Gimp.get_pdb().lookup_procedure(PROCEDURE)
        result["label"] = procedure.get_menu_label()
        result["menus"] = procedure.get_menu_paths()
        result["types"] = procedure.get_image_types()
        result["help"] = procedure.get_help()
        result["arguments"] = {a.name: a.blurb for a in procedure.get_arguments()}
    """)
    assert told["label"] == "_Drag Edit…"
    assert told["menus"] == ["<Image>/Filters"]
    assert told["types"] == "*"
    assert "selected path" in told["help"]
    names = ["run-mode", "image", "drawables", "prompt", "mode", "model", "lora-steps"]
    more = ["max-drag-steps", "seed", "mask-grow", "mask-feather", "with-filters", "keep-points"]
    assert list(told["arguments"]) == [*names, *more]
    assert all(told["arguments"].values())


def test_a_drag_with_a_feathered_selection_makes_one_layer(gimp, fake_daemon):
    """Alpha is the selection's feather, nothing else of the image changes, and the record is kept."""
    told = gimp.batch("""
        image = new_image()
        below = new_layer(image, "Below", (120, 90), (0, 0))
        layer = new_layer(image)
        path = new_path(image, [(40, 30), (60, 40)], [(50, 35), (45, 50)])
        new_path(image, [(45, 25), (35, 45)], name="Not selected")
        image.set_selected_paths([path])
        Gimp.context_set_feather(True)
        Gimp.context_set_feather_radius(8, 8)
        image.select_rectangle(Gimp.ChannelOps.REPLACE, 30, 20, 40, 30)
        result["before"] = describe(image)
        result["selection_before"] = digest(image.get_selection())
        image.set_selected_layers([layer])
        result["call"] = call(image, [layer], prompt="a photo", seed=7, lora_steps=3)
        result["after"] = describe(image)
        result["selection_after"] = digest(image.get_selection())
        result["selected"] = [selected.get_name() for selected in image.get_selected_layers()]
        new = image.get_layers()[0]
        result["record"] = read_record(new)
        coverage, alpha = selection(image, layer), pixels(new)[3::4]
        _ok, x, y = new.get_offsets()
        outside = bytearray(coverage)
        same = True
        for row in range(new.get_height()):
            start = (y - 10 + row) * 80 + x - 15
            end = start + new.get_width()
            same &= coverage[start:end] == alpha[row * new.get_width() : (row + 1) * new.get_width()]
            outside[start:end] = bytes(new.get_width())
        result["alpha_is_the_selection"] = same
        result["selected_outside"] = any(outside)
        result["feathered"] = any(0 < value < 255 for value in alpha)
    """)
    assert told["call"] == ["SUCCESS", ""]
    new, *others = told["after"]
    assert others == told["before"]
    assert new["name"] == "Drag edit: Photo"
    assert told["selection_after"] == told["selection_before"]
    assert told["selected"] == ["Photo"]
    assert told["alpha_is_the_selection"]
    assert told["feathered"]
    assert not told["selected_outside"]
    assert told["record"]["drags"] == [[[25, 20], [45, 30]], [[35, 25], [30, 40]]]
    assert told["record"]["settings"]["seed"] == 7
    assert told["record"]["run"]["device"] == "fake"
    (request,) = fake_daemon.requests
    assert request.preparation.prompt == "a photo"
    assert request.preparation.hyper_parameters.lora_steps == 3
    assert not request.preparation.hyper_parameters.HasField("max_drag_steps")


def test_the_selection_is_grown_and_softened_for_the_edit_alone(gimp, fake_daemon):
    told = gimp.batch("""
        image = new_image()
        layer = new_layer(image)
        new_path(image, [(40, 30), (60, 40)])
        image.select_rectangle(Gimp.ChannelOps.REPLACE, 35, 25, 30, 20)
        Gimp.context_set_feather(True)  # of a script's next selections: nothing to do with the edit
        Gimp.context_set_feather_radius(8, 8)
        result["selected"] = digest(image.get_selection())
        result["calls"] = [
            call(image, [layer], mask_grow=grow, mask_feather=feather)
            for grow, feather in ((5, 0), (-3, 0), (0, 6))]
        result["unchanged"] = digest(image.get_selection()) == result["selected"]
        result["channels"] = len(image.get_channels())
        result["images"] = len(Gimp.get_images())
    """)
    assert told["calls"] == 3 * [["SUCCESS", ""]]
    assert told["unchanged"]
    assert (told["channels"], told["images"]) == (0, 1)
    masks = [fake_daemon.buffers[r.preparation.mask.sha256] for r in fake_daemon.requests]
    # GIMP grows a rectangle with round corners and shrinks it with sharp ones.
    grown, shrunk, soft = masks
    assert grown[80 * 9 + 35] == 0  # the selection begins in row 15 of the layer
    assert grown[80 * 10 + 35] == 255
    assert 30 * 20 < grown.count(255) <= 40 * 30
    assert shrunk.count(255) == 24 * 14
    assert any(0 < value < 255 for value in soft)


@pytest.mark.usefixtures("fake_daemon")
def test_what_babl_found_is_there_for_the_next_process(gimp):
    caches = Path(gimp.where) / "root" / ".cache"
    if gimp.where == "host":
        caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    kept = caches / "babl" / "babl-fishes"
    kept.unlink(missing_ok=True)
    told = gimp.batch(PREPARE, 'result["call"] = call(image, [layer])')
    assert told["call"][0] == "SUCCESS"
    deadline = time.monotonic() + 10
    while not kept.exists() and time.monotonic() < deadline:
        time.sleep(0.05)  # the process ends after its answer
    found = kept.read_text(encoding="utf-8")
    assert "Y' u8" in found  # one of those that GEGL asks for at its start


def test_without_a_selection_the_whole_layer_may_change(gimp, fake_daemon):
    told = gimp.batch("""
        image = new_image()
        layer = new_layer(image, offset=(-20, 5))
        new_path(image, [(10, 30), (30, 40)])
        result["call"] = call(image, [layer])
        result["after"] = describe(image)
        result["inverted"] = pixels(image.get_layers()[0])[:3] == bytes(
            255 - value for value in pixels(layer)[:3])
    """)
    assert told["call"] == ["SUCCESS", ""]
    assert told["after"][0]["offset"] == [-20, 5]
    assert told["after"][0]["size"] == [80, 60]
    assert told["inverted"]
    assert not fake_daemon.requests[0].preparation.HasField("mask")


def test_a_curved_stroke_is_followed(gimp, fake_daemon):
    gimp.batch("""
        image = new_image()
        layer = new_layer(image)
        path = Gimp.Path.new(image, "Curve")
        image.insert_path(path, None, 0)
        stroke = path.bezier_stroke_new_moveto(30, 30)
        path.bezier_stroke_cubicto(stroke, 30, 60, 80, 60, 80, 30)
        # The only path counts as selected.
        assert call(image, [layer], mode="fast")[0] == "SUCCESS"
    """)
    preparation = fake_daemon.requests[0].preparation
    assert preparation.mode == rpc.MODE_FAST
    points = preparation.trajectories[0].points
    assert len(points) > 8
    assert max(point.y for point in points) == pytest.approx(42.5, abs=0.5)


def test_the_result_lands_in_the_layers_group_above_it(gimp, fake_daemon):
    del fake_daemon
    told = gimp.batch("""
        image = new_image()
        group = Gimp.GroupLayer.new(image, "Group")
        image.insert_layer(group, None, 0)
        layer = new_layer(image, parent=group)
        top = new_layer(image, "Top", parent=group)
        new_path(image, [(40, 30), (60, 40)])
        result["call"] = call(image, [layer])
        result["names"] = [child.get_name() for child in group.get_children()]
    """)
    assert told["call"] == ["SUCCESS", ""]
    assert told["names"] == ["Top", "Drag edit: Photo", "Photo"]


def test_filters_on_the_layer_are_part_of_what_is_dragged(gimp, fake_daemon):
    told = gimp.batch("""
        image = new_image()
        layer = new_layer(image)
        before = pixels(layer)[:3]
        layer.append_filter(Gimp.DrawableFilter.new(layer, "gegl:invert-gamma", "Invert"))
        new_path(image, [(40, 30), (60, 40)])
        result["call"] = call(image, [layer])
        result["twice_inverted"] = pixels(image.get_layers()[0])[:3] == before
        result["filters"] = len(layer.get_filters())
        result["images"] = len(Gimp.get_images())
    """)
    del fake_daemon
    assert told["call"] == ["SUCCESS", ""]
    assert told["twice_inverted"]
    assert told["filters"] == 1
    assert told["images"] == 1


def test_filters_that_are_left_out_are_copied_to_the_result(gimp, fake_daemon):
    del fake_daemon
    told = gimp.batch("""
        def filters(layer):
            return [[f.get_operation_name(), f.get_opacity(), f.get_visible()] for f in layer.get_filters()]
        image = new_image()
        layer = new_layer(image)
        for operation, opacity in (("gegl:invert-gamma", 1.0), ("gegl:gaussian-blur", 0.5)):
            one = Gimp.DrawableFilter.new(layer, operation, "One")
            one.set_opacity(opacity)
            layer.append_filter(one)
            one.update()
        layer.get_filters()[0].set_visible(False)
        layer.set_opacity(40)
        layer.set_mode(Gimp.LayerMode.MULTIPLY)
        layer.set_lock_position(True)
        layer.attach_parasite(Gimp.Parasite.new("another's", Gimp.PARASITE_PERSISTENT, b"x"))
        mask = layer.create_mask(Gimp.AddMaskType.WHITE)
        layer.add_mask(mask)
        layer.set_apply_mask(False)
        layer.set_edit_mask(False)
        before = describe(image)
        new_path(image, [(40, 30), (60, 40)])
        image.select_rectangle(Gimp.ChannelOps.REPLACE, 30, 20, 40, 30)
        result["call"] = call(image, [layer], with_filters=False)
        new = image.get_layers()[0]
        result["source"] = filters(layer)
        result["new"] = filters(new)
        result["unchanged"] = describe(image)[1:] == before
        _ok, x, y = new.get_offsets()
        result["place"] = [x, y, new.get_width(), new.get_height()]
        rows, own = pixels(layer), pixels(new)
        result["inverted"] = all(
            own[4 * (row * 40 + column) + c] == 255 - rows[4 * ((row + 10) * 80 + column + 15) + c]
            for row in range(30) for column in range(40) for c in range(3))
        result["as_new"] = [new.get_name(), new.get_opacity(), new.get_mode() == Gimp.LayerMode.NORMAL,
                            new.get_lock_position(), new.get_mask() is None, sorted(new.get_parasite_list())]
        result["settings"] = read_record(new)["settings"]["with_filters"]
    """)
    assert told["call"] == ["SUCCESS", ""]
    assert told["source"] == told["new"]
    assert told["new"] == [["gegl:gaussian-blur", 0.5, False], ["gegl:invert-gamma", 1.0, True]]
    assert told["unchanged"]
    assert told["place"] == [30, 20, 40, 30]
    assert told["inverted"]
    parasites = ["drag-diffusion-edit", "drag-diffusion-selection"]
    assert told["as_new"] == ["Drag edit: Photo", 100.0, True, False, True, parasites]
    assert told["settings"] is False


def test_names_and_prompts_in_every_script_are_kept(gimp, fake_daemon):
    del fake_daemon
    told = gimp.batch("""
        image = new_image()
        layer = new_layer(image, "Mädchen 猫")
        new_path(image, [(40, 30), (60, 40)])
        result["call"] = call(image, [layer], prompt="Hündin “Λ”")
        result["record"] = read_record(image.get_layers()[0])
    """)
    assert told["call"] == ["SUCCESS", ""]
    assert told["record"]["source_layer"] == "Mädchen 猫"
    assert told["record"]["settings"]["prompt"] == "Hündin “Λ”"


def test_the_last_values_are_used_again(gimp, fake_daemon):
    told = gimp.batch("""
        kept = Path(sys.path[0] + "/profile/plug-in-settings/GimpProcedureConfigRun-plug-in-drag-diffusion.last")
        kept.parent.mkdir(exist_ok=True)
        kept.write_text('(prompt "a sun") (mode "fast") (seed 5) (lora-steps 3) (mask-grow 2)')
        image = new_image()
        layer = new_layer(image)
        new_path(image, [(40, 30), (60, 40)])
        image.select_rectangle(Gimp.ChannelOps.REPLACE, 30, 20, 40, 30)
        result["call"] = call(image, [layer], Gimp.RunMode.WITH_LAST_VALS)
        kept.unlink()
        result["settings"] = read_record(image.get_layers()[0])["settings"]
    """)
    assert told["call"] == ["SUCCESS", ""]
    asked = fake_daemon.requests[0].preparation
    assert (asked.prompt, asked.mode, asked.seed) == ("a sun", rpc.MODE_FAST, 5)
    assert asked.hyper_parameters.lora_steps == 3
    assert told["settings"]["mask_grow"] == 2


INSERT = """
    sys.path[:0] = [sys.path[0] + "/plug-ins/drag_diffusion", sys.path[0] + "/plug-ins/drag_diffusion/vendor"]
    from plugin import insertion
    from plugin.edit_model import EditError, PixelBuffer
    pixel = PixelBuffer(1, 1, 4, bytes((1, 2, 3, 4)), 3, 4)
"""


def test_the_layer_follows_a_source_that_was_moved_or_removed_meanwhile(gimp):
    told = gimp.batch(
        INSERT,
        """
        image = new_image()
        layer = new_layer(image)
        new_layer(image, "Top")
        layer.set_offsets(40, 50)
        moved = insertion.insert_layer(image, layer, "New", pixel, {})
        result["moved"] = list(moved.get_offsets())[1:], image.get_item_position(moved)
        image.remove_layer(layer)
        removed = insertion.insert_layer(image, layer, "New", pixel, {})
        result["removed"] = list(removed.get_offsets())[1:], image.get_item_position(removed)
        result["pixels"] = list(pixels(removed))
        """,
    )
    assert told["moved"] == [[43, 54], 1]
    assert told["removed"] == [[3, 4], 0]
    assert told["pixels"] == [1, 2, 3, 4]


def test_an_image_that_was_closed_meanwhile(gimp):
    told = gimp.batch(
        INSERT,
        """
        image = new_image()
        layer = new_layer(image)
        image.delete()
        try:
            insertion.insert_layer(image, layer, "New", pixel, {})
        except EditError as error:
            result["told"] = str(error)
        """,
    )
    assert told["told"] == ("The image was closed while the edit ran, so its result has no place.")


def test_of_several_paths_one_has_to_be_selected(gimp):
    told = gimp.batch(
        INSERT,
        """
        from plugin import subject
        image = new_image()
        layer = new_layer(image)
        new_path(image, [(40, 30), (60, 40)])
        new_path(image, [(50, 35), (45, 50)])

        class Unselected:  # as after a Ctrl+click in the Paths dialog, which no procedure can do
            def get_selected_paths(self):
                return []
            def __getattr__(self, name):
                return getattr(image, name)

        pointed_at = subject.gather(Unselected(), [layer])
        result["for the dialog"] = pointed_at.usable_drags()
        try:
            pointed_at.drags
        except EditError as error:
            result["told"] = str(error)
        """,
    )
    assert told["for the dialog"] == [[], []]  # points can be placed there
    assert told["told"] == "No path is selected: select the path to drag along in the Paths dialog."


ERRORS = {
    "no path": (
        "layer = new_layer(image)",
        "Draw a path first: with the Paths tool, click the point to move, then click where it "
        "should go. Shift+click begins the next pair.",
    ),
    "empty group": (
        "layer = Gimp.GroupLayer.new(image, 'Photo'); image.insert_layer(layer, None, 0)",
        "Group “Photo” is empty: choose a layer.",
    ),
    "single point": (
        "layer = new_layer(image); new_path(image, [(40, 30), (60, 40)], [(50, 30)])",
        "Stroke 2 of path “Drags” has only one point: add a second one where the first should go, "
        "or delete it.",
    ),
    "closed": (
        "layer = new_layer(image); new_path(image, [(40, 30), (60, 40), (50, 50)], closed=True)",
        "Stroke 1 of path “Drags” is closed: a drag needs an open stroke, from the point to move "
        "to where it should go.",
    ),
    "outside the layer": (
        "layer = new_layer(image); new_path(image, [(10, 30), (60, 40)])",
        "Stroke 1 of path “Drags” begins outside layer “Photo”: begin it on the layer.",
    ),
    "outside the selection": (
        "layer = new_layer(image); new_path(image, [(40, 30), (60, 40)])\n"
        "image.select_rectangle(Gimp.ChannelOps.REPLACE, 50, 20, 20, 20)",
        "Stroke 1 of path “Drags” begins outside the selection: the selection is the part that may "
        "change, so it must hold the point to move. Enlarge it, or select nothing (Select ▸ None).",
    ),
    "selection beside the layer": (
        "layer = new_layer(image); new_path(image, [(40, 30), (60, 40)])\n"
        "image.select_rectangle(Gimp.ChannelOps.REPLACE, 100, 75, 10, 10)",
        "The selection lies outside layer “Photo”: select the part of the layer that may change, or "
        "select nothing (Select ▸ None).",
    ),
    "locked": (
        "layer = new_layer(image); new_path(image, [(40, 30), (60, 40)])\n"
        "layer.set_lock_content(True)",
        "The pixels of layer “Photo” are locked: unlock them in the Layers dialog, or select "
        "another layer.",
    ),
    "layer mask": (
        "photo = new_layer(image); new_path(image, [(40, 30), (60, 40)])\n"
        "layer = photo.create_mask(Gimp.AddMaskType.WHITE); photo.add_mask(layer)",
        "The mask of layer “Photo” is being edited: click the layer's picture beside the mask in "
        "the Layers dialog.",
    ),
    "channel": (
        "new_layer(image); new_path(image, [(40, 30), (60, 40)])\n"
        "layer = Gimp.Channel.new(image, 'Alpha', 120, 90, 50.0, Gegl.Color.new('red'))\n"
        "image.insert_channel(layer, None, 0)",
        "“Alpha” is a channel: select a layer in the Layers dialog.",
    ),
    "floating": (
        "layer = new_layer(image); new_path(image, [(40, 30), (60, 40)])\n"
        "image.select_rectangle(Gimp.ChannelOps.REPLACE, 30, 20, 40, 30)\n"
        "Gimp.Selection.float(image, [layer], 0, 0)",
        "There is a floating selection: anchor it first (Layer ▸ Anchor Floating Layer or Mask), then "
        "try again.",
    ),
    "several": (
        "layer = new_layer(image); more = [new_layer(image, 'Second')]\n"
        "new_path(image, [(40, 30), (60, 40)])",
        "2 layers are selected: select only the one to edit in the Layers dialog.",
    ),
    "none": (
        "more = []; layer = None",
        "No layer is selected: select the layer to edit in the Layers dialog.",
    ),
    "model missing": (
        "layer = new_layer(image); new_path(image, [(40, 30), (60, 40)])\n"
        "arguments = {'prompt': 'fail FAILED_PRECONDITION The model “sd15” is not here.'}",
        "The model “sd15” is not here.",
    ),
}


@pytest.fixture(scope="module")
def told_errors(gimp):
    """Every case in one run of GIMP: its sentence, and the layers before and after."""
    script = ""
    for name, (make, _sentence) in ERRORS.items():
        script += f"image = new_image(); more = []; arguments = {{}}\n{make}\n"
        script += "before = describe(image)\n"
        script += "told = call(image, ([layer] if layer else []) + more, **arguments)\n"
        script += f"result[{name!r}] = [*told, describe(image) == before]\n"
    with gimp.fake_daemon():
        return gimp.batch(script, timeout=300)


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_is_one_clear_sentence_and_changes_nothing(told_errors, name):
    assert told_errors[name] == ["EXECUTION_ERROR", ERRORS[name][1], True]


PREPARE = """
    image = new_image()
    layer = new_layer(image)
    new_path(image, [(40, 30), (60, 40)])
    before = describe(image)
"""


def test_no_daemon_installed(gimp):
    gimp.endpoint_file.unlink(missing_ok=True)
    told = gimp.batch(
        PREPARE,
        """
    result["call"] = call(image, [layer])
    result["unchanged"] = describe(image) == before
    """,
    )
    sentence = (
        "The daemon is not installed: run the installer of DragDiffusion for GIMP "
        "(install/install.py), then try again."
    )
    assert told == {"call": ["EXECUTION_ERROR", sentence], "unchanged": True}


def test_a_command_that_is_gone(gimp):
    gimp.endpoint_file.unlink(missing_ok=True)
    told = gimp.batch(
        PREPARE,
        'result["call"] = call(image, [layer])',
        DRAGDIFFUSION_DAEMON_COMMAND="/no/such/dragdiffusion serve",
    )
    sentence = (
        "The daemon could not be started: /no/such/dragdiffusion: No such file or directory. Run "
        "the installer of DragDiffusion for GIMP again (install/install.py)."
    )
    assert told["call"] == ["EXECUTION_ERROR", sentence]


def test_a_daemon_of_another_version(gimp):
    with gimp.fake_daemon(version="7.1.0"):
        told = gimp.batch(PREPARE, 'result["call"] = call(image, [layer])')
    sentence = (
        "The plug-in is version 0.1.0, but the daemon that runs is version 7.1.0: stop the daemon "
        "and run the installer again, so that both are the same."
    )
    assert told["call"] == ["EXECUTION_ERROR", sentence]


def test_a_daemon_that_dies_in_the_middle(gimp, fake_daemon):
    told = gimp.batch(
        PREPARE,
        """
    result["call"] = call(image, [layer], prompt="die")
    result["unchanged"] = describe(image) == before
    """,
    )
    del fake_daemon
    status, sentence = told["call"]
    assert status == "EXECUTION_ERROR"
    assert sentence == (
        "The daemon does not answer any more; the image is as it was. Try again: the daemon is "
        "then started anew. Its log: /var/log/dragdiffusion.log"
    )
    assert told["unchanged"]


def test_the_plug_in_starts_the_daemon(gimp, host_command):
    gimp.endpoint_file.unlink(missing_ok=True)
    told = gimp.batch(
        PREPARE,
        'result["call"] = call(image, [layer])',
        DRAGDIFFUSION_DAEMON_COMMAND=host_command(fake_daemon_module.__file__),
    )
    assert told["call"] == ["SUCCESS", ""]
    daemon = json.loads(gimp.endpoint_file.read_text(encoding="utf-8"))
    os.kill(daemon["pid"], signal.SIGTERM)
    gimp.endpoint_file.unlink()


def test_a_daemon_that_hangs_is_told(gimp, host_command):
    gimp.endpoint_file.unlink(missing_ok=True)
    told = gimp.batch(
        PREPARE,
        """
    import os, signal, time
    result["first"] = call(image, [layer])
    result["pid"] = json.loads(Path(sys.path[0] + "/endpoint.json").read_text())["pid"]
    before = describe(image)
    os.kill(result["pid"], signal.SIGSTOP)
    start = time.monotonic()
    result["call"] = call(image, [layer])
    result["seconds"] = time.monotonic() - start
    result["unchanged"] = describe(image) == before
    """,
        DRAGDIFFUSION_DAEMON_COMMAND=host_command(fake_daemon_module.__file__),
    )
    os.kill(told["pid"], signal.SIGKILL)
    gimp.endpoint_file.unlink()
    assert told["first"][0] == "SUCCESS"
    status, sentence = told["call"]
    assert status == "EXECUTION_ERROR"
    assert sentence == (
        "The daemon does not answer: it is very busy, or it hangs. Wait a while, or open Filters ▸ Drag Edit: "
        "About the Daemon… and press Restart. Its log: /var/log/dragdiffusion.log"
    )
    assert told["seconds"] < 30
    assert told["unchanged"]


def test_killed_in_the_middle_the_image_is_as_it_was_and_the_daemon_stops(
    gimp, fake_daemon, processes
):
    """GIMP's Cancel kills the plug-in; so does this, once the daemon works."""
    del processes
    (gimp.folder / "kill").unlink(missing_ok=True)

    def tell():
        while not fake_daemon.requests:
            time.sleep(0.05)
        (gimp.folder / "kill").touch()

    threading.Thread(target=tell, daemon=True).start()
    told = gimp.batch(
        PREPARE,
        """
    import os, signal, threading, time

    OURS = (sys.path[0] + "/plug-ins/drag_diffusion/drag_diffusion.py").encode()

    def kill_plug_in():
        while not Path(sys.path[0] + "/kill").exists():
            time.sleep(0.05)
        for process in Path("/proc").glob("[0-9]*"):
            command = (process / "cmdline").read_bytes()
            if OURS in command:
                os.kill(int(process.name), signal.SIGKILL)

    threading.Thread(target=kill_plug_in).start()
    result["call"] = call(image, [layer], prompt="hang")
    result["unchanged"] = describe(image) == before
    """,
    )
    assert told["call"][0] == "CALLING_ERROR"
    assert told["unchanged"]
    assert fake_daemon.cancelled.wait(2)


def test_a_defect_is_told_under_the_name_of_what_failed(gimp):
    told = gimp.batch(
        PREPARE,
        """
    result["Drag Edit"] = call(image, [layer])
    result["Generate Layer"] = call(image, [layer], name="plug-in-drag-diffusion-generate")
    record = {"source_layer": "Photo", "source_size": [80, 60], "drags": [[[25, 20], [45, 30]]]}
    told = Gimp.Parasite.new("drag-diffusion-edit", 1, json.dumps(record).encode())
    old = new_layer(image, "Old")
    old.attach_parasite(told)
    result["Re-edit Drag"] = call(image, [old], name=RE_EDIT)
    """,
        DRAGDIFFUSION_DAEMON_COMMAND="'no end",  # nobody foresaw that
    )
    for name, (status, sentence) in told.items():
        assert status == "EXECUTION_ERROR"
        assert sentence == (
            f"“{name}” failed, the image is as it was: ValueError('No closing quotation')"
        )


def test_a_daemon_that_cannot_start_tells_its_last_words(gimp, host_command):
    gimp.endpoint_file.unlink(missing_ok=True)
    told = gimp.batch(
        PREPARE,
        'result["call"] = call(image, [layer])',
        DRAGDIFFUSION_DAEMON_COMMAND=host_command(fake_daemon_module.__file__, "--broken"),
    )
    status, sentence = told["call"]
    assert status == "EXECUTION_ERROR"
    assert sentence.startswith(
        "The daemon did not start: RuntimeError: no room for the model Its log: "
    )


def test_an_installation_without_its_packages(gimp):
    vendor = gimp.folder / "plug-ins" / "drag_diffusion" / "vendor"
    vendor.rename(gimp.folder / "vendor-aside")
    try:
        told = gimp.batch(PREPARE, 'result["call"] = call(image, [layer])')
    finally:
        (gimp.folder / "vendor-aside").rename(vendor)
    sentence = (
        "Drag Edit is not installed completely (No module named 'dragdiffusion_rpc'): run the "
        "installer of DragDiffusion for GIMP again (install/install.py)."
    )
    assert told["call"] == ["EXECUTION_ERROR", sentence]


def test_the_user_guides_script(gimp, fake_daemon):
    guide = Path(__file__).resolve().parents[2] / "docs" / "user-guide.md"
    (script,) = re.findall(r"```python\n(.*?)```", guide.read_text(encoding="utf-8"), re.DOTALL)
    told = gimp.batch(
        PREPARE,
        "image.set_selected_layers([layer])",
        script.replace("result = ", "values = ").replace("result.", "values."),
        "result['layers'] = len(image.get_layers())",
    )
    assert told == {"layers": 2}
    assert fake_daemon.requests[0].preparation.prompt == "a photo of a dog"
