"""What the model manager asks of the daemon: list, download, verify, remove. No GIMP in here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, AsyncIterator, List, Tuple

from dragdiffusion_rpc import drag_pb2 as rpc
from plugin import client, daemon
from plugin.client import Endpoint
from plugin.daemon import Installation
from plugin.edit_model import Models
from plugin.quantities import size_text
from plugin.translation import _

FOR_BENCHMARKS = "sd2"  # the family of models that no drag can use
READY, PARTIAL, ABSENT, DAMAGED = "ready", "partial", "absent", "damaged"
STATES = {
    rpc.MODEL_STATE_READY: READY,
    rpc.MODEL_STATE_PARTIAL: PARTIAL,
    rpc.MODEL_STATE_ABSENT: ABSENT,
    rpc.MODEL_STATE_DAMAGED: DAMAGED,
}
# What the daemon says of the models that it knows, here so that it is translated:
SENTENCES = (
    _("Embedded (small, for drawn scenes and trying out)"),
    _(
        "For simple drawn scenes and for trying out; small, at once there, fast on any computer. Not for "
        "photographs."
    ),
    _("GPL-3.0-or-later, as the program"),
    _("Stable Diffusion 1.5"),
    _(
        "For photographs, paintings and nearly everything else: the model of the paper. Best with a "
        "graphics card; minutes a drag without."
    ),
    _("CreativeML OpenRAIL-M: free, also for sale; not for the harmful uses that it lists"),
    _(
        "A Stable Diffusion 1 model of your own choice: for pictures like those that it was trained on."
    ),
    _("Only to measure with (dragdiffusion bench); no drag can use it."),
)


@dataclass(frozen=True)
class ModelInfo:
    """A model and how it is."""

    name: str
    title: str
    purpose: str
    license: str
    state: str
    here: int  # bytes on the daemon's disk
    total: int  # of a whole one; 0: not known
    damaged: Tuple[str, ...]
    can_remove: bool
    can_verify: bool
    can_use: bool
    is_default: bool

    @property
    def state_text(self) -> str:
        if self.state == READY:
            return _("Ready, the default") if self.is_default else _("Ready")
        if self.state == PARTIAL:
            return _("Partly downloaded")
        return _("Damaged") if self.state == DAMAGED else _("Not here")

    @property
    def size(self) -> str:
        if self.state == PARTIAL and self.total:
            return _("{here} of {total} are here").format(
                here=size_text(self.here), total=size_text(self.total)
            )
        return size_text(self.here or self.total) if self.here or self.total else ""


@dataclass(frozen=True)
class Listing:
    """Every model, and the room for more."""

    models: Tuple[ModelInfo, ...]
    folder: str
    free: int  # bytes

    @property
    def usable(self) -> Models:
        """Those that a drag can use now."""
        return Models(tuple(m.name for m in self.models if m.state == READY and m.can_use))


@dataclass(frozen=True)
class Transfer:
    """`done` of `total` bytes are downloaded or read; these files are damaged, so far."""

    file: str
    done: int
    total: int
    damaged: Tuple[str, ...] = ()


@dataclass(frozen=True)
class Removed:
    """So many bytes are free now."""

    freed: int


async def list_all(installation: Installation) -> AsyncIterator[Any]:
    """Progress while the daemon is started, if it does not run; then the Listing."""

    async def ask(endpoint: Endpoint) -> AsyncIterator[Any]:
        yield await _list(endpoint)

    async for event in daemon.with_daemon(installation, ask):
        yield event


async def list_usable(installation: Installation) -> AsyncIterator[Any]:
    """The Models that a drag can use now, if the daemon runs."""
    endpoint = daemon.read_endpoint(installation.endpoint_file)
    if endpoint is not None:
        yield (await _list(endpoint)).usable


async def download(installation: Installation, name: str) -> AsyncIterator[Any]:
    """Transfer, again and again. Cancelled, it keeps what has arrived for the next time."""
    async for event in _follow(
        installation, "DownloadModel", rpc.DownloadModelRequest(name=name), rpc.DownloadModelEvent
    ):
        yield Transfer(event.file, event.done_bytes, event.total_bytes)


async def verify(installation: Installation, name: str) -> AsyncIterator[Any]:
    """Transfer, again and again; the last one has every damaged file."""
    async for event in _follow(
        installation, "VerifyModel", rpc.VerifyModelRequest(name=name), rpc.VerifyModelEvent
    ):
        damaged = tuple(event.damaged_files)
        yield Transfer(event.file, event.done_bytes, event.total_bytes, damaged)


async def remove(installation: Installation, name: str) -> AsyncIterator[Any]:
    async def ask(endpoint: Endpoint) -> AsyncIterator[Any]:
        request = rpc.RemoveModelRequest(name=name)
        answer = await client.ask(endpoint, "RemoveModel", request, rpc.RemoveModelResponse, 60.0)
        yield Removed(answer.freed_bytes)

    async for event in daemon.with_daemon(installation, ask):
        if isinstance(event, Removed):
            yield event


async def _follow(
    installation: Installation, method: str, request: Any, event_class: Any
) -> AsyncIterator[Any]:
    """The stream's events alone, not those of a start."""

    def follow(endpoint: Endpoint) -> AsyncIterator[Any]:
        return client.follow(endpoint, method, request, event_class)

    async for event in daemon.with_daemon(installation, follow):
        if isinstance(event, event_class):
            yield event


async def _list(endpoint: Endpoint) -> Listing:
    request = rpc.ListModelsRequest()
    answer = await client.ask(endpoint, "ListModels", request, rpc.ListModelsResponse)
    models: List[ModelInfo] = []
    for model in answer.models:
        models.append(
            ModelInfo(
                name=model.name,
                title=_(model.title) if model.title else model.name,
                purpose=_(model.purpose) if model.purpose else "",
                license=_(model.license) if model.license else "",
                state=STATES.get(model.state, READY if model.available else ABSENT),
                here=model.here_bytes,
                total=model.download_bytes,
                damaged=tuple(model.damaged_files),
                can_remove=model.can_remove,
                can_verify=model.can_verify,
                can_use=model.family != FOR_BENCHMARKS,
                is_default=model.name == answer.default_model,
            )
        )
    return Listing(tuple(models), answer.folder, answer.free_bytes)
