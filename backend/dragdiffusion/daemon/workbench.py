"""The one device: its loaded model and its prepared images, in memory and on disk. Runs one edit, as a generator, from beginning to end.

The engine is behind a protocol, so that this and everything above it is tested with a fake and starts without torch.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Generator, Hashable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol, TypeVar

from dragdiffusion.daemon import memory
from dragdiffusion.daemon.sessions import SessionStore
from dragdiffusion.daemon.store import Store
from dragdiffusion.engine.config import Generation
from dragdiffusion.engine.drag_types import (
    DragRequest,
    EditedImage,
    EditEvent,
    Pixels,
    Rectangle,
    Stage,
    StageStep,
)
from dragdiffusion.engine.errors import InvalidRequest, OutOfMemory, UnusableArchive
from dragdiffusion.models.catalogue import ModelSource

E = TypeVar("E")
_log = logging.getLogger(__name__)
_GENERATED_BYTES = 256 << 20  # of pictures and their latents, in the computer's memory
_SESSION_SHARE = 0.25  # of the device's memory, at most, for prepared images


@dataclass(frozen=True)
class Device:
    """What the edits run on."""

    name: str = ""  # "cuda:0 NVIDIA GeForce RTX 4090", "cpu"
    dtype: str = ""
    torch_version: str = ""
    diffusers_version: str = ""


class Session(Protocol):
    """A prepared image."""

    @property
    def region(self) -> Rectangle: ...
    @property
    def num_bytes(self) -> int: ...
    @property
    def phase_seconds(self) -> dict[str, float]: ...


class GeneratedPicture(Protocol):
    """A picture that a model made, and what a drag on it starts from."""

    @property
    def pixels(self) -> Pixels: ...
    @property
    def num_bytes(self) -> int: ...
    @property
    def phase_seconds(self) -> dict[str, float]: ...


class Engine(Protocol):
    """What the daemon needs of the engine; daemon/torch_engine.py has the real one."""

    def start(self) -> Device:
        """Import the libraries and choose the device."""
        ...

    def load(self, source: ModelSource) -> Any: ...
    def validate(self, request: DragRequest) -> None: ...
    def session_key(self, model_name: str, request: DragRequest) -> Hashable: ...
    def generate(
        self, model: Any, generation: Generation, *, stop: threading.Event
    ) -> Generator[StageStep, None, GeneratedPicture]: ...
    def open_session(
        self,
        model: Any,
        request: DragRequest,
        *,
        stop: threading.Event,
        generated: Any = None,
    ) -> Generator[StageStep, None, Session]: ...
    def drag(
        self,
        session: Any,
        request: DragRequest,
        *,
        stop: threading.Event,
        enough: threading.Event | None = None,
    ) -> Generator[EditEvent, None, EditedImage]: ...
    def archive_name(self, model: Any, key: Hashable) -> str:
        """Stands for everything that the preparation depends on, in this and any later process."""
        ...

    def archive(self, session: Any) -> bytes: ...
    def restore(
        self, model: Any, request: DragRequest, payload: bytes, *, stop: threading.Event
    ) -> Generator[StageStep, None, Session]:
        """The session again; UnusableArchive where the payload does not fit."""
        ...

    @property
    def memory_plan(self) -> str:
        """How the latest edit keeps within the memory that there is, for people; "" before the first."""
        ...

    def economize(self) -> bool:
        """Use as little memory as can be, until a model is loaded; False: that is done already."""
        ...

    def free(self) -> None:
        """Give unused memory back to the device and the system."""
        ...

    def reset_peak_memory(self) -> None: ...
    def peak_memory_bytes(self) -> int: ...
    def device_memory_bytes(self) -> tuple[int, int]:
        """In all, and free."""
        ...


@dataclass(frozen=True)
class Run:
    """How an edit went."""

    device: Device
    model: str
    phases: dict[str, float]
    peak_memory_bytes: int
    drag_steps: int
    prepared_before: bool
    taken_early: bool = False
    memory_plan: str = ""


@dataclass(frozen=True)
class Prepared:
    """The last event of prepare()."""

    region: Rectangle
    run: Run


@dataclass(frozen=True, eq=False)
class Edited:
    """The last event of drag()."""

    image: EditedImage
    run: Run


@dataclass(frozen=True, eq=False)
class Generated:
    """The last event of generate()."""

    pixels: Pixels
    run: Run


@dataclass
class _Loaded:
    source: ModelSource
    model: Any
    seconds: float


class Workbench:
    """Used by one thread at a time, but for what only reads."""

    def __init__(self, engine: Engine, session_bytes: int, store: Store) -> None:
        self._engine = engine
        self._loaded: _Loaded | None = None
        self.store = store
        self.sessions: SessionStore[Session] = SessionStore(session_bytes)
        self._generated: SessionStore[GeneratedPicture] = SessionStore(_GENERATED_BYTES)
        self.device = Device()

    @property
    def loaded_model(self) -> str:
        loaded = self._loaded
        return loaded.source.name if loaded else ""

    def is_loaded(self, source: ModelSource) -> bool:
        loaded = self._loaded
        return loaded is not None and loaded.source == source

    def is_prepared(self, source: ModelSource, request: DragRequest) -> bool:
        """Whether drag() will find the image prepared, as it looks now."""
        loaded = self._loaded
        if loaded is None or loaded.source != source:
            return False
        self._validate(request)
        key = self._engine.session_key(source.name, request)
        if self.sessions.get(key) is not None:
            return True
        return self.store.holds(self._engine.archive_name(loaded.model, key))

    def start(self) -> None:
        """Import the libraries; also done by the first edit."""
        if not self.device.name:
            self.device = self._engine.start()
            total, _ = self._engine.device_memory_bytes()
            self.sessions.limit(int(total * _SESSION_SHARE))

    @property
    def memory_plan(self) -> str:
        return self._engine.memory_plan if self.device.name else ""

    def device_memory_bytes(self) -> tuple[int, int]:
        """In all, and free."""
        return self._engine.device_memory_bytes() if self.device.name else (0, 0)

    def generate(
        self, source: ModelSource, generation: Generation, stop: threading.Event
    ) -> Generator[StageStep | Generated, None, None]:
        yield from self._with_room(lambda: self._generate(source, generation, stop))

    def prepare(
        self, source: ModelSource, request: DragRequest, stop: threading.Event
    ) -> Generator[StageStep | Prepared, None, None]:
        yield from self._with_room(lambda: self._prepare(source, request, stop))

    def drag(
        self,
        source: ModelSource,
        request: DragRequest,
        stop: threading.Event,
        enough: threading.Event | None = None,
    ) -> Generator[EditEvent | Edited, None, None]:
        """`stop` throws the edit away; `enough` makes what is there the result."""
        if not request.trajectories:
            raise InvalidRequest(
                "Set at least one handle point and its target.",
                field="trajectories",
            )
        yield from self._with_room(lambda: self._drag(source, request, stop, enough))

    def _with_room(
        self, attempt: Callable[[], Generator[E, None, None]]
    ) -> Generator[E, None, None]:
        """Where memory does not suffice, try once more with less, and without the other prepared images."""
        self.start()
        self._engine.reset_peak_memory()
        try:
            shortage = yield from _shortage_of(attempt())
            if shortage and self._make_room():
                _log.warning("%s It is tried once more, in less memory.", shortage)
                shortage = yield from _shortage_of(attempt())
            if shortage:
                self.release()
                raise OutOfMemory(shortage)
        finally:
            self._engine.free()

    def _make_room(self) -> bool:
        """Whether there is hope now."""
        had_sessions = len(self.sessions) > 0
        self.sessions.clear()
        saves_more = self._engine.economize()
        self._engine.free()
        return had_sessions or saves_more

    def _generate(
        self, source: ModelSource, generation: Generation, stop: threading.Event
    ) -> Generator[StageStep | Generated, None, None]:
        model = yield from self._model(source)
        picture, before = yield from self._picture(source, model, generation, stop)
        phases = {} if before else picture.phase_seconds
        yield Generated(picture.pixels, self._run(source, phases, 0, before))

    def _prepare(
        self, source: ModelSource, request: DragRequest, stop: threading.Event
    ) -> Generator[StageStep | Prepared, None, None]:
        self._validate(request)
        model = yield from self._model(source)
        session, phases, before = yield from self._session(source, model, request, stop)
        yield Prepared(session.region, self._run(source, phases, 0, before))

    def _drag(
        self,
        source: ModelSource,
        request: DragRequest,
        stop: threading.Event,
        enough: threading.Event | None,
    ) -> Generator[EditEvent | Edited, None, None]:
        self._validate(request)
        model = yield from self._model(source)
        session, phases, before = yield from self._session(source, model, request, stop)
        image = yield from self._engine.drag(session, request, stop=stop, enough=enough)
        phases = phases | {
            phase: seconds
            for phase, seconds in image.phase_seconds.items()
            if phase not in session.phase_seconds
        }
        run = self._run(source, phases, image.drag_steps, before)
        yield Edited(image, replace(run, taken_early=image.taken_early))

    def _validate(self, request: DragRequest) -> None:
        if request.trajectories:  # none of them are needed to prepare
            self._engine.validate(request)

    def release(self) -> None:
        """Forget the model and every prepared image."""
        self.sessions.clear()
        self._generated.clear()
        self._loaded = None
        if self.device.name:
            self._engine.free()

    def _model(self, source: ModelSource) -> Generator[StageStep, None, Any]:
        if self._loaded is not None and self._loaded.source == source:
            self._loaded.seconds = 0.0
            return self._loaded.model
        yield StageStep(Stage.LOADING_MODEL, 0, 1)
        began = time.monotonic()
        self.release()  # sessions hold the model that they were opened with
        model = self._engine.load(source)
        self._loaded = _Loaded(source, model, time.monotonic() - began)
        yield StageStep(Stage.LOADING_MODEL, 1, 1)
        return model

    def _session(
        self, source: ModelSource, model: Any, request: DragRequest, stop: threading.Event
    ) -> Generator[StageStep, None, tuple[Session, dict[str, float], bool]]:
        """The prepared image, the seconds that this took, and whether it was prepared before: here or on disk."""
        key = self._engine.session_key(source.name, request)
        known = self.sessions.get(key)
        if known is not None:
            return known, {}, True
        name = self._engine.archive_name(model, key)
        session = yield from self._restored(name, model, request, stop)
        before = session is not None
        if session is None:
            session = yield from self._open(source, model, request, stop)
            self.store.write_later(name, partial(self._engine.archive, session))
        self.sessions.put(key, session)
        return session, session.phase_seconds, before

    def _restored(
        self, name: str, model: Any, request: DragRequest, stop: threading.Event
    ) -> Generator[StageStep, None, Session | None]:
        payload = self.store.read(name, stop)
        if payload is None:
            return None
        try:
            return (yield from self._engine.restore(model, request, payload, stop=stop))
        except UnusableArchive as error:
            self.store.discard(name, str(error))
            return None

    def _open(
        self, source: ModelSource, model: Any, request: DragRequest, stop: threading.Event
    ) -> Generator[StageStep, None, Session]:
        """A generated image whose latents are no longer here is sampled again."""
        picture = None
        if request.generation is not None:
            picture, _ = yield from self._picture(source, model, request.generation, stop)
        opening = self._engine.open_session(model, request, stop=stop, generated=picture)
        return (yield from opening)

    def _picture(
        self, source: ModelSource, model: Any, generation: Generation, stop: threading.Event
    ) -> Generator[StageStep, None, tuple[GeneratedPicture, bool]]:
        """The picture, and whether it was here already."""
        key = (source.name, generation)
        known = self._generated.get(key)
        if known is not None:
            return known, True
        picture = yield from self._engine.generate(model, generation, stop=stop)
        self._generated.put(key, picture)
        return picture, False

    def _run(
        self, source: ModelSource, phases: dict[str, float], drag_steps: int, before: bool
    ) -> Run:
        load = {"load": self._loaded.seconds} if self._loaded and self._loaded.seconds else {}
        peak = self._engine.peak_memory_bytes() or memory.peak_bytes()
        plan = self._engine.memory_plan
        run = Run(self.device, source.name, load | phases, peak, drag_steps, before)
        return replace(run, memory_plan=plan)


def _shortage_of(work: Generator[E, None, None]) -> Generator[E, None, str]:
    """What the work says if memory does not suffice; its error, which holds on to tensors, is gone then."""
    try:
        yield from work
    except OutOfMemory as error:
        return str(error)
    return ""
