"""`dragdiffusion` and `python -m dragdiffusion`."""

from __future__ import annotations

import io
import os
import sys

# Read by libraries when they load; what the user has set stays.
_ENVIRONMENT = {
    # Threads that wait spin for microseconds, then sleep. Never sleeping made an edit 8 times slower beside other work,
    # sleeping at once 2 times slower on an idle machine.
    "GOMP_SPINCOUNT": "10000",
    # They talk about torchvision and casts.
    "TRANSFORMERS_VERBOSITY": "error",
    "DIFFUSERS_VERBOSITY": "error",
}


def main() -> None:
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # not every console knows every sign
            stream.reconfigure(errors="replace")
    from dragdiffusion.cli import app

    app()


if __name__ == "__main__":
    main()
