"""The command line: arguments only; what they do is in `commands`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from dragdiffusion import __version__
from dragdiffusion.engine.config import Mode

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Drag parts of a picture where you want them.",
)
models = typer.Typer(no_args_is_help=True, help="List, download, verify and remove models.")
cache = typer.Typer(no_args_is_help=True, help="Prepared pictures on disk: show and clear.")
bench = typer.Typer(no_args_is_help=True, help="Measure.")
app.add_typer(models, name="models")
app.add_typer(cache, name="cache")
app.add_typer(bench, name="bench")

MODES = "fast: fewer steps, no fine-tuning; reference: the paper as published."


def _set(**values: Any) -> dict[str, Any]:
    """Those that were given."""
    return {name: value for name, value in values.items() if value is not None}


def _show_version(asked: bool) -> None:
    if asked:
        print(f"dragdiffusion {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Version.")
    ] = False,
) -> None:
    del version


@app.command()
def serve(
    socket: Annotated[Path | None, typer.Option(help="Unix socket instead of a free port.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1, xpu, mps.")] = None,
    dtype: Annotated[
        str | None, typer.Option(help="auto, speed, float32, float16, bfloat16.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Model of requests that name none.")] = None,
    idle_exit_minutes: Annotated[
        float | None, typer.Option(help="Exit after so long without a call; 0: never.")
    ] = None,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="End the one that runs by force first: where it hangs."),
    ] = False,
) -> None:
    """Run the daemon that does the edits."""
    from dragdiffusion.commands.errors import errors_as_exit_status
    from dragdiffusion.commands.serve import run_daemon

    with errors_as_exit_status():
        status = run_daemon(
            _set(
                socket=socket,
                device=device,
                dtype=dtype,
                default_model=model,
                idle_exit_minutes=idle_exit_minutes,
            ),
            replace=replace,
        )
    raise typer.Exit(status)


@app.command()
def edit(  # noqa: PLR0913
    input: Annotated[Path, typer.Argument(help="The picture.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the result goes.")],
    point: Annotated[
        list[str],
        typer.Option(help="HX,HY:TX,TY: handle and target in pixels; repeatable; a way has more."),
    ],
    mask: Annotated[
        Path | None, typer.Option(help="White where the picture may change, same size.")
    ] = None,
    prompt: Annotated[str, typer.Option(help="What the picture shows.")] = "",
    model: Annotated[
        str, typer.Option(help="Name, folder or .safetensors file; see `models list`.")
    ] = "",
    mode: Annotated[Mode, typer.Option(help=MODES)] = Mode.DEFAULT,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same result.")] = 0,
    lora_steps: Annotated[int | None, typer.Option(min=0)] = None,
    inversion_strength: Annotated[float | None, typer.Option()] = None,
    max_drag_steps: Annotated[int | None, typer.Option(min=0)] = None,
    learning_rate: Annotated[float | None, typer.Option()] = None,
    mask_weight: Annotated[float | None, typer.Option()] = None,
    set: Annotated[
        list[str] | None,
        typer.Option(help="NAME=VALUE: any other hyper-parameter of drag.proto; repeatable."),
    ] = None,
    whole_image: Annotated[
        bool, typer.Option("--whole-image", help="Work on the whole picture, not on a crop of it.")
    ] = False,
    raw: Annotated[
        bool, typer.Option("--raw", help="Write the model's own picture of the region.")
    ] = False,
    json: Annotated[
        Path | None, typer.Option(help="Write times, memory, tracks and settings here.")
    ] = None,
    generated: Annotated[
        bool | None,
        typer.Option(
            "--generated/--no-generated",
            help="Start from how `generate` made the picture; by default if its file says so.",
        ),
    ] = None,
) -> None:
    """Drag points of a picture to their targets."""
    from dragdiffusion.commands.edit import EditOrder, parse_settings, run_edit
    from dragdiffusion.commands.errors import errors_as_exit_status

    with errors_as_exit_status():
        run_edit(
            EditOrder(
                input=input,
                output=output,
                points=point,
                mask=mask,
                prompt=prompt,
                model=model,
                mode=mode,
                seed=seed,
                hyper_parameters=parse_settings(set or [])
                | _set(
                    lora_steps=lora_steps,
                    inversion_strength=inversion_strength,
                    max_drag_steps=max_drag_steps,
                    learning_rate=learning_rate,
                    mask_weight=mask_weight,
                ),
                whole_image=whole_image,
                raw=raw,
                json=json,
                generated=generated,
            )
        )


@app.command()
def generate(
    prompt: Annotated[str, typer.Option(help="What the picture shows.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="A .png file.")],
    negative_prompt: Annotated[str, typer.Option(help="What it is not to show.")] = "",
    seed: Annotated[int, typer.Option(min=0, max=2**64 - 1, help="Same seed, same picture.")] = 0,
    steps: Annotated[int | None, typer.Option(min=1, max=1000, help="DDIM steps.")] = None,
    guidance_scale: Annotated[
        float | None, typer.Option(min=1.0, help="How closely it keeps to the prompt; 1: freely.")
    ] = None,
    size: Annotated[str | None, typer.Option(help="Pixels: 512 or 512x768.")] = None,
    model: Annotated[
        str, typer.Option(help="Name, folder or .safetensors file; see `models list`.")
    ] = "",
) -> None:
    """Make a picture from a prompt; a drag on it starts from how it was made."""
    from dragdiffusion.commands.errors import errors_as_exit_status
    from dragdiffusion.commands.generate import GenerateOrder, run_generate

    with errors_as_exit_status():
        run_generate(
            GenerateOrder(prompt, output, negative_prompt, seed, steps, guidance_scale, size, model)
        )


@app.command()
def status() -> None:
    """Say what the daemon does."""
    from dragdiffusion.commands.daemon import show_status
    from dragdiffusion.commands.errors import errors_as_exit_status

    with errors_as_exit_status():
        raise typer.Exit(show_status())


@app.command()
def unload() -> None:
    """Free the model and the prepared pictures from the daemon's memory; it runs on."""
    from dragdiffusion.commands.daemon import unload_daemon
    from dragdiffusion.commands.errors import errors_as_exit_status

    with errors_as_exit_status():
        raise typer.Exit(unload_daemon())


@app.command()
def stop() -> None:
    """Stop the daemon; one that does not answer within a minute is ended by force."""
    from dragdiffusion.commands.daemon import stop_daemon
    from dragdiffusion.commands.errors import errors_as_exit_status

    with errors_as_exit_status():
        raise typer.Exit(stop_daemon())


@app.command()
def doctor() -> None:
    """Say what works here, what does not, and what to do."""
    from dragdiffusion.commands.doctor import run_doctor

    raise typer.Exit(run_doctor())


@models.command("list")
def models_list() -> None:
    """Say which models there are, their sizes, and where they are."""
    from dragdiffusion.commands.errors import errors_as_exit_status
    from dragdiffusion.commands.models import list_models

    with errors_as_exit_status():
        list_models()


@models.command("download")
def models_download(
    name: Annotated[str, typer.Argument(help="sd15, or a Hugging Face name like owner/model.")],
    full: Annotated[bool, typer.Option("--full", help="float32 files, twice as large.")] = False,
) -> None:
    """Download a model; one that was broken off goes on where it was."""
    from dragdiffusion.commands.errors import errors_as_exit_status
    from dragdiffusion.commands.models import download_model

    with errors_as_exit_status():
        download_model(name, full=full)


@models.command("verify")
def models_verify(name: Annotated[str, typer.Argument(help="A downloaded model.")]) -> None:
    """Compare every file of a downloaded model with its hash."""
    from dragdiffusion.commands.errors import errors_as_exit_status
    from dragdiffusion.commands.models import verify_model

    with errors_as_exit_status():
        verify_model(name)


@models.command("remove")
def models_remove(name: Annotated[str, typer.Argument(help="A downloaded model.")]) -> None:
    """Remove a downloaded model, or what has arrived of it, from the disk."""
    from dragdiffusion.commands.errors import errors_as_exit_status
    from dragdiffusion.commands.models import remove_model

    with errors_as_exit_status():
        remove_model(name)


@cache.command("show")
def cache_show() -> None:
    """Say where prepared pictures are kept, how many, and how large they are."""
    from dragdiffusion.commands.cache import show_cache
    from dragdiffusion.commands.errors import errors_as_exit_status

    with errors_as_exit_status():
        show_cache()


@cache.command("clear")
def cache_clear() -> None:
    """Remove the prepared pictures from the disk; the next edit of each prepares it again."""
    from dragdiffusion.commands.cache import clear_cache
    from dragdiffusion.commands.errors import errors_as_exit_status

    with errors_as_exit_status():
        clear_cache()


@bench.command("speed")
def bench_speed(  # noqa: PLR0913
    model: Annotated[str, typer.Option()] = "embedded",
    mode: Annotated[Mode, typer.Option(help=MODES)] = Mode.DEFAULT,
    size: Annotated[int, typer.Option(min=0, help="Side of the picture; 0: the model's.")] = 0,
    mask: Annotated[bool, typer.Option(help="Without a mask less is computed.")] = True,
    lora_steps: Annotated[int | None, typer.Option(min=0)] = None,
    max_drag_steps: Annotated[int | None, typer.Option(min=1)] = None,
    runs: Annotated[int, typer.Option(min=1, help="The median is shown.")] = 3,
    compile: Annotated[
        bool, typer.Option("--compile", help="Also with compiled blocks: takes minutes.")
    ] = False,
    json: Annotated[Path | None, typer.Option(help="Figures.")] = None,
) -> None:
    """Operations, seconds and memory of each phase, for a first and a second edit of one picture."""
    from dragdiffusion.commands.bench_speed import SpeedOrder, run_speed
    from dragdiffusion.commands.errors import errors_as_exit_status

    with errors_as_exit_status():
        order = SpeedOrder(model, mode, size, mask, lora_steps, max_drag_steps, runs, compile, json)
        run_speed(order)


@bench.command("lora")
def bench_lora(
    count: Annotated[int, typer.Option(min=1)] = 10,
    seed: Annotated[int, typer.Option(min=0)] = 3,
    model: Annotated[str, typer.Option()] = "embedded",
    drags: Annotated[bool, typer.Option("--drags", help="Also edit every scene.")] = False,
    mode: Annotated[Mode, typer.Option(help=MODES)] = Mode.REFERENCE,
    json: Annotated[Path | None, typer.Option(help="Figures.")] = None,
) -> None:
    """What fine-tuning on one picture gives for what it takes, setting by setting."""
    from dragdiffusion.commands.bench_lora import LoraOrder, run_lora
    from dragdiffusion.commands.errors import errors_as_exit_status

    with errors_as_exit_status():
        run_lora(LoraOrder(count, seed, model, drags, mode, json=json))


@bench.command("scenes")
def bench_scenes(
    count: Annotated[int, typer.Option(min=1)] = 20,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    mode: Annotated[Mode, typer.Option(help=MODES)] = Mode.DEFAULT,
    model: Annotated[str, typer.Option()] = "embedded",
    lora_steps: Annotated[int | None, typer.Option(min=0)] = None,
    json: Annotated[Path | None, typer.Option(help="Figures.")] = None,
    html: Annotated[Path | None, typer.Option(help="Folder for a page with pictures.")] = None,
) -> None:
    """Drag in rendered scenes and compare with the true result."""
    from dragdiffusion.commands.bench import BenchOrder, run_scenes
    from dragdiffusion.commands.bench_engine import EngineOrder
    from dragdiffusion.commands.errors import errors_as_exit_status

    with errors_as_exit_status():
        run_scenes(BenchOrder(count, EngineOrder(seed, mode, model, lora_steps), json, html))


@bench.command("dragbench")
def bench_dragbench(  # noqa: PLR0913
    directory: Annotated[Path, typer.Argument(help="Your copy of DragBench, either layout.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for results; a later run goes on there.")
    ],
    count: Annotated[int | None, typer.Option(min=1, help="So many cases; all by default.")] = None,
    category: Annotated[list[str] | None, typer.Option(help="Only this one; repeatable.")] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    mode: Annotated[Mode, typer.Option(help=MODES)] = Mode.DEFAULT,
    model: Annotated[str, typer.Option()] = "embedded",
    lora_steps: Annotated[int | None, typer.Option(min=0)] = None,
    features: Annotated[
        str,
        typer.Option(help="Model that finds the points; Stable Diffusion 2.1 if it is here."),
    ] = "",
    compare: Annotated[
        Path | None, typer.Option(help="Output of another run to compare with.")
    ] = None,
) -> None:
    """Drag in DragBench's photographs and measure as its authors do."""
    from dragdiffusion.commands.bench_dragbench import DragBenchOrder, run_dragbench
    from dragdiffusion.commands.bench_engine import EngineOrder
    from dragdiffusion.commands.errors import errors_as_exit_status

    engine = EngineOrder(seed, mode, model, lora_steps)
    categories = tuple(category or ())
    with errors_as_exit_status():
        run_dragbench(
            DragBenchOrder(directory, output, count, categories, features, compare, engine)
        )


@bench.command("compare")
def bench_compare(
    one: Annotated[Path, typer.Argument(help="Output of `bench dragbench`.")],
    other: Annotated[Path, typer.Argument(help="Output of another run.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder for the page; inside ONE by default."),
    ] = None,
) -> None:
    """Compare two DragBench runs, figures and pictures."""
    from dragdiffusion.commands.bench_dragbench import compare_runs
    from dragdiffusion.commands.errors import errors_as_exit_status

    with errors_as_exit_status():
        compare_runs(one, other, output)
