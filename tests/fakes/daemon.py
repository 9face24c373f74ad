"""The real daemon with the fake engine, as a process of its own:

    python -m fakes.daemon [--step-seconds S] [--journal FILE]

Its settings come from the environment, as the real one's do. Without a default model it makes a folder that looks like one.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from dragdiffusion.daemon import endpoint
from dragdiffusion.daemon.server import serve
from dragdiffusion.settings import Settings
from fakes.engine import FakeEngine


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--step-seconds", type=float, default=0.0)
    parser.add_argument("--journal", type=Path)
    parser.add_argument("--replace", action="store_true")
    arguments = parser.parse_args()
    settings = Settings()
    if not settings.default_model:
        folder = endpoint.state_folder()
        settings = Settings(default_model=str(make_model_folder(folder / "fake-model")))
    engine = FakeEngine(arguments.step_seconds, arguments.journal)
    return serve(settings, engine, replace=arguments.replace)


def make_model_folder(folder: Path) -> Path:
    """Enough of diffusers' layout for the catalogue."""
    (folder / "unet").mkdir(parents=True, exist_ok=True)
    (folder / "model_index.json").write_text("{}")
    (folder / "unet" / "config.json").write_text(json.dumps({"cross_attention_dim": 32}))
    return folder


if __name__ == "__main__":
    sys.exit(main())
