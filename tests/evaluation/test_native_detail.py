"""A drag in a picture four times as large as the model works at, against the true picture."""

from threading import Event

import numpy as np
import pytest

from dragdiffusion.commands.bench_engine import BenchEngine, EngineOrder, drain
from dragdiffusion.engine import images
from dragdiffusion.engine.drag_types import DragRequest, Pixels, Point, Rectangle, Trajectory
from dragdiffusion.evaluation.scene_cases import make_cases
from dragdiffusion.evaluation.scene_metrics import psnr_db

_DENSITY = 4


def sharpness(image: Pixels, inside: np.ndarray) -> float:
    """Mean gradient between neighbours, levels."""
    down, right = np.gradient(image.astype(float).mean(axis=-1))
    return float(np.hypot(down, right)[inside].mean())


@pytest.mark.slow
def test_a_moved_ball_keeps_its_texture() -> None:
    case = make_cases(4, 3, _DENSITY)[3]
    height, width = case.mask.shape
    bench = BenchEngine(EngineOrder())
    request = DragRequest(
        image=np.dstack([case.image, np.full((height, width), 255, np.uint8)]),
        trajectories=tuple(
            Trajectory((Point(*handle), Point(*target))) for handle, target in case.point_pairs
        ),
        mask=case.mask,
        prompt=case.caption,
        config=bench.config,
        region=Rectangle(0, 0, width, height),
        include_raw=True,
    )
    engine = bench.torch_engine
    session, _ = drain(engine.open_session(bench.model, request, stop=Event()))
    edited, _ = drain(engine.drag(session, request, stop=Event()))

    inside = case.mask > 0
    assert edited.raw is not None
    plain = images.match_surroundings(edited.raw, request.image, case.mask, edited.region)
    detailed = edited.image[..., :3]
    gained = psnr_db(detailed[inside], case.truth[inside]) - psnr_db(
        plain[inside], case.truth[inside]
    )
    assert gained > 0.4
    assert sharpness(detailed, inside) > 1.5 * sharpness(plain, inside)
    assert sharpness(detailed, inside) < 1.1 * sharpness(case.truth, inside)
