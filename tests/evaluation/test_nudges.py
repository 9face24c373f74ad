"""A short drag reshapes its part where the model finds the part moved as a whole odd, and only there."""

from collections.abc import Iterator
from math import ceil
from threading import Event

import numpy as np
import pytest
import torch

from dragdiffusion.commands.bench_engine import BenchEngine, EngineOrder, drain, to_request
from dragdiffusion.engine import images, moved_parts
from dragdiffusion.engine.plausibility import prediction_error
from dragdiffusion.evaluation.edits import ByteImage
from dragdiffusion.evaluation.scene_cases import DragCase, make_cases
from dragdiffusion.evaluation.scene_metrics import measure


@pytest.fixture(scope="module")
def engine() -> BenchEngine:
    return BenchEngine(EngineOrder())


@pytest.fixture(scope="module")
def mouth() -> DragCase:
    """A wide open one that is to be shut, six pixels by the lower lip."""
    return make_cases(28, 11)[27]


@pytest.fixture
def moved_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patched:
        patched.setattr(moved_parts, "_NUDGE", 0.0)
        yield


@pytest.fixture(scope="module")
def smile() -> DragCase:
    """One that is to open, six pixels by the lower lip."""
    return make_cases(78, 11)[77]


def _edit(engine: BenchEngine, case: DragCase, *, target: tuple[float, float]) -> ByteImage:
    pairs = ((case.point_pairs[0][0], target),)
    return engine.edit(to_request(case.image, case.mask, pairs, case.caption, engine.config)).image


def _inside_psnr_db(case: DragCase, image: ByteImage) -> float:
    return measure(case, image, image).inside_psnr_db


def test_a_mouth_is_shut(engine: BenchEngine, mouth: DragCase) -> None:
    shut = _edit(engine, mouth, target=mouth.point_pairs[0][1])

    assert _inside_psnr_db(mouth, shut) > 18


def test_a_mouth_is_opened(engine: BenchEngine, smile: DragCase) -> None:
    opened = _edit(engine, smile, target=smile.point_pairs[0][1])

    assert _inside_psnr_db(smile, opened) > 17.5


@pytest.mark.usefixtures("moved_as_a_whole")
@pytest.mark.parametrize("name", ["mouth", "smile"])
def test_without_a_second_look_it_is_carried_away(
    engine: BenchEngine, name: str, request: pytest.FixtureRequest
) -> None:
    case = request.getfixturevalue(name)

    carried_away = _edit(engine, case, target=case.point_pairs[0][1])

    assert _inside_psnr_db(case, carried_away) < 14


def test_the_second_look_costs_24_passes_and_every_second_of_80_percent_of_the_levels_twice(
    engine: BenchEngine, mouth: DragCase, request: pytest.FixtureRequest
) -> None:
    passes: list[int] = []
    hook = engine.model.unet.register_forward_hook(lambda *_: passes.append(1))

    _edit(engine, mouth, target=mouth.point_pairs[0][1])
    reshaped = len(passes)
    request.getfixturevalue("moved_as_a_whole")
    _edit(engine, mouth, target=mouth.point_pairs[0][1])
    hook.remove()

    levels = ceil(0.8 * engine.config.num_inverted_steps)
    assert reshaped - (len(passes) - reshaped) == 24 + 2 * ceil(levels / 2)


def test_a_ball_goes_a_short_way_as_a_ball(
    engine: BenchEngine, request: pytest.FixtureRequest
) -> None:
    ball = make_cases(4, 11)[3]
    x, y = ball.point_pairs[0][0]

    reconsidered = _edit(engine, ball, target=(x + 5, y))
    request.getfixturevalue("moved_as_a_whole")

    np.testing.assert_array_equal(reconsidered, _edit(engine, ball, target=(x + 5, y)))


def test_the_true_picture_is_likelier_than_one_whose_mouth_is_out_of_place(
    engine: BenchEngine, mouth: DragCase
) -> None:
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
