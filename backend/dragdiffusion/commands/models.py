"""`dragdiffusion models list | download | rm`."""

from __future__ import annotations

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from dragdiffusion.commands.errors import BadInput
from dragdiffusion.models import catalogue
from dragdiffusion.models import download as downloads
from dragdiffusion.models.catalogue import Kind, ModelSource


def list_models() -> None:
    for source in [*catalogue.known_models(), *_other_downloads()]:
        print(f"{source.name:<12} {_size(source):>15}  {source.title}")
        print(f"{'':<12} {'':>15}  {_where(source)}")


def download_model(name: str, *, full: bool) -> None:
    source = _hub_source(name)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(source.name, total=None)
        for step in downloads.download(source.location, full=full):
            bar.update(task, completed=step.done, total=step.total, description=step.file)
    print(f"{source.title} is in {catalogue.find_files(source)}")


def remove_model(name: str) -> None:
    source = _hub_source(name)
    print(f"{source.title} is removed: {downloads.remove(source.location) / 1e9:.2f} GB are free.")


def _hub_source(name: str) -> ModelSource:
    source = catalogue.look_up(name)
    if source.kind is not Kind.HUB:
        raise BadInput(f"{name} is not a downloaded model; it stays as it is.")
    return source


def _other_downloads() -> list[ModelSource]:
    known = {downloads.model_folder(source.location) for source in catalogue.known_models()}
    folders = sorted(downloads.models_folder().glob("*--*"))
    return [
        catalogue.look_up(folder.name.replace("--", "/", 1))
        for folder in folders
        if folder not in known
    ]


def _size(source: ModelSource) -> str:
    here = catalogue.size_bytes(source)
    if here:
        return f"{here / 1e6:,.0f} MB"
    return f"about {source.download_bytes / 1e6:,.0f} MB" if source.download_bytes else ""


def _where(source: ModelSource) -> str:
    if catalogue.is_available(source):
        return str(catalogue.find_files(source))
    if source.kind is Kind.HUB:
        return f"not here: dragdiffusion models download {source.name}"
    return "missing"
