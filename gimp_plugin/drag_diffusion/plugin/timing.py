"""How long things take, for whoever measures: the environment variable DRAGDIFFUSION_TIMES names a file for it.

Each line is {"event": …, "clock": as time.monotonic() has it, "seconds": since the plug-in's first line of code, "cpu_seconds":
what its process has used, "peak_mib": the most memory that it took (Linux)}, and what else is told. No GIMP in here.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

started = time.monotonic()  # replaced by the entry file, which begins earlier


def is_wanted() -> bool:
    return bool(os.environ.get("DRAGDIFFUSION_TIMES"))


def note(event: str, **more: Any) -> None:
    if is_wanted():
        now, cpu = time.monotonic(), time.process_time()
        told = {"event": event, "clock": now, "seconds": round(now - started, 4)}
        told.update(cpu_seconds=round(cpu, 4), peak_mib=_peak_mib(), **more)
        with Path(os.environ["DRAGDIFFUSION_TIMES"]).open("a", encoding="utf-8") as file:
            file.write(json.dumps(told) + "\n")


def _peak_mib() -> float:
    """0 where the system does not tell it this way."""
    status = Path("/proc/self/status")
    lines = status.read_text(encoding="ascii").splitlines() if status.exists() else []
    peak = next((line.split()[1] for line in lines if line.startswith("VmHWM:")), "0")
    return round(int(peak) / 1024, 1)
