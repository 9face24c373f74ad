"""START HERE: what "Filters ▸ Drag Edit…" does, step by step.

The image changes in the last step only, at once and after the result has arrived: whatever ends the plug-in before leaves
the image as it was.
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import Any, Optional, Sequence, Tuple

from gi.repository import Gegl, Gimp, GLib

from plugin import canvas, daemon, edit_model, image_io, paths
from plugin.client import DaemonError
from plugin.edit_model import (
    Drag,
    Edit,
    EditError,
    LayerState,
    PixelBuffer,
    Progress,
    Result,
    Settings,
    Stroke,
    View,
)
from plugin.worker import Finished, Job

TITLE = "Drag Edit"
THUMBNAIL = 280  # pixels
PREVIEW_EVERY = 10  # drag steps between two looks at the edit in the progress window


def run(procedure: Any, run_mode: Any, image: Any, drawables: Sequence[Any], config: Any) -> Any:
    """The procedure's body: its status, with a sentence where the edit could not be done."""
    Gegl.init(None)
    interactive = run_mode == Gimp.RunMode.INTERACTIVE
    try:
        edit_image = _edit_in_windows if interactive else _edit_quietly
        done = edit_image(procedure, image, drawables, config)
    except (EditError, DaemonError) as error:
        return _failure(procedure, str(error), interactive)
    except Exception as error:  # a defect: GIMP would show nothing at all
        traceback.print_exc()
        return _failure(
            procedure, f"Drag Edit failed, the image is as it was: {error!r}", interactive
        )
    status = Gimp.PDBStatusType.SUCCESS if done else Gimp.PDBStatusType.CANCEL
    return procedure.new_return_values(status, None)


def _edit_in_windows(procedure: Any, image: Any, drawables: Sequence[Any], config: Any) -> bool:
    """Ask, then show how it goes; whether a layer was made."""
    from plugin import dialog  # needs a display

    dialog.start()
    subject = _gather(image, drawables)
    sketch = _sketch(subject)
    found = edit_model.describe(subject.strokes, subject.drags, subject.selection)
    if not dialog.ask_settings(procedure, config, found, dialog.draw(sketch, subject.drags)):
        return False
    edit = _to_edit(subject, _read_settings(config), PREVIEW_EVERY)
    result = dialog.follow(_job(edit), sketch, subject.drags)
    return _insert(subject, edit, result)


def _edit_quietly(_procedure: Any, image: Any, drawables: Sequence[Any], config: Any) -> bool:
    """For scripts and for "Repeat": GIMP's own progress bar only."""
    subject = _gather(image, drawables)
    edit = _to_edit(subject, _read_settings(config))
    return _insert(subject, edit, _follow_in_status_bar(_job(edit)))


# ---- 1. gather -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Subject:
    """What the user pointed at; checked, so that an edit can start."""

    image: Any
    layer: Any
    state: LayerState
    strokes: Tuple[Stroke, ...]
    drags: Tuple[Drag, ...]
    selection: Optional[PixelBuffer]


def _gather(image: Any, drawables: Sequence[Any]) -> _Subject:
    if image is None:
        raise EditError("No picture is open: open one first.")
    states = [image_io.read_state(drawable) for drawable in drawables]
    state = edit_model.check_layers(states, image.get_floating_sel() is not None)
    strokes = paths.read_strokes(image)
    drags = edit_model.to_drags(strokes, state)
    selection = image_io.read_selection(image, state)
    if selection is not None:
        edit_model.check_selection(drags, selection, state)
    return _Subject(image, drawables[0], state, strokes, drags, selection)


def _sketch(subject: _Subject) -> View:
    """A small picture of the layer, dark where it may not change."""
    width, height, rgb, coverage = image_io.read_thumbnail(subject.image, subject.layer, THUMBNAIL)
    if coverage is not None:
        rgb = canvas.dim(rgb, coverage)
    return View(width, height, rgb, scale=width / subject.state.width)


def _read_settings(config: Any) -> Settings:
    return Settings(
        prompt=(config.get_property("prompt") or "").strip(),
        mode=config.get_property("mode"),
        model=(config.get_property("model") or "").strip(),
        seed=config.get_property("seed"),
        lora_steps=config.get_property("lora-steps"),
        max_drag_steps=config.get_property("max-drag-steps"),
    )


def _to_edit(subject: _Subject, settings: Settings, preview_every: int = 0) -> Edit:
    pixels = image_io.read_pixels(subject.layer)
    return Edit(subject.state, pixels, subject.selection, subject.drags, settings, preview_every)


# ---- 2. drag ---------------------------------------------------------------------------------------


def _job(edit: Edit) -> Job:
    installation = daemon.read_installation()
    return Job(lambda: daemon.drag(edit, installation))


def _follow_in_status_bar(job: Job) -> Optional[Result]:
    """The bar's Cancel button ends this process; the daemon sees the stream break and stops."""
    Gimp.progress_init(TITLE)
    job.start()
    result = None
    while True:
        event = job.next_event(0.2)
        if isinstance(event, Progress):
            Gimp.progress_set_text(event.sentence)
            Gimp.progress_update(event.fraction)
        elif isinstance(event, Result):
            result = event
        elif isinstance(event, Finished):
            event.raise_error()
            return result


# ---- 3. insert -------------------------------------------------------------------------------------


def _insert(subject: _Subject, edit: Edit, result: Optional[Result]) -> bool:
    if result is None:  # cancelled
        return False
    image_io.insert_layer(
        subject.image,
        subject.layer,
        edit_model.layer_name(edit),
        (result.x, result.y),
        result.pixels,
        edit_model.to_parasite(edit, result),
    )
    return True


def _failure(procedure: Any, sentence: str, interactive: bool) -> Any:
    if interactive:
        from plugin import dialog

        dialog.show_error(sentence)
        return procedure.new_return_values(Gimp.PDBStatusType.CANCEL, None)
    error = GLib.Error.new_literal(Gimp.PlugIn.error_quark(), sentence, 0)
    return procedure.new_return_values(Gimp.PDBStatusType.EXECUTION_ERROR, error)
