"""The live canvas as a GTK widget: the picture with what may not change veiled, and the drags on top.

It is drawn with GdkPixbuf and plugin.canvas alone, since GTK's usual way, cairo, has no Python module in some GIMPs. The
drawing is shown as an icon: GTK then takes its pixels for those of the screen, whatever the screen's scale.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, List, Optional, Sequence, Tuple

from gi.repository import GdkPixbuf, GLib, Gtk

from plugin import canvas, timing
from plugin.edit_model import Drag, PixelBuffer, Point, View
from plugin.points import End
from plugin.viewport import Viewport

NEAREST_FROM = 4.0  # zoom at which pixels are shown as squares
CHECKS = (8, 0xFFB0B0B0, 0xFF909090)  # behind transparent parts: size and colours
AROUND = 0x505050FF  # around the layer: dark in the light and in the dark theme, as GIMP's own canvas may be
SMALLEST = (320, 240)  # GTK pixels


@dataclass(frozen=True)
class Part:
    """A picture of a part of the layer."""

    pixbuf: Any
    x: float  # of its top left corner, layer pixels
    y: float
    scale: float  # pixels of the picture a pixel of the layer


@dataclass(frozen=True)
class Shown:
    """What lies over the picture."""

    drags: Tuple[Drag, ...] = ()
    selected: Optional[End] = None
    handles: Tuple[Point, ...] = ()  # where they are now, while dragging
    over: Optional[Part] = None  # a preview or a result
    with_marks: bool = True  # and with the veil over what may not change


class CanvasView:
    """`widget` is the widget. Set what is to be seen; it is drawn when GTK is idle."""

    def __init__(self, layer_size: Tuple[int, int], on_first_paint: Callable[[], None]) -> None:
        self.widget = Gtk.Layout(can_focus=True)
        self.widget.set_size_request(*SMALLEST)
        self._image = Gtk.Image()
        self.widget.put(self._image, 0, 0)
        self.viewport = Viewport(*layer_size)
        self._sources: List[Part] = []
        self._detail: Optional[Part] = None
        self._veil: Optional[Part] = None
        self._coverage: Optional[Part] = None  # gray: where the layer may change
        self._shown = Shown()
        self._below: Optional[Any] = None  # what lies under the marks, drawn
        self._pending = 0
        self._on_first_paint: Optional[Callable[[], None]] = on_first_paint
        self.widget.connect("size-allocate", self._resize)
        self.widget.connect("notify::scale-factor", lambda *_: self._resize())

    @property
    def scale_factor(self) -> int:
        """Pixels of the screen a GTK pixel."""
        return self.widget.get_scale_factor()

    @property
    def shown(self) -> Shown:
        return self._shown

    def set_sources(self, *sources: Part) -> None:
        """The layer at different sizes, the smallest first; the smallest that is fine enough is drawn."""
        self._sources = list(sources)
        self._change()

    def set_detail(self, detail: Part) -> None:
        """A part of the layer as it is, for a layer too large to be kept whole."""
        self._detail = detail
        self._change()

    def set_coverage(self, coverage: Optional[Tuple[int, int, bytes]], scale: float) -> None:
        """Width, height and bytes: where the layer may change. None: everywhere. `scale`: its pixels a layer pixel."""
        self._veil = self._coverage = None
        if coverage is not None:
            width, height, rows = coverage
            self._veil = Part(to_pixbuf(width, height, canvas.make_veil(rows), 4), 0, 0, scale)
            self._coverage = Part(to_pixbuf(width, height, canvas.to_gray(rows), 3), 0, 0, scale)
        self._change()

    def show(self, shown: Shown) -> None:
        if shown.over is not self._shown.over or shown.with_marks != self._shown.with_marks:
            self._below = None
        self._shown = shown
        self._draw_soon()

    def make_preview(self, view: View) -> Part:
        """A preview of the daemon's where it belongs; transparent where the layer may not change."""
        pixels, channels = view.rgb, 3
        if self._coverage is not None:
            pixels, channels = canvas.with_alpha(view.rgb, self._alpha(view)), 4
        pixbuf = to_pixbuf(view.width, view.height, pixels, channels)
        return Part(pixbuf, view.x, view.y, view.scale)

    def _alpha(self, view: View) -> bytes:
        """The coverage in the pixels of the view."""
        coverage = self._coverage
        assert coverage is not None
        alpha = GdkPixbuf.Pixbuf.new(GdkPixbuf.Colorspace.RGB, False, 8, view.width, view.height)
        alpha.fill(0)
        zoom = view.scale / coverage.scale
        offset = -view.x * view.scale, -view.y * view.scale
        right = min(view.width, int(offset[0] + coverage.pixbuf.get_width() * zoom))
        bottom = min(view.height, int(offset[1] + coverage.pixbuf.get_height() * zoom))
        if right > 0 and bottom > 0:
            coverage.pixbuf.scale(
                *(alpha, 0, 0, right, bottom, *offset, zoom, zoom), GdkPixbuf.InterpType.BILINEAR
            )
        rows, stride = alpha.get_pixels(), alpha.get_rowstride()
        return b"".join(
            rows[y * stride : y * stride + 3 * view.width : 3] for y in range(view.height)
        )

    def look(self, viewport: Viewport) -> None:
        """Show another part of the layer."""
        if viewport != self.viewport:
            self.viewport = viewport
            self._change()

    # ---- drawing

    def _change(self) -> None:
        self._below = None
        self._draw_soon()

    def _resize(self, *_: Any) -> None:
        size, factor = self.widget.get_allocation(), self.scale_factor
        self.look(self.viewport.resized(size.width * factor, size.height * factor))

    def _draw_soon(self) -> None:
        if not self._pending and self.widget.get_mapped():
            self._pending = GLib.idle_add(self._draw, priority=GLib.PRIORITY_HIGH_IDLE + 15)

    def _draw(self) -> bool:
        self._pending = 0
        if not self._sources:
            return GLib.SOURCE_REMOVE
        if self._below is None:
            self._below = self._draw_below()
        pixbuf = self._below
        if self._shown.with_marks:
            pixbuf = self._with_marks(pixbuf)
        self._image.set_pixel_size(
            max(pixbuf.get_width(), pixbuf.get_height()) // self.scale_factor
        )
        self._image.set_from_gicon(pixbuf, Gtk.IconSize.DIALOG)
        if self._on_first_paint is not None:
            painted, self._on_first_paint = self._on_first_paint, None
            after_paint(self.widget, painted)
        return GLib.SOURCE_REMOVE

    def _note_place(self) -> None:
        """Where the layer lies on the screen, for whoever drives the window."""
        if timing.is_wanted():
            _ok, left, top = self.widget.get_bin_window().get_origin()
            x, y = (value / self.scale_factor for value in self.viewport.place((0, 0)))
            zoom = self.viewport.zoom / self.scale_factor
            timing.note("drawn", x=left + x, y=top + y, zoom=zoom, width=self.viewport.width)

    def _draw_below(self) -> Any:
        port = self.viewport
        self._note_place()
        drawn = GdkPixbuf.Pixbuf.new(GdkPixbuf.Colorspace.RGB, False, 8, port.width, port.height)
        drawn.fill(AROUND)
        fine = [source for source in self._sources if source.scale >= port.zoom]
        self._compose(drawn, (fine or self._sources[-1:])[0])
        if self._detail is not None and not fine:
            self._compose(drawn, self._detail)
        if self._shown.over is not None:
            self._compose(drawn, self._shown.over)
        if self._veil is not None and self._shown.with_marks:
            self._compose(drawn, self._veil)
        return drawn

    def _compose(self, drawn: Any, part: Part) -> None:
        port = self.viewport
        zoom = port.zoom / part.scale
        left, top = port.place((part.x, part.y))
        right = min(port.width, round(left + part.pixbuf.get_width() * zoom))
        bottom = min(port.height, round(top + part.pixbuf.get_height() * zoom))
        x, y = max(0, round(left)), max(0, round(top))
        if right <= x or bottom <= y:
            return
        where = (x, y, right - x, bottom - y, left, top, zoom, zoom)
        kind = GdkPixbuf.InterpType
        interpolation = kind.NEAREST if zoom >= NEAREST_FROM else kind.BILINEAR
        is_picture = part is self._detail or part in self._sources
        if is_picture and part.pixbuf.get_has_alpha():
            part.pixbuf.composite_color(drawn, *where, interpolation, 255, 0, 0, *CHECKS)
        elif is_picture:
            part.pixbuf.scale(drawn, *where, interpolation)
        else:
            part.pixbuf.composite(drawn, *where, interpolation, 255)

    def _with_marks(self, below: Any) -> Any:
        width, height, stride = below.get_width(), below.get_height(), below.get_rowstride()
        bitmap = canvas.Bitmap(width, height, stride, bytearray(below.get_pixels()))
        shown = self._shown
        marks = canvas.make_marks(
            shown.drags, self.viewport.place, self.scale_factor, shown.selected, shown.handles
        )
        canvas.draw(bitmap, marks)
        return to_pixbuf(width, height, bytes(bitmap.rgb), 3, stride)


def after_paint(widget: Any, call: Callable[[], None]) -> None:
    """Call once the next frame is on the screen."""
    clock = widget.get_frame_clock()

    def painted(clock: Any) -> None:
        clock.disconnect(handler)
        widget.get_display().flush()  # else the frame would wait for the main loop, after the call
        call()

    handler = clock.connect("after-paint", painted)
    widget.queue_draw()


# ---- pictures --------------------------------------------------------------------------------------


def to_pixbuf(width: int, height: int, rows: Any, channels: int, stride: int = 0) -> Any:
    return GdkPixbuf.Pixbuf.new_from_bytes(
        GLib.Bytes.new(rows),
        GdkPixbuf.Colorspace.RGB,
        channels == 4,
        8,
        width,
        height,
        stride or channels * width,
    )


def result_part(x: int, y: int, pixels: PixelBuffer) -> Part:
    """A result, or another part of the layer at its own size, where it belongs."""
    return Part(to_pixbuf(pixels.width, pixels.height, pixels.rows, 4), x, y, 1.0)


def reduced(pixbuf: Any, scale: float) -> Part:
    """The layer made smaller."""
    width, height = (max(1, round(n * scale)) for n in (pixbuf.get_width(), pixbuf.get_height()))
    return Part(pixbuf.scale_simple(width, height, GdkPixbuf.InterpType.BILINEAR), 0, 0, scale)


def in_square(pixbuf: Optional[Any], side: int, around: int = 0) -> Any:
    """In the middle of a square, where GTK would put an icon into its place's corner. None: the empty square."""
    square = GdkPixbuf.Pixbuf.new(GdkPixbuf.Colorspace.RGB, True, 8, side, side)
    square.fill(around)
    if pixbuf is None:
        return square
    width, height = pixbuf.get_width(), pixbuf.get_height()
    left, top = (side - width) // 2, (side - height) // 2
    where = (left, top, width, height, left, top, 1, 1)
    pixbuf.composite(square, *where, GdkPixbuf.InterpType.NEAREST, 255)
    return square


def make_thumbnail(source: Part, over: Sequence[Part], side: int) -> Any:
    """The whole picture with what lies over it, its longer side as given (pixels of the screen)."""
    whole = source.pixbuf
    zoom = min(1.0, side / max(whole.get_width(), whole.get_height()))
    width, height = (max(1, int(n * zoom)) for n in (whole.get_width(), whole.get_height()))
    small = whole.scale_simple(width, height, GdkPixbuf.InterpType.BILINEAR)
    for part in over:
        factor = zoom * source.scale / part.scale
        left, top = part.x * zoom * source.scale, part.y * zoom * source.scale
        x, y = int(max(0, left)), int(max(0, top))
        right = min(width, int(left + part.pixbuf.get_width() * factor))
        bottom = min(height, int(top + part.pixbuf.get_height() * factor))
        if right > x and bottom > y:
            where = (x, y, right - x, bottom - y, left, top, factor, factor)
            part.pixbuf.composite(small, *where, GdkPixbuf.InterpType.BILINEAR, 255)
    return small
