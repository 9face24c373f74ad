"""What goes on behind the dialog: the layer is read part by part, the picture is prepared, drags run. Main thread only.

What talks to the daemon is imported here, after the dialog is on the screen: it takes longer than all the rest.
"""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any, Callable, Generator, Optional, Tuple

from gi.repository import GLib

from plugin import cutout, edit_model, timing
from plugin.edit_model import Drag, Edit, PixelBuffer, Prepared, Region
from plugin.subject import Subject, read_settings, shape

POLL_MILLISECONDS = 40
PAUSE_MILLISECONDS = 700  # without a change before it is prepared again
PREVIEW_EVERY = 5  # iterations


class Background:
    """Tells `on_event` what happens: the session's events, `PixelBuffer` when the layer or the mask is read, an exception."""

    def __init__(
        self,
        subject: Subject,
        config: Any,
        get_drags: Callable[[], Tuple[Drag, ...]],
        on_event: Callable[[Any], None],
    ) -> None:
        self._subject, self._config = subject, config
        self._get_drags, self._on_event = get_drags, on_event
        self._image: Optional[PixelBuffer] = None  # once it is read: the part that is needed
        self._has_read_filters = True  # it is with the layer's filters
        self._selection: Optional[PixelBuffer] = None
        self._mask: Optional[PixelBuffer] = None  # made of it
        self._mask_is_read = False
        self._session: Any = None  # once it is loaded
        self._listing: Any = None  # the call that asks the daemon for its models
        self.starts_from_its_making = False  # known once the image is read
        self._is_drag_wanted = False
        self._is_reading = True
        self._pause = 0
        self._has_ended = False

    def start(self) -> None:
        self._do_when_idle(self._begin())

    @property
    def is_working(self) -> bool:
        """A drag runs, or waits for what it needs."""
        return self._is_drag_wanted or bool(self._session and self._session.is_dragging)

    @property
    def has_drag_begun(self) -> bool:
        return bool(self._session and self._session.has_drag_begun)

    @property
    def is_prepared(self) -> bool:
        return bool(self._session and self._session.is_prepared)

    # ---- what the user does

    def change(self, *, mask: bool = False) -> None:
        """Points or settings changed: prepare for them once nothing has changed for a while."""
        self._mask_is_read = self._mask_is_read and not mask
        if self._pause:
            GLib.source_remove(self._pause)
        self._pause = GLib.timeout_add(PAUSE_MILLISECONDS, self._end_pause)

    def drag(self) -> None:
        """Drag as soon as everything is read and prepared; EditError if it cannot be."""
        edit_model.check_any(self._get_drags())
        if not self._has_read():
            self._is_drag_wanted = True
            return
        edit = self._edit()
        self._is_drag_wanted = False
        edit_model.check_drags(edit)
        self._session.drag(replace(edit, edit_id=uuid.uuid4().hex))

    def take_now(self) -> None:
        self._session.take_now()

    def cancel(self) -> None:
        self._is_drag_wanted = False
        if self._session is not None:
            self._session.cancel()

    def end(self) -> None:
        """Stop all; the daemon hears of it."""
        self._has_ended = True
        if self._pause:
            GLib.source_remove(self._pause)
        if self._listing is not None:
            self._listing.forget()
        if self._session is not None:
            self._session.close()

    # ---- reading

    def _go_on(self, reading: Generator[None, None, None]) -> bool:
        try:
            if not self._has_ended:
                next(reading)
                return GLib.SOURCE_CONTINUE
        except StopIteration:
            pass
        except Exception as error:  # the dialog tells it
            self._on_event(error)
        return GLib.SOURCE_REMOVE

    def _do_when_idle(self, work: Generator[None, None, None]) -> None:
        GLib.idle_add(lambda: self._go_on(work))

    def _begin(self) -> Generator[None, None, None]:
        from plugin import daemon, model_calls, session

        yield
        installation = daemon.read_installation()
        self._list_models = lambda: model_calls.list_usable(installation)
        self._session = session.Session(
            lambda edit: daemon.prepare(edit, installation),
            lambda edit: daemon.drag(edit, installation),
            lambda edit: daemon.finish(edit, installation),
        )
        GLib.timeout_add(POLL_MILLISECONDS, self._poll)
        yield from self._read()

    def _read(self) -> Generator[None, None, None]:
        """What is needed now of the layer; then go on with what waits for it."""
        part = self._plan()
        if part is not None:
            self._image = None  # not both at once
            self._has_read_filters = self._config.get_property("with-filters")
            image = yield from self._subject.read_pixels(part, self._has_read_filters)
            timing.note("pixels read", pixels=image.width * image.height)
            self._on_event(image)
            yield
            self._image, self._mask_is_read = image, False
        self._is_reading = False
        if self._is_drag_wanted:
            self.drag()
        else:
            self._prepare()

    def _plan(self) -> Optional[Region]:
        now = None if self._image is None else self._image.region
        subject, settings = self._subject, read_settings(self._config)
        return cutout.plan(subject.state, subject.selected, self._get_drags(), settings, now)

    def _has_read(self) -> bool:
        """Whether all is read that is needed now; if not, it will be."""
        if self._is_reading:
            return False
        part = self._plan()
        is_same = self._has_read_filters == self._config.get_property("with-filters")
        if part is None or (self._image is not None and self._image.region == part and is_same):
            return self._image is not None
        self._is_reading = True
        self._do_when_idle(self._read())
        return False

    def _edit(self) -> Edit:
        """What would be dragged now."""
        settings = read_settings(self._config)
        assert self._image is not None
        if not self._mask_is_read:
            self._selection = self._subject.read_selection(self._image.region)
            self._mask, self._mask_is_read = shape(self._selection, settings), True
            if self._mask is not None:
                self._on_event(self._mask)
        edit = Edit(
            self._subject.state,
            self._image,
            self._mask,
            self._get_drags(),
            settings,
            PREVIEW_EVERY,
            selection=self._selection,
        )
        edit = edit_model.from_its_making(edit, self._subject.generated)
        self.starts_from_its_making = edit.generated is not None
        return edit

    # ---- preparing

    def _prepare(self) -> None:
        if not self._has_read():
            return
        edit = self._edit()
        if not self.is_working and edit_model.can_prepare(edit):
            self._session.prepare(edit)

    def _end_pause(self) -> bool:
        self._pause = 0
        self._prepare()
        return GLib.SOURCE_REMOVE

    def _poll(self) -> bool:
        if self._has_ended:
            return GLib.SOURCE_REMOVE
        for event in self._session.take_events():
            if isinstance(event, Prepared):  # the daemon runs
                self._ask_for_models()
            self._on_event(event)
        return GLib.SOURCE_CONTINUE

    def _ask_for_models(self) -> None:
        """Once; where it fails, names can still be typed."""
        from plugin.calls import Call

        if self._listing is None:
            self._listing = Call(self._list_models, self._on_event, lambda _error: None)
