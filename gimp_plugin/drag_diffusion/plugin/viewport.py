"""Which part of the layer the canvas shows, and how large. No GIMP in here.

`zoom` is canvas pixels a layer pixel, and canvas pixels are those of the screen (on a HiDPI screen there are more of them than
GTK counts).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from plugin.edit_model import Point

LARGEST = 32.0  # zoom
MARGIN = 8  # canvas pixels left free around a layer that fits


@dataclass(frozen=True)
class Viewport:
    layer_width: int
    layer_height: int
    width: int = 1  # of the canvas, canvas pixels
    height: int = 1
    zoom: float = 1.0
    x: float = 0.0  # of the canvas's top left corner, layer pixels
    y: float = 0.0
    fits: bool = True  # the whole layer is shown, whatever the canvas's size

    @property
    def fitting_zoom(self) -> float:
        room = (max(1, self.width - 2 * MARGIN), max(1, self.height - 2 * MARGIN))
        return min(LARGEST, room[0] / self.layer_width, room[1] / self.layer_height)

    def place(self, point: Point) -> Point:
        """Where a point of the layer lies on the canvas."""
        return (point[0] - self.x) * self.zoom, (point[1] - self.y) * self.zoom

    def to_layer(self, point: Point) -> Point:
        return point[0] / self.zoom + self.x, point[1] / self.zoom + self.y

    def resized(self, width: int, height: int) -> Viewport:
        """The same middle in a canvas of another size."""
        if (width, height) == (self.width, self.height):
            return self
        x = self.x + (self.width - width) / 2 / self.zoom
        y = self.y + (self.height - height) / 2 / self.zoom
        changed = replace(self, width=max(1, width), height=max(1, height), x=x, y=y)
        return changed.fitted() if self.fits else changed.kept_in_sight()

    def fitted(self) -> Viewport:
        zoom = self.fitting_zoom
        x = (self.layer_width - self.width / zoom) / 2
        y = (self.layer_height - self.height / zoom) / 2
        return replace(self, zoom=zoom, x=x, y=y, fits=True)

    def zoomed(self, factor: float, around: Point) -> Viewport:
        """`around`: the place of the canvas that keeps its part of the layer."""
        smallest = min(self.fitting_zoom, 1.0)
        zoom = min(LARGEST, max(smallest, self.zoom * factor))
        if zoom == smallest == self.fitting_zoom:
            return self.fitted()
        x, y = self.to_layer(around)
        moved = replace(self, zoom=zoom, x=x - around[0] / zoom, y=y - around[1] / zoom, fits=False)
        return moved.kept_in_sight()

    def panned(self, dx: float, dy: float) -> Viewport:
        """By canvas pixels: what was at (0, 0) comes to (dx, dy)."""
        moved = replace(self, x=self.x - dx / self.zoom, y=self.y - dy / self.zoom, fits=False)
        return moved.kept_in_sight()

    def kept_in_sight(self) -> Viewport:
        """The middle of the canvas stays on the layer."""
        half_width, half_height = self.width / 2 / self.zoom, self.height / 2 / self.zoom
        x = min(max(self.x, -half_width), self.layer_width - half_width)
        y = min(max(self.y, -half_height), self.layer_height - half_height)
        return replace(self, x=x, y=y)
