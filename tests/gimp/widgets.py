"""What a screen reader and the keyboard find in our windows: the script's part that looks at every widget.

The windows are opened in the process of the test's script, by the plug-in's own modules, so that their widgets are in reach.
"""

import subprocess
import sys

import gi

for name, version in (("Atk", "1.0"), ("Gdk", "3.0"), ("Gtk", "3.0"), ("GimpUi", "3.0")):
    gi.require_version(name, version)
from gi.repository import Atk, GLib, Gtk  # noqa: E402


def find_plugin(folder):
    """Let the plug-in's modules be imported, in GIMP's language."""
    place = f"{folder}/plug-ins/drag_diffusion"
    sys.path[:0] = [place, f"{place}/vendor"]
    from plugin import translation

    translation.use(GLib.get_language_names())


def tell_of(widget):
    """What is told of a widget: its kind, its role and its name, the texts of the label that names it."""
    accessible = widget.get_accessible()
    relation = accessible.ref_relation_set().get_relation_by_type(Atk.RelationType.LABELLED_BY)
    labels = [label.get_name() or "" for label in relation.get_target()] if relation else []
    return {
        "kind": type(widget).__name__,
        "role": Atk.role_get_name(accessible.get_role()),
        "name": " ".join([accessible.get_name() or "", *labels]).strip(),
        "description": accessible.get_description() or widget.get_tooltip_text() or "",
    }


def all_widgets(root):
    """Those on the screen, also inside of others."""
    found = []

    def visit(widget):
        if widget.get_mapped() and widget not in found:
            found.append(widget)
            if isinstance(widget, Gtk.Container):
                widget.forall(visit)

    visit(root)
    return found


def reported(widget):
    """As GTK does, which tells of a list's box where its button has the focus."""
    parent = widget.get_parent()
    while isinstance(widget, Gtk.ToggleButton) and parent is not None:
        if isinstance(parent, Gtk.ComboBox):
            return parent
        parent = parent.get_parent()
    return widget


def focusable(window):
    """Those that the keyboard can act on."""
    return [
        w for w in all_widgets(window) if w.get_can_focus() and w.is_sensitive() and w is not window
    ]


def texts(window):
    """What can be read in the window."""
    told = [widget.get_text() for widget in all_widgets(window) if isinstance(widget, Gtk.Label)]
    told += [widget.get_tooltip_text() for widget in all_widgets(window)]
    return [text for text in told if text]


def readable(window):
    """The texts whose colour is not the theme's for buttons, with what they take of the screen: left, top, right, bottom."""
    shown = [w for w in all_widgets(window) if w.is_sensitive() and not is_scrolled_away(w)]
    labels = [w for w in shown if isinstance(w, Gtk.Label) and not w.get_ancestor(Gtk.Button)]
    entries = [w for w in shown if isinstance(w, Gtk.Entry) and not (w.get_text() or w.has_focus())]
    told = [(label.get_text(), label) for label in labels]
    told += [(entry.get_placeholder_text(), entry) for entry in entries]
    return [[text, *box_of(widget)] for text, widget in told if text]


def box_of(widget):
    """What it takes of the screen."""
    _ok, x, y = widget.get_window().get_origin()
    place = widget.get_allocation()
    if not widget.get_has_window():
        x, y = x + place.x, y + place.y
    return x, y, x + place.width, y + place.height


def is_scrolled_away(widget):
    """Or a part of it."""
    view = widget.get_ancestor(Gtk.Viewport)
    if view is None:
        return False
    box, room = box_of(widget), box_of(view.get_parent())
    return box[1] < room[1] or box[3] > room[3]


def cut_off(window):
    """What does not fit in and ends in dots."""
    labels = [widget for widget in all_widgets(window) if isinstance(widget, Gtk.Label)]
    texts = [label.get_text() for label in labels if label.get_layout().is_ellipsized()]
    entries = [widget for widget in all_widgets(window) if isinstance(widget, Gtk.Entry)]
    return texts + [entry.get_placeholder_text() for entry in entries if not shows_hint(entry)]


def shows_hint(entry):
    """Whether there is room for what an empty entry says."""
    needed = entry.create_pango_layout(entry.get_placeholder_text() or "").get_pixel_size()[0]
    return needed <= entry.get_allocated_width() - 2 * entry.get_layout_offsets()[0]


def field_columns(window):
    """Where the fields begin that have a label before them."""
    labels = [widget for widget in all_widgets(window) if isinstance(widget, Gtk.Label)]
    fields = [(label, label.get_mnemonic_widget()) for label in labels]
    return {
        label.get_text(): field.translate_coordinates(window, 0, 0)[0]
        for label, field in fields
        if field is not None and not label.is_ancestor(field)
    }


def access_keys(window):
    """The letter of each label that has one, with the label."""
    return [
        (chr(Gtk.Label.get_mnemonic_keyval(w)).lower(), w.get_text())
        for w in all_widgets(window)
        if isinstance(w, Gtk.Label)
        and w.get_mnemonic_keyval() != 0xFFFFFF
        and w.get_use_underline()
    ]


def reached_by_tab(window):
    """The widgets that Tab leads to, one after the other."""
    reached = []
    for _ in range(200):
        window.child_focus(Gtk.DirectionType.TAB_FORWARD)
        focus = window.get_focus()
        if focus is not None:
            reached.append(focus)
            if reached.count(focus) > 2:
                break
    return reached


def look_at(window, shot):
    """All of this about a window, once everything is drawn; and a picture of the screen."""
    while Gtk.events_pending():
        Gtk.main_iteration()
    legible = readable(window)
    subprocess.run(["import", "-window", "root", "-quality", "15", shot], check=True)  # zlib 1
    reached = reached_by_tab(window)
    widgets = focusable(window)
    return {
        "title": window.get_title(),
        "widgets": [tell_of(reported(widget)) for widget in widgets],
        "unreached": [tell_of(widget) for widget in widgets if widget not in reached],
        "keys": access_keys(window),
        "texts": texts(window),
        "readable": legible,
        "cut off": cut_off(window),
        "columns": field_columns(window),
        "size": list(window.get_size()),
    }


def top_window():
    """The window that was opened last."""
    shown = [window for window in Gtk.Window.list_toplevels() if window.get_mapped()]
    shown = [w for w in shown if w.get_window_type() == Gtk.WindowType.TOPLEVEL]
    modal = [window for window in shown if window.get_transient_for() is not None]
    return (modal or shown)[-1]


def drive(steps):
    """Run a generator beside the windows: it yields what must be true before it goes on."""
    waiting = [lambda: True]

    def step():
        try:
            if waiting[0]():
                waiting[0] = next(steps)
        except StopIteration:
            return GLib.SOURCE_REMOVE
        return GLib.SOURCE_CONTINUE

    GLib.timeout_add(50, step)


def expand_all(window):
    for widget in all_widgets(window):
        if isinstance(widget, Gtk.Expander):
            widget.set_expanded(True)


def pause(seconds):
    """A condition that becomes true after a while."""
    end = GLib.get_monotonic_time() + seconds * 1e6
    return lambda: GLib.get_monotonic_time() > end
