"""A drag that was made before, to be made again: what its layer keeps, and the layer that was dragged. Main thread only."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Iterator, List, Optional, Sequence, Tuple

from gi.repository import Gimp

from plugin import edit_model, image_io, record
from plugin.edit_model import (
    Drag,
    Edit,
    EditError,
    LayerState,
    PixelBuffer,
    Region,
    Result,
)
from plugin.image_io import Beside, SmallCoverage
from plugin.record import Record
from plugin.subject import Subject, read_generated
from plugin.translation import _

DRAG_PROCEDURE = "plug-in-drag-diffusion"
TITLE = _("Re-edit Drag")


@dataclass(frozen=True)
class ReEdit(Subject):
    """`layer` is the one that was dragged, `old` the result of that."""

    old: Any = None
    kept: Optional[Record] = None

    @property
    def title(self) -> str:
        return TITLE

    @property
    def help_page(self) -> str:
        return "plug-in-drag-diffusion-re-edit"

    @property
    def can_replace(self) -> bool:
        return not self.old.get_filters()

    @property
    def record(self) -> Record:
        assert self.kept is not None
        return self.kept

    @property
    def has_selection(self) -> bool:
        if self.record.selection is None and self.record.had_selection:  # it was too large
            return super().has_selection
        return self.record.had_selection

    @property
    def drags(self) -> Tuple[Drag, ...]:
        drags, reasons = self.usable_drags()
        if len(drags) < len(self.record.drags):
            raise EditError(reasons[0])
        return drags

    def usable_drags(self) -> Tuple[Tuple[Drag, ...], List[str]]:
        moved = [record.move(drag, self._shift) for drag in self.record.drags]
        inside = tuple(
            drag
            for drag in moved
            if self.state.contains(drag.points[0]) and self.state.contains(drag.points[-1])
        )
        reasons = [] if len(inside) == len(moved) else [self._outside_sentence()]
        if self.record.had_selection and self.record.selection is None:
            reasons.append(
                _("The selection of that drag was too large to keep: the present one is taken.")
            )
        if not self.can_replace:
            reasons.append(
                _("The layer has filters, so the result is not put in its place but above it.")
            )
        return inside, reasons

    def _outside_sentence(self) -> str:
        return _(
            "A point of that drag lies outside layer “{layer}” now: enlarge the layer (Layer ▸ Layer to "
            "Image Size), or place that point anew in the dialog of Re-edit Drag."
        ).format(layer=self.state.name)

    @property
    def selected(self) -> Optional[Region]:
        kept = self.record.selection
        if kept is not None:
            return record.bounds(kept, self._shift, self.state)
        return super().selected if self.record.had_selection else None

    def read_selection(self, part: Region) -> Optional[PixelBuffer]:
        kept = self.record.selection
        if kept is not None:
            return record.place(kept, self._shift, part)
        return super().read_selection(part) if self.record.had_selection else None

    def read_small_selection(self, scale: float) -> Optional[SmallCoverage]:
        if self.record.selection is None:
            return super().read_small_selection(scale) if self.record.had_selection else None
        whole = self.read_selection((0, 0, self.state.width, self.state.height))
        assert whole is not None
        return record.shrink(whole, scale)

    def insert(self, edit: Edit, result: Result, *, keep_points: bool, replace: bool) -> None:
        self._insert(edit, result, keep_points, Beside(self.old, replace))

    @property
    def _shift(self) -> Tuple[int, int]:
        return record.shift(self.record.source, self.state)


def gather(image: Any, drawables: Sequence[Any]) -> ReEdit:
    """The result that was pointed at and where it came from; EditError where it cannot be made again."""
    if image is None:
        raise EditError(_("No picture is open: open one first."))
    states = [image_io.read_state(drawable) for drawable in drawables]
    floating = image.get_floating_sel() is not None
    name = edit_model.check_layers(states, floating).name
    old = drawables[0]
    kept = record.read(
        name,
        image_io.read_parasite(old, record.PARASITE),
        image_io.read_parasite(old, record.SELECTION_PARASITE),
    )
    layers = [layer for layer in _all_layers(image.get_layers()) if layer.get_id() != old.get_id()]
    candidates = [image_io.read_state(layer) for layer in layers]
    found = record.find_source(kept.source, candidates)
    if found is None:
        raise EditError(_gone_sentence(name, kept.source))
    source = layers[found]
    return ReEdit(
        image, source, candidates[found], generated=read_generated(source), old=old, kept=kept
    )


def _gone_sentence(name: str, source: LayerState) -> str:
    return _(
        "Layer “{source}”, which was dragged to make “{layer}”, is not in the image any more: bring "
        "it back under that name, or drag “{layer}” itself with Filters ▸ Drag Edit…."
    ).format(source=source.name, layer=name)


def _all_layers(layers: Sequence[Any]) -> Iterator[Any]:
    for layer in layers:
        yield layer
        if layer.is_group():
            yield from _all_layers(layer.get_children())


def make_drag(subject: ReEdit, config: Any) -> Tuple[Any, Any]:
    """The procedure that drags, and its arguments as they were; its last values stay as they are."""
    procedure = Gimp.get_pdb().lookup_procedure(DRAG_PROCEDURE)
    arguments = procedure.create_config()
    settings = subject.record.settings
    if config.get_property("seed") >= 0:
        settings = replace(settings, seed=config.get_property("seed"))
    for name, value in record.to_arguments(settings).items():
        arguments.set_property(name, value)
    arguments.set_property("keep-points", False)  # the layer keeps them
    return procedure, arguments
