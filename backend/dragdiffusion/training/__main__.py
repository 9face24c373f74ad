"""`python -m dragdiffusion.training STAGE --work FOLDER`: arguments only, no logic."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

STAGES = ("tokenizer", "vae", "unet", "decoder", "export", "quality")
LONG_STAGES = ("vae", "unet", "decoder")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m dragdiffusion.training", description=__doc__)
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("--work", type=Path, required=True, help="folder of checkpoints and logs")
    parser.add_argument("--minutes", type=float, default=20, help="time of the stage in all runs")
    parser.add_argument(
        "--decay-minutes", type=float, default=0, help="unet: falling rate at the end of the time"
    )
    parser.add_argument("--steps", type=int, help="stop this run after so many steps")
    parser.add_argument("--checkpoint", type=Path, help="export: the unet checkpoint to export")
    parser.add_argument("--model", type=Path, help="quality: the folder to judge")
    return parser


def _run(arguments: argparse.Namespace) -> None:
    """Import a stage only when it runs: each needs another part of the libraries."""
    work, minutes, steps = arguments.work, arguments.minutes, arguments.steps
    if arguments.stage == "tokenizer":
        from .tokenizer import train_tokenizer

        train_tokenizer(work)
    elif arguments.stage == "vae":
        from .vae import train_vae

        train_vae(work, minutes, step_limit=steps)
    elif arguments.stage == "unet":
        from .unet import train_unet

        train_unet(work, minutes, arguments.decay_minutes, step_limit=steps)
    elif arguments.stage == "decoder":
        from .decoder import train_decoder

        train_decoder(work, minutes, step_limit=steps)
    elif arguments.stage == "quality":
        from .quality import write_quality

        write_quality(arguments.model or work / "export", work / "quality")
    else:
        from .export import export_checkpoint

        export_checkpoint(work, arguments.checkpoint or work / "unet-0.pt")


def main() -> None:
    arguments = _parser().parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    if arguments.stage in LONG_STAGES:
        # Others pause training by this number while they measure times (kill -STOP, kill -CONT).
        (arguments.work / "pid").write_text(str(os.getpid()), "utf-8")
    _run(arguments)


if __name__ == "__main__":
    main()
