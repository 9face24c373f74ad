"""`dragdiffusion status` and `stop`."""

from __future__ import annotations

from dragdiffusion.client.connection import Connection
from dragdiffusion.client.launch import find_daemon
from dragdiffusion.commands.cache import Cache, mebibytes
from dragdiffusion.commands.errors import FAILED


def show_status() -> int:
    """Print what the daemon does; the exit status says whether there is one."""
    endpoint = find_daemon()
    if endpoint is None:
        print("No daemon runs; it starts when it is needed.")
        return FAILED
    with Connection(endpoint) as daemon:
        status = daemon.status()
    device = f"{status.device}, {status.dtype}" if status.engine_ready else "starting"
    prepared = f"{status.prepared_images} ({mebibytes(status.prepared_bytes)})"
    cache = Cache.of(status)
    lines = {
        "Version": status.version,
        "Process": f"{status.pid}, {mebibytes(status.process_memory_bytes)}",
        "Address": endpoint.address,
        "Device": device,
        "Model": status.loaded_model or "none loaded",
        "Edits": f"{status.queue_length} waiting or running",
        "Prepared images": prepared,
        "Kept on disk": f"{cache} in {cache.folder}",
        "Uploaded pixels": mebibytes(status.buffer_bytes),
        "Latest edit": status.memory_plan or "none yet",
        "Log": status.log_file,
    }
    for name, value in lines.items():
        print(f"{name + ':':<17}{value}")
    return 0


def stop_daemon() -> int:
    endpoint = find_daemon()
    if endpoint is None:
        print("No daemon runs.")
        return 0
    with Connection(endpoint) as daemon:
        daemon.shut_down()
    print("The daemon stops.")
    return 0
