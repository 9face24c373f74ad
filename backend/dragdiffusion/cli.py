"""The command line: arguments only; what they do is in `commands`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Drag parts of a picture where you want them.",
)


@app.command()
def serve(
    socket: Annotated[Path | None, typer.Option(help="Unix socket instead of a free port.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1, xpu, mps.")] = None,
    dtype: Annotated[str | None, typer.Option(help="auto, float32, float16, bfloat16.")] = None,
    model: Annotated[str | None, typer.Option(help="Model of requests that name none.")] = None,
    idle_exit_minutes: Annotated[
        float | None, typer.Option(help="Exit after so long without a call; 0: never.")
    ] = None,
) -> None:
    """Run the daemon that does the edits."""
    from dragdiffusion.commands.serve import run_daemon
    from dragdiffusion.settings import Settings

    flags: dict[str, Any] = {
        "socket": socket,
        "device": device,
        "dtype": dtype,
        "default_model": model,
        "idle_exit_minutes": idle_exit_minutes,
    }
    settings = Settings(**{name: value for name, value in flags.items() if value is not None})
    raise typer.Exit(run_daemon(settings))


@app.callback()
def _commands() -> None:
    """Several commands, even while there is one."""
