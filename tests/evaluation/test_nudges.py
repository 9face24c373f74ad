"""A short drag reshapes its part where the model finds the part moved as a whole odd, and only there."""

from collections.abc import Callable, Generator, Iterator
from functools import cache
from math import ceil
from threading import Event
from typing import Any

import numpy as np
import pytest
import torch

from dragdiffusion.commands.bench_engine import BenchEngine, EngineOrder, drain, to_request
from dragdiffusion.engine import images, moved_parts
from dragdiffusion.engine.drag_types import DragRequest
from dragdiffusion.engine.editor import EditSession
from dragdiffusion.engine.plausibility import prediction_error
from dragdiffusion.evaluation.edits import ByteImage
from dragdiffusion.evaluation.scene_cases import DragCase, make_cases
from dragdiffusion.evaluation.scene_metrics import measure

Edit = Callable[..., tuple[ByteImage, int]]


@pytest.fixture(scope="module")
def engine() -> Iterator[BenchEngine]:
    """Prepares an image once, as the daemon does."""
    engine = BenchEngine(EngineOrder())
    prepare, sessions = engine.torch_engine.open_session, {}

    def open_session(
        model: Any, request: DragRequest, *, stop: Event
    ) -> Generator[Any, None, EditSession]:
        key = engine.torch_engine.session_key(model.name, request)
        if key not in sessions:
            sessions[key] = yield from prepare(model, request, stop=stop)
        return sessions[key]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(engine.torch_engine, "open_session", open_session)
        yield engine


@pytest.fixture(scope="module")
def edit(engine: BenchEngine) -> Edit:
    """`edit(case)`: the picture and the number of the UNet's passes once it is prepared; no edit is made twice."""
    passes: list[int] = []
    engine.model.unet.register_forward_hook(lambda *_: passes.append(1))

    @cache
    def made(
        case: int, target: tuple[float, float] | None = None, as_a_whole: bool = False
    ) -> tuple[ByteImage, int]:
        drag = _case(case)
        pairs = ((drag.point_pairs[0][0], target or drag.point_pairs[0][1]),)
        request = to_request(drag.image, drag.mask, pairs, drag.caption, engine.config)
        drain(engine.torch_engine.open_session(engine.model, request, stop=Event()))
        passes.clear()
        with pytest.MonkeyPatch.context() as patched:
            if as_a_whole:
                patched.setattr(moved_parts, "_NUDGE", 0.0)
            return engine.edit(request).image, len(passes)

    return made


BALL = 3
MOUTH = 27  # a wide open one that is to be shut, six pixels by the lower lip
SMILE = 77  # one that is to open, six pixels by the lower lip


@cache
def _case(number: int) -> DragCase:
    return make_cases(number + 1, 11)[number]


def _inside_psnr_db(case: int, image: ByteImage) -> float:
    return measure(_case(case), image, image).inside_psnr_db


@pytest.mark.slow
@pytest.mark.parametrize(("case", "better_than"), [(MOUTH, 18), (SMILE, 17.5)])
def test_a_mouth_is_shut_and_one_is_opened(edit: Edit, case: int, better_than: float) -> None:
    reshaped, _ = edit(case)

    assert _inside_psnr_db(case, reshaped) > better_than


@pytest.mark.parametrize("case", [MOUTH, SMILE])
def test_without_a_second_look_it_is_carried_away(edit: Edit, case: int) -> None:
    carried_away, _ = edit(case, as_a_whole=True)

    assert _inside_psnr_db(case, carried_away) < 14


def test_the_second_look_costs_24_passes_and_every_second_of_80_percent_of_the_levels_twice(
    engine: BenchEngine, edit: Edit
) -> None:
    _, passes = edit(MOUTH)
    _, passes_as_a_whole = edit(MOUTH, as_a_whole=True)

    levels = ceil(0.8 * engine.config.num_inverted_steps)
    assert passes - passes_as_a_whole == 24 + 2 * ceil(levels / 2)


@pytest.mark.slow
def test_a_ball_goes_a_short_way_as_a_ball(edit: Edit) -> None:
    x, y = _case(BALL).point_pairs[0][0]

    reconsidered, _ = edit(BALL, (x + 5, y))
    as_a_whole, _ = edit(BALL, (x + 5, y), as_a_whole=True)

    np.testing.assert_array_equal(reconsidered, as_a_whole)


def test_the_true_picture_is_likelier_than_one_whose_mouth_is_out_of_place(
    engine: BenchEngine,
) -> None:
    mouth = _case(MOUTH)
    request = to_request(mouth.image, mouth.mask, mouth.point_pairs, mouth.caption, engine.config)
    session, _ = drain(engine.torch_engine.open_session(engine.model, request, stop=Event()))
    weight = torch.from_numpy((mouth.mask > 0).astype(np.float32))[None, None]
    weight = images.to_latent_mask(weight, 32, 32, any_pixel=True)
    lower = np.where(mouth.mask[..., None] > 0, np.roll(mouth.image, 8, axis=0), mouth.image)

    true, odd = (
        prediction_error(
            session.branch,
            engine.model.encode(torch.from_numpy(picture).permute(2, 0, 1)[None] / 127.5 - 1),
            weight,
            seed=0,
            stop=Event(),
        )
        for picture in (mouth.truth, lower)
    )

    assert true < 0.8 * odd
