"""`dragdiffusion` and `python -m dragdiffusion`."""

from __future__ import annotations

import os


def main() -> None:
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")  # it talks about torchvision
    from dragdiffusion.cli import app

    app()


if __name__ == "__main__":
    main()
