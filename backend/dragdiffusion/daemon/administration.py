"""The RPC methods about the daemon itself: how it is, what it holds, and its end."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import grpc

from dragdiffusion import __version__
from dragdiffusion.daemon import memory
from dragdiffusion.daemon.logs import last_lines
from dragdiffusion.daemon.statuses import errors_as_statuses
from dragdiffusion.daemon.workshop import Workshop
from dragdiffusion_rpc import drag_pb2 as rpc

_MOST_LOG_LINES = 1000
_log = logging.getLogger(__name__)


class AdministrationMethods:
    """A part of drag.proto's service."""

    _shop: Workshop

    def GetStatus(
        self, request: rpc.GetStatusRequest, context: grpc.ServicerContext
    ) -> rpc.GetStatusResponse:
        shop = self._shop
        with errors_as_statuses(context, shop.log_file):
            total, free = shop.workbench.device_memory_bytes()
            store = shop.workbench.store
            stored = store.usage()
            return rpc.GetStatusResponse(
                version=__version__,
                device=shop.workbench.device.name,
                dtype=shop.workbench.device.dtype,
                engine_ready=bool(shop.workbench.device.name),
                device_memory_bytes=total,
                device_memory_free_bytes=free,
                process_memory_bytes=memory.resident_bytes(),
                loaded_model=shop.workbench.loaded_model,
                queue_length=shop.queue.num_edits,
                prepared_images=len(shop.workbench.sessions),
                prepared_bytes=shop.workbench.sessions.num_bytes,
                buffer_bytes=shop.buffers.num_bytes,
                log_file=shop.log_file,
                pid=memory.process_id(),
                idle_seconds=shop.activity.idle_seconds_before,
                store_folder=str(store.folder),
                store_bytes=stored.num_bytes,
                store_limit_bytes=store.max_bytes,
                stored_images=stored.images,
                memory_plan=shop.workbench.memory_plan,
                uptime_seconds=time.monotonic() - shop.started,
                log_lines=last_lines(Path(shop.log_file), min(request.log_lines, _MOST_LOG_LINES)),
            )

    def Unload(
        self, request: rpc.UnloadRequest, context: grpc.ServicerContext
    ) -> rpc.UnloadResponse:
        del request
        shop = self._shop
        with errors_as_statuses(context, shop.log_file):
            if shop.queue.num_edits:
                return rpc.UnloadResponse(unloaded=False)
            _log.info("asked to free the model and the prepared images")
            shop.release()
            return rpc.UnloadResponse(unloaded=True)

    def ClearStore(
        self, request: rpc.ClearStoreRequest, context: grpc.ServicerContext
    ) -> rpc.ClearStoreResponse:
        del request
        with errors_as_statuses(context, self._shop.log_file):
            store = self._shop.workbench.store
            removed, left = store.clear(), store.usage()
            _log.info("%d prepared images removed from the disk on request", removed.images)
            return rpc.ClearStoreResponse(
                removed_images=removed.images,
                removed_bytes=removed.num_bytes,
                left_images=left.images,
            )

    def Shutdown(
        self, request: rpc.ShutdownRequest, context: grpc.ServicerContext
    ) -> rpc.ShutdownResponse:
        shop = self._shop
        with errors_as_statuses(context, shop.log_file):
            if request.only_if_idle and shop.queue.num_edits:
                return rpc.ShutdownResponse(stopping=False)
            context.add_callback(shop.stop_daemon)  # once the answer is sent
            return rpc.ShutdownResponse(stopping=True)
