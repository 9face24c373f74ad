"""START HERE: what "Filters ▸ Drag Edit…" does, step by step.

The image changes in the last step only, at once and after the result has arrived: whatever ends the plug-in before leaves
the image as it was.
"""

from __future__ import annotations

import traceback
from typing import Any, Optional, Sequence

from gi.repository import Gimp, GLib

from plugin import edit_model, image_io, subject
from plugin.edit_model import Edit, EditError, Progress, Result
from plugin.translation import _

TITLE = _("Drag Edit")


def run(procedure: Any, run_mode: Any, image: Any, drawables: Sequence[Any], config: Any) -> Any:
    """The procedure's body: its status, with a sentence where the edit could not be done."""
    interactive = run_mode == Gimp.RunMode.INTERACTIVE
    try:
        edit_image = _edit_in_window if interactive else _edit_quietly
        done = edit_image(procedure, image, drawables, config)
    except Exception as error:  # GIMP itself would show nothing at all
        return _failure(procedure, error, interactive)
    status = Gimp.PDBStatusType.SUCCESS if done else Gimp.PDBStatusType.CANCEL
    return procedure.new_return_values(status, None)


def run_daemon_window(procedure: Any) -> Any:
    """“About the daemon” on its own."""
    from plugin import daemon_window  # needs a display

    try:
        daemon_window.start()
        daemon_window.run()
    except Exception as error:
        return _failure(procedure, error, True)
    return procedure.new_return_values(Gimp.PDBStatusType.SUCCESS, None)


def _edit_in_window(procedure: Any, image: Any, drawables: Sequence[Any], config: Any) -> bool:
    """The dialog does all but the last step; whether a layer was made."""
    from plugin import dialog  # needs a display

    dialog.start()
    pointed_at = subject.gather(image, drawables)
    window = dialog.DragDialog(procedure, config, pointed_at)
    done = window.run()
    if done is None:
        return False
    keep_points = config.get_property("keep-points") and window.has_new_points(done.edit)
    pointed_at.insert(done.edit, done.result, keep_points)
    return True


def _edit_quietly(_procedure: Any, image: Any, drawables: Sequence[Any], config: Any) -> bool:
    """For scripts and for "Repeat": GIMP's own progress bar only."""
    # 1. gather
    image_io.start()
    pointed_at = subject.gather(image, drawables)
    settings = subject.read_settings(config)
    drags = pointed_at.drags
    selection = pointed_at.read_selection()
    mask = subject.shape(selection, settings)
    if mask is not None:
        edit_model.check_selection(drags, mask, pointed_at.state)
    pixels = image_io.read_pixels(pointed_at.layer)
    edit = Edit(pointed_at.state, pixels, mask, drags, settings, selection=selection)
    # 2. drag
    result = _follow_in_status_bar(edit)
    # 3. insert
    if result is not None:
        pointed_at.insert(edit, result)
    return result is not None


def _follow_in_status_bar(edit: Edit) -> Optional[Result]:
    """The bar's Cancel button ends this process; the daemon sees the stream break and stops."""
    from plugin import daemon
    from plugin.worker import Finished, Job

    installation = daemon.read_installation()
    job = Job(lambda: daemon.drag(edit, installation))
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


def _failure(procedure: Any, error: Exception, interactive: bool) -> Any:
    from plugin.client import DaemonError

    is_defect = not isinstance(error, (EditError, DaemonError))
    if is_defect:
        traceback.print_exception(type(error), error, error.__traceback__)
    if interactive:
        from plugin import messages

        messages.show_error(error)
        return procedure.new_return_values(Gimp.PDBStatusType.CANCEL, None)
    sentence = (
        _("Drag Edit failed, the image is as it was: {error!r}").format(error=error)
        if is_defect
        else str(error)
    )
    told = GLib.Error.new_literal(Gimp.PlugIn.error_quark(), sentence, 0)
    return procedure.new_return_values(Gimp.PDBStatusType.EXECUTION_ERROR, told)
