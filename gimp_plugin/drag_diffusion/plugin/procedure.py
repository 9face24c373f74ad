"""START HERE: what "Filters ▸ Drag Edit…" does, step by step.

The image changes in the last step only, at once and after the result has arrived: whatever ends the plug-in before leaves
the image as it was.
"""

from __future__ import annotations

import traceback
from typing import Any, Callable, Optional, Sequence

from gi.repository import Gimp, GLib

from plugin import cutout, edit_model, image_io, re_edit, subject
from plugin.edit_model import Edit, EditError, Progress, Result
from plugin.subject import Subject
from plugin.translation import _


def run(procedure: Any, run_mode: Any, image: Any, drawables: Sequence[Any], config: Any) -> Any:
    """Drag Edit: its status, with a sentence where the edit could not be done."""

    def edit(interactive: bool) -> bool:
        pointed_at = subject.gather(image, drawables)
        if interactive:
            return _edit_in_window(procedure, config, pointed_at) is not None
        return _edit_quietly(config, pointed_at)

    return _told(procedure, run_mode, edit, _("Drag Edit"))


def run_re_edit(
    procedure: Any, run_mode: Any, image: Any, drawables: Sequence[Any], config: Any
) -> Any:
    """Re-edit Drag: the same with points, selection and settings of a layer that was made before."""

    def edit(interactive: bool) -> bool:
        pointed_at = re_edit.gather(image, drawables)
        drag_procedure, arguments = re_edit.make_drag(pointed_at, config)
        if not interactive:
            return _edit_quietly(arguments, pointed_at, replace=config.get_property("replace"))
        replaced = _edit_in_window(drag_procedure, arguments, pointed_at)
        if replaced is not None:
            config.set_property("replace", replaced)  # and so does Repeat
        return replaced is not None

    return _told(procedure, run_mode, edit, re_edit.TITLE)


def _told(procedure: Any, run_mode: Any, edit: Callable[[bool], bool], title: str) -> Any:
    interactive = run_mode == Gimp.RunMode.INTERACTIVE
    try:
        _start(interactive)
        done = edit(interactive)
    except Exception as error:  # GIMP itself would show nothing at all
        return _failure(procedure, error, title if interactive else "")
    status = Gimp.PDBStatusType.SUCCESS if done else Gimp.PDBStatusType.CANCEL
    return procedure.new_return_values(status, None)


def run_daemon_window(procedure: Any) -> Any:
    """“About the daemon” on its own."""
    from plugin import daemon_window  # needs a display

    try:
        daemon_window.start()
        daemon_window.run()
    except Exception as error:
        return _failure(procedure, error, _("Drag Edit"))
    return procedure.new_return_values(Gimp.PDBStatusType.SUCCESS, None)


def _start(interactive: bool) -> None:
    if not interactive:
        image_io.start()
        return
    from plugin import dialog  # needs a display

    dialog.start()


def _edit_in_window(procedure: Any, config: Any, pointed_at: Subject) -> Optional[bool]:
    """The dialog does all but the last step; whether another layer was replaced, None where no layer was made."""
    from plugin import dialog

    window = dialog.DragDialog(procedure, config, pointed_at)
    chosen = window.run()
    if chosen is None:
        return None
    done = chosen.done
    keep_points = config.get_property("keep-points") and window.has_new_points(done.edit)
    pointed_at.insert(done.edit, done.result, keep_points=keep_points, replace=chosen.replace)
    return bool(chosen.replace)


def _edit_quietly(config: Any, pointed_at: Subject, *, replace: bool = False) -> bool:
    """For scripts and for "Repeat": GIMP's own progress bar only."""
    # 1. gather
    settings = subject.read_settings(config)
    drags = pointed_at.drags
    part = cutout.plan(pointed_at.state, pointed_at.selected, drags, settings)
    assert part is not None  # there are drags
    selection = pointed_at.read_selection(part)
    mask = subject.shape(selection, settings)
    if mask is not None:
        edit_model.check_selection(drags, mask, pointed_at.state)
    pixels = image_io.read_pixels(pointed_at.layer, part)
    edit = Edit(pointed_at.state, pixels, mask, drags, settings, selection=selection)
    # 2. drag
    result = _follow_in_status_bar(edit, pointed_at.title)
    # 3. insert
    if result is not None:
        pointed_at.insert(edit, result, keep_points=False, replace=replace)
    return result is not None


def _follow_in_status_bar(edit: Edit, title: str) -> Optional[Result]:
    """The bar's Cancel button ends this process; the daemon sees the stream break and stops."""
    from plugin import daemon
    from plugin.worker import Finished, Job

    installation = daemon.read_installation()
    job = Job(lambda: daemon.drag(edit, installation))
    Gimp.progress_init(title)
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


def _failure(procedure: Any, error: Exception, title: str) -> Any:
    """Shown in a window of this title; handed to the caller where there is none."""
    from plugin.client import DaemonError

    is_defect = not isinstance(error, (EditError, DaemonError))
    if is_defect:
        traceback.print_exception(type(error), error, error.__traceback__)
    if title:
        from plugin import messages

        messages.show_error(error, title=title)
        return procedure.new_return_values(Gimp.PDBStatusType.CANCEL, None)
    sentence = (
        _("Drag Edit failed, the image is as it was: {error!r}").format(error=error)
        if is_defect
        else str(error)
    )
    told = GLib.Error.new_literal(Gimp.PlugIn.error_quark(), sentence, 0)
    return procedure.new_return_values(Gimp.PDBStatusType.EXECUTION_ERROR, told)
