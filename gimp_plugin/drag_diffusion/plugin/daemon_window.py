"""“About the daemon”: how it is, its log, and what can be freed; it looks again every two seconds."""

from __future__ import annotations

from functools import partial
from typing import Any, AsyncIterator, Callable, Dict, Optional

from gi.repository import GimpUi, GLib, Gtk, Pango

from plugin import administration, daemon, messages, timing
from plugin.administration import About, Busy, Said
from plugin.calls import Call
from plugin.translation import _, ngettext

GAP, MARGIN = 6, 12
REFRESH_MILLISECONDS = 2000
LOG_SIZE = (600, 150)  # GTK pixels
UNLOAD, CLEAR, RESTART, START = range(1, 5)  # responses


def start() -> None:
    GimpUi.init("drag-diffusion")


def run(parent: Any = None) -> None:
    """Show the window; returns when it is closed."""
    DaemonWindow(parent).run()


class DaemonWindow:
    """One opening of the window."""

    def __init__(self, parent: Any) -> None:
        self._installation = daemon.read_installation()
        self._look: Optional[Call] = None
        self._action: Optional[Call] = None
        self._is_running: Optional[bool] = None  # not known yet
        self._can: Dict[int, bool] = {}
        self._dialog = GimpUi.Dialog(title=_("About the daemon"), role="drag-diffusion-daemon")
        self._dialog.set_transient_for(parent)
        self._dialog.set_modal(True)
        messages.offer_help(self._dialog, "plug-in-drag-diffusion-daemon")
        self._build()

    def run(self) -> None:
        self._refresh()  # first: with all buttons the window would be wide
        self._dialog.show_all()
        self._look_again()
        timer = GLib.timeout_add(REFRESH_MILLISECONDS, self._look_again)
        acts: Dict[int, Callable[[], None]] = {
            UNLOAD: lambda: self._do(administration.unload, _("Freeing memory …")),
            CLEAR: self._clear,
            RESTART: lambda: self._do(administration.restart, _("Stopping and starting …")),
            START: lambda: self._do(administration.start, _("Starting …")),
        }
        while (response := self._dialog.run()) in acts:
            acts[response]()
        GLib.source_remove(timer)
        for call in (self._look, self._action):
            if call is not None:
                call.forget()
        self._dialog.destroy()

    # ---- what is seen

    def _build(self) -> None:
        self._title = messages.wrapped()
        self._grid = Gtk.Grid(column_spacing=MARGIN, row_spacing=GAP // 2)
        self._said = messages.wrapped()
        self._spinner = Gtk.Spinner(no_show_all=True)
        line = Gtk.Box(spacing=GAP)
        line.pack_start(self._spinner, False, False, 0)
        line.pack_start(self._said, True, True, 0)
        box = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=MARGIN)
        box.set_border_width(MARGIN)
        box.set_size_request(LOG_SIZE[0], -1)  # without the log too
        box.pack_start(self._title, False, False, 0)
        box.pack_start(self._grid, False, False, 0)
        box.pack_start(self._log_part(), True, True, 0)
        box.pack_start(line, False, False, 0)
        self._dialog.get_content_area().pack_start(box, True, True, 0)
        self._buttons = {}
        for response, label, tooltip in (
            (UNLOAD, _("_Unload"), _("Free the model and the prepared pictures from memory")),
            (CLEAR, _("Clear c_ache"), _("Remove the prepared pictures from the disk")),
            (RESTART, _("_Restart"), _("Stop the daemon and start it again")),
            (START, _("_Start"), _("Start the daemon now, not with the next drag")),
        ):
            button = self._dialog.add_button(label, response)
            button.set_tooltip_text(tooltip)
            button.set_no_show_all(True)
            self._buttons[response] = button
        self._dialog.add_button(_("_Close"), Gtk.ResponseType.CLOSE)
        self._dialog.set_default_response(Gtk.ResponseType.CLOSE)

    def _log_part(self) -> Any:
        self._log_file = Gtk.Label(xalign=0, selectable=True, can_focus=False)
        self._log_file.set_ellipsize(Pango.EllipsizeMode.MIDDLE)
        self._copy = Gtk.Button.new_with_mnemonic(_("C_opy log"))
        self._copy.set_tooltip_text(_("Put these lines into the clipboard"))
        self._copy.connect("clicked", lambda _button: messages.copy(self._log_text()))
        head = Gtk.Box(spacing=GAP)
        head.pack_start(self._log_file, True, True, 0)
        head.pack_end(self._copy, False, False, 0)
        self._log = Gtk.TextView(editable=False, monospace=True, cursor_visible=False)
        messages.give_name(self._log, _("The end of the daemon's log"))
        self._log.set_wrap_mode(Gtk.WrapMode.WORD_CHAR)
        messages.set_margins(self._log)
        self._log_window = Gtk.ScrolledWindow(
            shadow_type=Gtk.ShadowType.IN,
            can_focus=False,
            min_content_width=LOG_SIZE[0],
            min_content_height=LOG_SIZE[1],
        )
        self._log_window.add(self._log)
        self._log_box = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=GAP)
        self._log_box.pack_start(head, False, False, 0)
        self._log_box.pack_start(self._log_window, True, True, 0)
        self._log_box.show_all()
        self._log_box.set_no_show_all(True)
        self._log_box.hide()  # until it is known that there is one
        return self._log_box

    def _show(self, about: About) -> None:
        self._is_running = about.is_running
        self._can = {UNLOAD: about.can_unload, CLEAR: about.can_clear}
        for child in self._grid.get_children():
            self._grid.remove(child)
        for number, (what, how) in enumerate(about.rows):
            name = Gtk.Label(label=what, xalign=1, yalign=0)
            value = messages.wrapped(how)
            value.set_selectable(True)
            value.set_can_focus(False)
            self._grid.attach(name, 0, number, 1, 1)
            self._grid.attach(value, 1, number, 1, 1)
        self._grid.show_all()
        self._note = about.note
        if not about.answers and self._action is None:
            self._said.set_text("")  # what was said of it before is not so any more
        self._show_log(about)
        self._refresh()
        timing.note("daemon shown", is_running=about.is_running, answers=about.answers)

    def _show_log(self, about: About) -> None:
        self._log_file.set_text(about.log_file)
        self._log_file.set_tooltip_text(about.log_file)
        self._log_box.set_visible(about.is_running)
        if about.log != self._log_text():
            self._log.get_buffer().set_text(about.log)
            GLib.idle_add(self._scroll_to_end)

    def _scroll_to_end(self) -> bool:
        vertical = self._log_window.get_vadjustment()
        vertical.set_value(vertical.get_upper())
        return GLib.SOURCE_REMOVE

    def _log_text(self) -> str:
        return self._log.get_buffer().props.text

    def _refresh(self) -> None:
        """Buttons and title as things stand."""
        running, idle = self._is_running, self._action is None
        for response in (UNLOAD, CLEAR, RESTART):
            self._buttons[response].set_visible(bool(running))
            self._buttons[response].set_sensitive(idle and self._can.get(response, True))
        self._buttons[START].set_visible(running is False)
        self._buttons[START].set_sensitive(idle)
        self._title.set_markup(f"<big><b>{GLib.markup_escape_text(self._sentence())}</b></big>")
        self._spinner.set_visible(not idle)
        self._spinner.props.active = not idle

    def _sentence(self) -> str:
        if self._is_running is None:
            return _("Looking for the daemon …")
        if not self._is_running:
            return _("No daemon runs. It is started by itself when you drag.")
        return self._note or _("The daemon runs.")

    # ---- what happens

    def _look_again(self) -> bool:
        if self._look is None:
            self._look = Call(
                lambda: administration.about(self._installation), self._show, self._end_look
            )
        return GLib.SOURCE_CONTINUE

    def _end_look(self, error: Optional[BaseException]) -> None:
        self._look = None
        if error is not None:
            self._said.set_text(messages.explain(error, self._dialog.get_title())[0])

    def _do(self, act: Callable[..., AsyncIterator[Any]], sentence: str, **arguments: Any) -> None:
        if self._action is not None:
            return
        self._said.set_text(sentence)
        events = partial(act, self._installation, **arguments)
        self._action = Call(events, self._show_event, self._end_action)
        self._refresh()

    def _clear(self) -> None:
        if messages.confirm(
            _("Remove all prepared pictures from the disk?"),
            _("The next drag on each of them prepares it again, which takes longer."),
            _("_Remove"),
            self._dialog,
        ):
            self._do(administration.clear_cache, _("Removing …"))

    def _show_event(self, event: Any) -> None:
        if isinstance(event, Said):
            self._said.set_text(event.sentence)
        elif isinstance(event, Busy):
            self._said.set_text("")
            GLib.idle_add(self._ask_to_restart, event.edits)

    def _ask_to_restart(self, edits: int) -> bool:
        question = ngettext(
            "{count} edit waits or runs. Restart all the same?",
            "{count} edits wait or run. Restart all the same?",
            edits,
        ).format(count=edits)
        if messages.confirm(
            question, _("It is lost then; no image changes."), _("_Restart"), self._dialog
        ):
            self._do(administration.restart, _("Stopping and starting …"), even_if_busy=True)
        return GLib.SOURCE_REMOVE

    def _end_action(self, error: Optional[BaseException]) -> None:
        self._action = None
        self._refresh()
        timing.note("daemon acted", error=str(error or ""))
        self._look_again()
        if error is not None:
            self._said.set_text("")
            messages.show_error(error, self._dialog)
