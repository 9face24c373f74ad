"""The settings beside the canvas, each with a sentence; bound to the procedure's arguments, which GIMP remembers."""

from __future__ import annotations

from typing import Any, Callable, List, Tuple

from gi.repository import Gimp, GObject, Gtk

from plugin import messages, timing
from plugin.edit_model import MODE_DEFAULT, EditError
from plugin.presets import Presets, Values, apply
from plugin.translation import _

KEPT = (
    "prompt",
    "mode",
    "model",
    "seed",
    "lora-steps",
    "max-drag-steps",
    "mask-grow",
    "mask-feather",
    "with-filters",
)
BOTH = GObject.BindingFlags.BIDIRECTIONAL | GObject.BindingFlags.SYNC_CREATE
GAP = 6
SENTENCES = {  # where those of the arguments are for scripts
    "lora-steps": _(
        "Steps for learning this one picture before the drag: more keep its look better and take longer."
    ),
    "max-drag-steps": _("Iterations at most: raise it if a point does not arrive."),
}
# Stable Diffusion 1.5's own, in the standard method:
STARTS = {"lora-steps": 80, "max-drag-steps": 30}
WIDTH = 38  # characters of a sentence


class SettingsPanel:
    """`widget` is the widget; `on_change` is told the name of each argument that changes."""

    def __init__(
        self,
        procedure: Any,
        config: Any,
        presets: Presets,
        has_selection: bool,
        has_filters: bool,
        on_change: Callable[[str], None],
        manage_models: Callable[[], None],
    ) -> None:
        self._config, self._presets = config, presets
        self._manage_models = manage_models
        self._arguments = {argument.name: argument for argument in procedure.get_arguments()}
        self._labels = Gtk.SizeGroup(mode=Gtk.SizeGroupMode.HORIZONTAL)  # one column
        self.widget = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=2 * GAP)
        self.widget.pack_start(self._preset_row(), False, False, 0)
        for row in self._main_rows(has_selection):
            self.widget.pack_start(row, False, False, 0)
        if has_filters:
            self.widget.pack_start(self._check_row("with-filters"), False, False, 0)
        self.widget.pack_start(self._advanced(), False, False, 0)
        for name in KEPT:
            config.connect(f"notify::{name}", lambda _config, spec: on_change(spec.name))

    # ---- rows

    def _main_rows(self, has_selection: bool) -> List[Any]:
        shape = Gtk.Grid(column_spacing=GAP, row_spacing=GAP)
        for row, name in enumerate(("mask-grow", "mask-feather")):
            spin = self._spin(name)
            shape.attach(self._label(name, spin), 0, row, 1, 1)
            shape.attach(spin, 1, row, 1, 1)
        shape.set_sensitive(has_selection)
        sentence = _(
            "Pixels by which the selection is enlarged, and its edge softened, for this edit."
        )
        if not has_selection:
            sentence = _("Nothing is selected: the whole layer may change.")
        return [
            self._row("prompt", self._entry("prompt")),
            self._row("mode", self._modes()),
            self._row("model", self._models()),
            self._number_row("lora-steps"),
            _with_sentence(shape, sentence),
        ]

    def _advanced(self) -> Any:
        box = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=2 * GAP)
        box.set_margin_top(GAP)
        box.pack_start(self._number_row("max-drag-steps"), False, False, 0)
        box.pack_start(self._row("seed", self._spin("seed")), False, False, 0)
        expander = Gtk.Expander(label=_("Ad_vanced"), use_underline=True)
        expander.set_tooltip_text(_("Steps and seed: the method's own values are good ones"))
        expander.add(box)
        return expander

    def _row(self, name: str, widget: Any) -> Any:
        box = Gtk.Box(spacing=GAP)
        box.pack_start(self._label(name, widget), False, False, 0)
        box.pack_start(widget, True, True, 0)
        return _with_sentence(box, SENTENCES.get(name) or self._arguments[name].blurb)

    def _check_row(self, name: str) -> Any:
        spec = self._arguments[name]
        check = Gtk.CheckButton.new_with_mnemonic(spec.nick)
        self._config.bind_property(name, check, "active", BOTH)
        return _with_sentence(check, spec.blurb)

    def _number_row(self, name: str) -> Any:
        spec, start = self._arguments[name], STARTS[name]
        return self._row(name, number_or_automatic(self._config, spec, start=start))

    def _label(self, name: str, widget: Any) -> Any:
        widget.set_tooltip_text(self._arguments[name].blurb)
        return self._label_of(key_target(widget), self._arguments[name].nick)

    def _label_of(self, widget: Any, text: str) -> Any:
        label = Gtk.Label.new_with_mnemonic(text)
        label.set_mnemonic_widget(widget)
        label.set_xalign(0)
        self._labels.add_widget(label)
        return label

    # ---- widgets

    def _entry(self, name: str) -> Any:
        entry = Gtk.Entry(activates_default=True, width_chars=12)
        self._config.bind_property(name, entry, "text", BOTH)
        return entry

    def _modes(self) -> Any:
        combo = Gtk.ComboBoxText()
        choice = Gimp.param_spec_choice_get_choice(self._arguments["mode"])
        for nick in choice.list_nicks():
            combo.append(nick, choice.get_label(nick))
        self._config.bind_property("mode", combo, "active-id", BOTH)
        return combo

    def _models(self) -> Any:
        self._model_names = Gtk.ComboBoxText.new_with_entry()
        entry = self._model_names.get_child()
        default = _("the daemon's default")
        entry.set_width_chars(max(12, len(default)))
        entry.set_activates_default(True)
        messages.set_placeholder(entry, default)
        self._config.bind_property("model", entry, "text", BOTH)
        messages.give_name(self._model_names, _("List of models"))
        button = Gtk.Button(label=_("Models…"))
        button.set_tooltip_text(_("Which model is right for what; download, verify, remove"))
        button.connect("clicked", lambda _button: self._manage_models())
        box = Gtk.Box(spacing=GAP)
        box.pack_start(self._model_names, True, True, 0)
        box.pack_start(button, False, False, 0)
        return box

    def offer_models(self, names: Tuple[str, ...]) -> None:
        """What the daemon has; others may still be typed."""
        self._model_names.remove_all()
        for name in names:
            self._model_names.append_text(name)
        timing.note("model choice", names=names)

    def _spin(self, name: str) -> Any:
        spec = self._arguments[name]
        spin = Gtk.SpinButton.new_with_range(spec.minimum, spec.maximum, 1)
        spin.set_width_chars(5)
        spin.set_activates_default(True)
        self._config.bind_property(name, spin, "value", BOTH)
        return spin

    # ---- presets

    def _preset_row(self) -> Any:
        self._preset_names = Gtk.ComboBoxText.new_with_entry()
        self._preset_names.set_tooltip_text(
            _("Choose a preset to load it, or type a name to save one")
        )
        entry = self._preset_names.get_child()
        entry.set_width_chars(9)
        self._preset_names.connect("changed", self._load)
        messages.give_name(self._preset_names, _("List of presets"))
        box = Gtk.Box(spacing=GAP)
        box.pack_start(self._label_of(entry, _("Pr_esets")), False, False, 0)
        box.pack_start(self._preset_names, True, True, 0)
        for label, tooltip, act in (
            (_("_Save"), _("Save the settings under this name"), self._save),
            (_("_Remove"), _("Remove the preset of this name"), self._delete),
        ):
            button = Gtk.Button.new_with_mnemonic(label)
            button.set_tooltip_text(tooltip)
            button.connect("clicked", lambda _button, act=act: act())
            box.pack_start(button, False, False, 0)
        self._list_presets()
        return box

    def _list_presets(self) -> None:
        self._preset_names.remove_all()
        for name in self._presets.names:
            self._preset_names.append_text(name)

    @property
    def _preset_name(self) -> str:
        return self._preset_names.get_child().get_text().strip()

    def _load(self, combo: Any) -> None:
        if combo.get_active() >= 0:  # chosen, not typed
            apply(self._config, self._presets.get(combo.get_active_text()), KEPT)

    def _save(self) -> None:
        values: Values = {name: self._config.get_property(name) for name in KEPT}
        name = self._preset_name
        try:
            self._presets.save(name, values)
        except EditError as error:
            messages.show_error(error, self.widget.get_toplevel())
            return
        self._list_presets()
        self._preset_names.get_child().set_text(name)

    def _delete(self) -> None:
        if self._preset_name not in self._presets.names:
            return
        try:
            self._presets.delete(self._preset_name)
        except EditError as error:
            messages.show_error(error, self.widget.get_toplevel())
        self._list_presets()
        self._preset_names.get_child().set_text("")


def number_or_automatic(
    config: Any,
    spec: Any,
    automatic: float = MODE_DEFAULT,
    smallest: float = 0,
    step: float = 10,
    start: float = 0,
) -> Any:
    """A number that can be left to the daemon: the argument is `automatic` then. It starts at `start`, and is
    hidden till then: nobody should think that it counts."""
    box = Gtk.Box(spacing=GAP)
    check = Gtk.CheckButton.new_with_label(_("automatic"))
    spin = Gtk.SpinButton.new_with_range(smallest, spec.maximum, step)
    spin.set_value(start)
    spin.set_no_show_all(True)
    messages.give_name(spin, Gtk.Label.new_with_mnemonic(spec.nick).get_text())
    spin.set_width_chars(5)
    box.pack_start(check, False, False, 0)
    box.pack_start(spin, False, False, 0)

    def read(*_event: Any) -> None:
        value = config.get_property(spec.name)
        check.set_active(value == automatic)
        spin.set_visible(value != automatic)
        if value != automatic:
            spin.set_value(value)

    def write(*_event: Any) -> None:
        value = automatic if check.get_active() else spin.get_value()
        if value != config.get_property(spec.name):
            config.set_property(spec.name, type(spec.default_value)(value))

    read()
    config.connect(f"notify::{spec.name}", read)
    check.connect("toggled", write)
    spin.connect("value-changed", write)
    return box


def key_target(widget: Any) -> Any:
    """What a label's access key leads to: of a widget of several parts, the first that takes keys."""
    if isinstance(widget, Gtk.ComboBox) and widget.get_has_entry():
        return widget.get_child()
    return key_target(widget.get_children()[0]) if isinstance(widget, Gtk.Box) else widget


def _with_sentence(widget: Any, sentence: str) -> Any:
    box = Gtk.Box(orientation=Gtk.Orientation.VERTICAL)
    box.pack_start(widget, False, False, 0)
    messages.small(sentence, WIDTH, box)
    return box
