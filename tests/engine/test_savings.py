"""The savings change no number, and at Stable Diffusion 1.5's shape a second edit takes less than half the time.

Numbers are compared in float64: in float32 the mask term's slope, which is a sign, is decided by rounding in places, and so by the
order of sums, which the savings change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from threading import Event
from time import process_time

import numpy as np
import pytest
import torch

from dragdiffusion.engine import editor
from dragdiffusion.engine.config import DragConfig, LoraConfig, Mode
from dragdiffusion.engine.diffusion_model import DiffusionModel
from dragdiffusion.engine.drag_types import DragRequest, EditedImage, Point, Rectangle, Trajectory
from dragdiffusion.engine.editor import EditSession
from dragdiffusion.models import catalogue
from dragdiffusion.models.families import Family
from dragdiffusion.models.load import Placement, load_model, place
from dragdiffusion.models.profiles import default_config
from engine.tiny_model import make_request, run
from engine.without_savings import without_savings
from fakes.sd15_shape import make_model


def _embedded() -> DiffusionModel:
    return load_model(catalogue.resolve(catalogue.EMBEDDED), place("cpu", "float32"))


def _of_the_shape_of_sd15() -> DiffusionModel:
    return make_model(torch.float32, device=torch.device("cpu"))


def _request(config: DragConfig) -> DragRequest:
    size = config.working_size
    rows, cols = np.mgrid[0:size, 0:size] / size
    disc = 255 * ((rows - 0.4) ** 2 + (cols - 0.4) ** 2 < 0.02)
    image = np.stack([disc, rows * 255, cols * 255, np.full_like(rows, 255)], axis=-1)
    mask = np.zeros((size, size), np.uint8)
    mask[size // 4 : -size // 4, size // 4 : -size // 4] = 255
    return make_request(
        config,
        image=image.astype(np.uint8),
        trajectories=(Trajectory((Point(0.4 * size, 0.4 * size), Point(0.6 * size, 0.5 * size))),),
        mask=mask,
        prompt="a sun",
        region=Rectangle(0, 0, size, size),
    )


def _edit_without_savings(
    model: DiffusionModel, session: EditSession, request: DragRequest
) -> EditedImage:
    """All that follows fine-tuning."""
    config = replace(request.config, lora=LoraConfig(steps=0))
    with without_savings(model), editor.lora.applied(model, session.lora):
        inverted = run(editor.open_session(model, replace(request, config=config), stop=Event()))
    with without_savings(model):
        again = replace(inverted, lora=session.lora, key=session.key)
        return run(editor.drag(again, request, stop=Event()))


def _config(model: DiffusionModel, *, size: int, levels: int, drag_steps: int) -> DragConfig:
    return replace(
        default_config(Mode.REFERENCE, Family(model.family)),
        working_size=size,
        lora=LoraConfig(steps=1, batch_size=1),
        num_inference_steps=levels,
        inversion_strength=1.0,
        max_drag_steps=drag_steps,
        arrival_distance=0.0,
    )


@pytest.fixture
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_the_picture_is_the_same_without_savings() -> None:
    model = load_model(
        catalogue.resolve(catalogue.EMBEDDED), Placement(torch.device("cpu"), torch.float64)
    )
    request = _request(_config(model, size=64, levels=4, drag_steps=6))
    session = run(editor.open_session(model, request, stop=Event()))

    edited = run(editor.drag(session, request, stop=Event()))
    unsaved = _edit_without_savings(model, session, request)

    assert edited.drag_steps == unsaved.drag_steps == 6
    np.testing.assert_array_equal(edited.image, unsaved.image)


@pytest.mark.slow
@pytest.mark.usefixtures("alone", "one_thread")
@pytest.mark.parametrize(
    ("make", "size", "levels", "drag_steps", "times", "at_least"),
    [  # the paper's 35 levels and 80 steps, about in proportion
        # A third of the embedded model's time is the start of its thousand small operations.
        pytest.param(_embedded, 128, 4, 10, 2, 1.5, id="embedded"),
        pytest.param(_of_the_shape_of_sd15, 64, 1, 2, 1, 2.0, id="sd15-shape"),
    ],
)
def test_a_second_edit_is_that_much_faster_than_without_savings(
    make: Callable[[], DiffusionModel],
    size: int,
    levels: int,
    drag_steps: int,
    times: int,
    at_least: float,
) -> None:
    """Of several times the shortest counts: other processes want the processor's caches too."""
    model = make()
    request = _request(_config(model, size=size, levels=levels, drag_steps=drag_steps))
    session = run(editor.open_session(model, request, stop=Event()))

    with_savings, without = [], []
    for _ in range(times):
        began = process_time()
        edited = run(editor.drag(session, request, stop=Event()))
        between = process_time()
        unsaved = _edit_without_savings(model, session, request)
        with_savings.append(between - began)
        without.append(process_time() - between)
    ratio = min(without) / min(with_savings)
    print(f"second edit: {ratio:.2f} times as fast as without savings")

    assert edited.drag_steps == unsaved.drag_steps == drag_steps
    assert np.abs(edited.image.astype(int) - unsaved.image).mean() < 1
    assert ratio >= at_least
