"""`python -m dragdiffusion.training STAGE --work FOLDER`: arguments only, no logic."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .machine import Machine

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
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="what trains")
    parser.add_argument("--workers", type=int, help="processes that render scenes for a card")
    parser.add_argument("--batch-size", type=int, help="scenes a step, else the recipe's")
    parser.add_argument("--learning-rate", type=float, help="highest rate, else the recipe's")
    parser.add_argument(
        "--channels-last", action="store_true", help="unet: this layout for convolutions"
    )
    parser.add_argument(
        "--half-norms", action="store_true", help="unet: norms in bfloat16: less memory traffic"
    )
    parser.add_argument(
        "--no-graph", action="store_true", help="unet: start a card's operations one by one"
    )
    parser.add_argument(
        "--start", type=Path, help="unet: an exported folder whose weights to begin with"
    )
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
        from .vae import VaeRecipe, train_vae

        train_vae(
            work,
            minutes,
            recipe=replace(VaeRecipe(), **_changes(arguments)),
            machine=_machine(arguments),
            step_limit=steps,
        )
    elif arguments.stage == "unet":
        from .denoiser import UnetRecipe
        from .unet import train_unet

        plain = UnetRecipe() if arguments.device == "cpu" else UnetRecipe.for_card()
        train_unet(
            work,
            minutes,
            arguments.decay_minutes,
            recipe=replace(plain, **_changes(arguments)),
            machine=_machine(arguments),
            step_limit=steps,
            start=arguments.start,
        )
    elif arguments.stage == "decoder":
        from .decoder import DecoderRecipe, train_decoder

        train_decoder(
            work,
            minutes,
            recipe=replace(DecoderRecipe(), **_changes(arguments)),
            machine=_machine(arguments),
            step_limit=steps,
        )
    elif arguments.stage == "quality":
        from .quality import write_quality

        write_quality(arguments.model or work / "export", work / "quality")
    else:
        from .export import export_checkpoint

        export_checkpoint(work, arguments.checkpoint or work / "unet-0.pt")


def _changes(arguments: argparse.Namespace) -> dict[str, Any]:
    """What differs from a stage's recipe."""
    given = {"batch_size": arguments.batch_size, "learning_rate": arguments.learning_rate}
    return {name: value for name, value in given.items() if value is not None}


def _machine(arguments: argparse.Namespace) -> Machine:
    from .machine import Machine

    return Machine.of(
        arguments.device,
        arguments.workers,
        channels_last=arguments.channels_last,
        half_norms=arguments.half_norms,
        records=not arguments.no_graph,
    )


def main() -> None:
    arguments = _parser().parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    if arguments.stage in LONG_STAGES:
        # Others pause training by this number while they measure times (kill -STOP, kill -CONT).
        (arguments.work / "pid").write_text(str(os.getpid()), "utf-8")
    _run(arguments)


if __name__ == "__main__":
    main()
