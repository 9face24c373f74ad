"""`dragdiffusion` and `python -m dragdiffusion`."""

from __future__ import annotations

import os

# Read by libraries when they load; what the user has set stays.
_ENVIRONMENT = {
    # Threads that wait sleep instead of spinning: beside a busy GIMP that is several times faster.
    "OMP_WAIT_POLICY": "PASSIVE",
    # They talk about torchvision and casts.
    "TRANSFORMERS_VERBOSITY": "error",
    "DIFFUSERS_VERBOSITY": "error",
}


def main() -> None:
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    from dragdiffusion.cli import app

    app()


if __name__ == "__main__":
    main()
