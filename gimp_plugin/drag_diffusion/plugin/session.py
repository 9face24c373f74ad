"""What the daemon does for one open dialog: it prepares while points are placed, and drags. No GIMP in here.

Preparing begins with the first edit that is shown to it and again when an edit needs another preparation. A drag waits for
it and works in the region that was prepared, so that the daemon finds everything done. Use, in the main thread:

    session = Session(prepare, drag, finish)      # each makes the events of an edit
    session.prepare(edit); session.drag(edit)
    for event in session.take_events(): …     # again and again
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, AsyncIterator, Callable, List, Optional, Tuple

from plugin.edit_model import Edit, Prepared, Region, Result
from plugin.worker import Finished, Job

MakeEvents = Callable[[Edit], AsyncIterator[Any]]
CLOSE_SECONDS = 5.0
EDGE = 0.06  # of the region's smaller side: a point nearer to its edge has too little around it


@dataclass(frozen=True)
class Failed:
    """Preparing or dragging ended with this error."""

    error: BaseException
    while_dragging: bool


@dataclass(frozen=True)
class Done:
    """A drag's result, with the edit that it is of."""

    edit: Edit
    result: Result


class Session:
    """One preparation and one drag at a time; each new one takes the place of the one before."""

    def __init__(self, prepare: MakeEvents, drag: MakeEvents, finish: MakeEvents) -> None:
        self._make_prepare, self._make_drag, self._make_finish = prepare, drag, finish
        self._preparing: Optional[Job] = None
        self._dragging: Optional[Job] = None
        self._edit: Optional[Edit] = None  # that is or was prepared
        self._region: Optional[Region] = None  # once it is prepared
        self._wanted: Optional[Edit] = None  # to be dragged, now or after the preparation
        self._result: Optional[Result] = None

    @property
    def is_preparing(self) -> bool:
        return self._preparing is not None

    @property
    def is_prepared(self) -> bool:
        return self._region is not None

    @property
    def is_dragging(self) -> bool:
        """Or waits to."""
        return self._wanted is not None

    @property
    def has_drag_begun(self) -> bool:
        return self._dragging is not None

    def prepare(self, edit: Edit) -> None:
        """Prepare for this edit, unless that is done or under way."""
        if self.is_dragging or self._serves(edit):
            return
        self._stop_preparing()
        self._edit, self._region = edit, None
        self._preparing = Job(lambda: self._make_prepare(edit))
        self._preparing.start()

    def drag(self, edit: Edit) -> None:
        """Drag as soon as the preparation allows it."""
        self.cancel()
        self.prepare(edit)
        self._wanted, self._result = edit, None
        if not self.is_preparing:
            self._begin()

    def take_now(self) -> None:
        """End the dragging; the result of what is reached follows."""
        edit = self._wanted
        if edit is not None and self.has_drag_begun:
            Job(lambda: self._make_finish(edit)).start()

    def cancel(self) -> None:
        """Stop the drag; what is prepared stays."""
        self._wanted = None
        job, self._dragging = self._dragging, None
        if job is not None:
            job.cancel()

    def close(self) -> None:
        """Stop all, so that the daemon hears of it."""
        jobs = [job for job in (self._preparing, self._dragging) if job is not None]
        self._preparing = self._dragging = self._wanted = None
        for job in jobs:
            job.cancel()
        for job in jobs:
            job.join(CLOSE_SECONDS)

    def take_events(self) -> List[Any]:
        """What happened since the last call; Failed, Prepared and Done end what they are about."""
        return [*self._from_preparing(), *self._from_dragging()]

    # ---- inside

    def _serves(self, edit: Edit) -> bool:
        if self._edit is None or preparation_key(self._edit) != preparation_key(edit):
            return False
        if self.is_preparing:  # its region is not known yet; whether it fits is seen afterwards
            return True
        return self._region is not None and fits(self._region, edit)

    def _stop_preparing(self) -> None:
        job, self._preparing = self._preparing, None
        if job is not None:
            job.cancel()

    def _begin(self) -> None:
        edit, region = self._wanted, self._region
        assert edit is not None
        if region is not None and not fits(region, edit):
            region = None  # the daemon plans it anew, and prepares that
        edit = self._wanted = replace(edit, region=region)
        self._dragging = Job(lambda: self._make_drag(edit))
        self._dragging.start()

    def _from_preparing(self) -> List[Any]:
        told: List[Any] = []
        while self._preparing is not None:
            event = self._preparing.next_event(0)
            if event is None:
                break
            if isinstance(event, Finished):
                self._preparing = None
                told += self._end_preparing(event)
                break
            if isinstance(event, Prepared):
                self._region = event.region
            told.append(event)
        return told

    def _end_preparing(self, finished: Finished) -> List[Any]:
        if finished.error is not None:
            self._edit, wanted, self._wanted = None, self._wanted, None
            return [Failed(finished.error, wanted is not None)]
        if self._wanted is not None:
            self._begin()
        return []

    def _from_dragging(self) -> List[Any]:
        told: List[Any] = []
        while self._dragging is not None:
            event = self._dragging.next_event(0)
            if event is None:
                break
            if isinstance(event, Finished):
                self._dragging = None
                told += self._end_dragging(event)
            elif isinstance(event, Result):
                self._result = event
            else:
                told.append(event)
        return told

    def _end_dragging(self, finished: Finished) -> List[Any]:
        edit, self._wanted = self._wanted, None
        if finished.error is not None:
            return [Failed(finished.error, True)]
        if edit is None or self._result is None:
            return []
        return [Done(edit, self._result)]


def preparation_key(edit: Edit) -> Tuple[Any, ...]:
    """Equal where the same preparation serves, apart from the region."""
    settings = edit.settings
    return (
        edit.image,
        edit.mask,
        edit.generated,
        settings.prompt,
        settings.model,
        settings.mode,
        settings.seed,
        settings.lora_steps,
    )


def fits(region: Region, edit: Edit) -> bool:
    """Whether every point lies in the region, with something around it unless the layer itself ends there."""
    x, y, width, height = region
    margin = EDGE * min(width, height)
    left = x + margin if x > 0 else 0.0
    top = y + margin if y > 0 else 0.0
    right = x + width - (margin if x + width < edit.layer.width else 0.0)
    bottom = y + height - (margin if y + height < edit.layer.height else 0.0)
    points = [point for drag in edit.drags for point in drag.points]
    return all(left <= px <= right and top <= py <= bottom for px, py in points)
