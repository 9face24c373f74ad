"""The bar that shows an edit's progress in a terminal."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from dragdiffusion_rpc import drag_pb2 as rpc

_TEXTS = {
    rpc.STAGE_QUEUED: "Waiting",
    rpc.STAGE_LOADING_MODEL: "Loading the model",
    rpc.STAGE_SAMPLING: "Sampling",
    rpc.STAGE_WARPING: "Warping",
    rpc.STAGE_ENCODING: "Encoding",
    rpc.STAGE_FINE_TUNING: "Learning the picture",
    rpc.STAGE_INVERTING: "Inverting",
    rpc.STAGE_DRAGGING: "Dragging",
    rpc.STAGE_DENOISING: "Denoising",
    rpc.STAGE_COMPOSITING: "Compositing",
}


class ProgressBar:
    """Use as a context manager; silent where the console is no terminal."""

    def __init__(self, console: Console) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[left]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("Starting", total=1.0, left="")

    def __enter__(self) -> ProgressBar:
        self._bar.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.__exit__(kind, error, traceback)

    def show(self, progress: rpc.Progress) -> None:
        left = f"{progress.eta_seconds:.0f} s left" if progress.HasField("eta_seconds") else ""
        if progress.stage == rpc.STAGE_QUEUED:
            left = f"{progress.queue_position} before this one"
        self._bar.update(
            self._task,
            completed=progress.fraction,
            description=_text(progress),
            left=left,
        )


def _text(progress: rpc.Progress) -> str:
    text = _TEXTS.get(progress.stage, "Working")
    return f"{text} {progress.step}/{progress.steps}" if progress.steps > 1 else text
