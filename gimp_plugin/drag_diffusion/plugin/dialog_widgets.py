"""The dialog's parts around the canvas: the tool row, the lines that tell how things stand, the buttons."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Tuple

from gi.repository import Atk, Gdk, GimpUi, Gtk, Pango

from plugin import messages
from plugin.canvas_input import CanvasInput
from plugin.edit_model import Progress, remaining_text
from plugin.settings_panel import BOTH
from plugin.translation import _

GAP = 6
MARGIN = 12
SIZE = (1040, 780)  # of the window at first, GTK pixels: all settings can be seen
ICON = 16  # GTK pixels, of a tool's icon
COLUMN = 40  # characters of the settings' width: their sentences, and some more for rows of buttons
FRAME = 60  # GTK pixels of a window's title and edges
EDITING, WORKING, LOOKING = range(3)  # the dialog's states: at points, at a drag, at a result
DRAG, TAKE, STOP, AGAIN, REPLACE = range(1, 6)  # responses; Insert is OK
INSERT = int(Gtk.ResponseType.OK)
CLOSE = int(Gtk.ResponseType.CLOSE)

BUTTONS: Dict[int, Tuple[str, Tuple[int, ...], str]] = {
    CLOSE: (_("_Close"), (EDITING, WORKING, LOOKING), _("Close without changing the image")),
    STOP: (
        _("Cance_l"),
        (WORKING,),
        _("Stop the drag; the points stay, the image is as it was (Escape)"),
    ),
    TAKE: (
        _("_Take it now"),
        (WORKING,),
        _("Stop dragging and make the result of what is reached"),
    ),
    AGAIN: (_("Try _again"), (LOOKING,), _("Back to the points; the picture stays prepared")),
    DRAG: (_("_Drag"), (EDITING,), _("Drag each red point along its arrow")),
    INSERT: (
        _("_Insert as layer"),
        (LOOKING,),
        _(
            "Put the result that is shown into the image as a layer above yours; one undo removes it"
        ),
    ),
    REPLACE: (
        _("Rep_lace the layer"),
        (LOOKING,),
        _(
            "Put the result that is shown in the place of the layer that is edited again; one undo "
            "brings that back"
        ),
    ),
}
DEFAULTS = {EDITING: DRAG, WORKING: STOP, LOOKING: INSERT}


class Buttons:
    """The dialog's buttons; each state shows its own."""

    def __init__(self, dialog: Any, can_replace: bool) -> None:
        self._dialog = dialog
        self._defaults = {**DEFAULTS, LOOKING: REPLACE} if can_replace else DEFAULTS
        self._hidden = () if can_replace else (REPLACE,)
        self._buttons = {}
        for response, (label, _states, tooltip) in BUTTONS.items():
            button = dialog.add_button(label, response)
            button.set_tooltip_text(tooltip)
            button.set_no_show_all(True)
            button.hide()  # all of them at once would make the window wide
            button.set_can_default(True)
            self._buttons[response] = button

    def show(self, state: int, can_drag: bool, can_take: bool) -> None:
        for response, (_label, states, _tooltip) in BUTTONS.items():
            self._buttons[response].set_visible(state in states and response not in self._hidden)
        self._buttons[DRAG].set_sensitive(can_drag)
        self._buttons[TAKE].set_sensitive(can_take)
        self._dialog.set_default_response(self._defaults[state])


class StatusArea:
    """A sentence for the user, what the daemon does, and how far it is."""

    def __init__(self) -> None:
        self.widget = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=GAP)
        self._hint, self._stage = _two_lines(self.widget), _two_lines(self.widget)
        self._bar = Gtk.ProgressBar(show_text=True, text=" ")
        self.widget.pack_start(self._bar, False, False, 0)

    def set_hint(self, sentence: str) -> None:
        _say(self._hint, sentence)

    def set_stage(self, sentence: str, fraction: float = 0.0) -> None:
        _say(self._stage, sentence)
        self._bar.set_fraction(fraction)
        self._bar.set_text(" ")

    def set_progress(self, progress: Progress, numbers: str = "") -> None:
        parts = (f"{progress.fraction:.0%}", remaining_text(progress.eta_seconds))
        _say(self._stage, "   ".join(part for part in (progress.sentence, numbers) if part))
        self._bar.set_fraction(progress.fraction)
        self._bar.set_text(", ".join(part for part in parts if part))


def _two_lines(box: Any) -> Any:
    """A label of constant height: what is said must not move the canvas."""
    label = messages.wrapped("", 80, box)
    label.set_lines(2)
    label.set_ellipsize(Pango.EllipsizeMode.END)
    label.set_yalign(0)
    label.set_size_request(-1, label.create_pango_layout("A\nA").get_pixel_size()[1])
    return label


def _say(label: Any, sentence: str) -> None:
    label.set_text(sentence)
    label.set_tooltip_text(sentence)


class Tools:
    """Buttons above the canvas for what mouse and keys do on it, and the look at before and after."""

    def __init__(
        self, hands: CanvasInput, delete: Callable[[], None], on_before: Callable[[], None]
    ) -> None:
        self.widget = Gtk.Box(spacing=2)
        self._icons: List[Tuple[Any, str]] = []  # each with its name
        self._undo = self._make_button(
            "edit-undo", _("Undo the last change of the points (Ctrl+Z)"), hands.undo
        )
        self._redo = self._make_button("edit-redo", _("Redo (Ctrl+Y or Ctrl+Shift+Z)"), hands.redo)
        self._delete = self._make_button(
            "edit-delete", _("Delete the chosen arrow (Delete)"), delete
        )
        zooms = [
            self._make_button("zoom-out", _("Smaller (-, or the wheel)"), lambda: hands.zoom(0.8)),
            self._make_button("zoom-in", _("Larger (+, or the wheel)"), lambda: hands.zoom(1.25)),
            self._make_button("zoom-original", _("Pixel by pixel (1)"), hands.zoom_to_pixels),
            self._make_button("zoom-fit-best", _("The whole layer (0)"), hands.zoom_to_fit),
        ]
        for button in (self._undo, self._redo, self._delete, _line(), *zooms):
            self.widget.pack_start(button, False, False, 0)
        self._before = Gtk.ToggleButton.new_with_mnemonic(_("_Before"))
        self._before.set_tooltip_text(_("Show the picture as it was, to compare (B)"))
        self._before.set_focus_on_click(False)
        self._before.set_no_show_all(True)
        self._before.connect("toggled", lambda _button: on_before())
        self.widget.pack_end(self._before, False, False, 0)

    def _make_button(self, icon: str, tooltip: str, act: Callable[[], None]) -> Any:
        """A small button with an icon."""
        image = Gtk.Image(pixel_size=ICON, width_request=ICON, height_request=ICON)
        self._icons.append((image, icon))
        button = Gtk.Button(focus_on_click=False, relief=Gtk.ReliefStyle.NONE)
        button.add(image)
        button.set_tooltip_text(tooltip)
        messages.give_name(button, tooltip)
        button.connect("clicked", lambda _button: act())
        return button

    def show_icons(self) -> None:
        """Once the dialog is on the screen: in GIMP 3.2 they take longer to load than all the rest to draw."""
        for image, name in self._icons:
            image.set_from_icon_name(name, Gtk.IconSize.BUTTON)

    @property
    def shows_before(self) -> bool:
        return self._before.get_active()

    def toggle_before(self) -> None:
        self._before.set_active(not self.shows_before)

    def update(self, undo: bool, redo: bool, delete: bool, compare: bool) -> None:
        self._undo.set_sensitive(undo)
        self._redo.set_sensitive(redo)
        self._delete.set_sensitive(delete)
        self._before.set_visible(compare)


def _line() -> Any:
    return Gtk.Separator(orientation=Gtk.Orientation.VERTICAL)


# ---- layout ----------------------------------------------------------------------------------------


def make_window(title: str, help_page: str) -> Any:
    dialog = GimpUi.Dialog(title=title, role="drag-diffusion")
    display = Gdk.Display.get_default()
    monitor = display.get_primary_monitor() or display.get_monitor(0)
    dialog.set_default_size(SIZE[0], min(SIZE[1], monitor.get_workarea().height - FRAME))
    messages.offer_help(dialog, help_page)
    return dialog


def make_keep_button(config: Any) -> Any:
    button = Gtk.CheckButton.new_with_mnemonic(_("_Keep points as a path"))
    button.set_tooltip_text(
        _(
            "Points that you place here go into the image as the path “Drag points”, together with "
            "the result"
        )
    )
    config.bind_property("keep-points", button, "active", BOTH)
    return button


def make_daemon_button(act: Callable[[], None]) -> Any:
    button = Gtk.Button.new_with_mnemonic(_("About t_he daemon…"))
    button.set_tooltip_text(_("Its device, model, memory and log; unload it or start it anew"))
    button.set_halign(Gtk.Align.START)
    button.connect("clicked", lambda _button: act())
    return button


def name_canvas(canvas: Any, layer: str) -> None:
    """What a screen reader tells of the picture."""
    messages.give_name(
        canvas,
        _("Picture of layer “{layer}”").format(layer=layer),
        _(
            "Tab chooses a point, the arrow keys move it, Insert makes a new arrow, Delete removes the "
            "chosen one; plus and minus zoom."
        ),
    )
    canvas.get_accessible().set_role(Atk.Role.DRAWING_AREA)


def lay_out_left(tools: Any, canvas: Any, status: Any) -> Any:
    frame = Gtk.Frame(shadow_type=Gtk.ShadowType.IN)
    frame.add(canvas)
    box = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=GAP)
    box.pack_start(tools, False, False, 0)
    box.pack_start(frame, True, True, 0)
    box.pack_end(status, False, False, 0)
    return box


def make_settings_column() -> Any:
    """Empty at first, and as wide as it will be: filling it must not move the canvas."""
    box = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=MARGIN)
    longest = Gtk.Box()
    messages.small("m" * COLUMN, COLUMN, longest)
    longest.show_all()  # what is hidden has no width
    box.set_size_request(longest.get_preferred_width().natural_width, -1)
    return box


def lay_out(left: Any, right: Any) -> Any:
    box = Gtk.Box(spacing=MARGIN)
    box.set_border_width(MARGIN)
    box.pack_start(left, True, True, 0)
    box.pack_start(_scrolled(right), False, False, 0)
    return box


def _scrolled(settings: Any) -> Any:
    """On a small screen."""
    scrolled = Gtk.ScrolledWindow(
        hscrollbar_policy=Gtk.PolicyType.NEVER, overlay_scrolling=False, can_focus=False
    )
    scrolled.add(settings)
    scrolled.get_child().set_shadow_type(Gtk.ShadowType.NONE)
    return scrolled
