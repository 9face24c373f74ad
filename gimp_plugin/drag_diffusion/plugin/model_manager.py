"""The model manager: which model is right for what, download with progress and resume, verify, repair, remove."""

from __future__ import annotations

from typing import Any, Callable, Dict, Optional, Tuple

from gi.repository import GimpUi, GLib, Gtk, Pango

from plugin import daemon, messages, model_calls, model_row, timing
from plugin.calls import Call
from plugin.edit_model import Progress
from plugin.model_calls import Listing, ModelInfo, Removed, Transfer
from plugin.model_row import ModelRow
from plugin.quantities import size_text
from plugin.translation import _

GAP, MARGIN = 6, 12
SIZE = (620, 560)  # GTK pixels
WORDS: Dict[Any, str] = {  # for what happens to a model
    model_calls.download: _("Downloading"),
    model_calls.verify: _("Verifying"),
    model_calls.remove: _("Removing"),
}


def run(parent: Any, config: Any, on_models: Callable[[Tuple[str, ...]], None]) -> None:
    """Show the window until it is closed; `on_models` is told the models that can be used, whenever that changes."""
    ModelManager(parent, config, on_models).run()


class ModelManager:
    """One opening of the window."""

    def __init__(
        self, parent: Any, config: Any, on_models: Callable[[Tuple[str, ...]], None]
    ) -> None:
        self._config, self._on_models = config, on_models
        self._installation = daemon.read_installation()
        self._listing: Optional[Listing] = None
        self._rows: Dict[str, ModelRow] = {}
        self._look: Optional[Call] = None
        self._action: Optional[Call] = None
        self._busy = ""  # the name of the model to which something happens
        self._call: Optional[Callable[..., Any]] = None  # which of model_calls it is
        self._damaged: Tuple[str, ...] = ()
        self._was_cancelled = False
        self._dialog = GimpUi.Dialog(title=_("Models"), role="drag-diffusion-models")
        self._dialog.set_transient_for(parent)
        self._dialog.set_modal(True)
        self._dialog.set_default_size(*SIZE)
        messages.offer_help(self._dialog, "plug-in-drag-diffusion-models")
        self._build()

    def run(self) -> None:
        self._dialog.show_all()
        self._say(_("Looking for the daemon …"))
        self._list()
        while True:
            self._dialog.run()
            if self._may_close():
                break
        for call in (self._look, self._action):
            if call is not None:
                call.forget()
        self._dialog.destroy()

    # ---- what is seen

    def _build(self) -> None:
        self._list_box = Gtk.Box(orientation=Gtk.Orientation.VERTICAL)
        scrolled = Gtk.ScrolledWindow(
            shadow_type=Gtk.ShadowType.IN,
            hscrollbar_policy=Gtk.PolicyType.NEVER,
            can_focus=False,
        )
        scrolled.add(self._list_box)
        self._room = Gtk.Label(xalign=0)
        self._room.set_ellipsize(Pango.EllipsizeMode.MIDDLE)
        self._said = messages.wrapped()
        box = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=MARGIN)
        box.set_border_width(MARGIN)
        box.pack_start(scrolled, True, True, 0)
        for widget in (self._other_row(), self._room, self._said):
            box.pack_start(widget, False, False, 0)
        self._dialog.get_content_area().pack_start(box, True, True, 0)
        self._dialog.add_button(_("_Close"), Gtk.ResponseType.CLOSE)

    def _other_row(self) -> Any:
        self._other = Gtk.Entry(width_chars=24)
        messages.set_placeholder(self._other, _("owner/model"))
        label = Gtk.Label.new_with_mnemonic(_("_Another from Hugging Face"))
        label.set_mnemonic_widget(self._other)
        self._get_other = Gtk.Button.new_with_mnemonic(_("_Download"))
        self._get_other.set_tooltip_text(
            _("Any Stable Diffusion 1 model in diffusers' layout with safetensors files")
        )
        self._get_other.set_sensitive(False)
        self._get_other.connect("clicked", lambda _button: self._download_other())
        self._other.connect("changed", lambda _entry: self._refresh())
        self._other.connect("activate", lambda _entry: self._download_other())
        box = Gtk.Box(spacing=GAP)
        box.pack_start(label, False, False, 0)
        box.pack_start(self._other, True, True, 0)
        box.pack_start(self._get_other, False, False, 0)
        return box

    def _show_listing(self, listing: Listing) -> None:
        self._listing = listing
        for child in self._list_box.get_children():
            self._list_box.remove(child)
        chosen = self._config.get_property("model")
        self._rows = {}
        for model in listing.models:
            is_used = model.name == chosen or (model.is_default and not chosen)
            row = ModelRow(model, is_used, self._act)
            if self._rows:
                self._list_box.pack_start(Gtk.Separator(), False, False, 0)
            self._list_box.pack_start(row.widget, False, False, 0)
            self._rows[model.name] = row
        self._list_box.show_all()
        if self._busy in self._rows:
            self._show_begin("")
            self._say("")
        self._room.set_text(
            _("{size} are free in {folder}").format(
                size=size_text(listing.free), folder=listing.folder
            )
        )
        self._room.set_tooltip_text(listing.folder)
        self._on_models(listing.usable.names)
        self._refresh()
        timing.note("models", states={m.name: m.state for m in listing.models})

    def _refresh(self) -> None:
        idle = self._action is None
        self._get_other.set_sensitive(idle and "/" in self._other.get_text())
        for name, row in self._rows.items():
            if name != self._busy:
                row.show_idle(idle)

    def _say(self, sentence: str) -> None:
        self._said.set_text(sentence)

    # ---- what the user does

    def _act(self, what: str, model: ModelInfo) -> None:
        if what == model_row.USE:
            self._config.set_property("model", model.name)
            self._say(_("Drag Edit uses {title} now.").format(title=model.title))
            if self._listing is not None and self._action is None:
                self._show_listing(self._listing)
        elif what == model_row.CANCEL:
            self._was_cancelled = True
            if self._action is not None:
                self._action.cancel()
        elif what == model_row.DOWNLOAD:
            self._begin(model.name, model_calls.download, _("Connecting …"))
        elif what == model_row.VERIFY:
            self._begin(model.name, model_calls.verify, _("Reading …"))
        elif self._may_remove(model):
            self._begin(model.name, model_calls.remove, _("Removing …"))

    def _may_remove(self, model: ModelInfo) -> bool:
        return messages.confirm(
            _("Remove {title} from the disk?").format(title=model.title),
            _("{size} become free. To use it again, download it again.").format(
                size=size_text(model.here)
            ),
            _("_Remove"),
            self._dialog,
        )

    def _download_other(self) -> None:
        name = self._other.get_text().strip()
        if self._get_other.get_sensitive():
            self._begin(name, model_calls.download, _("Connecting …"))

    def _may_close(self) -> bool:
        return self._action is None or messages.confirm(
            _("Stop what runs, and close?"),
            _("A download goes on where it was when you resume it."),
            _("_Stop"),
            self._dialog,
        )

    # ---- what happens

    def _begin(self, name: str, call: Callable[..., Any], sentence: str) -> None:
        if self._action is not None:
            return
        self._busy, self._call, self._damaged, self._was_cancelled = name, call, (), False
        self._say("" if name in self._rows else sentence)
        if name in self._rows:
            self._show_begin(sentence)
        self._action = Call(
            lambda: call(self._installation, name), self._show_event, self._end_action
        )
        self._refresh()

    def _show_begin(self, sentence: str) -> None:
        self._rows[self._busy].show_begin(sentence, WORDS[self._call])

    def _show_event(self, event: Any) -> None:
        if isinstance(event, Transfer):
            self._damaged = event.damaged
            if self._busy in self._rows:
                self._rows[self._busy].show_transfer(event)
            else:
                self._list()  # there is a row for it now
        elif isinstance(event, Removed):
            self._say(_("Removed: {size} became free.").format(size=size_text(event.freed)))
            if self._config.get_property("model") == self._busy:
                self._config.set_property("model", "")  # the daemon's default

    def _end_action(self, error: Optional[BaseException]) -> None:
        title = self._rows[self._busy].title if self._busy in self._rows else self._busy
        self._busy, self._action = "", None
        if error is not None:
            self._say("")
            GLib.idle_add(self._show_error, error)
        elif self._was_cancelled:
            is_download = self._call is model_calls.download
            kept = _("Cancelled; what has arrived is kept.") if is_download else _("Cancelled.")
            self._say(kept)
        elif self._call is model_calls.download:
            self._say(_("{name} is downloaded, and every file has its hash.").format(name=title))
            self._other.set_text("")
        elif self._call is model_calls.verify:
            self._say_verified(title)
        self._refresh()
        self._list()

    def _say_verified(self, title: str) -> None:
        if self._damaged:
            self._say(
                _("{name} is damaged; Repair downloads again what is wrong.").format(name=title)
            )
        else:
            self._say(_("{name} is whole: every file has its hash.").format(name=title))

    def _show_error(self, error: BaseException) -> bool:
        messages.show_error(error, self._dialog)
        return GLib.SOURCE_REMOVE

    def _list(self) -> None:
        """Ask the daemon how the models are; it is started if it does not run."""
        if self._look is None:
            self._look = Call(
                lambda: model_calls.list_all(self._installation), self._show_look, self._end_look
            )

    def _show_look(self, event: Any) -> None:
        if isinstance(event, Progress):
            if self._listing is None:
                self._say(event.sentence)
        elif isinstance(event, Listing):
            if self._listing is None:
                self._say("")
            self._show_listing(event)

    def _end_look(self, error: Optional[BaseException]) -> None:
        self._look = None
        if error is not None:
            self._say(messages.explain(error, self._dialog.get_title())[0])
