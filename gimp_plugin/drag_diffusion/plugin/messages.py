"""Errors in a window: the reason, what to do next, and the details to copy."""

from __future__ import annotations

import platform
import traceback
from typing import Any, Optional, Tuple

from gi.repository import Gdk, Gimp, GLib, Gtk

from plugin import __version__, edit_model
from plugin.edit_model import EditError
from plugin.translation import DOMAIN, _

COPY = 1  # response of the button
WIDTH = 62  # characters
GAP = 6


def show_error(error: BaseException, parent: Any = None, title: str = "") -> None:
    """Tell the user, under this title or the parent's; returns when the window is closed."""
    title = title or parent.get_title()
    sentence, step = explain(error, title)
    dialog = _make_message(Gtk.MessageType.WARNING, sentence, step, parent, title)
    details = describe(error, title)
    dialog.get_message_area().pack_start(_details(details), True, True, 0)
    dialog.add_button(_("C_opy details"), COPY)
    dialog.add_button(_("_Close"), Gtk.ResponseType.CLOSE)
    dialog.set_default_response(Gtk.ResponseType.CLOSE)
    while dialog.run() == COPY:
        copy(details)
    dialog.destroy()


def explain(error: BaseException, title: str) -> Tuple[str, str]:
    """The reason why what is done under this title failed, and what to do next where the reason does not say it."""
    if isinstance(error, EditError):
        return str(error), _("The image is as it was.")
    from plugin.client import DaemonError  # loads the vendored packages

    if isinstance(error, DaemonError):
        return str(error), (
            _(
                "The image is as it was. If this stays so, type “dragdiffusion doctor” in a terminal: it "
                "looks for the cause."
            )
        )
    return edit_model.describe_defect(title, error), (
        _("This is a defect of the plug-in. Copy the details and report them where you got it.")
    )


def describe(error: BaseException, title: str) -> str:
    """Everything that a report needs."""
    sentence, _step = explain(error, title)
    trace = traceback.format_exception(type(error), error, error.__traceback__)
    version = f"{Gimp.MAJOR_VERSION}.{Gimp.MINOR_VERSION}.{Gimp.MICRO_VERSION}"
    return (
        f"{sentence}\n\nDragDiffusion for GIMP {__version__}, GIMP {version}, "
        f"Python {platform.python_version()}, {platform.platform()}\n\n{''.join(trace)}"
    )


def confirm(question: str, more: str, yes: str, parent: Any) -> bool:
    dialog = _make_message(Gtk.MessageType.QUESTION, question, more, parent, parent.get_title())
    dialog.add_button(_("_Go back"), Gtk.ResponseType.CANCEL)
    dialog.add_button(yes, Gtk.ResponseType.OK)
    confirmed = dialog.run() == Gtk.ResponseType.OK
    dialog.destroy()
    return confirmed


def _make_message(kind: Any, sentence: str, more: str, parent: Any, title: str) -> Any:
    dialog = Gtk.MessageDialog(
        transient_for=parent, modal=True, message_type=kind, text=sentence, secondary_text=more
    )
    dialog.set_title(title)
    dialog.get_message_area().set_margin_top(GAP)
    return dialog


def offer_help(dialog: Any, page: str) -> None:
    """Help and F1 open the page of this identity (install/help_pages.py), in the browser that GIMP is set to use."""
    button = dialog.add_button(_("Help"), Gtk.ResponseType.HELP)
    button.set_tooltip_text(_("Open the user guide (F1)"))

    def respond(_dialog: Any, response: int) -> None:
        if response == Gtk.ResponseType.HELP:
            dialog.stop_emission_by_name("response")  # the window stays as it is
            Gimp.help(DOMAIN, page)

    def press(_dialog: Any, event: Any) -> bool:
        if event.keyval == Gdk.KEY_F1:
            dialog.response(Gtk.ResponseType.HELP)
        return bool(event.keyval == Gdk.KEY_F1)

    dialog.connect("response", respond)
    dialog.connect("key-press-event", press)


def give_name(widget: Any, name: str, description: str = "") -> None:
    """What a screen reader calls a widget that has no label of its own."""
    accessible = widget.get_accessible()
    accessible.set_name(name)
    if description:
        accessible.set_description(description)


def _details(text: str) -> Any:
    view = Gtk.TextView(editable=False, monospace=True, wrap_mode=Gtk.WrapMode.WORD_CHAR)
    view.get_buffer().set_text(text)
    set_margins(view)
    give_name(view, _("Details"))
    window = Gtk.ScrolledWindow(
        shadow_type=Gtk.ShadowType.IN,
        min_content_height=140,
        min_content_width=460,
        can_focus=False,
    )
    window.add(view)
    expander = Gtk.Expander(label=_("Details"))
    expander.add(window)
    expander.show_all()
    return expander


def set_margins(view: Any) -> None:
    """Round the text of a text view."""
    for side in ("left", "right", "top", "bottom"):
        getattr(view, f"set_{side}_margin")(GAP)


def copy(text: str) -> None:
    """Into the clipboard."""
    clipboard = Gtk.Clipboard.get(Gdk.SELECTION_CLIPBOARD)
    clipboard.set_text(text, -1)
    clipboard.store()


def wrapped(text: str = "", width: int = WIDTH, parent: Optional[Any] = None) -> Any:
    """A label that breaks its lines."""
    label = Gtk.Label(label=text, xalign=0, wrap=True, max_width_chars=width)
    if parent is not None:
        parent.pack_start(label, False, False, 0)
    return label


def small(text: str, width: int, parent: Any) -> None:
    """A hint beside what it is about; in the text's own colour, for in GIMP's gray theme a paler one cannot be read."""
    markup = f"<small>{GLib.markup_escape_text(text)}</small>"
    wrapped("", width, parent).set_markup(markup)


def set_placeholder(entry: Any, text: str) -> None:
    """What an empty entry says, in a colour that can be read in each of GIMP's themes."""
    entry.set_placeholder_text(text)
    style = Gtk.CssProvider()
    style.load_from_data(b"@define-color placeholder_text_color alpha(currentColor, 0.8);")
    entry.get_style_context().add_provider(style, Gtk.STYLE_PROVIDER_PRIORITY_APPLICATION)
