"""A drag that was made before, to be made again: what its layer keeps, and the layer that was dragged. Main thread only."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Iterator, List, Optional, Sequence, Tuple

from gi.repository import GdkPixbuf, Gimp, GLib

from plugin import cutout, edit_model, image_io, landmarks, record
from plugin.edit_model import (
    Drag,
    Edit,
    EditError,
    LayerState,
    PixelBuffer,
    Region,
    Result,
    Settings,
)
from plugin.image_io import SmallCoverage
from plugin.insertion import Beside
from plugin.landmarks import Change, Pieces
from plugin.record import Record
from plugin.subject import Subject, read_generated
from plugin.translation import _

DRAG_PROCEDURE = "plug-in-drag-diffusion"
TITLE = _("Re-edit Drag")
LONGEST = 500  # pixels by which the selection may be enlarged or softened


@dataclass(frozen=True)
class ReEdit(Subject):
    """`layer` is the one that was dragged, `old` the result of that."""

    old: Any = None
    kept: Optional[Record] = None
    change: Change = landmarks.UNCHANGED  # of the layer since then
    selection: Optional[PixelBuffer] = (
        None  # of that drag, as the layer is now; None: none was kept
    )
    notes: Tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return TITLE

    @property
    def help_page(self) -> str:
        return "plug-in-drag-diffusion-re-edit"

    @property
    def can_replace(self) -> bool:
        return True

    @property
    def record(self) -> Record:
        assert self.kept is not None
        return self.kept

    @property
    def settings(self) -> Settings:
        """As they were, lengths as the layer is now."""
        then = self.record.settings
        grow, feather = self.change.length(then.mask_grow), self.change.length(then.mask_feather)
        return replace(
            then,
            mask_grow=min(max(grow, -LONGEST), LONGEST),
            mask_feather=min(feather, LONGEST),
        )

    @property
    def has_selection(self) -> bool:
        if self.selection is None and self.record.had_selection:  # it was too large
            return super().has_selection
        return self.record.had_selection

    @property
    def drags(self) -> Tuple[Drag, ...]:
        drags, reasons = self.usable_drags()
        if len(drags) < len(self.record.drags):
            raise EditError(reasons[0])
        return drags

    def usable_drags(self) -> Tuple[Tuple[Drag, ...], List[str]]:
        moved = [self.change.drag(drag) for drag in self.record.drags]
        inside = tuple(
            drag
            for drag in moved
            if self.state.contains(drag.points[0]) and self.state.contains(drag.points[-1])
        )
        reasons = [] if len(inside) == len(moved) else [self._outside_sentence()]
        if self.record.had_selection and self.selection is None:
            reasons.append(
                _("The selection of that drag was too large to keep: the present one is taken.")
            )
        return inside, [*reasons, *self.notes]

    def _outside_sentence(self) -> str:
        return _(
            "A point of that drag lies outside layer “{layer}” now: enlarge the layer (Layer ▸ Layer to "
            "Image Size), or place that point anew in the dialog of Re-edit Drag."
        ).format(layer=self.state.name)

    @property
    def selected(self) -> Optional[Region]:
        if self.selection is not None:
            x, y, width, height = self.selection.region
            return cutout.bounds([(x, y), (x + width, y + height)], self.state)
        return super().selected if self.record.had_selection else None

    def read_selection(self, part: Region) -> Optional[PixelBuffer]:
        if self.selection is not None:
            return record.place(self.selection, part)
        return super().read_selection(part) if self.record.had_selection else None

    def read_small_selection(self, scale: float) -> Optional[SmallCoverage]:
        if self.selection is None:
            return super().read_small_selection(scale) if self.record.had_selection else None
        whole = self.read_selection(cutout.whole(self.state))
        assert whole is not None
        return record.shrink(whole, scale)

    def insert(self, edit: Edit, result: Result, *, keep_points: bool, replace: bool) -> None:
        self._insert(edit, result, keep_points, Beside(self.old, replace))


def gather(image: Any, drawables: Sequence[Any]) -> ReEdit:
    """The result that was pointed at and where it came from; EditError where it cannot be made again."""
    if image is None:
        raise EditError(_("No picture is open: open one first."))
    states = [image_io.read_state(drawable) for drawable in drawables]
    floating = image.get_floating_sel() is not None
    old_state = edit_model.check_layers(states, floating)
    old = drawables[0]
    kept = record.read(
        old_state.name,
        image_io.read_parasite(old, record.PARASITE),
        image_io.read_parasite(old, record.SELECTION_PARASITE),
    )
    layers = [layer for layer in _all_layers(image.get_layers()) if layer.get_id() != old.get_id()]
    candidates = [image_io.read_state(layer) for layer in layers]
    found = record.find_source(kept.source, candidates)
    if found is None:
        raise EditError(_gone_sentence(old_state.name, kept.source))
    source, state = layers[found], candidates[found]
    image_io.start()
    change, notes = _find_change(kept, source, state, old_state)
    return ReEdit(
        image,
        source,
        state,
        generated=read_generated(source),
        old=old,
        kept=kept,
        change=change,
        selection=_carry(kept.selection, change),
        notes=notes,
    )


def _find_change(
    kept: Record, source: Any, now: LayerState, result: LayerState
) -> Tuple[Change, Tuple[str, ...]]:
    """How the source came to be as it is, with what the user has to know; EditError where nothing tells."""
    then, pieces = kept.source, kept.landmarks
    is_as_large = (now.width, now.height) == (then.width, then.height)
    with_filters = kept.settings.with_filters
    if is_as_large and _are_in_place(pieces, source, with_filters):
        return landmarks.UNCHANGED, ()
    looks_alike = landmarks.are_alike(kept.look, image_io.read_look(source))
    change = None
    if pieces:
        picture = image_io.read_pixels(source, cutout.whole(now), with_filters)
        change = landmarks.find(pieces, picture, landmarks.TURNS[:1])
        if change is None and not is_as_large and looks_alike:
            change = landmarks.scaled_alike(then, now, kept.region, result)
        if change is None:
            change = landmarks.find(pieces, picture, landmarks.TURNS[1:])
    if change is not None:
        return change, ()
    if not (now.name == then.name or is_as_large or looks_alike):  # another, that has its tattoo
        raise EditError(_gone_sentence(result.name, then))
    if is_as_large:  # and painted on
        return landmarks.UNCHANGED, () if looks_alike or not kept.look else (_looks_sentence(now),)
    if _is_where_it_was(kept, result) and not looks_alike:  # cut, and painted on
        return Change(shift=(then.x - now.x, then.y - now.y)), (_looks_sentence(now),)
    raise EditError(
        _(
            "The size of layer “{source}” was changed since it was dragged, and nothing tells where the "
            "points of that drag lie in it now: undo that change, or drag the layer anew with Filters ▸ "
            "Drag Edit."
        ).format(source=now.name)
    )


def _are_in_place(pieces: Pieces, source: Any, with_filters: bool) -> bool:
    """Or there are none."""
    if not pieces:
        return True
    picture = image_io.read_pixels(source, landmarks.bounds(pieces), with_filters)
    return landmarks.are_in_place(pieces, picture)


def _is_where_it_was(kept: Record, result: LayerState) -> bool:
    x, y, width, height = kept.region
    box = kept.source.x + x, kept.source.y + y, width, height
    return (result.x, result.y, result.width, result.height) == box


def _carry(selection: Optional[PixelBuffer], change: Change) -> Optional[PixelBuffer]:
    """The selection as the changed layer has it."""
    if selection is None or not selection.rows or change == landmarks.UNCHANGED:
        return selection
    there = change.region(selection.region)
    turned = landmarks.turn(selection, change)
    if there[2:] == (turned.width, turned.height):
        return replace(turned, x=there[0], y=there[1])
    return _scale(turned, there)


def _scale(mask: PixelBuffer, there: Region) -> PixelBuffer:
    """The mask made to fill this region of the layer."""
    x, y, width, height = there
    rgb = bytearray(3 * len(mask.rows))
    rgb[0::3] = rgb[1::3] = rgb[2::3] = mask.rows
    kind, size = GdkPixbuf.Colorspace.RGB, (mask.width, mask.height)
    grey = GdkPixbuf.Pixbuf.new_from_bytes(
        GLib.Bytes.new(bytes(rgb)), kind, False, 8, *size, 3 * mask.width
    )
    grey = grey.scale_simple(width, height, GdkPixbuf.InterpType.BILINEAR)
    rows, line = grey.get_pixels(), grey.get_rowstride()
    lines = (rows[row * line : row * line + 3 * width : 3] for row in range(height))
    return PixelBuffer(width, height, 1, b"".join(lines), x, y)


def _looks_sentence(source: LayerState) -> str:
    return _(
        "Layer “{layer}” looks other than when it was dragged: see whether the points are still where "
        "they belong."
    ).format(layer=source.name)


def _gone_sentence(name: str, source: LayerState) -> str:
    return _(
        "Layer “{source}”, which was dragged to make “{layer}”, is not in the image any more: bring "
        "it back under that name, or drag “{layer}” itself with Filters ▸ Drag Edit."
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
    settings = subject.settings
    if config.get_property("seed") >= 0:
        settings = replace(settings, seed=config.get_property("seed"))
    for name, value in record.to_arguments(settings).items():
        arguments.set_property(name, value)
    arguments.set_property("keep-points", False)  # the layer keeps them
    return procedure, arguments
