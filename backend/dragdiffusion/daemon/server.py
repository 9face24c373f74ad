"""The composition root: builds the daemon from its parts, announces it, and stops it cleanly."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import sys
import threading
import time
from concurrent import futures
from pathlib import Path
from types import FrameType

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from dragdiffusion import __version__
from dragdiffusion.daemon import endpoint as endpoints
from dragdiffusion.daemon.authentication import Activity, TokenInterceptor
from dragdiffusion.daemon.buffers import CHUNK_BYTES, BufferStore
from dragdiffusion.daemon.endpoint import Endpoint
from dragdiffusion.daemon.jobs import JobQueue, once
from dragdiffusion.daemon.logs import start_logging, stop_logging
from dragdiffusion.daemon.progress import PaceBook
from dragdiffusion.daemon.servicer import DragDiffusionServicer
from dragdiffusion.daemon.store import Store
from dragdiffusion.daemon.workbench import Engine, Workbench
from dragdiffusion.daemon.workshop import Workshop
from dragdiffusion.settings import Settings
from dragdiffusion_rpc import drag_pb2_grpc

SERVICE = "dragdiffusion.v1.DragDiffusion"
_TAKE_OVER_SECONDS = 15.0  # how long a second daemon waits for the first to start or end
_GRACE_SECONDS = 5.0  # for running edits, when stopping
_WATCH_SECONDS = 0.25
_RPC_THREADS = 64  # a waiting edit holds one
_OPTIONS = (
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", 4 * CHUNK_BYTES),
    ("grpc.max_send_message_length", -1),
    # A client whose machine or process hangs is noticed, and its edit stopped:
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),  # no limit
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),  # of the client's, which looks too
)
_log = logging.getLogger(__name__)


def serve(settings: Settings, engine: Engine, *, replace: bool = False) -> int:
    """Run the daemon until it is told to stop or has idled long enough; the exit status."""
    file = endpoints.endpoint_file()
    if replace:
        endpoints.end(file)
    deadline = time.monotonic() + _TAKE_OVER_SECONDS
    while time.monotonic() < deadline:
        try:
            only_one = endpoints.lock(file)
        except endpoints.AlreadyRunning:
            running = endpoints.read(file)
            if running is not None and endpoints.process_lives(running.pid):
                print(f"dragdiffusion already listens on {running.address}", flush=True)
                return 0
            time.sleep(0.05)  # the other is just starting, or just ending
        else:
            with only_one:
                return Daemon(settings, engine, file).run()
    other = file.with_suffix(".lock")
    print(f"Another daemon holds {other} but does not answer: end it first.", file=sys.stderr)
    return 1


class Daemon:
    """One running daemon."""

    def __init__(self, settings: Settings, engine: Engine, file: Path) -> None:
        self._settings = settings
        self._file = file
        self._stop = threading.Event()
        state = endpoints.state_folder()
        endpoints.make_private_folder(state)
        self._log_file = start_logging(settings, state)
        store = Store(settings.store_folder, settings.store_bytes)
        self._workbench = Workbench(engine, settings.session_bytes, store)
        self._queue = JobQueue(settings.max_waiting_edits)
        self._token = secrets.token_urlsafe(32)
        self._activity = Activity()
        self._health = health.HealthServicer()
        self._server = self._build_server()

    def run(self) -> int:
        self._catch_signals()
        endpoint = Endpoint(
            self._bind(), self._token, os.getpid(), __version__, str(self._log_file)
        )
        self._server.start()
        try:
            self._set_health(health_pb2.HealthCheckResponse.SERVING)
            _log.info("version %s listens on %s", __version__, endpoint.address)
            endpoints.write(self._file, endpoint)  # last: whoever finds it finds all of that
            print(f"dragdiffusion listens on {endpoint.address}", flush=True)
            self._queue.submit(lambda _stop: once(self._warm_up), is_edit=False)
            self._watch()
        finally:
            self._shut_down(endpoint)
        return 0

    def _build_server(self) -> grpc.Server:
        server = grpc.server(
            futures.ThreadPoolExecutor(_RPC_THREADS, thread_name_prefix="rpc"),
            interceptors=[TokenInterceptor(self._token, self._activity)],
            options=_OPTIONS,
        )
        workshop = Workshop(
            settings=self._settings,
            buffers=BufferStore(self._settings.buffer_bytes, self._settings.max_image_bytes),
            queue=self._queue,
            workbench=self._workbench,
            paces=PaceBook(),
            activity=self._activity,
            log_file=str(self._log_file),
            stop_daemon=self._stop.set,
        )
        drag_pb2_grpc.add_DragDiffusionServicer_to_server(DragDiffusionServicer(workshop), server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        return server

    def _bind(self) -> str:
        socket = self._settings.socket
        if socket is None:
            return f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        endpoints.make_private_folder(socket.parent)
        umask = os.umask(0o077)
        try:
            address = f"unix:{socket.absolute()}"
            self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise OSError(f"The daemon cannot listen on {socket}: choose another path.") from error
        finally:
            os.umask(umask)
        return address

    def _catch_signals(self) -> None:
        def stop(number: int, frame: FrameType | None) -> None:
            del number, frame
            self._stop.set()

        for name in ("SIGTERM", "SIGINT", "SIGBREAK", "SIGHUP"):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), stop)

    def _warm_up(self) -> None:
        """The first work of the device's thread: import the libraries while the user still draws."""
        try:
            self._workbench.start()
        except Exception:
            _log.exception("the engine does not start")  # the first edit tells the user

    def _watch(self) -> None:
        exit_seconds = self._settings.idle_exit_minutes * 60
        release_seconds = self._settings.release_minutes * 60
        while not self._stop.wait(_WATCH_SECONDS):
            idle = min(self._queue.idle_seconds, self._activity.idle_seconds)
            if exit_seconds and idle >= exit_seconds:
                _log.info("nothing to do for %.0f s: stopping", idle)
                return
            if release_seconds and self._queue.idle_seconds >= release_seconds:
                self._release()

    def _release(self) -> None:
        """Free the model's memory, in the device's thread so that no edit is disturbed."""
        if self._workbench.loaded_model:
            _log.info("no edit for a while: the model leaves memory")
            self._queue.submit(lambda _stop: once(self._workbench.release), is_edit=False)

    def _shut_down(self, endpoint: Endpoint) -> None:
        _log.info("stopping")
        endpoints.remove(self._file, endpoint)
        self._set_health(health_pb2.HealthCheckResponse.NOT_SERVING)
        self._queue.close()
        self._server.stop(_GRACE_SECONDS).wait()
        stopped = self._queue.join(_GRACE_SECONDS)
        self._workbench.store.close()
        if self._settings.socket is not None:
            self._settings.socket.unlink(missing_ok=True)
        if not stopped:
            _log.warning("the edit did not stop in time; it ends with the process")
        stop_logging()
        if not stopped:
            os._exit(0)  # without waiting for threads that are deep in a library

    def _set_health(self, status: health_pb2.HealthCheckResponse.ServingStatus) -> None:
        for service in ("", SERVICE):
            self._health.set(service, status)
