"""One drag edit as frozen values, and every sentence that says why it cannot be done. No GIMP in here.

Coordinates: pixels of the layer, x to the right, y down, (0, 0) the top left corner of its top left pixel, unless a name
says `image`: then pixels of GIMP's whole image.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Optional, Sequence, Tuple

from plugin.translation import _, ngettext

MODE_DEFAULT = -1  # of a number in the settings: the mode's own default

Point = Tuple[float, float]
Region = Tuple[int, int, int, int]  # x, y, width, height


class EditError(Exception):
    """The edit cannot be done as things stand; the text tells the user what to change."""


# ---- the picture -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class LayerState:
    """What the procedure was called on."""

    name: str
    kind: str  # "layer" (or a group, read as one), "mask" (of the layer of that name), "channel"
    width: int = 0
    height: int = 0
    x: int = 0  # of its top left corner in the image
    y: int = 0
    pixels_locked: bool = False
    has_filters: bool = False  # non-destructive ones, which an edit may leave out
    tattoo: int = 0  # by which GIMP knows it, whatever it is called; 0: unknown

    def contains(self, point: Point) -> bool:
        return 0 <= point[0] < self.width and 0 <= point[1] < self.height


@dataclass(frozen=True)
class PixelBuffer:
    """Rows of pixels of the layer or a part of it, top to bottom, without padding."""

    width: int
    height: int
    channels: int  # 4: sRGB with straight alpha; 1: linear coverage, 255 = may change
    rows: bytes
    x: int = 0  # of its top left corner in the layer
    y: int = 0

    def __post_init__(self) -> None:
        if len(self.rows) != self.width * self.height * self.channels:
            raise ValueError(f"{len(self.rows)} bytes for {self.width} × {self.height} pixels")

    @cached_property
    def sha256(self) -> bytes:
        """Its name by content, as the contract has it."""
        digest = hashlib.sha256(f"{self.width}x{self.height}x{self.channels}:".encode("ascii"))
        digest.update(self.rows)
        return digest.digest()

    @property
    def region(self) -> Region:
        return self.x, self.y, self.width, self.height


def describe_defect(what: str, error: BaseException) -> str:
    """An error that nobody foresaw, in what the user calls `what`."""
    return _("“{what}” failed, the image is as it was: {error!r}").format(what=what, error=error)


def check_floating(has_floating_selection: bool) -> None:
    if has_floating_selection:
        raise EditError(
            _(
                "There is a floating selection: anchor it first (Layer ▸ Anchor Floating Layer or Mask), "
                "then try again."
            )
        )


def check_layers(layers: Sequence[LayerState], has_floating_selection: bool = False) -> LayerState:
    """The one layer that can be edited, or the reason why there is none."""
    check_floating(has_floating_selection)
    if not layers:
        raise EditError(_("No layer is selected: select the layer to edit in the Layers dialog."))
    if len(layers) > 1:
        raise EditError(
            _(
                "{count} layers are selected: select only the one to edit in the Layers dialog."
            ).format(count=len(layers))
        )
    layer = layers[0]
    if layer.kind == "mask":
        raise EditError(
            _(
                "The mask of layer “{layer}” is being edited: click the layer's picture beside "
                "the mask in the Layers dialog."
            ).format(layer=layer.name)
        )
    if layer.kind != "layer":
        raise EditError(
            _("“{layer}” is a channel: select a layer in the Layers dialog.").format(
                layer=layer.name
            )
        )
    if layer.pixels_locked:
        raise EditError(
            _(
                "The pixels of layer “{layer}” are locked: unlock them in the Layers dialog, or "
                "select another layer."
            ).format(layer=layer.name)
        )
    return layer


# ---- the drags -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Drag:
    """The way of one handle point: its first point is the handle, its last the target."""

    stroke: str
    points: Tuple[Point, ...]


# ---- the selection ---------------------------------------------------------------------------------


def check_selection(drags: Sequence[Drag], mask: PixelBuffer, layer: LayerState) -> None:
    """Every handle must lie where the selection lets the picture change."""
    if mask.rows.count(0) == len(mask.rows):
        raise EditError(
            _(
                "The selection lies outside layer “{layer}”: select the part of the layer that "
                "may change, or select nothing (Select ▸ None)."
            ).format(layer=layer.name)
        )
    for drag in drags:
        column, row = int(drag.points[0][0]) - mask.x, int(drag.points[0][1]) - mask.y
        if not mask.rows[row * mask.width + column]:
            raise EditError(
                _(
                    "{stroke} begins outside the selection: the selection is the part that may "
                    "change, so it must hold the point to move. Enlarge it, or select nothing "
                    "(Select ▸ None)."
                ).format(stroke=drag.stroke)
            )


# ---- the request -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Settings:
    """What the dialog asks for, and what the procedure's arguments are."""

    prompt: str = ""
    mode: str = "default"  # or "fast", "reference"
    model: str = ""  # empty: the daemon's default
    seed: int = 0
    lora_steps: int = MODE_DEFAULT  # 0: none
    max_drag_steps: int = MODE_DEFAULT  # 0 too: a drag without steps is none
    mask_grow: int = 0  # pixels by which the selection is enlarged; negative: made smaller
    mask_feather: int = 0  # pixels by which its edge is softened further
    with_filters: bool = True  # dragged as its filters show it, where they can be left out


@dataclass(frozen=True)
class Generated:
    """How a layer's picture was made from a prompt: a drag can start there, as long as the pixels are the same."""

    sha256: str  # of the pixels, hexadecimal
    model: str
    prompt: str
    how: str  # JSON: the contract's Generation

    def serves(self, image: PixelBuffer, settings: Settings) -> bool:
        """Whether these pixels can be dragged so, with these settings: another prompt or model knows nothing of it."""
        is_its_own = settings.prompt in ("", self.prompt) and settings.model in ("", self.model)
        return is_its_own and image.sha256.hex() == self.sha256


@dataclass(frozen=True)
class Edit:
    """Everything that affects the result."""

    layer: LayerState
    image: PixelBuffer  # all that the edit needs of the layer
    mask: Optional[PixelBuffer]  # of the same part; None: the whole layer may change
    drags: Tuple[Drag, ...]
    settings: Settings
    preview_every: int = 0  # drag steps between two previews; 0: none
    region: Optional[Region] = None  # where the model works; None: the daemon plans it
    edit_id: str = ""  # by which the drag can be taken before its end
    selection: Optional[PixelBuffer] = None  # of which the mask was made
    generated: Optional[Generated] = None  # the drag starts from how the picture was made

    @property
    def buffers(self) -> Tuple[PixelBuffer, ...]:
        return (self.image,) if self.mask is None else (self.image, self.mask)


def from_its_making(edit: Edit, generated: Optional[Generated]) -> Edit:
    """The edit, starting from how its picture was made if it is still that picture."""
    if generated is None or not generated.serves(edit.image, edit.settings):
        return edit
    return replace(edit, generated=generated)


def check_drags(edit: Edit) -> None:
    """Whether the edit's drags can be dragged; EditError with the reason if not."""
    check_any(edit.drags)
    if edit.mask is not None:
        check_selection(edit.drags, edit.mask, edit.layer)


def check_any(drags: Sequence[Drag]) -> None:
    if not drags:
        raise EditError(
            _("There is no point to drag: press the mouse on the part to move, and pull.")
        )


def can_prepare(edit: Edit) -> bool:
    """A large picture without selection and points could only be prepared whole, which serves no drag."""
    return edit.mask is not None or bool(edit.drags)


def describe(drags: Sequence[Drag], is_masked: bool) -> str:
    """What is going to happen: "2 drags; only the selection may change."."""
    count = len(drags)
    if is_masked:
        told = ngettext(
            "{count} drag; only the selection may change.",
            "{count} drags; only the selection may change.",
            count,
        )
    else:
        told = ngettext(
            "{count} drag; the whole layer may change.",
            "{count} drags; the whole layer may change.",
            count,
        )
    return told.format(count=count)


# ---- what comes back -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Progress:
    sentence: str
    fraction: float  # of the whole edit, 0 to 1
    eta_seconds: Optional[float] = None


@dataclass(frozen=True)
class Handles:
    """Where the handle points are now."""

    points: Tuple[Point, ...]
    step: int = 0  # counted from 1
    max_steps: int = 0
    loss: float = 0.0


@dataclass(frozen=True)
class Prepared:
    """The picture is prepared, for edits in this region."""

    region: Region


@dataclass(frozen=True)
class Models:
    """What the daemon can use now."""

    names: Tuple[str, ...]


@dataclass(frozen=True)
class View:
    """A small picture of a part of the layer: for the dialog, and while the edit runs."""

    width: int
    height: int
    rgb: bytes
    x: float = 0.0  # of its top left corner in the layer
    y: float = 0.0
    scale: float = 1.0  # pixels of this picture a pixel of the layer

    def place(self, point: Point) -> Point:
        """Where a point of the layer lies in this picture."""
        return (point[0] - self.x) * self.scale, (point[1] - self.y) * self.scale


@dataclass(frozen=True)
class Result:
    """The edited part, transparent where nothing changed, at (x, y) of the layer."""

    x: int
    y: int
    pixels: PixelBuffer
    run: str  # JSON: device, model, versions, seconds, every hyper-parameter as used


def layer_name(edit: Edit) -> str:
    return _("Drag edit: {layer}").format(layer=edit.layer.name)


def remaining_text(eta_seconds: Optional[float]) -> str:
    """ "about 2 min left"; empty while nobody can tell."""
    if eta_seconds is None or eta_seconds < 1:
        return ""
    if eta_seconds < 90:
        return _("about {count} s left").format(count=round(eta_seconds))
    return _("about {count} min left").format(count=round(eta_seconds / 60))


def summary(result: Result) -> str:
    """How the result came about: "80 iterations in 31 s on cpu."."""
    run = json.loads(result.run)
    seconds = sum(phase.get("seconds", 0.0) for phase in run.get("phases", []))
    iterations = run.get("drag_steps", 0)
    if not iterations:  # fast mode has none
        told = _("Done in {seconds:.0f} s on {device}.")
    elif run.get("taken_early"):
        told = ngettext(
            "{count} iteration in {seconds:.0f} s on {device}, taken early.",
            "{count} iterations in {seconds:.0f} s on {device}, taken early.",
            iterations,
        )
    else:
        told = ngettext(
            "{count} iteration in {seconds:.0f} s on {device}.",
            "{count} iterations in {seconds:.0f} s on {device}.",
            iterations,
        )
    return told.format(count=iterations, seconds=seconds, device=run.get("device", "?"))
