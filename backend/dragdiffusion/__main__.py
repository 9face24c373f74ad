"""`dragdiffusion` and `python -m dragdiffusion`."""

from __future__ import annotations


def main() -> None:
    from dragdiffusion.cli import app

    app()


if __name__ == "__main__":
    main()
