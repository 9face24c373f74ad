"""The dialog: points are placed on the canvas, the drag is watched there, and its result is looked at before it is inserted.

It opens with a small picture that GIMP has ready; plugin.background does the rest meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Optional

from gi.repository import Gdk, GimpUi, GLib, Gtk

from plugin import canvas, cutout, edit_model, image_io, messages, timing
from plugin import dialog_widgets as parts
from plugin.background import Background
from plugin.canvas_input import CanvasInput
from plugin.canvas_view import (
    CanvasView,
    Part,
    Shown,
    after_paint,
    reduced,
    result_part,
    to_pixbuf,
)
from plugin.dialog_widgets import EDITING, LOOKING, WORKING
from plugin.edit_model import (
    Edit,
    EditError,
    Handles,
    Models,
    PixelBuffer,
    Prepared,
    Progress,
    View,
)
from plugin.points import Points
from plugin.presets import Presets
from plugin.settings_panel import SettingsPanel
from plugin.subject import Subject
from plugin.translation import _

SMALL = 1024  # pixels, longer side of the first picture: GIMP's limit for a thumbnail
TYPING = (Gtk.Entry, Gtk.TextView)


def start() -> None:
    GimpUi.init("drag-diffusion")


@dataclass(frozen=True)
class Chosen:
    """The result that the user wants, a session.Done, and how."""

    done: Any
    replace: bool  # in the place of the layer that is edited again


class DragDialog:
    """One opening of the dialog."""

    def __init__(self, procedure: Any, config: Any, subject: Subject) -> None:
        self._subject = subject
        self._drags, reasons = subject.usable_drags()
        self._note = " ".join(reasons)
        self._points = Points(subject.state, self._drags)
        self._background = Background(subject, config, lambda: self._points.drags, self._show_event)
        self._strip: Any = None  # of results, once there is one
        self._state = EDITING
        self.has_dragged = False
        self._over: Optional[Part] = None  # the last preview
        self._handles = Handles(())
        self._procedure, self._config = procedure, config
        self._build()

    def run(self) -> Optional[Chosen]:
        """Until the user inserts a result, or closes: None."""
        self._dialog.show_all()
        self._view.widget.grab_focus()
        self._refresh()
        acts: Dict[int, Callable[[], None]] = {
            parts.DRAG: self._drag,
            parts.TAKE: self._take,
            parts.STOP: self._stop,
            parts.AGAIN: self._try_again,
        }
        try:
            while True:
                response = self._dialog.run()
                if response in acts:
                    acts[response]()
                elif response in (parts.INSERT, parts.REPLACE):
                    return Chosen(self._strip.chosen, response == parts.REPLACE)
                elif self._may_close():
                    return None
        finally:
            self._end()

    def has_new_points(self, edit: Edit) -> bool:
        """Whether the edit's points are others than those of the image's path."""
        return edit.drags != self._drags

    # ---- what is seen

    def _build(self) -> None:
        state = self._subject.state
        self._dialog = parts.make_window(self._subject.title, self._subject.help_page)
        self._buttons = parts.Buttons(self._dialog, self._subject.can_replace)
        self._view = CanvasView((state.width, state.height), self._first_paint)
        parts.name_canvas(self._view.widget, state.name)
        self._show_small()
        self._hands = CanvasInput(self._view, self._points, self._points_changed)
        self._tools = parts.Tools(self._hands, self._delete, self._refresh)
        self._status = parts.StatusArea()
        self._left = parts.lay_out_left(self._tools.widget, self._view.widget, self._status.widget)
        self._right = parts.make_settings_column()
        box = parts.lay_out(self._left, self._right)
        self._dialog.get_content_area().pack_start(box, True, True, 0)
        self._dialog.connect("key-press-event", self._key)

    def _show_small(self) -> None:
        subject = self._subject
        small = image_io.read_thumbnail(subject.layer, SMALL)
        self._small = Part(small, 0, 0, small.get_width() / subject.state.width)
        self._view.set_sources(self._small)
        self._has_selection = subject.has_selection

    def _first_paint(self) -> None:
        """The picture is on the screen. Now the settings, which take a sixth as long as all before them."""
        timing.note("first paint")
        self._add_settings()
        after_paint(self._right, self._begin)

    def _add_settings(self) -> None:
        config = self._config
        self._panel = SettingsPanel(
            self._procedure,
            config,
            _presets(),
            self._has_selection,
            self._subject.state.has_filters,
            self._setting_changed,
            self._manage_models,
        )
        below = parts.make_keep_button(config), parts.make_daemon_button(self._show_daemon)
        for widget in (self._panel.widget, *below):
            self._right.pack_start(widget, False, False, 0)
        self._right.show_all()

    def _begin(self) -> None:
        timing.note("settings shown")
        self._tools.show_icons()
        image_io.start()
        subject, scale = self._subject, self._small.scale
        small = subject.read_small_selection(scale)
        self._view.set_coverage(small, scale)
        self._background.start()

    def _refresh(self) -> None:
        """Show the state: canvas, buttons, sentences."""
        points, editing = self._points, self._state == EDITING
        self._hands.can_edit = editing
        self._view.show(self._make_shown())
        self._buttons.show(self._state, bool(points.drags), self._background.has_drag_begun)
        self._tools.update(
            editing and points.can_undo,
            editing and points.can_redo,
            editing and points.selected is not None,
            self._state == LOOKING,
        )
        self._status.set_hint(self._make_hint())

    def _make_shown(self) -> Shown:
        drags = self._points.drags
        if self._state == WORKING:
            return Shown(drags, None, self._handles.points, self._over)
        if self._state == LOOKING:
            before = self._tools.shows_before
            return Shown(over=None if before else self._strip.chosen_part, with_marks=False)
        return Shown(drags, self._points.selected)

    def _make_hint(self) -> str:
        if self._state == LOOKING:
            if self._tools.shows_before:
                return _("Before the drag; B changes between the two.")
            return _("After the drag; B changes between the two.")
        if self._state == WORKING:
            return _("Cancel stops at once and changes nothing.")
        if self._note:
            return self._note
        if not self._points.drags:
            return _(
                "Press the mouse on the part to move, pull it to where it should go, and release. "
                "With Shift it follows the curve that you draw."
            )
        described = edit_model.describe(self._points.drags, self._has_selection)
        if self._background.starts_from_its_making:
            described += " " + _(
                "The drag starts from how the picture was generated; Identity is not needed."
            )
        return described

    # ---- what the user does

    def _points_changed(self) -> None:
        self._note = ""
        self._refresh()
        if not self._points.is_pulling:
            self._background.change()

    def _setting_changed(self, name: str) -> None:
        self._background.change(mask=name.startswith("mask-"))

    def _delete(self) -> None:
        self._points.delete()
        self._points_changed()

    def _drag(self) -> None:
        self._over, self._handles = None, Handles(())
        try:
            self._background.drag()
        except EditError as error:
            messages.show_error(error, self._dialog)
            return
        self._state, self.has_dragged = WORKING, True
        self._status.set_stage(_("Starting …"))
        self._refresh()

    def _take(self) -> None:
        self._background.take_now()
        self._status.set_stage(_("Taking what is reached …"))

    def _stop(self) -> None:
        timing.note("cancelled")
        self._background.cancel()
        self._to_points(_("Cancelled; the image is as it was."))

    def _try_again(self) -> None:
        self._to_points(self._ready_sentence())
        self._background.change()

    def _manage_models(self) -> None:
        from plugin import model_manager  # loads the vendored packages

        model_manager.run(self._dialog, self._config, self._panel.offer_models)

    def _show_daemon(self) -> None:
        from plugin import daemon_window  # loads the vendored packages

        daemon_window.run(self._dialog)

    def _to_points(self, sentence: str) -> None:
        self._state = EDITING
        self._status.set_stage(sentence)
        self._refresh()
        self._view.widget.grab_focus()

    def _ready_sentence(self) -> str:
        if not self._background.is_prepared:
            return ""
        return _("The picture is prepared: a drag begins at once.")

    def _choose(self) -> None:
        if self._state != WORKING:
            self._state = LOOKING
            self._refresh()

    # ---- what happens behind

    def _show_event(self, event: Any) -> None:
        if isinstance(event, Progress):
            self._show_progress(event)
        elif isinstance(event, Handles):
            self._handles = event
            self._view.show(self._make_shown())
        elif isinstance(event, View):
            timing.note("preview")
            self._over = self._view.make_preview(event)
            self._view.show(self._make_shown())
        elif isinstance(event, Models):
            self._panel.offer_models(event.names)
        elif isinstance(event, PixelBuffer):
            self._show_pixels(event)
        elif isinstance(event, Prepared):
            timing.note("prepared")
            if self._state == EDITING:
                self._status.set_stage(self._ready_sentence(), 1.0)
                self._refresh()
                self._background.change()  # points that came meanwhile may lie outside its region
        else:
            self._show_end(event)

    def _show_pixels(self, pixels: PixelBuffer) -> None:
        if pixels.channels == 1:
            step = max(1, int(1 / self._small.scale))
            self._view.set_coverage(canvas.thin_out(pixels, self._subject.state, step), 1 / step)
        elif cutout.is_large(self._subject.state):
            self._show_part(pixels)
        else:
            full = to_pixbuf(pixels.width, pixels.height, pixels.rows, pixels.channels)
            # GIMP's small picture is not exact in every colour space; this one is.
            self._small = reduced(full, self._small.scale)
            self._view.set_sources(self._small, Part(full, 0, 0, 1.0))

    def _show_part(self, pixels: PixelBuffer) -> None:
        """For a closer look, if there is room to keep it a second time."""
        if pixels.width * pixels.height <= cutout.LARGE:
            self._view.set_detail(result_part(pixels.x, pixels.y, pixels))

    def _show_progress(self, progress: Progress) -> None:
        if self._state == LOOKING:
            return
        handles, numbers = self._handles, ""
        if not self._background.has_drag_begun:
            numbers = _("(preparing)")
        elif handles.step:
            numbers = _("loss {loss:.4g}").format(loss=handles.loss)
        self._status.set_progress(progress, numbers)
        if self._state == WORKING:
            self._refresh()

    def _show_end(self, event: Any) -> None:
        from plugin.session import Done, Failed

        if isinstance(event, Done):
            self._show_result(event)
        elif isinstance(event, Failed) and not event.while_dragging:
            sentence, _step = messages.explain(event.error, self._subject.title)
            self._status.set_stage(_("Not prepared: {sentence}").format(sentence=sentence))
        else:
            self._to_points(_("The points are still here."))
            messages.show_error(getattr(event, "error", event), self._dialog)

    def _show_result(self, done: Any) -> None:
        from plugin.result_strip import ResultStrip

        if self._strip is None:
            self._strip = ResultStrip(self._small, self._choose)
            self._left.pack_start(self._strip.widget, False, False, 0)
        self._strip.add(done)
        self._state = LOOKING
        self._status.set_stage(edit_model.summary(done.result), 1.0)
        self._refresh()
        self._view.widget.grab_focus()
        timing.note("result")

    # ---- keys, and the end

    def _key(self, _dialog: Any, event: Any) -> bool:
        control = bool(event.state & Gdk.ModifierType.CONTROL_MASK)
        shift = bool(event.state & Gdk.ModifierType.SHIFT_MASK)
        key = Gdk.keyval_to_lower(event.keyval)
        if control and key == Gdk.KEY_z:
            (self._hands.redo if shift else self._hands.undo)()
        elif control and key == Gdk.KEY_y:
            self._hands.redo()
        elif key == Gdk.KEY_Escape and self._points.is_pulling:
            self._points.abandon()
            self._points_changed()
        elif key == Gdk.KEY_Escape and self._state == WORKING:
            self._stop()
        elif key == Gdk.KEY_b and self._state == LOOKING and not self._is_typing():
            self._tools.toggle_before()
        else:
            return False
        return True

    def _is_typing(self) -> bool:
        return isinstance(self._dialog.get_focus(), TYPING)

    def _may_close(self) -> bool:
        return self._strip is None or messages.confirm(
            _("Close without inserting a result?"),
            _("The results of this dialog are lost; the image is as it was."),
            _("Close _without"),
            self._dialog,
        )

    def _end(self) -> None:
        self._dialog.hide()
        while Gtk.events_pending():
            Gtk.main_iteration()
        self._background.end()
        self._dialog.destroy()


def _presets() -> Presets:
    return Presets(Path(GLib.get_user_config_dir()) / "dragdiffusion" / "gimp-presets.json")
