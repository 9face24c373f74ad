"""What the user pointed at: the layer, the drags of its path, the selection. Main thread only."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Generator, List, Optional, Sequence, Tuple

from gi.repository import Gimp

from plugin import edit_model, image_io, insertion, paths, record, strokes
from plugin.edit_model import (
    Drag,
    Edit,
    EditError,
    Generated,
    LayerState,
    PixelBuffer,
    Region,
    Result,
    Settings,
)
from plugin.image_io import SmallCoverage
from plugin.insertion import Beside
from plugin.strokes import Stroke
from plugin.translation import _


@dataclass(frozen=True)
class Subject:
    image: Any
    layer: Any
    state: LayerState
    strokes: Tuple[Stroke, ...] = ()
    generated: Optional[Generated] = None  # how its picture was made, if it was made from a prompt

    @property
    def title(self) -> str:
        """Of the window, and of the progress bar."""
        return _("Drag Edit")

    @property
    def help_page(self) -> str:
        return "plug-in-drag-diffusion"

    @property
    def can_replace(self) -> bool:
        """Whether there is a layer whose place a result may take."""
        return False

    @property
    def has_selection(self) -> bool:
        return not Gimp.Selection.is_empty(self.image)

    @property
    def drags(self) -> Tuple[Drag, ...]:
        """One for each stroke; EditError where a stroke is none."""
        if not self.strokes:
            paths.check_choice(self.image)
        return strokes.to_drags(self.strokes, self.state)

    @property
    def selected(self) -> Optional[Region]:
        """The selection's bounds in the layer; None: nothing is selected."""
        return image_io.read_selection_bounds(self.image, self.state)

    def usable_drags(self) -> Tuple[Tuple[Drag, ...], List[str]]:
        """The drags of the strokes that are some, and why the others are none."""
        drags: List[Drag] = []
        reasons: List[str] = []
        for stroke in self.strokes:
            try:
                drags += strokes.to_drags([stroke], self.state)
            except EditError as error:
                reasons.append(str(error))
        return tuple(drags), reasons

    def read_small_selection(self, scale: float) -> Optional[SmallCoverage]:
        """`read_selection` at another scale."""
        return image_io.read_small_selection(self.image, self.state, scale)

    def read_selection(self, part: Region) -> Optional[PixelBuffer]:
        """Where this part of the layer is; None: nothing is selected."""
        return image_io.read_selection(self.image, self.state, part)

    def read_pixels(self, part: Region, with_filters: bool) -> Generator[None, None, PixelBuffer]:
        """This part of the layer, with a pause after every few rows."""
        return image_io.read_pixels_in_parts(self.layer, part, with_filters)

    def insert(self, edit: Edit, result: Result, *, keep_points: bool, replace: bool) -> None:
        """The only change of the image: a layer, and if wanted the points as a path, in one undo step."""
        del replace
        self._insert(edit, result, keep_points)

    def _insert(
        self, edit: Edit, result: Result, keep_points: bool, beside: Optional[Beside] = None
    ) -> None:
        def keep() -> None:
            if keep_points:
                paths.insert_path(self.image, edit.drags, self.state)

        insertion.insert_layer(
            self.image,
            self.layer,
            edit_model.layer_name(edit),
            replace(result.pixels, x=result.x, y=result.y),
            record.to_parasites(edit, result, image_io.read_look(self.layer)),
            keep,
            beside,
            filtered=edit.layer.has_filters and not edit.settings.with_filters,
        )


def gather(image: Any, drawables: Sequence[Any]) -> Subject:
    """The one layer that can be edited and the strokes of its path; EditError where there is no such layer."""
    if image is None:
        raise EditError(_("No picture is open: open one first."))
    states = [image_io.read_state(drawable) for drawable in drawables]
    state = edit_model.check_layers(states, image.get_floating_sel() is not None)
    layer = drawables[0]
    if layer.is_group() and not layer.get_children():
        raise EditError(_("Group “{group}” is empty: choose a layer.").format(group=state.name))
    return Subject(image, layer, state, paths.read_strokes(image), read_generated(layer))


def read_generated(layer: Any) -> Optional[Generated]:
    return record.read_generated(image_io.read_parasite(layer, record.GENERATED_PARASITE))


def shape(selection: Optional[PixelBuffer], settings: Settings) -> Optional[PixelBuffer]:
    """The selection as these settings have it: where the layer may change; None: everywhere."""
    if selection is None:
        return None
    return image_io.shape_selection(selection, settings.mask_grow, settings.mask_feather)


def read_settings(config: Any) -> Settings:
    """The procedure's arguments."""
    return Settings(
        prompt=(config.get_property("prompt") or "").strip(),
        mode=config.get_property("mode"),
        model=(config.get_property("model") or "").strip(),
        seed=config.get_property("seed"),
        lora_steps=config.get_property("lora-steps"),
        max_drag_steps=config.get_property("max-drag-steps"),
        mask_grow=config.get_property("mask-grow"),
        mask_feather=config.get_property("mask-feather"),
        with_filters=config.get_property("with-filters"),
    )
