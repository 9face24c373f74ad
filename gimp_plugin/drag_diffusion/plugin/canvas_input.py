"""Mouse and keyboard on the canvas.

Left button: take a point, bend a line, or draw a new drag (with Shift: along a curve). Right button, Delete: delete.
Wheel, + and -: zoom; middle button, or Space and the left one: pan; 0: fit, 1: pixel by pixel. Tab, arrows: choose a point
and move it; Insert: a new drag in the middle. Ctrl+Z, Ctrl+Y, Ctrl+Shift+Z: undo and redo of points, nothing of GIMP's.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Optional, Tuple

from gi.repository import Gdk

from plugin.canvas_view import CanvasView
from plugin.edit_model import Point
from plugin.points import Points

REACH = 10.0  # GTK pixels around a point in which it is meant
ZOOM_STEP = 1.25
FAR = 10.0  # layer pixels that an arrow key moves with Shift
ARROWS: Dict[int, Tuple[float, float]] = {
    Gdk.KEY_Left: (-1, 0),
    Gdk.KEY_Right: (1, 0),
    Gdk.KEY_Up: (0, -1),
    Gdk.KEY_Down: (0, 1),
}
ZOOM_KEYS = {
    Gdk.KEY_plus: ZOOM_STEP,
    Gdk.KEY_equal: ZOOM_STEP,
    Gdk.KEY_KP_Add: ZOOM_STEP,
    Gdk.KEY_minus: 1 / ZOOM_STEP,
    Gdk.KEY_KP_Subtract: 1 / ZOOM_STEP,
}
TABS = (Gdk.KEY_Tab, Gdk.KEY_ISO_Left_Tab)
EVENTS = (
    Gdk.EventMask.BUTTON_PRESS_MASK
    | Gdk.EventMask.BUTTON_RELEASE_MASK
    | Gdk.EventMask.POINTER_MOTION_MASK
    | Gdk.EventMask.SCROLL_MASK
    | Gdk.EventMask.SMOOTH_SCROLL_MASK
    | Gdk.EventMask.KEY_PRESS_MASK
    | Gdk.EventMask.KEY_RELEASE_MASK
)


class CanvasInput:
    """Changes the points and the view; tells `on_change` of every change of the points."""

    def __init__(self, view: CanvasView, points: Points, on_change: Callable[[], None]) -> None:
        self._view, self._points, self._on_change = view, points, on_change
        self.can_edit = True
        self._space = False
        self._panning: Optional[Point] = None  # the last place of the pointer
        widget = view.widget
        widget.add_events(EVENTS)
        widget.connect("button-press-event", self._press)
        widget.connect("button-release-event", self._release)
        widget.connect("motion-notify-event", self._move)
        widget.connect("scroll-event", self._scroll)
        widget.connect("key-press-event", self._key)
        widget.connect("key-release-event", self._key_up)
        widget.connect("focus-out-event", self._leave)

    def _place(self, event: Any) -> Point:
        """On the canvas, in its pixels."""
        return event.x * self._view.scale_factor, event.y * self._view.scale_factor

    def _to_layer(self, event: Any) -> Point:
        return self._view.viewport.to_layer(self._place(event))

    @property
    def _reach(self) -> float:
        return REACH * self._view.scale_factor / self._view.viewport.zoom

    # ---- mouse

    def _press(self, widget: Any, event: Any) -> bool:
        widget.grab_focus()
        if event.type != Gdk.EventType.BUTTON_PRESS:  # the second half of a double click
            return True
        if event.button == Gdk.BUTTON_MIDDLE or (
            event.button == Gdk.BUTTON_PRIMARY and self._space
        ):
            self._panning = self._place(event)
        elif not self.can_edit:
            return True
        elif event.button == Gdk.BUTTON_PRIMARY:
            curved = bool(event.state & Gdk.ModifierType.SHIFT_MASK)
            self._points.press(self._to_layer(event), self._reach, curved)
            self._on_change()
        elif event.button == Gdk.BUTTON_SECONDARY:
            self._delete_at(event)
        return True

    def _delete_at(self, event: Any) -> None:
        if self._points.is_pulling:
            self._points.abandon()
        else:
            end = self._points.find(self._to_layer(event), self._reach)
            if end is not None:
                self._points.delete(end)
        self._on_change()

    def _move(self, _widget: Any, event: Any) -> bool:
        if self._panning is not None:
            here = self._place(event)
            dx, dy = here[0] - self._panning[0], here[1] - self._panning[1]
            self._panning = here
            self._view.look(self._view.viewport.panned(dx, dy))
        elif self._points.is_pulling:
            self._points.pull(self._to_layer(event))
            self._on_change()
        else:
            self._show_cursor(event)
        return True

    def _show_cursor(self, event: Any) -> None:
        here, reach = self._to_layer(event), self._reach
        over = self.can_edit and (
            self._points.find(here, reach) is not None
            or self._points.find_line(here, reach) is not None
        )
        name = "grab" if over or self._space else "crosshair" if self.can_edit else "default"
        window = self._view.widget.get_bin_window()
        window.set_cursor(Gdk.Cursor.new_from_name(window.get_display(), name))

    def _release(self, _widget: Any, event: Any) -> bool:
        self._panning = None
        if self._points.is_pulling:
            self._points.pull(self._to_layer(event))
            self._points.release()
            self._on_change()
        return True

    def _scroll(self, _widget: Any, event: Any) -> bool:
        steps = {Gdk.ScrollDirection.UP: 1.0, Gdk.ScrollDirection.DOWN: -1.0}.get(event.direction)
        if steps is None:
            _is_smooth, _dx, dy = event.get_scroll_deltas()
            steps = -dy
        self._view.look(self._view.viewport.zoomed(ZOOM_STEP**steps, self._place(event)))
        return True

    def _leave(self, _widget: Any, _event: Any) -> bool:
        self._space = False
        return False

    # ---- keyboard

    def _key(self, _widget: Any, event: Any) -> bool:
        key, state = event.keyval, event.state
        shift = bool(state & Gdk.ModifierType.SHIFT_MASK)
        if state & (Gdk.ModifierType.CONTROL_MASK | Gdk.ModifierType.MOD1_MASK):
            return False  # the dialog's own
        if key in ZOOM_KEYS:
            self.zoom(ZOOM_KEYS[key])
        elif key in (Gdk.KEY_0, Gdk.KEY_KP_0):
            self.zoom_to_fit()
        elif key in (Gdk.KEY_1, Gdk.KEY_KP_1):
            self.zoom_to_pixels()
        elif key == Gdk.KEY_space:
            self._space = True
        elif not self.can_edit:
            return False
        else:
            return self._edit_by_key(key, shift)
        return True

    def _edit_by_key(self, key: int, shift: bool) -> bool:
        points = self._points
        if key == Gdk.KEY_Escape and points.is_pulling:
            points.abandon()
        elif key in TABS:
            used = points.select_next(-1 if shift or key == Gdk.KEY_ISO_Left_Tab else 1)
            self._on_change()
            return used  # past the last point: on to the next widget
        elif key in ARROWS and points.selected is not None:
            dx, dy = ARROWS[key]
            points.nudge(*((FAR * dx, FAR * dy) if shift else (dx, dy)))
        elif key in (Gdk.KEY_Delete, Gdk.KEY_KP_Delete, Gdk.KEY_BackSpace):
            points.delete()
        elif key in (Gdk.KEY_Insert, Gdk.KEY_KP_Insert):
            self._insert()
        else:
            return False
        self._on_change()
        return True

    def _insert(self) -> None:
        port = self._view.viewport
        start = port.to_layer((port.width / 2, port.height / 2))
        end = port.to_layer((port.width / 2 + 40 * self._view.scale_factor, port.height / 2))
        self._points.add(start, end)

    def _key_up(self, _widget: Any, event: Any) -> bool:
        if event.keyval == Gdk.KEY_space:
            self._space = False
        return False

    # ---- for buttons

    def zoom(self, factor: float) -> None:
        """Around the canvas's middle."""
        port = self._view.viewport
        self._view.look(port.zoomed(factor, (port.width / 2, port.height / 2)))

    def zoom_to_fit(self) -> None:
        self._view.look(self._view.viewport.fitted())

    def zoom_to_pixels(self) -> None:
        self.zoom(1 / self._view.viewport.zoom)

    def undo(self) -> None:
        if self.can_edit:
            self._points.undo()
            self._on_change()

    def redo(self) -> None:
        if self.can_edit:
            self._points.redo()
            self._on_change()
