"""The windows: settings before the edit, progress while it runs, and the reason when it cannot be done."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Optional, Sequence

from gi.repository import GdkPixbuf, GimpUi, GLib, Gtk

from plugin import canvas
from plugin.edit_model import Drag, Handles, Point, Progress, Result, View, remaining_text
from plugin.worker import Finished, Job

TITLE = "Drag Edit"
MAIN_SETTINGS = ["prompt", "mode"]
MORE_SETTINGS = ["model", "seed", "lora-steps", "max-drag-steps"]
POLL_MILLISECONDS = 50
CANCEL_SECONDS = 5.0
MARGIN = 12
WIDTH = 360  # of the progress window


def start() -> None:
    GimpUi.init("drag-diffusion")


def ask_settings(procedure: Any, config: Any, found: str, picture: Any) -> bool:
    """Show what was found and ask for the settings; whether the user wants the edit."""
    dialog = GimpUi.ProcedureDialog.new(procedure, config, TITLE)
    dialog.set_ok_label("_Drag")
    content = dialog.get_content_area()
    content.pack_start(_summary(found, picture), False, False, 0)
    dialog.fill_box("main-box", MAIN_SETTINGS)
    dialog.fill_box("more-box", MORE_SETTINGS)
    dialog.get_label("more-title", "More settings", False, False)
    dialog.fill_expander("more", "more-title", False, "more-box")
    dialog.fill(["main-box", "more"])
    wanted = bool(dialog.run())
    dialog.destroy()
    return wanted


def _summary(found: str, picture: Any) -> Any:
    box = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=MARGIN)
    box.set_border_width(MARGIN)
    box.pack_start(Gtk.Image.new_from_pixbuf(picture), False, False, 0)
    box.pack_start(_text(found), False, False, 0)
    box.show_all()
    return box


def draw(view: View, drags: Sequence[Drag], handles: Sequence[Point] = ()) -> Any:
    """A picture for Gtk of the view with its drags."""
    return _to_pixbuf(view.width, view.height, canvas.draw(view, drags, handles))


def _to_pixbuf(width: int, height: int, rgb: bytes) -> Any:
    return GdkPixbuf.Pixbuf.new_from_bytes(
        GLib.Bytes.new(rgb), GdkPixbuf.Colorspace.RGB, False, 8, width, height, 3 * width
    )


def _fit(view: View, side: int) -> View:
    """The view at another size: its longer side as given."""
    factor = side / max(view.width, view.height)
    width, height = max(1, round(view.width * factor)), max(1, round(view.height * factor))
    scaled = _to_pixbuf(view.width, view.height, view.rgb).scale_simple(
        width, height, GdkPixbuf.InterpType.BILINEAR
    )
    padded, stride = scaled.read_pixel_bytes().get_data(), scaled.get_rowstride()
    rgb = b"".join(padded[row * stride : row * stride + 3 * width] for row in range(height))
    return replace(view, width=width, height=height, rgb=rgb, scale=view.scale * factor)


def _text(words: str) -> Any:
    label = Gtk.Label(label=words, xalign=0)
    label.set_line_wrap(True)
    label.set_max_width_chars(50)
    return label


def show_error(sentence: str) -> None:
    dialog = Gtk.MessageDialog(
        message_type=Gtk.MessageType.WARNING, buttons=Gtk.ButtonsType.CLOSE, text=TITLE
    )
    dialog.set_title(TITLE)
    dialog.format_secondary_text(sentence)
    dialog.run()
    dialog.destroy()


def follow(job: Job, sketch: View, drags: Sequence[Drag]) -> Optional[Result]:
    """Run the job with a progress window; its result, None if the user cancelled. Its error is raised."""
    return _ProgressWindow(job, sketch, drags).run()


class _ProgressWindow:
    """Stage, bar, time left, a look at the edit with its handles on their way, and a Cancel button."""

    def __init__(self, job: Job, sketch: View, drags: Sequence[Drag]) -> None:
        self._job, self._view, self._drags = job, sketch, drags
        self._side = max(sketch.width, sketch.height)
        self._result: Optional[Result] = None
        self._finished: Optional[Finished] = None
        self._dialog = GimpUi.Dialog(title=TITLE, role="drag-diffusion-progress")
        self._dialog.add_button("_Cancel", Gtk.ResponseType.CANCEL)
        self._picture = Gtk.Image.new_from_pixbuf(draw(sketch, drags))
        self._picture.set_size_request(self._side, sketch.height)
        self._stage = _text("Starting …")
        self._bar = Gtk.ProgressBar(show_text=True, text="")
        self._lay_out()

    def _lay_out(self) -> None:
        box = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=MARGIN)
        box.set_border_width(MARGIN)
        box.set_size_request(WIDTH, -1)
        for widget in (self._picture, self._stage, self._bar):
            box.pack_start(widget, False, False, 0)
        self._dialog.get_content_area().pack_start(box, True, True, 0)
        self._dialog.show_all()

    def run(self) -> Optional[Result]:
        self._job.start()
        polling = GLib.timeout_add(POLL_MILLISECONDS, self._poll)
        self._dialog.run()  # until Cancel, Escape, the window's close button, or the end
        self._dialog.destroy()
        if self._finished is None:
            GLib.source_remove(polling)
            self._job.cancel()
            self._job.join(CANCEL_SECONDS)  # so that the daemon hears of it
            return None
        self._finished.raise_error()
        return self._result

    def _poll(self) -> bool:
        while True:
            event = self._job.next_event(0)
            if event is None:
                return GLib.SOURCE_CONTINUE
            if isinstance(event, Finished):
                self._finished = event
                self._dialog.response(Gtk.ResponseType.OK)
                return GLib.SOURCE_REMOVE
            self._show(event)

    def _show(self, event: Any) -> None:
        if isinstance(event, Progress):
            self._stage.set_text(event.sentence)
            self._bar.set_fraction(event.fraction)
            parts = (f"{event.fraction:.0%}", remaining_text(event.eta_seconds))
            self._bar.set_text(", ".join(part for part in parts if part))
        elif isinstance(event, Handles):
            self._picture.set_from_pixbuf(draw(self._view, self._drags, event.points))
        elif isinstance(event, View):
            self._view = _fit(event, self._side)
        elif isinstance(event, Result):
            self._result = event
