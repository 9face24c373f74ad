"""A model in the model manager's list: what it is right for, how it is, and what can be done with it."""

from __future__ import annotations

import time
from typing import Any, Callable, Dict, Optional

from gi.repository import GLib, Gtk, Pango

from plugin import messages
from plugin.edit_model import remaining_text
from plugin.model_calls import ABSENT, DAMAGED, PARTIAL, READY, ModelInfo, Transfer
from plugin.quantities import size_text
from plugin.translation import _

GAP, MARGIN = 6, 12
WIDTH = 56  # characters of a sentence
USE, DOWNLOAD, VERIFY, REMOVE, CANCEL = "use", "download", "verify", "remove", "cancel"
COLOURS = {READY: "#37a04a", PARTIAL: "#d08a1d", ABSENT: "#8a8a8a", DAMAGED: "#e04f3f"}
STEADY_SECONDS = 1.0  # before a rate says anything


class ModelRow:
    """`widget` is the widget; `act` is told what was pressed, and for which model."""

    def __init__(
        self, model: ModelInfo, is_used: bool, act: Callable[[str, ModelInfo], None]
    ) -> None:
        self._model, self._is_used = model, is_used
        self._begun: Optional[Transfer] = None
        self._began = 0.0
        self.widget = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=GAP)
        self.widget.set_border_width(MARGIN)
        self.widget.pack_start(self._head(), False, False, 0)
        self.widget.pack_start(self._text(), False, False, 0)
        self._bar = Gtk.ProgressBar(show_text=True)
        self._bar.set_no_show_all(True)
        self.widget.pack_start(self._bar, False, False, 0)
        self.widget.pack_start(self._button_box(act), False, False, 0)
        self.show_idle(True)

    @property
    def title(self) -> str:
        return self._model.title

    def show_idle(self, can_act: bool) -> None:
        """Nothing happens to this model; `can_act`: nor to another."""
        model = self._model
        self._begun = None
        self._show_state(model.state, model.state_text)
        self._bar.hide()
        shown = {
            USE: model.state == READY and model.can_use,
            DOWNLOAD: model.state != READY,
            VERIFY: model.can_verify,
            REMOVE: model.can_remove,
            CANCEL: False,
        }
        for name, button in self._buttons.items():
            button.set_visible(shown[name])
            button.set_sensitive(can_act)
        self._buttons[USE].set_sensitive(not self._is_used)  # another's download does not matter

    def show_begin(self, sentence: str, state: str) -> None:
        """Something begins to happen to this model; `state`: what, in a word."""
        self._show_state(PARTIAL, state)
        for name, button in self._buttons.items():
            button.set_visible(name == CANCEL)
            button.set_sensitive(True)
        self._bar.set_fraction(0.0)
        self._bar.set_text(sentence)
        self._bar.show()

    def show_transfer(self, transfer: Transfer) -> None:
        if self._begun is None:
            self._begun, self._began = transfer, time.monotonic()
        share = transfer.done / transfer.total if transfer.total else 0.0
        size = _("{done} of {total}").format(
            done=size_text(transfer.done), total=size_text(transfer.total)
        )
        self._bar.set_fraction(min(1.0, share))
        self._bar.set_text(", ".join([f"{share:.0%}", size, *self._pace(transfer)]))
        self._bar.set_tooltip_text(transfer.file)

    def _pace(self, transfer: Transfer) -> Any:
        assert self._begun is not None
        seconds = time.monotonic() - self._began
        moved = transfer.done - self._begun.done
        if seconds < STEADY_SECONDS or moved <= 0:
            return
        yield _("{size} a second").format(size=size_text(moved / seconds))
        left = remaining_text((transfer.total - transfer.done) * seconds / moved)
        if left:
            yield left

    # ---- parts

    def _head(self) -> Any:
        title = Gtk.Label(xalign=0, selectable=True, can_focus=False)
        title.set_markup(f"<b>{GLib.markup_escape_text(self.title)}</b>")
        title.set_ellipsize(Pango.EllipsizeMode.MIDDLE)
        self._state = Gtk.Label(xalign=1)
        head = Gtk.Box(spacing=MARGIN)
        head.pack_start(title, True, True, 0)
        head.pack_end(self._state, False, False, 0)
        return head

    def _show_state(self, state: str, text: str) -> None:
        dot = f'<span foreground="{COLOURS[state]}">●</span>'
        self._state.set_markup(f"{dot} {GLib.markup_escape_text(text)}")

    def _text(self) -> Any:
        model = self._model
        box = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=2)
        if model.purpose:
            messages.wrapped(model.purpose, WIDTH, box)
        license_text = _("Licence: {name}").format(name=model.license) if model.license else ""
        lines = ["   ".join(part for part in (model.size, license_text) if part)]
        if model.damaged:
            lines.append(_("Damaged: {files}").format(files=", ".join(model.damaged)))
        for line in filter(None, lines):
            messages.small(line, WIDTH, box)
        return box

    def _button_box(self, act: Callable[[str, ModelInfo], None]) -> Any:
        load, tooltip = {
            PARTIAL: (_("Resume"), _("Go on with the download where it was broken off")),
            DAMAGED: (_("Repair"), _("Download what is damaged again, and only that")),
        }.get(self._model.state, (_("Download"), _("Download it; you can stop and go on later")))
        self._buttons: Dict[str, Any] = {}
        box = Gtk.ButtonBox(spacing=GAP, layout_style=Gtk.ButtonBoxStyle.START)
        for name, label, hint in (
            (USE, _("Use it"), _("Drag with this model from now on")),
            (DOWNLOAD, load, tooltip),
            (VERIFY, _("Verify"), _("Compare every file with its hash")),
            (REMOVE, _("Remove…"), _("Delete it from the disk; it can be downloaded again")),
            (CANCEL, _("Cancel"), _("Stop; what has arrived is kept")),
        ):
            button = Gtk.Button(label=_("In use") if name == USE and self._is_used else label)
            button.set_tooltip_text(hint)
            messages.give_name(button, f"{button.get_label()}: {self._model.title}")
            button.set_no_show_all(True)
            button.connect("clicked", lambda _button, name=name: act(name, self._model))
            box.pack_start(button, False, False, 0)
            box.set_child_non_homogeneous(button, True)
            self._buttons[name] = button
        return box
