"""`dragdiffusion models list | download | verify | remove`."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from dragdiffusion.commands.errors import BadInput, CommandFailed
from dragdiffusion.models import catalogue, inventory
from dragdiffusion.models import download as downloads
from dragdiffusion.models.catalogue import Kind, ModelSource
from dragdiffusion.models.inventory import Item, State

_INDENT = " " * 13


def list_models() -> None:
    for item in inventory.items():
        source = item.source
        print(f"{source.name:<12} {source.title}: {item.state.value}{_size(item)}")
        purpose = textwrap.wrap(item.purpose, 86)
        license = f"Licence: {item.license}" if item.license else ""
        for line in (*purpose, license, _where(item)):
            if line:
                print(f"{_INDENT}{line}")


def download_model(name: str, *, full: bool) -> None:
    source = _hub_source(name)
    with _bar(source.name) as (bar, task):
        for step in inventory.download(source, full=full):
            bar.update(task, completed=step.done, total=step.total, description=step.file)
    print(f"{source.title} is in {catalogue.find_files(source)}")


def verify_model(name: str) -> None:
    source = _hub_source(name)
    damaged: tuple[str, ...] = ()
    with _bar(source.name) as (bar, task):
        for step in inventory.verify(source):
            bar.update(task, completed=step.done, total=step.total, description=step.file)
            damaged = step.damaged
    if damaged:
        raise CommandFailed(
            f"Damaged: {', '.join(damaged)}. `dragdiffusion models download {name}` fetches that again."
        )
    print(f"{source.title} is whole: every file has its hash.")


def remove_model(name: str) -> None:
    source = _hub_source(name)
    print(f"{source.title} is removed: {downloads.remove(source.location) / 1e9:.2f} GB are free.")


def _hub_source(name: str) -> ModelSource:
    source = catalogue.look_up(name)
    if source.kind is not Kind.HUB:
        raise BadInput(f"{name} is not a downloaded model; it stays as it is.")
    return source


@contextmanager
def _bar(name: str) -> Iterator[tuple[Progress, TaskID]]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        yield bar, bar.add_task(name, total=None)


def _size(item: Item) -> str:
    here, total = f"{item.here_bytes / 1e6:,.0f}", f"{item.total_bytes / 1e6:,.0f}"
    if item.state is State.PARTIAL:
        return f", {here} of {total} MB" if item.total_bytes else f", {here} MB"
    if item.here_bytes:
        return f", {here} MB"
    return f", about {total} MB" if item.total_bytes else ""


def _where(item: Item) -> str:
    """The folder or file, or how to have it."""
    source = item.source
    if item.state is State.READY:
        return str(catalogue.find_files(source))
    if source.kind is not Kind.HUB:
        return "Install the program again."
    damaged = f"Damaged: {', '.join(item.damaged)}. " if item.damaged else ""
    return f"{damaged}Get it with: dragdiffusion models download {source.name}"
