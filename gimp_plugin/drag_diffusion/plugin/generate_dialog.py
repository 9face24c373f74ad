"""“Generate Layer”: a prompt, and the picture that the model makes of it, before it goes into the image."""

from __future__ import annotations

import random
from typing import Any, Optional, Tuple

from gi.repository import GdkPixbuf, Gtk

from plugin import daemon, generating, messages, model_calls, timing
from plugin import dialog_widgets as parts
from plugin.calls import Call
from plugin.canvas_view import AROUND, in_square, to_pixbuf
from plugin.edit_model import Models, PixelBuffer, Progress, remaining_text
from plugin.generated_layer import read_order
from plugin.generating import Picture
from plugin.settings_panel import BOTH, key_target, number_or_automatic
from plugin.translation import _

GAP, MARGIN = 6, 12
SIDE = 256  # GTK pixels of the picture
WIDTH = 44  # characters of a sentence
SIZE_STEP = 8  # the model's latents are an eighth of the picture
HELP_PAGE = "plug-in-drag-diffusion-generate"
GENERATE, STOP = 1, 2  # responses; Insert is OK
ASKING, WORKING, LOOKING = range(3)


class GenerateDialog:
    """One opening of the dialog."""

    def __init__(self, procedure: Any, config: Any) -> None:
        self._config = config
        self._arguments = {argument.name: argument for argument in procedure.get_arguments()}
        self._installation = daemon.read_installation()
        self._state = ASKING
        self.has_generated = False
        self._picture: Optional[Picture] = None
        self._call: Optional[Call] = None
        self._listing: Optional[Call] = None
        self._build()

    def run(self) -> Optional[Picture]:
        """Until the user inserts the picture, or closes: None."""
        self._dialog.show_all()
        self._refresh()
        self._ask_for_models()
        timing.note("first paint")
        try:
            while True:
                response = self._dialog.run()
                if response == GENERATE:
                    self._generate()
                elif response == STOP and self._call is not None:
                    self._call.cancel()
                elif response == parts.INSERT:
                    return self._picture
                elif self._state != WORKING:  # Escape stops first
                    return None
                elif self._call is not None:
                    self._call.cancel()
                    if response == parts.CLOSE:
                        return None
        finally:
            for call in (self._call, self._listing):
                if call is not None:
                    call.forget()
            self._dialog.destroy()

    # ---- what is seen

    def _build(self) -> None:
        self._dialog = parts.make_window(_("Generate Layer"), HELP_PAGE)
        self._dialog.set_default_size(-1, -1)
        self._dialog.set_resizable(False)
        self._image = Gtk.Image(pixel_size=SIDE)
        self._show_picture(None)
        frame = Gtk.Frame(shadow_type=Gtk.ShadowType.IN, valign=Gtk.Align.START)
        frame.set_size_request(SIDE + 4, SIDE + 4)  # the window keeps its size
        frame.add(self._image)
        messages.give_name(self._image, _("The picture that was generated"))
        self._labels = Gtk.SizeGroup(mode=Gtk.SizeGroupMode.HORIZONTAL)  # one column
        self._settings = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=GAP)
        self._settings.pack_start(self._main_rows(), False, False, 0)
        self._settings.pack_start(self._advanced(), False, False, 0)
        self._stage = messages.wrapped("", WIDTH)
        self._bar = Gtk.ProgressBar(show_text=True, text=" ")
        right = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=MARGIN)
        right.pack_start(self._settings, False, False, 0)
        right.pack_end(self._bar, False, False, 0)
        right.pack_end(self._stage, False, False, 0)
        box = Gtk.Box(spacing=MARGIN)
        box.set_border_width(MARGIN)
        box.pack_start(frame, False, False, 0)
        box.pack_start(right, True, True, 0)
        self._dialog.get_content_area().pack_start(box, True, True, 0)
        self._add_buttons()

    def _add_buttons(self) -> None:
        told = (
            (parts.CLOSE, _("_Close"), _("Close without changing the image")),
            (STOP, _("Cance_l"), _("Stop; the image is as it was (Escape)")),
            (GENERATE, _("_Generate"), _("Make a picture of the prompt")),
            (parts.INSERT, _("_Insert as layer"), _("Put the picture into the image")),
        )
        self._buttons = {}
        for response, label, tooltip in told:
            button = self._dialog.add_button(label, response)
            button.set_tooltip_text(tooltip)
            button.set_no_show_all(True)
            button.set_can_default(True)
            self._buttons[response] = button

    def _refresh(self) -> None:
        working, looking = self._state == WORKING, self._state == LOOKING
        self._settings.set_sensitive(not working)
        self._buttons[parts.CLOSE].show()
        self._buttons[STOP].set_visible(working)
        self._buttons[GENERATE].set_visible(not working)
        self._buttons[parts.INSERT].set_visible(looking)
        default = STOP if working else parts.INSERT if looking else GENERATE
        self._dialog.set_default_response(default)

    def _say(self, sentence: str, fraction: float = 0.0, text: str = "") -> None:
        self._stage.set_text(sentence)
        self._bar.set_fraction(fraction)
        self._bar.set_text(text or " ")

    # ---- the settings

    def _main_rows(self) -> Any:
        return self._rows(
            ("prompt", self._entry("prompt")),
            ("model", self._models()),
            ("width", self._size()),
            ("seed", self._seed()),
        )

    def _advanced(self) -> Any:
        steps, scale = self._arguments["steps"], self._arguments["guidance-scale"]
        rows = self._rows(
            ("negative-prompt", self._entry("negative-prompt")),
            ("steps", self._number(steps, step=5, start=50)),
            ("guidance-scale", self._number(scale, step=0.5, start=7.5)),
        )
        rows.set_margin_top(GAP)
        expander = Gtk.Expander(label=_("Ad_vanced"), use_underline=True)
        expander.set_tooltip_text(_("The model's own values are good ones"))
        expander.add(rows)
        return expander

    def _number(self, spec: Any, step: float, start: float) -> Any:
        """One that the model has a value of its own for."""
        return number_or_automatic(
            self._config, spec, automatic=0, smallest=1, step=step, start=start
        )

    def _rows(self, *widgets: Tuple[str, Any]) -> Any:
        """Each widget with the label of its argument."""
        grid = Gtk.Grid(column_spacing=GAP, row_spacing=GAP)
        for row, (name, widget) in enumerate(widgets):
            argument = self._arguments[name]
            label = Gtk.Label.new_with_mnemonic(argument.nick)
            label.set_mnemonic_widget(key_target(widget))
            label.set_xalign(0)
            self._labels.add_widget(label)
            widget.set_tooltip_text(argument.blurb)
            widget.set_hexpand(True)
            grid.attach(label, 0, row, 1, 1)
            grid.attach(widget, 1, row, 1, 1)
        return grid

    def _entry(self, name: str) -> Any:
        entry = Gtk.Entry(activates_default=True, width_chars=50)
        self._config.bind_property(name, entry, "text", BOTH)
        return entry

    def _models(self) -> Any:
        self._model_names = Gtk.ComboBoxText.new_with_entry()
        entry = self._model_names.get_child()
        entry.set_activates_default(True)
        messages.set_placeholder(entry, _("the daemon's default"))
        self._config.bind_property("model", entry, "text", BOTH)
        messages.give_name(self._model_names, _("List of models"))
        return self._model_names

    def _size(self) -> Any:
        """Width and height; 0 for both: the model's own."""
        box = Gtk.Box(spacing=GAP)
        check = Gtk.CheckButton.new_with_label(_("the model's own"))
        spins = [self._size_spin(name) for name in ("width", "height")]
        for spin, name in zip(spins, (_("Width"), _("Height"))):
            messages.give_name(spin, name)
        numbers = Gtk.Box(spacing=GAP)
        for widget in (spins[0], Gtk.Label(label="×"), spins[1]):
            numbers.pack_start(widget, False, False, 0)
        numbers.show_all()
        numbers.set_no_show_all(True)
        box.pack_start(check, False, False, 0)
        box.pack_start(numbers, False, False, 0)

        def write(*_arguments: Any) -> None:
            own = check.get_active()
            numbers.set_visible(not own)
            for name, spin in zip(("width", "height"), spins):
                self._config.set_property(name, 0 if own else int(spin.get_value()))

        check.set_active(not self._config.get_property("width"))
        write()
        check.connect("toggled", write)
        for spin in spins:
            spin.connect("value-changed", write)
        return box

    def _size_spin(self, name: str) -> Any:
        spin = Gtk.SpinButton.new_with_range(32, self._arguments[name].maximum, SIZE_STEP)
        spin.set_snap_to_ticks(True)
        spin.set_activates_default(True)
        spin.set_tooltip_text(self._arguments[name].blurb)
        spin.set_value(self._config.get_property(name) or 512)
        return spin

    def _seed(self) -> Any:
        spec = self._arguments["seed"]
        spin = Gtk.SpinButton.new_with_range(spec.minimum, spec.maximum, 1)
        spin.set_activates_default(True)
        self._config.bind_property("seed", spin, "value", BOTH)
        another = Gtk.Button.new_with_mnemonic(_("_Another"))
        another.set_tooltip_text(_("A seed number by chance: another picture of the same prompt"))
        another.connect("clicked", lambda _button: spin.set_value(random.randrange(100_000)))
        box = Gtk.Box(spacing=GAP)
        box.pack_start(spin, True, True, 0)
        box.pack_start(another, False, False, 0)
        return box

    def _ask_for_models(self) -> None:
        """What the daemon has, if it runs; others may still be typed."""
        installation = self._installation
        self._listing = Call(
            lambda: model_calls.list_usable(installation), self._offer_models, lambda _error: None
        )

    def _offer_models(self, event: Any) -> None:
        if isinstance(event, Models):
            self._model_names.remove_all()
            for name in event.names:
                self._model_names.append_text(name)

    # ---- the picture

    def _generate(self) -> None:
        self._show_picture(None)
        order, installation = read_order(self._config), self._installation
        self._state, self._picture = WORKING, None
        self.has_generated = True
        self._say(_("Starting …"))
        self._refresh()
        self._call = Call(
            lambda: generating.generate(order, installation), self._show_event, self._show_end
        )

    def _show_event(self, event: Any) -> None:
        if isinstance(event, Picture):
            self._picture = event
        elif isinstance(event, Progress):
            numbers = (f"{event.fraction:.0%}", remaining_text(event.eta_seconds))
            self._say(event.sentence, event.fraction, ", ".join(part for part in numbers if part))

    def _show_end(self, error: Optional[BaseException]) -> None:
        self._call = None
        self._state = ASKING if self._picture is None else LOOKING
        if self._picture is not None:
            self._show_picture(self._picture.pixels)
            self._say(
                _("Drag Edit on its layer starts from how it was made, and so keeps its look."),
                1.0,
            )
        elif error is None:
            self._say(_("Cancelled; the image is as it was."))
        else:
            self._say("")
        self._refresh()
        if self._picture is not None:
            timing.note("result")
        if error is not None:
            messages.show_error(error, self._dialog)

    def _show_picture(self, pixels: Optional[PixelBuffer]) -> None:
        """None: its empty place."""
        side, small = SIDE * self._image.get_scale_factor(), None
        if pixels is not None:
            whole = to_pixbuf(pixels.width, pixels.height, pixels.rows, pixels.channels)
            scale = side / max(pixels.width, pixels.height)
            size = max(1, round(pixels.width * scale)), max(1, round(pixels.height * scale))
            small = whole.scale_simple(*size, GdkPixbuf.InterpType.BILINEAR)
        self._image.set_from_gicon(in_square(small, side, AROUND), Gtk.IconSize.DIALOG)
