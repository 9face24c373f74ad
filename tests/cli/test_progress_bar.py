"""What the bar of the command line says, as a terminal gets it."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from dragdiffusion.commands import progress_bar
from dragdiffusion.commands.progress_bar import ProgressBar
from dragdiffusion_rpc import drag_pb2 as rpc


def shown(progress: rpc.Progress, *, terminal: bool = True) -> str:
    written = StringIO()
    console = Console(file=written, force_terminal=terminal, color_system=None, width=100)
    with ProgressBar(console) as bar:
        bar.show(progress)
    return written.getvalue()


@pytest.mark.parametrize(
    ("progress", "words"),
    [
        (
            rpc.Progress(
                stage=rpc.STAGE_DRAGGING, fraction=0.5, eta_seconds=12.4, step=3, steps=20
            ),
            ["Dragging 3/20 ", " 50% ", " 12 s left"],
        ),
        (
            rpc.Progress(stage=rpc.STAGE_QUEUED, queue_position=3),
            ["Waiting ", " 0% ", " 3 before this one"],
        ),
        (
            rpc.Progress(stage=rpc.STAGE_COMPOSITING, fraction=1, eta_seconds=0, step=1, steps=1),
            ["Compositing ", " 100% ", " 0 s left"],
        ),
    ],
)
def test_stage_share_and_time_left_are_shown(progress: rpc.Progress, words: list[str]) -> None:
    last = shown(progress).split("Starting")[-1]
    assert [word for word in words if word not in last] == []


def test_a_time_that_cannot_be_told_is_not_told() -> None:
    said = shown(rpc.Progress(stage=rpc.STAGE_LOADING_MODEL))
    assert "Loading the model " in said
    assert "left" not in said


def test_every_stage_has_words() -> None:
    assert set(progress_bar._TEXTS) == set(rpc.Stage.values()) - {rpc.STAGE_UNSPECIFIED}


def test_without_a_terminal_nothing_is_written() -> None:
    assert shown(rpc.Progress(stage=rpc.STAGE_DRAGGING), terminal=False) == ""
