"""Which models there are and how each is: whole, partly here, not here, damaged; and their verification by hashes."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from threading import Event

from dragdiffusion.engine.errors import DragDiffusionError, InvalidRequest, ModelUnavailable
from dragdiffusion.models import catalogue, records
from dragdiffusion.models import download as downloads
from dragdiffusion.models.catalogue import Kind, ModelSource
from dragdiffusion.models.download import DownloadStep
from dragdiffusion.models.families import Family
from dragdiffusion.models.records import BLOCK_BYTES, HubFile, Record, check_download

_PURPOSES = {
    Family.SD1: "A Stable Diffusion 1 model of your own choice: for pictures like those that it was "
    "trained on.",
    Family.SD2: "Only to measure with (dragdiffusion bench); no drag can use it.",
}


class State(str, Enum):
    """How a model's files are."""

    READY = "ready"
    PARTIAL = "partly downloaded"
    ABSENT = "not here"
    DAMAGED = "damaged"


@dataclass(frozen=True)
class Item:
    """A model and how it is."""

    source: ModelSource
    state: State
    here_bytes: int  # on this disk
    total_bytes: int  # of a whole one; 0: not known
    purpose: str
    license: str
    damaged: tuple[str, ...]  # paths, where that is known
    can_remove: bool  # it lies in the daemon's models folder
    can_verify: bool


@dataclass(frozen=True)
class VerifyStep:
    """`done` of `total` bytes are read; so far these files are damaged or missing."""

    file: str
    done: int
    total: int
    damaged: tuple[str, ...]


def items() -> list[Item]:
    """The models that have a short name, and what else was downloaded."""
    return [look_at(source) for source in [*catalogue.known_models(), *_other_downloads()]]


def look_at(source: ModelSource) -> Item:
    """How this model is, without reading its weights."""
    if source.kind is Kind.HUB:
        return _look_at_download(source)
    here = catalogue.size_bytes(source)
    state = State.READY if here else State.DAMAGED
    purpose = source.purpose or _PURPOSES.get(source.family, "")
    return Item(source, state, here, here, purpose, source.license, (), False, False)


def _look_at_download(source: ModelSource) -> Item:
    folder = downloads.model_folder(source.location)
    record = records.read(downloads.record_file(source.location))
    whole = downloads.cached_snapshot(source.location)
    ours = folder.is_dir() and not folder.is_symlink()
    here = _num_bytes(whole or folder)
    state = State.READY
    if whole is None:
        state = State.PARTIAL if here else State.ABSENT
        if downloads.was_whole(folder) or (record and record.damaged):
            state = State.DAMAGED
    elif source.base and not catalogue.is_available(catalogue.resolve(source.base)):
        state = State.PARTIAL
    return Item(
        source,
        state,
        here,
        record.num_bytes if record else here if whole else source.download_bytes,
        source.purpose or _PURPOSES.get(source.family, ""),
        source.license or (record.license if record else ""),
        record.damaged if record else (),
        can_remove=ours,
        can_verify=state in (State.READY, State.DAMAGED),
    )


def download(
    source: ModelSource, *, full: bool = False, stop: Event | None = None
) -> Generator[DownloadStep, None, None]:
    """As `download.download`; of LoRA factors what they change too, if it is not here."""
    if source.kind is not Kind.HUB:
        raise InvalidRequest(f"{source.title} needs no download.", field="name")
    yield from downloads.download(source.location, full=full, stop=stop)
    base = catalogue.look_up(source.name).base
    if base and not catalogue.is_available(catalogue.resolve(base)):
        yield from download(catalogue.resolve(base), full=full, stop=stop)


def verify(
    source: ModelSource, stop: Event | None = None
) -> Generator[VerifyStep, None, tuple[str, ...]]:
    """Read every file and compare its hash; what is damaged, which is remembered until it is downloaded again."""
    stop = stop or Event()
    if source.kind is not Kind.HUB:
        raise InvalidRequest(
            f"{source.title} was not downloaded: there are no hashes to verify it with.",
            field="name",
        )
    name = source.location
    if not look_at(source).can_verify:
        raise ModelUnavailable(f"{source.title} is not whole here: download it first.")
    folder = downloads.model_folder(name)
    if not downloads.was_whole(folder) and downloads.cached_snapshot(name):
        return (yield from _compare(Path(str(downloads.hub_snapshot(name))), None, stop))
    with records.sole_use(downloads.record_file(name), name, stop):
        record = records.read(downloads.record_file(name)) or _record_of(name, folder)
        damaged = yield from _compare(folder, record.files, stop)
        records.write(downloads.record_file(name), replace(record, damaged=damaged))
    return damaged


def _compare(
    folder: Path, files: tuple[HubFile, ...] | None, stop: Event
) -> Generator[VerifyStep, None, tuple[str, ...]]:
    """Without `files`: as the names in Hugging Face's cache have it."""
    files = _files_of_hub_cache(folder) if files is None else files
    total, before = sum(file.size for file in files), 0
    damaged: tuple[str, ...] = ()
    for file in files:
        digest, done = file.new_digest(), 0
        for block in _blocks(folder / file.path):
            check_download(stop)
            digest.update(block)
            done += len(block)
            yield VerifyStep(file.path, min(before + done, total), total, damaged)
        same = not file.expected or digest.hexdigest() == file.expected
        if done != file.size or not same:
            damaged = (*damaged, file.path)
        before += file.size
        yield VerifyStep(file.path, before, total, damaged)
    return damaged


def _blocks(file: Path) -> Iterator[bytes]:
    """Nothing where there is no such file."""
    try:
        with file.open("rb") as stream:
            while block := stream.read(BLOCK_BYTES):
                yield block
    except OSError:
        return


def _record_of(name: str, folder: Path) -> Record:
    """Of a model that was downloaded before records were kept: as the hub has it now."""
    listing = downloads.list_files(name)
    here = tuple(file for file in listing.files if (folder / file.path).is_file())
    return replace(listing, files=here)


def _files_of_hub_cache(snapshot: Path) -> tuple[HubFile, ...]:
    """There each file is a link to one that is named by its hash; what is no link has none."""
    files = []
    for path in sorted(file for file in snapshot.rglob("*") if file.is_file()):
        blob = path.resolve()
        digits = blob.name if path.is_symlink() else ""
        large = digits if len(digits) == 64 else ""
        name = path.relative_to(snapshot).as_posix()
        files.append(HubFile(name, blob.stat().st_size, large, "" if large else digits))
    return tuple(files)


def _other_downloads() -> list[ModelSource]:
    known = {downloads.model_folder(source.location) for source in catalogue.known_models()}
    found = []
    for folder in sorted(downloads.models_folder().glob("*--*")):
        if folder in known or not folder.is_dir():
            continue
        try:
            found.append(catalogue.look_up(folder.name.replace("--", "/", 1)))
        except DragDiffusionError:  # no name of the hub, or of a family that nothing here can use
            continue
    return found


def _num_bytes(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
