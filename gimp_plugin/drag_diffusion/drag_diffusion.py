#!/usr/bin/env python3
"""DragDiffusion for GIMP 3: the procedures' registration. All else is imported when the user calls it."""

import gc
import os
import sys
import time

STARTED = time.monotonic()
gc.set_threshold(100_000)  # while modules are loaded there is nothing to collect
# Else babl, which starts with GIMP's library, fills 256 MB to see whether tables would convert pixels faster: two fifths of the
# time in which the dialog opens, for tables that nothing here is large enough to pay for.
os.environ.setdefault("BABL_LUT", "0")

from importlib.util import find_spec
from pathlib import Path

import gi

for namespace, version in (
    ("Gdk", "3.0"),
    ("Gegl", "0.4"),
    ("Gimp", "3.0"),
    ("GimpUi", "3.0"),
    ("Gtk", "3.0"),
):
    gi.require_version(namespace, version)
from gi.repository import Gimp, Gio, GLib, GObject

from plugin import translation
from plugin.translation import _

translation.use(GLib.get_language_names())

FOLDER = Path(__file__).resolve().parent
PROCEDURE = "plug-in-drag-diffusion"
DAEMON = "plug-in-drag-diffusion-daemon"
RE_EDIT = "plug-in-drag-diffusion-re-edit"
GENERATE = "plug-in-drag-diffusion-generate"
READWRITE = GObject.ParamFlags.READWRITE
MODE_DEFAULT = -1


class DragDiffusion(Gimp.PlugIn):
    """The plug-in as GIMP sees it."""

    def do_set_i18n(self, _procedure_name):
        return True, translation.DOMAIN, translation.FOLDER.name

    def do_query_procedures(self):
        pages = Gio.File.new_for_path(str(FOLDER / "help"))
        self.set_help_domain(translation.DOMAIN, pages)
        return [PROCEDURE, RE_EDIT, GENERATE, DAEMON]

    def do_create_procedure(self, name):
        if name == DAEMON:
            return _make_daemon_procedure(self)
        procedure = Gimp.ImageProcedure.new(self, name, Gimp.PDBProcType.PLUGIN, run, None)
        procedure.set_image_types("*")
        # Never greyed: what is missing is said when it is called.
        procedure.set_sensitivity_mask(
            Gimp.ProcedureSensitivityMask.DRAWABLE
            | Gimp.ProcedureSensitivityMask.DRAWABLES
            | Gimp.ProcedureSensitivityMask.NO_DRAWABLES
            | Gimp.ProcedureSensitivityMask.NO_IMAGE
        )
        procedure.set_attribution("DragDiffusion for GIMP", "GPL-3.0-or-later", "2026")
        DESCRIBE[name](procedure)
        _put_into_menu(procedure)
        return procedure


def _put_into_menu(procedure):
    procedure.set_icon_file(Gio.File.new_for_path(str(FOLDER / "icon.svg")))
    procedure.add_menu_path("<Image>/Filters")


def _make_daemon_procedure(plug_in):
    """Needs no image."""
    procedure = Gimp.Procedure.new(plug_in, DAEMON, Gimp.PDBProcType.PLUGIN, run_daemon, None)
    procedure.set_menu_label(_("Drag Edit: About the _Daemon…"))
    _put_into_menu(procedure)
    procedure.set_documentation(
        _("Shows what the daemon of Drag Edit does and holds; unloads, restarts"),
        _(
            "Device, model, memory, prepared pictures and log of the daemon that does the drags; frees "
            "its memory or its disk cache, and starts it anew."
        ),
        procedure.get_name(),  # of its help: see do_query_procedures
    )
    procedure.set_attribution("DragDiffusion for GIMP", "GPL-3.0-or-later", "2026")
    procedure.add_enum_argument(
        "run-mode",
        _("Run mode"),
        _("Interactive only: it is a window"),
        *(Gimp.RunMode, Gimp.RunMode.INTERACTIVE),
        READWRITE,
    )
    return procedure


def _describe_re_edit(procedure):
    procedure.set_menu_label(_("_Re-edit Drag…"))
    procedure.set_documentation(
        _("Change a drag that was made before: its points, its settings (DragDiffusion)"),
        _(
            "Takes a layer that Drag Edit made and drags again, on the layer that was dragged then, "
            "with the points, the selection and the settings of that time; in the dialog they can "
            "be changed. The result replaces the layer or is added above it."
        ),
        procedure.get_name(),
    )
    procedure.add_boolean_argument(
        "replace",
        _("_Replace the layer"),
        _("The result takes the layer's place; otherwise it is added above it"),
        True,
        READWRITE,
    )
    procedure.add_int_argument(
        "seed",
        _("Seed n_umber"),
        _("Another seed number gives a variation; -1: as it was. The dialog starts as it was"),
        *(MODE_DEFAULT, 2**31 - 1, MODE_DEFAULT),
        READWRITE,
    )


def _describe_generate(procedure):
    procedure.set_menu_label(_("_Generate Layer…"))
    procedure.set_documentation(
        _("Make a layer from a prompt, to drag in it (DragDiffusion)"),
        _(
            "The model makes a picture of the prompt. It becomes a layer above the selected one, in the "
            "middle of the selection or of the image; without an image it gets one of its own. While "
            "its pixels are as they were made, Drag Edit starts from how they were made."
        ),
        procedure.get_name(),
    )
    procedure.add_string_argument(
        "prompt",
        _("_Prompt"),
        _("What the picture shows, in a few words: “a red flower, blue background”"),
        "",
        READWRITE,
    )
    _add_model(procedure)
    procedure.add_int_argument(
        "width",
        _("Si_ze"),
        _("Width in pixels, a multiple of 8; 0: the model's own, with which it is best"),
        *(0, 4096, 0),
        READWRITE,
    )
    procedure.add_int_argument(
        "height",
        _("Height"),
        _("Height in pixels, a multiple of 8; 0: the model's own, with which it is best"),
        *(0, 4096, 0),
        READWRITE,
    )
    _add_seed(procedure)
    procedure.add_string_argument(
        "negative-prompt",
        _("_Negative prompt"),
        _("What the picture is not to show; without effect where the guidance scale is 1"),
        "",
        READWRITE,
    )
    procedure.add_int_argument(
        "steps",
        _("S_teps"),
        _("Steps in which the picture comes out of noise; more take longer; 0: the model's own"),
        *(0, 1000, 0),
        READWRITE,
    )
    procedure.add_double_argument(
        "guidance-scale",
        _("Guidance _scale"),
        _("How closely it keeps to the prompt, from 1 (freely) to 100; 0: the model's own"),
        *(0.0, 100.0, 0.0),
        READWRITE,
    )
    procedure.add_layer_return_value(
        "layer", _("Layer"), _("The new layer"), True, GObject.ParamFlags.READABLE
    )


def _add_model(procedure):
    procedure.add_string_argument(
        "model",
        _("M_odel"),
        _(
            "Name, folder or .safetensors file of the model on the daemon's computer; empty: its default"
        ),
        "",
        READWRITE,
    )


def _add_seed(procedure):
    procedure.add_int_argument(
        "seed",
        _("Seed n_umber"),
        _("The same seed and settings give the same result; another one gives a variation"),
        *(0, 2**31 - 1, 0),
        READWRITE,
    )


def _describe_drag(procedure):
    procedure.set_menu_label(_("_Drag Edit…"))
    procedure.set_documentation(
        _("Drag parts of the picture to where they should be (DragDiffusion)"),
        _(
            "Each open stroke of the selected path drags what lies at its first point to its last "
            "point, along the stroke. The selection, with its feather, is the part that may "
            "change; without one the whole layer may. The result is a new layer above the layer "
            "that was edited. A daemon on this computer does the work; it is started if needed."
        ),
        procedure.get_name(),
    )
    _add_arguments(procedure)


def _add_arguments(procedure):
    procedure.add_string_argument(
        "prompt",
        _("_Picture shows"),
        _("A few words about the picture, for instance “a photo of a dog”; may be empty"),
        "",
        READWRITE,
    )
    modes = Gimp.Choice.new()
    modes.add("default", 0, _("Standard"), _("The best result: drags and paints in turn"))
    modes.add(
        "fast",
        2,
        _("Fast"),
        _("Moves the parts and repaints them in a few steps: for a first look"),
    )
    modes.add(
        "reference", 1, _("As in the paper"), _("DragDiffusion as published, arXiv 2306.14435")
    )
    procedure.add_choice_argument(
        "mode",
        _("_Method"),
        _("Standard is best; fast is for a first look, in few steps"),
        modes,
        "default",
        READWRITE,
    )
    _add_model(procedure)
    procedure.add_int_argument(
        "lora-steps",
        _("Identit_y"),
        _(
            "Steps for learning this one picture before the drag: more keep its look better and take "
            "longer; 0: none; -1: as the method has it"
        ),
        *(MODE_DEFAULT, 2000, MODE_DEFAULT),
        READWRITE,
    )
    procedure.add_int_argument(
        "max-drag-steps",
        _("Iteratio_ns at most"),
        _("Iterations of the drag; more if a point does not arrive; 0 or -1: as the method has it"),
        *(MODE_DEFAULT, 2000, MODE_DEFAULT),
        READWRITE,
    )
    _add_seed(procedure)
    procedure.add_int_argument(
        "mask-grow",
        _("_Grow selection"),
        _("Pixels by which the selection is enlarged for this edit; negative: made smaller"),
        *(-500, 500, 0),
        READWRITE,
    )
    procedure.add_int_argument(
        "mask-feather",
        _("_Feather"),
        _("Pixels by which the selection's edge is softened for this edit"),
        *(0, 500, 0),
        READWRITE,
    )
    procedure.add_boolean_argument(
        "with-filters",
        _("_With the layer's filters (fx)"),
        _(
            "It is dragged as its filters show it, and they are merged into the result. Otherwise its own "
            "pixels are dragged, and the result gets copies of the filters"
        ),
        True,
        READWRITE,
    )
    procedure.add_boolean_argument(
        "keep-points",
        _("_Keep points as a path"),
        _("Points placed in the dialog go into the image as the path “Drag points”"),
        True,
        READWRITE,
    )


DESCRIBE = {PROCEDURE: _describe_drag, RE_EDIT: _describe_re_edit, GENERATE: _describe_generate}


def run(procedure, run_mode, image, drawables, config, _data):
    incomplete = _make_ready()
    if incomplete:
        return procedure.new_return_values(Gimp.PDBStatusType.EXECUTION_ERROR, incomplete)
    from plugin import procedure as drag_edit

    bodies = {
        PROCEDURE: drag_edit.run,
        RE_EDIT: drag_edit.run_re_edit,
        GENERATE: drag_edit.run_generate,
    }
    return bodies[procedure.get_name()](procedure, run_mode, image, drawables, config)


def run_daemon(procedure, _config, _data):
    incomplete = _make_ready()
    if incomplete:
        return procedure.new_return_values(Gimp.PDBStatusType.EXECUTION_ERROR, incomplete)
    from plugin import procedure as drag_edit

    return drag_edit.run_daemon_window(procedure)


def _make_ready():
    """Let the plug-in's packages be found; a GLib.Error where they are not all there."""
    sys.path[:0] = [str(FOLDER), str(FOLDER / "vendor")]
    # GimpUi.init starts GEGL. Nothing here needs one of GEGL's operations; to load them would take a seventh of the time in
    # which the dialog opens.
    os.environ["GEGL_PATH"] = os.devnull
    try:
        from plugin import procedure, timing  # noqa: F401

        if find_spec("dragdiffusion_rpc") is None:  # what needs it is imported later
            raise ModuleNotFoundError("No module named 'dragdiffusion_rpc'")
    except ImportError as error:
        return GLib.Error(
            _(
                "Drag Edit is not installed completely ({error}): run the installer of "
                "DragDiffusion for GIMP again (install/install.py)."
            ).format(error=error)
        )
    timing.started = STARTED
    return None


def _end():
    """Lets babl write down which conversions it found fast, for the next process that starts GEGL.

    Else each looks for them anew, which is a tenth of the time in which the dialog opens. GIMP's own never let it.
    """
    gi.require_version("Babl", "0.1")
    from gi.repository import Babl

    for _user in range(8):  # libgimp, GEGL, …; once too often does nothing
        Babl.exit()
    os._exit(0)  # what is left of GEGL has no babl any more


if __name__ == "__main__":
    Gimp.main(DragDiffusion.__gtype__, sys.argv)
    _end()
