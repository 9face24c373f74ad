"""The line before the device, in this process."""

from __future__ import annotations

import random
import threading
from collections.abc import Generator, Iterator
from typing import Any

import numpy as np
import pytest

from dragdiffusion.daemon.jobs import JobQueue, Queued, Stopping
from dragdiffusion.engine.drag_types import Preview, Rectangle
from dragdiffusion.engine.errors import Cancelled
from fakes.running import wait_until


@pytest.fixture
def queue() -> Iterator[JobQueue]:
    queue = JobQueue(max_waiting=1000)
    yield queue
    queue.close()
    assert queue.join(5)


def counting(stop: threading.Event) -> Generator[int, None, None]:
    for number in range(3):
        if stop.is_set():
            raise Cancelled
        yield number


def test_events_come_in_order(queue: JobQueue) -> None:
    events = list(queue.submit(counting).events())
    assert [event for event in events if not isinstance(event, Queued)] == [0, 1, 2]


def test_an_error_reaches_the_reader(queue: JobQueue) -> None:
    def failing(_stop: threading.Event) -> Generator[int, None, None]:
        yield 1
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(queue.submit(failing).events())
    assert 2 in list(queue.submit(counting).events())


def test_the_generator_is_closed_when_cancelled(queue: JobQueue) -> None:
    closed, entered = threading.Event(), threading.Event()

    def endless(_stop: threading.Event) -> Generator[int, None, None]:
        try:
            entered.set()
            while True:
                yield 0
        finally:
            closed.set()

    job = queue.submit(endless)
    entered.wait()
    queue.cancel(job)
    with pytest.raises(Cancelled):
        list(job.events())
    assert closed.wait(5)


def test_of_previews_that_nobody_read_the_newest_is_kept(queue: JobQueue) -> None:
    def previewing(_stop: threading.Event) -> Generator[Any, None, None]:
        for value in range(50):
            yield Preview(Rectangle(0, 0, 1, 1), np.full((1, 1, 3), value, np.uint8))
            yield value

    job = queue.submit(previewing)
    wait_until(lambda: queue.num_edits == 0)
    events = list(job.events())
    previews = [event for event in events if isinstance(event, Preview)]
    assert [preview.image.max() for preview in previews] == [49]
    assert [event for event in events if isinstance(event, int)] == list(range(50))


def test_closing_ends_those_who_wait_and_refuses_more() -> None:
    queue = JobQueue(max_waiting=10)
    held = threading.Event()

    def holding(_stop: threading.Event) -> Generator[int, None, None]:
        held.wait(5)
        yield 0

    jobs = [queue.submit(holding), queue.submit(counting)]
    queue.close()
    for job in jobs:
        with pytest.raises(Stopping):
            list(job.events())  # at once, though the work has not stopped yet
    assert not held.is_set()
    held.set()
    assert queue.join(5)
    with pytest.raises(Stopping):
        queue.submit(counting)


def test_many_that_come_and_go(queue: JobQueue) -> None:
    """Each ends, whoever cancels it and whenever; the line is empty then."""
    lots = random.Random(0)
    ended: list[str] = []

    def client(cancel_after: int) -> None:
        job = queue.submit(counting)
        try:
            for index, _ in enumerate(job.events()):
                if index == cancel_after:
                    queue.cancel(job)
            ended.append("done")
        except Cancelled:
            ended.append("cancelled")

    threads = [threading.Thread(target=client, args=(lots.randint(0, 6),)) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(ended) == 100
    assert {"done", "cancelled"} == set(ended)
    wait_until(lambda: queue.num_edits == 0)
