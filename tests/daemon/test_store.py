"""Prepared images on disk: bounded, checked, whole; and what the disk refuses costs no edit."""

from __future__ import annotations

import errno
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from dragdiffusion.daemon import store as store_module
from dragdiffusion.daemon.store import Store, Usage
from dragdiffusion.engine.errors import Cancelled
from fakes.running import wait_until

GO_ON = threading.Event()
HEAD = 40  # bytes before the payload


def name(letter: str) -> str:
    return letter * 64


def put(folder: Path, letter: str, payload: bytes, max_bytes: int = 1 << 20) -> Path:
    with closing(Store(folder, max_bytes)) as store:
        store.write_later(name(letter), lambda: payload)
    return folder / f"{name(letter)}.prepared"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "prepared"


@pytest.fixture
def store(folder: Path) -> Iterator[Store]:
    with closing(Store(folder, 1 << 20)) as store:
        yield store


def test_what_was_kept_is_read_by_a_later_process(folder: Path, store: Store) -> None:
    assert store.read(name("a"), GO_ON) is None
    assert not store.holds(name("a"))
    put(folder, "a", b"prepared")
    assert store.holds(name("a"))
    assert store.read(name("a"), GO_ON) == b"prepared"
    assert store.usage() == Usage(1, HEAD + len(b"prepared"))


@pytest.mark.skipif(sys.platform == "win32", reason="rights are of another kind")
def test_only_the_owner_may_look(folder: Path) -> None:
    file = put(folder, "a", b"prepared")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert file.stat().st_mode & 0o777 == 0o600


def _flip(file: Path, place: int) -> None:
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)


DAMAGES = {
    "empty": lambda file: file.write_bytes(b""),
    "truncated": lambda file: file.write_bytes(file.read_bytes()[:-1]),
    "longer": lambda file: file.write_bytes(file.read_bytes() + b"x"),
    "magic": lambda file: _flip(file, 0),
    "digest": lambda file: _flip(file, 10),
    "payload": lambda file: _flip(file, HEAD + 2),
    "foreign": lambda file: file.write_bytes(os.urandom(500)),
    "renamed": lambda file: put(file.parent, "b", b"another").replace(file),
    "huge": lambda file: os.truncate(file, 2 << 20),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_is_removed_and_logged(
    damage: str, folder: Path, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    file = put(folder, "a", b"prepared")
    DAMAGES[damage](file)
    with caplog.at_level(logging.WARNING):
        assert store.read(name("a"), GO_ON) is None
    assert "aaaaaaaaaaaa on disk is not used" in caplog.text
    assert not file.exists()


def test_the_least_recently_used_go_first(folder: Path) -> None:
    for letter in "abc":
        put(folder, letter, b"x" * 60)
    with closing(Store(folder, 350)) as store:
        store.read(name("a"), GO_ON)
    put(folder, "d", b"x" * 60, max_bytes=350)
    assert {file.name[0] for file in folder.iterdir()} == {"a", "c", "d"}


def test_a_lower_bound_holds_from_the_start(folder: Path) -> None:
    for letter in "abc":
        put(folder, letter, b"x" * 60)
    Store(folder, 250).close()
    assert {file.name[0] for file in folder.iterdir()} == {"b", "c"}


def test_one_that_is_larger_than_the_bound_throws_nothing_out(folder: Path) -> None:
    put(folder, "a", b"x" * 60, max_bytes=200)
    put(folder, "b", b"x" * 161, max_bytes=200)
    assert {file.name[0] for file in folder.iterdir()} == {"a"}


def test_zero_keeps_and_reads_nothing(folder: Path) -> None:
    with closing(Store(folder, 0)) as off:
        off.write_later(name("a"), lambda: b"x")
        assert not folder.exists()
    put(folder, "a", b"x")
    with closing(Store(folder, 0)) as off:
        assert off.read(name("a"), GO_ON) is None
        assert not off.holds(name("a"))


class _FullDisk:
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __enter__(self) -> _FullDisk:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stream.close()

    def write(self, content: bytes) -> None:
        self._stream.write(content[:10])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_is_a_line_in_the_log(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fdopen = os.fdopen
    monkeypatch.setattr(store_module.os, "fdopen", lambda *a, **n: _FullDisk(fdopen(*a, **n)))
    put(folder, "a", b"prepared")
    assert "is not kept on disk: [Errno 28] No space left on device" in caplog.text
    assert list(folder.iterdir()) == []


def test_a_folder_that_cannot_be_is_a_line_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    put(tmp_path / "file" / "prepared", "a", b"prepared")
    with closing(Store(tmp_path / "file" / "prepared", 1000)) as store:
        assert store.read(name("a"), GO_ON) is None
        assert store.usage() == Usage(0, 0)
    assert "is not kept on disk" in caplog.text


def test_a_defect_in_making_it_is_logged_and_the_next_is_written(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(Store(folder, 1000)) as store:
        store.write_later(name("a"), lambda: bytes(1 // 0))
        store.write_later(name("b"), lambda: b"prepared")
    assert "ZeroDivisionError" in caplog.text
    assert {file.name[0] for file in folder.iterdir()} == {"b"}


def test_writing_keeps_nobody_waiting_and_closing_waits(folder: Path) -> None:
    go = threading.Event()

    def make() -> bytes:
        assert go.wait(5)
        return b"prepared"

    store = Store(folder, 1000)
    store.write_later(name("a"), make)
    assert not store.holds(name("a"))
    go.set()
    store.close()
    assert store.holds(name("a"))


def test_the_thread_that_makes_it_ends_with_it(folder: Path, store: Store) -> None:
    """One that stays and has called torch would slow every edit after it."""
    makers: list[threading.Thread] = []

    def make() -> bytes:
        makers.append(threading.current_thread())
        return b"prepared"

    for letter in "ab":
        store.write_later(name(letter), make)
        wait_until((folder / f"{name(letter)}.prepared").exists)
    assert len(makers) == 2
    assert not any(maker.is_alive() for maker in makers)


def test_reading_stops_when_told(folder: Path, store: Store) -> None:
    put(folder, "a", b"prepared")
    stop = threading.Event()
    stop.set()
    with pytest.raises(Cancelled):
        store.read(name("a"), stop)
    assert store.read(name("a"), GO_ON) == b"prepared"


def test_clearing_removes_ours_and_nothing_else(folder: Path, store: Store) -> None:
    put(folder, "a", b"prepared")
    (folder / ".unfinished-1").write_bytes(b"half")
    (folder / "holiday.png").write_bytes(b"a picture")
    assert store.clear() == Usage(1, HEAD + len(b"prepared"))
    assert [file.name for file in folder.iterdir()] == ["holiday.png"]


def test_what_a_killed_daemon_left_is_tidied_up(folder: Path) -> None:
    folder.mkdir(parents=True)
    old, fresh = folder / ".unfinished-old", folder / ".unfinished-fresh"
    for file in (old, fresh):
        file.write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    Store(folder, 1000).close()
    assert list(folder.iterdir()) == [fresh]


def test_many_at_once_leave_only_whole_files(folder: Path) -> None:
    """Two daemons write and read the same few names in a store that has room for half of them."""
    letters = "abcdef"
    payloads = {letter: letter.encode() * 100 for letter in letters}
    with closing(Store(folder, 450)) as one, closing(Store(folder, 450)) as other:
        for turn in range(60):
            letter = letters[turn % 6]
            for store in (one, other):
                store.write_later(name(letter), lambda letter=letter: payloads[letter])
            found = other.read(name(letters[turn * 5 % 6]), GO_ON)
            assert found in (None, payloads[letters[turn * 5 % 6]])
    assert not list(folder.glob(".unfinished-*"))
    with closing(Store(folder, 450)) as last:
        pass
    assert 0 < last.usage().num_bytes <= 450
