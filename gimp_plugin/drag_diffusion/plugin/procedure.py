"""START HERE: what "Filters ▸ Drag Edit…" does, step by step.

The image changes in the last step only, at once and after the result has arrived: whatever ends the plug-in before leaves
the image as it was.
"""

from __future__ import annotations

import traceback
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, AsyncIterator, Callable, Iterator, List, Sequence

from gi.repository import Gimp, GLib, GObject

from plugin import cutout, edit_model, image_io, re_edit, subject, timing, tried
from plugin.edit_model import Edit, EditError, Progress
from plugin.subject import Subject
from plugin.translation import _


def run(procedure: Any, run_mode: Any, image: Any, drawables: Sequence[Any], config: Any) -> Any:
    """Drag Edit: its status, with a sentence where the edit could not be done."""

    def edit(interactive: bool) -> bool:
        pointed_at = subject.gather(image, drawables)
        if not interactive:
            return _edit_quietly(config, pointed_at)
        tried.recall(procedure, config)
        with _words_of_its_making(pointed_at, config):
            end = _edit_in_window(procedure, config, pointed_at)
        tried.remember(procedure, config, end.was_tried, end.was_inserted)
        return end.was_inserted

    return _told(procedure, run_mode, edit, _("Drag Edit"))


@contextmanager
def _words_of_its_making(pointed_at: Subject, config: Any) -> Iterator[None]:
    """The dialog starts with the prompt and the model that made the picture; the model is not remembered as the user's."""
    usual = config.get_property("model")
    if pointed_at.generated is not None:
        config.set_property("prompt", pointed_at.generated.prompt)
        config.set_property("model", pointed_at.generated.model)
    yield
    if (
        pointed_at.generated is not None
        and config.get_property("model") == pointed_at.generated.model
    ):
        config.set_property("model", usual)


def run_generate(
    procedure: Any, run_mode: Any, image: Any, drawables: Sequence[Any], config: Any
) -> Any:
    """Generate Layer: a picture from a prompt; its layer is returned too."""
    from plugin import generated_layer  # takes longer to load than a dialog may take to open

    made: List[Any] = []

    def work(interactive: bool) -> bool:
        generated_layer.check(image)
        picture = _generate_in_window(procedure, config) if interactive else _generate(config)
        if picture is not None:
            made.append(generated_layer.insert(image, drawables, picture))
            if image is None and interactive:
                Gimp.Display.new(made[0].get_image())
        return picture is not None

    values = _told(procedure, run_mode, work, _("Generate Layer"))
    if made:
        values.remove(1)
        values.insert(1, GObject.Value(Gimp.Layer, made[0]))
    return values


def _generate_in_window(procedure: Any, config: Any) -> Any:
    from plugin.generate_dialog import GenerateDialog

    tried.recall(procedure, config)
    window = GenerateDialog(procedure, config)
    picture = window.run()
    tried.remember(procedure, config, window.has_generated, picture is not None)
    return picture


def _generate(config: Any) -> Any:
    """For scripts and for "Repeat"."""
    from plugin import daemon, generated_layer, generating

    installation, order = daemon.read_installation(), generated_layer.read_order(config)
    return _follow_in_status_bar(
        lambda: generating.generate(order, installation), _("Generate Layer")
    )


def run_re_edit(
    procedure: Any, run_mode: Any, image: Any, drawables: Sequence[Any], config: Any
) -> Any:
    """Re-edit Drag: the same with points, selection and settings of a layer that was made before."""

    def edit(interactive: bool) -> bool:
        pointed_at = re_edit.gather(image, drawables)
        drag_procedure, arguments = re_edit.make_drag(pointed_at, config)
        if not interactive:
            return _edit_quietly(arguments, pointed_at, replace=config.get_property("replace"))
        end = _edit_in_window(drag_procedure, arguments, pointed_at)
        if end.was_inserted:
            config.set_property("replace", end.has_replaced)  # and so does Repeat
        return end.was_inserted

    return _told(procedure, run_mode, edit, re_edit.TITLE)


def _told(procedure: Any, run_mode: Any, edit: Callable[[bool], bool], title: str) -> Any:
    interactive = run_mode == Gimp.RunMode.INTERACTIVE
    try:
        _start(interactive)
        done = edit(interactive)
    except Exception as error:  # GIMP itself would show nothing at all
        return _failure(procedure, error, title, interactive)
    status = Gimp.PDBStatusType.SUCCESS if done else Gimp.PDBStatusType.CANCEL
    return procedure.new_return_values(status, None)


def run_daemon_window(procedure: Any) -> Any:
    """“About the daemon” on its own."""
    from plugin import daemon_window  # needs a display

    try:
        daemon_window.start()
        daemon_window.run()
    except Exception as error:
        return _failure(procedure, error, _("About the daemon"), True)
    return procedure.new_return_values(Gimp.PDBStatusType.SUCCESS, None)


def _start(interactive: bool) -> None:
    if not interactive:
        image_io.start()
        return
    from plugin import dialog  # needs a display

    dialog.start()


@dataclass(frozen=True)
class _End:
    """How a window was left."""

    was_tried: bool
    was_inserted: bool = False
    has_replaced: bool = False  # the layer that was edited again


def _edit_in_window(procedure: Any, config: Any, pointed_at: Subject) -> _End:
    """The dialog does all but the last step."""
    from plugin import dialog

    window = dialog.DragDialog(procedure, config, pointed_at)
    chosen = window.run()
    if chosen is None:
        return _End(window.has_dragged)
    done = chosen.done
    keep_points = config.get_property("keep-points") and window.has_new_points(done.edit)
    pointed_at.insert(done.edit, done.result, keep_points=keep_points, replace=chosen.replace)
    return _End(True, True, chosen.replace)


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
    pixels = image_io.read_pixels(pointed_at.layer, part, settings.with_filters)
    edit = edit_model.from_its_making(
        Edit(pointed_at.state, pixels, mask, drags, settings, selection=selection),
        pointed_at.generated,
    )
    # 2. drag
    from plugin import daemon

    installation = daemon.read_installation()
    result = _follow_in_status_bar(lambda: daemon.drag(edit, installation), pointed_at.title)
    # 3. insert
    if result is not None:
        pointed_at.insert(edit, result, keep_points=False, replace=replace)
    return result is not None


def _follow_in_status_bar(make_events: Callable[[], AsyncIterator[Any]], title: str) -> Any:
    """What comes last. The bar's Cancel button ends this process; the daemon sees the stream break and stops."""
    from plugin.worker import Finished, Job

    job = Job(make_events)
    Gimp.progress_init(title)
    job.start()
    result = None
    while True:
        event = job.next_event(0.2)
        if isinstance(event, Progress):
            Gimp.progress_set_text(event.sentence)
            Gimp.progress_update(event.fraction)
        elif isinstance(event, Finished):
            event.raise_error()
            return result
        elif event is not None:
            result = event


def _failure(procedure: Any, error: Exception, title: str, interactive: bool) -> Any:
    """Shown in a window of this title, or handed to the caller."""
    from plugin.client import DaemonError

    is_defect = not isinstance(error, (EditError, DaemonError))
    if is_defect:
        traceback.print_exception(type(error), error, error.__traceback__)
    if interactive:
        from plugin import messages

        messages.show_error(error, title=title)
        return procedure.new_return_values(Gimp.PDBStatusType.CANCEL, None)
    sentence = edit_model.describe_defect(title, error) if is_defect else str(error)
    timing.note("failed", sentence=sentence)
    told = GLib.Error.new_literal(Gimp.PlugIn.error_quark(), sentence, 0)
    return procedure.new_return_values(Gimp.PDBStatusType.EXECUTION_ERROR, told)
