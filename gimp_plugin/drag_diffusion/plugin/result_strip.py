"""The results of this dialog as a row of small pictures to choose from."""

from __future__ import annotations

from typing import Any, Callable, List, Optional

from gi.repository import GLib, Gtk

from plugin import messages, timing
from plugin.canvas_view import Part, in_square, make_thumbnail, result_part
from plugin.session import Done
from plugin.translation import _

SIDE = 72  # GTK pixels of a picture
# Of the one that is shown: the theme's own sign may be no more than a background that is a little darker.
FRAME = Gtk.CssProvider()
FRAME.load_from_data(b"button:checked { box-shadow: inset 0 0 0 2px currentColor; }")


class ResultStrip:
    """`widget` is hidden until there is a result; `on_choose` is told when another one is chosen."""

    def __init__(self, source: Part, on_choose: Callable[[], None]) -> None:
        self._source, self._on_choose = source, on_choose
        self._results: List[Done] = []
        self._parts: List[Part] = []
        self._buttons: List[Any] = []
        self._row = Gtk.Box(spacing=6)
        self.widget = Gtk.ScrolledWindow(vscrollbar_policy=Gtk.PolicyType.NEVER, can_focus=False)
        self.widget.add(self._row)
        self.widget.set_no_show_all(True)

    @property
    def count(self) -> int:
        return len(self._results)

    @property
    def _index(self) -> Optional[int]:
        active = (index for index, button in enumerate(self._buttons) if button.get_active())
        return next(active, None)

    @property
    def chosen(self) -> Optional[Done]:
        return None if self._index is None else self._results[self._index]

    @property
    def chosen_part(self) -> Optional[Part]:
        """What the canvas shows of it."""
        return None if self._index is None else self._parts[self._index]

    def add(self, done: Done) -> None:
        """Append a result and choose it."""
        result = done.result
        part = result_part(result.x, result.y, result.pixels)
        self._results.append(done)
        self._parts.append(part)
        button = self._make_button(part)
        self._buttons.append(button)
        self._row.pack_start(button, False, False, 0)
        button.set_active(True)
        button.connect("toggled", lambda toggled: toggled.get_active() and self._on_choose())
        button.connect("clicked", lambda _button: self._on_choose())
        self.widget.set_no_show_all(False)
        self.widget.show_all()
        GLib.idle_add(self._note_place)

    def _note_place(self) -> bool:
        """Where the first picture lies on the screen, for whoever drives the window."""
        button = self._buttons[0]
        if timing.is_wanted():
            size = button.get_allocation()
            _ok, left, top = button.get_window().get_origin()
            timing.note("strip", x=left + size.x + size.width // 2, y=top + size.y + 20)
        return GLib.SOURCE_REMOVE

    def _make_button(self, part: Part) -> Any:
        button = Gtk.RadioButton.new_from_widget(self._buttons[0] if self._buttons else None)
        button.set_mode(False)  # looks like a button
        factor = self._row.get_scale_factor()
        small = make_thumbnail(self._source, [part], SIDE * factor)
        square = in_square(small, SIDE * factor)
        image = Gtk.Image.new_from_gicon(square, Gtk.IconSize.DIALOG)
        image.set_pixel_size(SIDE)
        button.add(image)
        button.get_style_context().add_provider(FRAME, Gtk.STYLE_PROVIDER_PRIORITY_APPLICATION)
        name = _("Result {number}").format(number=len(self._results))
        button.set_tooltip_text(
            _("{name}: show it; “Insert as layer” takes the one that is shown").format(name=name)
        )
        messages.give_name(button, name)
        return button
