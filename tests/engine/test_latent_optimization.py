"""The bookkeeping of the loop."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from threading import Event
from typing import Any

import pytest
import torch

from dragdiffusion.engine import editor, latent_optimization
from dragdiffusion.engine.config import DragConfig
from dragdiffusion.engine.diffusion_model import DiffusionModel
from dragdiffusion.engine.drag_types import FeaturePoint, Point, Trajectory
from dragdiffusion.engine.latent_optimization import (
    DragProblem,
    HandleProgress,
    _LevelOptimizer,
    optimize,
)
from engine.tiny_model import edit, make_config, make_request, reference_config, run


def _progress(*points: tuple[float, float]) -> HandleProgress:
    trajectory = tuple(FeaturePoint(*point) for point in points)
    return HandleProgress((trajectory,), arrival_distance=2.0)


def test_waypoints_are_followed_in_order() -> None:
    progress = _progress((0, 0), (10, 0), (10, 10))
    assert progress.goals == [FeaturePoint(10, 0)]
    progress.move((FeaturePoint(9.0, 0.0),))
    assert progress.goals == [FeaturePoint(10, 10)]
    assert progress.arrived == [False]
    progress.move((FeaturePoint(10.0, 9.0),))
    assert progress.arrived == [True]


def test_waypoints_that_are_near_are_passed_at_once() -> None:
    assert _progress((0, 0), (0, 1), (0, 1.5), (0, 9)).goals == [FeaturePoint(0, 9)]


def test_a_loop_does_not_arrive_before_it_begins() -> None:
    assert _progress((0, 0), (9, 9), (0, 0)).arrived == [False]


def _reference_problem(model: DiffusionModel, *ways: tuple[FeaturePoint, ...]) -> DragProblem:
    request = make_request(reference_config())
    session = run(editor.open_session(model, request, stop=Event()))
    return replace(editor.pose(session, request), trajectories=ways)


@pytest.mark.parametrize(("remaining", "num_steps"), [(1.9, 1), (2.0, 3)])
def test_reference_mode_ends_where_every_handle_is_less_than_two_feature_pixels_away(
    model: DiffusionModel, monkeypatch: pytest.MonkeyPatch, remaining: float, num_steps: int
) -> None:
    handle, near, target = (FeaturePoint(4.0, col) for col in (3.0, 12.0 - remaining, 12.0))
    problem = _reference_problem(model, (handle, target))
    monkeypatch.setattr(latent_optimization, "track_points", lambda *_, **__: (near,))
    assert len(list(optimize(problem, stop=Event()))) == num_steps

    progress = HandleProgress(problem.trajectories, arrival_distance=2.0)
    at_level = _LevelOptimizer(problem, problem.start, level=problem.branch.top_level)
    loss = at_level.iterate(progress, track=True)
    assert (loss is None) == (num_steps == 1)
    assert torch.equal(at_level.latent, problem.start) == (num_steps == 1)


def test_in_reference_mode_a_handle_that_has_arrived_pulls_no_more(model: DiffusionModel) -> None:
    moving = FeaturePoint(9.0, 3.0), FeaturePoint(9.0, 12.0)
    alone = next(optimize(_reference_problem(model, moving), stop=Event()))
    for remaining, is_left_out in ((1.9, True), (2.0, False)):
        other = FeaturePoint(4.0, 10.0 - remaining), FeaturePoint(4.0, 10.0)
        step = next(optimize(_reference_problem(model, moving, other), stop=Event()))
        assert (step.drag_step.loss == pytest.approx(alone.drag_step.loss)) == is_left_out
        assert torch.equal(step.latent, alone.latent) == is_left_out


def test_reference_mode_stays_at_one_level_and_the_default_goes_down(
    model: DiffusionModel,
) -> None:
    for config, levels in ((reference_config(), [3, 3, 3]), (make_config(), [4, 4, 3, 3])):
        request = make_request(config)
        session = run(editor.open_session(model, request, stop=Event()))
        steps = list(optimize(editor.pose(session, request), stop=Event()))
        assert [step.level for step in steps] == levels


def test_the_lock_keeps_the_reference_outside_the_mask(model: DiffusionModel) -> None:
    request = make_request(mask=_left_half())
    session = run(editor.open_session(model, request, stop=Event()))
    for step in optimize(editor.pose(session, request), stop=Event()):
        reference = session.branch.latents[step.level]
        torch.testing.assert_close(step.latent[..., 4:], reference[..., 4:])
        assert not torch.allclose(step.latent[..., :4], reference[..., :4])


def test_the_mask_term_holds_the_latent_outside_the_mask(model: DiffusionModel) -> None:
    changes = []
    for weight in (0.0, 100.0):
        config = reference_config(mask_weight=weight, max_drag_steps=3)
        request = make_request(config, mask=_left_half())
        session = run(editor.open_session(model, request, stop=Event()))
        *_, last = optimize(editor.pose(session, request), stop=Event())
        changes.append(float((last.latent - session.branch.latents[-1])[..., 4:].abs().sum()))
    assert changes[1] < 0.9 * changes[0]


@pytest.mark.parametrize(
    "make", [make_config, reference_config, lambda: reference_config(guidance_scale=3.0)]
)
def test_what_was_recorded_is_what_the_loop_would_see(
    model: DiffusionModel, make: Callable[[], DragConfig]
) -> None:
    request = make_request(make(), mask=_left_half())
    session = run(editor.open_session(model, request, stop=Event()))
    unrecorded = replace(session, branch=replace(session.branch, views={}))
    results, passes = [], []
    for prepared in (session, unrecorded):
        with _counted_passes(model) as count:
            steps = list(optimize(editor.pose(prepared, request), stop=Event()))
        results.append(steps[-1].latent)
        passes.append(len(count))
    torch.testing.assert_close(*results, rtol=0, atol=1e-6)
    levels = len({step.level for step in steps})
    assert passes[1] - passes[0] == levels == len(session.branch.views)


@contextmanager
def _counted_passes(model: DiffusionModel) -> Iterator[list[None]]:
    passes: list[None] = []
    hook = model.unet.conv_in.register_forward_hook(lambda *_: passes.append(None))
    yield passes
    hook.remove()


def test_more_levels_than_iterations_need(model: DiffusionModel) -> None:
    config = make_config(max_drag_steps=100, drag_steps_per_timestep=1)
    events: list[Any] = []
    edited = edit(model, make_request(config), events)
    assert edited.drag_steps <= config.num_inverted_steps


def test_settling_goes_on_where_every_handle_has_arrived(model: DiffusionModel) -> None:
    near = Trajectory((Point(16.0, 16.0), Point(18.0, 16.0)))
    moves = {"arrival_distance": 0.2, "tracking_radius": 1}
    for make in (make_config, reference_config):
        config = make(settle=True, **moves)
        drag_steps = edit(model, make_request(config, trajectories=(near,))).drag_steps
        assert drag_steps == config.max_drag_steps


def test_a_curve_is_an_ordinary_edit(model: DiffusionModel) -> None:
    curve = Trajectory((Point(4.0, 4.0), Point(16.0, 4.0), Point(28.0, 28.0)))
    assert edit(model, make_request(trajectories=(curve,))).drag_steps > 0


def _left_half() -> Any:
    import numpy as np

    mask = np.zeros((32, 32), np.uint8)
    mask[:, :16] = 255
    return mask
