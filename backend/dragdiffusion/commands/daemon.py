"""`dragdiffusion status`, `unload` and `stop`."""

from __future__ import annotations

import sys

from dragdiffusion.client.connection import Connection
from dragdiffusion.client.launch import (
    find_daemon,
    find_silent_daemon,
    say_silent,
    wait_for_answer,
)
from dragdiffusion.commands.cache import Cache, mebibytes
from dragdiffusion.commands.errors import FAILED, CommandFailed
from dragdiffusion.daemon import endpoint as endpoints

BUSY_SECONDS = 60.0  # without an answer: it hangs, as for calls that run (client/connection.py)


def show_status() -> int:
    """Print what the daemon does; the exit status says whether there is one."""
    endpoint = find_daemon()
    if endpoint is None:
        silent = find_silent_daemon()
        print(say_silent(silent) if silent else "No daemon runs; it starts when it is needed.")
        return FAILED
    with Connection(endpoint) as daemon:
        status = daemon.status()
    device = f"{status.device}, {status.dtype}" if status.engine_ready else "starting"
    total, free = status.device_memory_bytes, status.device_memory_free_bytes
    prepared = f"{status.prepared_images} ({mebibytes(status.prepared_bytes)})"
    cache = Cache.of(status)
    lines = {
        "Version": status.version,
        "Process": f"{status.pid}, {mebibytes(status.process_memory_bytes)}",
        "Running for": duration(status.uptime_seconds),
        "Address": endpoint.address,
        "Device": device,
        "Device's memory": f"{mebibytes(free)} of {mebibytes(total)} are free" if total else "",
        "Model": status.loaded_model or "none loaded",
        "Edits": f"{status.queue_length} waiting or running",
        "Prepared images": prepared,
        "Kept on disk": f"{cache} in {cache.folder}",
        "Uploaded pixels": mebibytes(status.buffer_bytes),
        "Latest edit": status.memory_plan or "none yet",
        "Log": status.log_file,
    }
    for name, value in lines.items():
        if value:
            print(f"{name + ':':<17}{value}")
    return 0


def unload_daemon() -> int:
    """Let the daemon free the model's memory; the exit status says whether it did."""
    endpoint = find_daemon()
    if endpoint is None:
        print("No daemon runs: no model is in memory.")
        return 0
    with Connection(endpoint) as daemon:
        before = daemon.status()
        if not daemon.unload():
            raise CommandFailed("Edits wait or run: unload when they are done.")
        after = daemon.status()
    if not before.loaded_model:
        print("No model was in memory.")
        return 0
    freed = max(0, before.process_memory_bytes - after.process_memory_bytes)
    print(f"{before.loaded_model} has left memory: the daemon takes {mebibytes(freed)} less.")
    return 0


def duration(seconds: float) -> str:
    """For people: "3 h 12 min", "5 min", "40 s"."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if minutes else f"{rest} s"


def stop_daemon() -> int:
    """One that does not answer is waited for, since it may be busy, and then ended by force."""
    endpoint = find_daemon()
    silent = find_silent_daemon()
    if endpoint is None and silent is not None:
        print(
            f"The daemon, process {silent.pid}, does not answer: it is busy, or it hangs. It has "
            f"{BUSY_SECONDS:.0f} s; then it is ended by force. Ctrl+C leaves it as it is.",
            file=sys.stderr,
        )
        endpoint = wait_for_answer(BUSY_SECONDS)
    if endpoint is None:
        ended = endpoints.end(endpoints.endpoint_file())
        told = f"The daemon, process {ended}, did not answer: it was ended by force."
        print(told if ended else "No daemon runs.")
        return 0
    with Connection(endpoint) as daemon:
        daemon.shut_down()
    print("The daemon stops.")
    return 0
