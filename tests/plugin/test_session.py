"""The session with jobs of its own making, and against the fake daemon."""

import asyncio
import time
from dataclasses import replace

import pytest
from fakes_plugin.fake_daemon import TOKEN

from plugin import client, edit_model
from plugin.client import Endpoint
from plugin.edit_model import Drag, Edit, LayerState, PixelBuffer, Prepared, Result, Settings
from plugin.session import Done, Failed, Session, fits

SIDE = 100
LAYER = LayerState("Photo", "layer", SIDE, SIDE)
IMAGE = PixelBuffer(SIDE, SIDE, 4, bytes(4 * SIDE * SIDE))
MASK = PixelBuffer(SIDE, SIDE, 1, bytes([255]) * SIDE * SIDE)
REGION = (20, 20, 60, 60)
INSIDE = Drag("a", ((40, 40), (60, 60)))
OUTSIDE = Drag("b", ((5, 5), (15, 15)))


def an_edit(*drags, mask=MASK, **settings):
    return Edit(LAYER, IMAGE, mask, drags or (INSIDE,), Settings(**settings), edit_id="e")


class Script:
    """Makes the events of prepare, drag and finish; what was asked for is in `calls`."""

    def __init__(self):
        self.calls = []
        self.cancelled = []
        self.may_prepare = self.may_drag = True
        self.error = None

    def session(self):
        return Session(self.prepare, self.drag, self.finish)

    async def prepare(self, edit):
        self.calls.append(("prepare", edit))
        await self._wait("prepare", lambda: self.may_prepare)
        if self.error:
            raise self.error
        yield Prepared(REGION)

    async def drag(self, edit):
        self.calls.append(("drag", edit))
        await self._wait("drag", lambda: self.may_drag)
        yield Result(0, 0, PixelBuffer(1, 1, 4, b"abcd"), "{}")

    async def finish(self, edit):
        self.calls.append(("finish", edit))
        self.may_drag = True
        for event in ():
            yield event

    async def _wait(self, name, may):
        try:
            while not may():
                await asyncio.sleep(0.005)
        except asyncio.CancelledError:
            self.cancelled.append(name)
            raise

    @property
    def names(self):
        return [name for name, _edit in self.calls]


def follow(session, until, seconds=10):
    """The events until a condition holds."""
    events = []
    deadline = time.monotonic() + seconds
    while not until(events):
        assert time.monotonic() < deadline, events
        events += session.take_events()
        time.sleep(0.005)
    return events


def kinds(*wanted):
    return lambda events: any(isinstance(event, wanted) for event in events)


def prepared(script, edit):
    session = script.session()
    session.prepare(edit)
    follow(session, kinds(Prepared))
    follow(session, lambda _: not session.is_preparing)
    return session


def test_what_is_prepared_is_not_prepared_again():
    script = Script()
    session = prepared(script, an_edit())
    assert session.is_prepared
    session.prepare(an_edit())
    session.prepare(an_edit(INSIDE, replace(INSIDE, points=((50, 40), (60, 50)))))
    session.prepare(an_edit(max_drag_steps=7))  # no part of the preparation
    assert script.names == ["prepare"]


@pytest.mark.parametrize(
    "changes",
    [
        {"prompt": "a dog"},
        {"model": "sd15"},
        {"mode": "reference"},
        {"seed": 4},
        {"lora_steps": 3},
        {"mask": None},
    ],
)
def test_another_preparation_takes_the_place_of_the_one_that_runs(changes):
    script = Script()
    script.may_prepare = False
    session = script.session()
    session.prepare(an_edit())
    follow(session, lambda _: script.calls)
    session.prepare(an_edit(**changes))
    follow(session, lambda _: script.cancelled == ["prepare"] and len(script.calls) == 2)
    session.close()


def test_points_outside_the_prepared_region_prepare_again():
    script = Script()
    session = prepared(script, an_edit())
    session.prepare(an_edit(OUTSIDE))
    follow(session, kinds(Prepared))
    assert script.names == ["prepare", "prepare"]


def test_a_drag_waits_for_the_preparation_and_works_in_its_region():
    script = Script()
    script.may_prepare = False
    session = script.session()
    session.prepare(an_edit())
    session.drag(an_edit())
    follow(session, lambda _: script.calls)
    time.sleep(0.05)
    session.take_events()
    assert script.names == ["prepare"]
    assert session.is_dragging
    assert not session.has_drag_begun
    script.may_prepare = True
    (done,) = follow(session, kinds(Done))[-1:]
    assert script.names == ["prepare", "drag"]
    assert done.edit.region == REGION
    assert script.calls[-1][1].region == REGION
    assert not session.is_dragging


def test_a_drag_outside_the_prepared_region_leaves_the_region_to_the_daemon():
    script = Script()
    script.may_prepare = False
    session = script.session()
    session.prepare(an_edit())
    session.drag(an_edit(OUTSIDE))
    script.may_prepare = True
    (done,) = follow(session, kinds(Done))[-1:]
    assert script.names == ["prepare", "drag"]
    assert done.edit.region is None


def test_a_drag_without_preparation_prepares_first():
    script = Script()
    session = script.session()
    session.drag(an_edit())
    follow(session, kinds(Done))
    assert script.names == ["prepare", "drag"]
    session.drag(an_edit())
    follow(session, kinds(Done))
    assert script.names == ["prepare", "drag", "drag"]


def test_cancel_ends_the_drag_alone():
    script = Script()
    script.may_drag = False
    session = prepared(script, an_edit())
    session.drag(an_edit())
    follow(session, lambda _: "drag" in script.names)
    session.cancel()
    follow(session, lambda _: script.cancelled == ["drag"])
    assert session.is_prepared
    assert not session.is_dragging
    assert session.take_events() == []


def test_cancel_while_it_waits_keeps_the_preparation():
    script = Script()
    script.may_prepare = False
    session = script.session()
    session.drag(an_edit())
    session.cancel()
    script.may_prepare = True
    follow(session, kinds(Prepared))
    follow(session, lambda _: not session.is_preparing)
    assert script.names == ["prepare"]


def test_what_is_reached_can_be_taken():
    script = Script()
    script.may_drag = False
    session = prepared(script, an_edit())
    session.take_now()  # nothing runs
    session.drag(an_edit())
    follow(session, lambda _: "drag" in script.names)
    session.take_now()
    follow(session, kinds(Done))
    assert script.names == ["prepare", "drag", "finish"]
    assert script.calls[-1][1].edit_id == "e"


@pytest.mark.parametrize("wants_drag", [False, True])
def test_a_preparation_that_fails_is_told_and_tried_again(wants_drag):
    script = Script()
    script.error = client.DaemonError("The model is not here.")
    session = script.session()
    (session.drag if wants_drag else session.prepare)(an_edit())
    (failed,) = follow(session, kinds(Failed))
    assert (str(failed.error), failed.while_dragging) == ("The model is not here.", wants_drag)
    assert not session.is_dragging
    script.error = None
    session.prepare(an_edit())
    follow(session, kinds(Prepared))


def test_close_ends_everything():
    script = Script()
    script.may_drag = False
    session = prepared(script, an_edit())
    session.drag(an_edit())
    session.close()
    assert session.take_events() == []
    assert not session.is_dragging


@pytest.mark.parametrize(
    ("region", "point", "expected"),
    [
        ((20, 20, 60, 60), (50, 50), True),
        ((20, 20, 60, 60), (21, 50), False),  # too near to its edge
        ((0, 20, 60, 60), (1, 50), True),  # the layer ends there
        ((40, 40, 60, 60), (99, 99), True),
        ((0, 0, 60, 60), (59, 59), False),
    ],
)
def test_points_fit_where_there_is_something_around_them(region, point, expected):
    assert fits(region, an_edit(Drag("a", (point, (50, 50))))) is expected


def test_a_large_picture_is_prepared_once_there_is_something_to_prepare_for():
    assert edit_model.can_prepare(an_edit())
    assert edit_model.can_prepare(an_edit(mask=None))
    assert not edit_model.can_prepare(replace(an_edit(mask=None), drags=()))
    assert edit_model.can_prepare(replace(an_edit(), drags=()))


# ---- with the fake daemon


@pytest.fixture
def live(fake_daemon):
    endpoint = Endpoint(fake_daemon.address, TOKEN)

    async def finish(edit):
        await client.finish(endpoint, edit.edit_id)
        for event in ():
            yield event

    session = Session(
        lambda edit: client.prepare(endpoint, edit),
        lambda edit: client.drag(endpoint, edit),
        finish,
    )
    yield session
    session.close()


def test_the_second_request_names_the_prepared_region(fake_daemon, live):
    live.drag(an_edit())
    (done,) = follow(live, kinds(Done))[-1:]
    (preparation,), (request,) = fake_daemon.prepared, fake_daemon.requests
    assert (request.preparation.region.width, request.preparation.region.height) == (SIDE, SIDE)
    request.preparation.ClearField("region")
    assert request.preparation == preparation
    assert done.edit.region == (0, 0, SIDE, SIDE)


def test_a_drag_is_taken_early(fake_daemon, live):
    live.drag(an_edit(prompt="slow 0.3"))
    follow(live, lambda _: bool(fake_daemon.requests))
    live.take_now()
    (done,) = follow(live, kinds(Done))[-1:]
    assert '"drag_steps": 5' not in done.result.run


def test_closing_reaches_the_daemon(fake_daemon, live):
    live.prepare(an_edit(prompt="study 0.2"))
    follow(live, lambda _: bool(fake_daemon.prepared))
    live.close()
    assert fake_daemon.unprepared.wait(2)
