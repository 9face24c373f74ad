"""`dragdiffusion cache show | clear`: the prepared images on disk, whether or not a daemon runs."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from dragdiffusion.client.connection import Connection
from dragdiffusion.client.launch import find_daemon
from dragdiffusion.commands.errors import CommandFailed
from dragdiffusion.commands.serve import read_settings
from dragdiffusion.daemon.store import Store, Usage
from dragdiffusion_rpc import drag_pb2 as rpc


@dataclass(frozen=True)
class Cache:
    """Where prepared images are kept, how much of the disk they take, and how much they may; 0: none are kept."""

    folder: Path
    usage: Usage
    max_bytes: int

    @classmethod
    def of(cls, status: rpc.GetStatusResponse) -> Cache:
        usage = Usage(status.stored_images, status.store_bytes)
        return cls(Path(status.store_folder), usage, status.store_limit_bytes)

    def __str__(self) -> str:
        images, size = self.usage
        if not self.max_bytes:
            return f"{images} ({mebibytes(size)}); store_bytes is 0, so none are kept or used"
        return f"{images} ({mebibytes(size)} of at most {mebibytes(self.max_bytes)})"


def find_cache() -> Cache:
    """That of the daemon that runs, which may have other settings; else as the settings have it."""
    endpoint = find_daemon()
    if endpoint is not None:
        with Connection(endpoint) as daemon:
            status = daemon.status()
        if status.store_folder:  # a daemon of an older version keeps none
            return Cache.of(status)
    settings = read_settings({})
    with closing(Store(settings.store_folder, 0)) as store:
        return Cache(store.folder, store.usage(), settings.store_bytes)


def show_cache() -> None:
    cache = find_cache()
    print(f"{'Prepared images:':<17}{cache}")
    print(f"{'Folder:':<17}{cache.folder}")


def clear_cache() -> None:
    folder = find_cache().folder
    with closing(Store(folder, 0)) as store:
        removed, left = store.clear(), store.usage()
    several = f"{removed.images} prepared images are"
    what = "1 prepared image is" if removed.images == 1 else several
    print(f"{what} removed from {folder}: {mebibytes(removed.num_bytes)} are free.")
    if left.images:
        raise CommandFailed(f"{left.images} in {folder} cannot be removed: make it writable.")


def mebibytes(count: int) -> str:
    return f"{count / 2**20:.0f} MiB"
