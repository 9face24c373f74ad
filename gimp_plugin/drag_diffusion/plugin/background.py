"""What goes on behind the dialog: the layer is read part by part, the picture is prepared, drags run. Main thread only.

What talks to the daemon is imported here, after the dialog is on the screen: it takes longer than all the rest.
"""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any, Callable, Generator, Optional, Tuple

from gi.repository import GLib

from plugin import edit_model, timing
from plugin.edit_model import Drag, Edit, Models, PixelBuffer, Prepared
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
        self._image: Optional[PixelBuffer] = None  # once it is read
        self._selection: Optional[PixelBuffer] = None
        self._mask: Optional[PixelBuffer] = None  # made of it
        self._mask_is_read = False
        self._session: Any = None  # once it is loaded
        self._listing: Any = None  # the job that asks the daemon for its models
        self._is_drag_wanted = False
        self._pause = 0
        self._has_ended = False

    def start(self) -> None:
        reading = self._read()
        GLib.idle_add(lambda: self._go_on(reading))

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
        if self._image is None:
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

    def _read(self) -> Generator[None, None, None]:
        from plugin import daemon, session

        yield
        installation = daemon.read_installation()
        self._list_models = lambda: daemon.list_models(installation)
        self._session = session.Session(
            lambda edit: daemon.prepare(edit, installation),
            lambda edit: daemon.drag(edit, installation),
            lambda edit: daemon.finish(edit, installation),
        )
        image = yield from self._subject.read_pixels()
        timing.note("pixels read")
        self._on_event(image)
        yield
        self._image = image
        GLib.timeout_add(POLL_MILLISECONDS, self._poll)
        if self._is_drag_wanted:
            self.drag()
        else:
            self._prepare()

    def _edit(self) -> Edit:
        """What would be dragged now."""
        settings = read_settings(self._config)
        if not self._mask_is_read:
            self._selection = self._subject.read_selection()
            self._mask, self._mask_is_read = shape(self._selection, settings), True
            if self._mask is not None:
                self._on_event(self._mask)
        assert self._image is not None
        return Edit(
            self._subject.state,
            self._image,
            self._mask,
            self._get_drags(),
            settings,
            PREVIEW_EVERY,
            selection=self._selection,
        )

    # ---- preparing

    def _prepare(self) -> None:
        edit = self._edit()
        if not self.is_working and edit_model.can_prepare(edit):
            self._session.prepare(edit)

    def _end_pause(self) -> bool:
        self._pause = 0
        if self._image is not None:
            self._prepare()
        return GLib.SOURCE_REMOVE

    def _poll(self) -> bool:
        if self._has_ended:
            return GLib.SOURCE_REMOVE
        for event in self._session.take_events():
            if isinstance(event, Prepared):  # the daemon runs
                self._ask_for_models()
            self._on_event(event)
        models = self._listing.next_event(0) if self._listing is not None else None
        if isinstance(models, Models):
            self._on_event(models)
        return GLib.SOURCE_CONTINUE

    def _ask_for_models(self) -> None:
        """Once; where it fails, names can still be typed."""
        from plugin.worker import Job

        if self._listing is None:
            self._listing = Job(self._list_models)
            self._listing.start()
