"""The RPC methods about models: which there are, download, verification, removal."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from threading import Event
from typing import TypeVar

import grpc

from dragdiffusion.daemon import wire
from dragdiffusion.daemon.statuses import errors_as_statuses
from dragdiffusion.daemon.workshop import Workshop
from dragdiffusion.engine.errors import InvalidRequest, ModelUnavailable
from dragdiffusion.models import catalogue, inventory
from dragdiffusion.models import download as downloads
from dragdiffusion.models.catalogue import Kind, ModelSource
from dragdiffusion_rpc import drag_pb2 as rpc

S = TypeVar("S", downloads.DownloadStep, inventory.VerifyStep)
_EVENT_SECONDS = 0.1  # between two events of a stream
_log = logging.getLogger(__name__)


class ModelMethods:
    """A part of drag.proto's service."""

    _shop: Workshop

    def ListModels(
        self, request: rpc.ListModelsRequest, context: grpc.ServicerContext
    ) -> rpc.ListModelsResponse:
        del request
        with errors_as_statuses(context, self._shop.log_file):
            default = catalogue.default_model(self._shop.settings.default_model)
            items = inventory.items()
            if default not in [item.source for item in items]:
                items.append(inventory.look_at(default))
            folder = downloads.models_folder()
            return rpc.ListModelsResponse(
                models=[wire.from_item(item) for item in items],
                default_model=default.name,
                folder=str(folder),
                free_bytes=_free_bytes(folder),
            )

    def DownloadModel(
        self, request: rpc.DownloadModelRequest, context: grpc.ServicerContext
    ) -> Iterator[rpc.DownloadModelEvent]:
        with errors_as_statuses(context, self._shop.log_file, model_field="name"):
            source = catalogue.look_up(request.name)
            work = inventory.download(source, full=request.full, stop=_stop_event(context))
            _log.info("download of %s begins", source.location)
            for step in self._thinned(work):
                yield rpc.DownloadModelEvent(
                    file=step.file, done_bytes=step.done, total_bytes=step.total
                )
            _log.info("download of %s is done", source.location)

    def VerifyModel(
        self, request: rpc.VerifyModelRequest, context: grpc.ServicerContext
    ) -> Iterator[rpc.VerifyModelEvent]:
        with errors_as_statuses(context, self._shop.log_file, model_field="name"):
            source = catalogue.look_up(request.name)
            work = inventory.verify(source, _stop_event(context))
            for step in self._thinned(work):
                yield rpc.VerifyModelEvent(
                    file=step.file,
                    done_bytes=step.done,
                    total_bytes=step.total,
                    damaged_files=step.damaged,
                )

    def RemoveModel(
        self, request: rpc.RemoveModelRequest, context: grpc.ServicerContext
    ) -> rpc.RemoveModelResponse:
        with errors_as_statuses(context, self._shop.log_file, model_field="name"):
            source = catalogue.look_up(request.name)
            if source.kind is not Kind.HUB:
                raise InvalidRequest(
                    f"{source.title} is not a downloaded model; it stays as it is.", field="name"
                )
            self._let_go(source)
            freed = downloads.remove(source.location)
            _log.info("%s is removed from the disk", source.location)
            return rpc.RemoveModelResponse(freed_bytes=freed)

    def _let_go(self, source: ModelSource) -> None:
        """Free the model from memory; no edit may need it."""
        shop = self._shop
        if not shop.workbench.is_loaded(source):
            return
        if shop.queue.num_edits:
            raise ModelUnavailable(
                f"Edits with {source.title} wait or run: remove it when they are done."
            )
        shop.release()

    def _thinned(self, work: Generator[S, None, object]) -> Iterator[S]:
        """Not more steps than can be seen; the last one always comes. Keeps the daemon from exiting as idle."""
        told = 0.0
        last: S | None = None
        for step in work:
            self._shop.activity.touch()
            last = step
            if time.monotonic() - told >= _EVENT_SECONDS:
                told, last = time.monotonic(), None
                yield step
        if last is not None:
            yield last


def _stop_event(context: grpc.ServicerContext) -> Event:
    """Set when the call ends, however it ends."""
    stop = Event()
    if not context.add_callback(stop.set):
        stop.set()
    return stop


def _free_bytes(folder: Path) -> int:
    """Of the disk on which the folder is, or will be made."""
    there = next((path for path in (folder, *folder.parents) if path.exists()), folder)
    return shutil.disk_usage(there).free
