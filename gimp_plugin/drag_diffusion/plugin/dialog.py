"""The windows: settings before the edit, progress while it runs, and the reason when it cannot be done."""

from __future__ import annotations

from typing import Any, Optional

from gi.repository import GdkPixbuf, GimpUi, GLib, Gtk

from plugin.edit_model import Preview, Progress, Result, remaining_text
from plugin.worker import Finished, Job

TITLE = "Drag Edit"
MAIN_SETTINGS = ["prompt", "mode"]
MORE_SETTINGS = ["model", "seed", "lora-steps", "max-drag-steps"]
POLL_MILLISECONDS = 50
CANCEL_SECONDS = 5.0
MARGIN = 12


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


def to_pixbuf(width: int, height: int, rgb: bytes) -> Any:
    return GdkPixbuf.Pixbuf.new_from_bytes(
        GLib.Bytes.new(rgb), GdkPixbuf.Colorspace.RGB, False, 8, width, height, 3 * width
    )


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


def follow(job: Job, picture: Any) -> Optional[Result]:
    """Run the job with a progress window; its result, None if the user cancelled. Its error is raised."""
    return _ProgressWindow(picture).follow(job)


class _ProgressWindow:
    """Stage, bar, time left, a look at the edit, and a Cancel button."""

    def __init__(self, picture: Any) -> None:
        self._dialog = GimpUi.Dialog(title=TITLE, role="drag-diffusion-progress")
        self._dialog.add_button("_Cancel", Gtk.ResponseType.CANCEL)
        self._stage = _text("Starting …")
        self._bar = Gtk.ProgressBar(show_text=True, text="")
        self._preview = Gtk.Image.new_from_pixbuf(picture)
        self._preview.set_size_request(picture.get_width(), picture.get_height())
        self._picture = picture
        self._job: Optional[Job] = None
        self._result: Any = None
        self._finished: Optional[Finished] = None
        self._lay_out()

    def _lay_out(self) -> None:
        box = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=MARGIN)
        box.set_border_width(MARGIN)
        box.set_size_request(360, -1)
        for widget in (self._preview, self._stage, self._bar):
            box.pack_start(widget, False, False, 0)
        self._dialog.get_content_area().pack_start(box, True, True, 0)
        self._dialog.show_all()

    def follow(self, job: Job) -> Any:
        self._job = job
        job.start()
        polling = GLib.timeout_add(POLL_MILLISECONDS, self._poll)
        self._dialog.run()  # until Cancel, Escape, the window's close button, or the end
        self._dialog.destroy()
        if self._finished is None:
            GLib.source_remove(polling)
            job.cancel()
            job.join(CANCEL_SECONDS)  # so that the daemon hears of it
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
        elif isinstance(event, Preview):
            self._preview.set_from_pixbuf(self._fit(event))
        elif isinstance(event, Result):
            self._result = event

    def _fit(self, preview: Preview) -> Any:
        """The preview in the space of the first picture."""
        space = max(self._picture.get_width(), self._picture.get_height())
        scale = space / max(preview.width, preview.height)
        return to_pixbuf(preview.width, preview.height, preview.rgb).scale_simple(
            max(1, round(preview.width * scale)),
            max(1, round(preview.height * scale)),
            GdkPixbuf.InterpType.BILINEAR,
        )
