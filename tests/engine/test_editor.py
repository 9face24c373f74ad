"""Whole edits on tiny random models: they say nothing about pictures and everything about manners."""

import gc
from collections.abc import Callable, Iterator
from dataclasses import replace
from threading import Event
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dragdiffusion.engine import editor, feature_grid
from dragdiffusion.engine.config import LoraConfig
from dragdiffusion.engine.diffusion_model import DiffusionModel
from dragdiffusion.engine.drag_types import (
    DragRequest,
    DragStep,
    Point,
    Preview,
    Rectangle,
    Stage,
    StageStep,
    Trajectory,
)
from dragdiffusion.engine.errors import Cancelled, InvalidRequest
from engine.tiny_model import (
    Geometry,
    edit,
    make_config,
    make_image,
    make_model,
    make_request,
    reference_config,
    run,
)

_LORA = LoraConfig(steps=2, rank=2, batch_size=1)
_STILL = Trajectory((Point(9.0, 9.0), Point(9.0, 9.0)))
_DOWN = Trajectory((Point(9.0, 9.0), Point(9.0, 20.0)))


def _mask(width: int = 32, height: int = 32) -> np.ndarray:
    mask = np.zeros((height, width), np.uint8)
    mask[4 : height - 4, 4 : width - 4] = 255
    return mask


def _fingerprint(model: DiffusionModel) -> tuple[Any, ...]:
    modules = list(model.unet.modules())
    return (
        [type(module) for module in modules],
        [id(parameter) for parameter in model.unet.parameters()],
        float(sum(parameter.double().sum() for parameter in model.unet.parameters())),
        [len(module._forward_hooks) for module in modules],
        [id(processor) for processor in model.unet.attn_processors.values()],
        any(parameter.requires_grad for parameter in model.unet.parameters()),
    )


@pytest.mark.parametrize(
    "config", [make_config(), reference_config()], ids=["default", "reference"]
)
@pytest.mark.parametrize("masked", [True, False], ids=["mask", "no-mask"])
def test_an_edit_reports_its_stages_and_gives_the_region(
    any_model: DiffusionModel, config: Any, masked: bool
) -> None:
    request = make_request(config, mask=_mask() if masked else None, include_raw=True)
    before, events = _fingerprint(any_model), []
    edited = edit(any_model, request, events)

    stages = [event.stage for event in events if isinstance(event, StageStep)]
    assert list(dict.fromkeys(stages)) == [
        Stage.ENCODING,
        Stage.INVERTING,
        Stage.DENOISING,
        Stage.COMPOSITING,
    ]
    steps = [event for event in events if isinstance(event, DragStep)]
    assert [step.step for step in steps] == list(range(1, config.max_drag_steps + 1))
    assert all(np.isfinite(step.loss) for step in steps)
    assert edited.region == Rectangle(0, 0, 32, 32)
    assert edited.image.shape == (32, 32, 4)
    assert edited.raw.shape == (32, 32, 3)
    assert edited.drag_steps == config.max_drag_steps
    assert set(edited.phase_seconds) == {"encode", "lora", "inversion", "drag", "denoise", "decode"}
    assert _fingerprint(any_model) == before


def test_pixels_outside_the_mask_are_the_users_own(model: DiffusionModel) -> None:
    request = make_request(mask=_mask())
    edited = edit(model, request)
    outside = request.mask == 0
    assert not edited.image[outside][:, 3].any()
    np.testing.assert_array_equal(edited.image[outside][:, :3], request.image[outside][:, :3])


def test_in_a_large_image_only_the_surroundings_of_the_mask_are_worked_on(
    model: DiffusionModel,
) -> None:
    mask = np.zeros((90, 160), np.uint8)
    mask[50:66, 100:120] = 255
    trajectory = Trajectory((Point(104.0, 54.0), Point(114.0, 60.0)))
    request = make_request(width=160, height=90, mask=mask, trajectories=(trajectory,))
    edited = edit(model, request)
    x, y, width, height = edited.region
    assert width < 160
    assert height < 90
    assert edited.image.shape == (height, width, 4)
    outside = mask[y : y + height, x : x + width] == 0
    assert not edited.image[outside][:, 3].any()
    assert (edited.image[~outside][:, 3] == 255).all()


@pytest.mark.parametrize(
    ("width", "height"), [(33, 31), (64, 20), (17, 50), (5, 5), (1, 1), (90, 70)]
)
@pytest.mark.parametrize(
    "config", [make_config(), reference_config()], ids=["default", "reference"]
)
def test_any_size_of_image(width: int, height: int, config: Any) -> None:
    trajectory = Trajectory((Point(width / 2, height / 2), Point(0.0, 0.0)))
    request = make_request(config, width=width, height=height, trajectories=(trajectory,))
    edited = edit(make_model(Geometry.LIKE_SD), request)
    assert edited.image.shape == (edited.region.height, edited.region.width, 4)


@pytest.mark.parametrize("handle", [(0, 0), (32, 0), (0, 32), (32, 32), (16, 0), (32, 16)])
@pytest.mark.parametrize(
    "config", [make_config(), reference_config()], ids=["default", "reference"]
)
def test_handles_at_every_border(
    model: DiffusionModel, handle: tuple[int, int], config: Any
) -> None:
    trajectory = Trajectory((Point(float(handle[0]), float(handle[1])), Point(16.0, 16.0)))
    steps = _drag_steps(model, make_request(config, trajectories=(trajectory,)))
    assert all(0 <= x <= 32 and 0 <= y <= 32 for step in steps for x, y in step.handles)


def _drag_steps(model: DiffusionModel, request: DragRequest) -> list[DragStep]:
    """Of an edit that makes some."""
    events: list[Any] = []
    assert edit(model, request, events).drag_steps > 0
    steps = [event for event in events if isinstance(event, DragStep)]
    assert np.isfinite([step.loss for step in steps]).all()
    return steps


@pytest.mark.parametrize(
    "config", [make_config(), reference_config()], ids=["default", "reference"]
)
def test_a_handle_on_its_target_returns_at_once(model: DiffusionModel, config: Any) -> None:
    assert edit(model, make_request(config, trajectories=(_STILL,))).drag_steps == 0


@pytest.mark.parametrize(
    "config", [make_config(), reference_config()], ids=["default", "reference"]
)
@pytest.mark.parametrize("other", [_DOWN, _STILL], ids=["moves", "stays"])
def test_two_handles_on_one_pixel(model: DiffusionModel, config: Any, other: Trajectory) -> None:
    right = Trajectory((Point(9.0, 9.0), Point(20.0, 9.0)))
    steps = _drag_steps(model, make_request(config, trajectories=(right, other)))
    assert all(len(step.handles) == 2 for step in steps)


@pytest.mark.parametrize(
    "config", [make_config(), reference_config()], ids=["default", "reference"]
)
def test_one_handle_is_pinned_where_it_is_and_another_moves(
    model: DiffusionModel, config: Any
) -> None:
    moving = Trajectory((Point(20.0, 24.0), Point(8.0, 24.0)))
    first, *_ = _drag_steps(model, make_request(config, trajectories=(_STILL, moving)))
    assert first.handles[0] == pytest.approx(_STILL.handle, abs=1)


def test_guidance_and_a_late_start_of_control(model: DiffusionModel) -> None:
    config = make_config(guidance_scale=3.0, reference_start_step=1)
    assert edit(model, make_request(config)).image.shape == (32, 32, 4)


def test_half_precision_weights_move_a_full_precision_latent() -> None:
    model = make_model(dtype=torch.bfloat16)
    request = make_request(make_config(lora=_LORA), mask=_mask(), preview_every=2)
    session = run(editor.open_session(model, request, stop=Event()))
    assert {latent.dtype for latent in session.branch.latents} == {torch.float32}
    assert run(editor.drag(session, request, stop=Event())).drag_steps == 4
    assert {weight.dtype for weight in model.unet.parameters()} == {torch.bfloat16}


def test_previews_come_when_asked_for(model: DiffusionModel) -> None:
    events: list[Any] = []
    edit(model, make_request(preview_every=2), events)
    previews = [event for event in events if isinstance(event, Preview)]
    assert len(previews) == 2
    assert previews[0].image.shape == (32, 32, 3)


def test_the_same_request_gives_the_same_picture() -> None:
    request = make_request(make_config(lora=_LORA, seed=7))
    first = edit(make_model(), request)
    torch.manual_seed(99)
    again = edit(make_model(), request)
    np.testing.assert_array_equal(first.image, again.image)
    other = edit(make_model(), make_request(make_config(lora=_LORA, seed=8)))
    assert not np.array_equal(first.image, other.image)


def test_a_session_serves_edit_after_edit(model: DiffusionModel) -> None:
    request = make_request()
    session = run(editor.open_session(model, replace(request, trajectories=()), stop=Event()))
    first = run(editor.drag(session, request, stop=Event()))
    again = run(editor.drag(session, request, stop=Event()))
    np.testing.assert_array_equal(first.image, again.image)
    assert session.num_bytes > 0
    assert session.key == editor.session_key(model.name, request)


def test_the_key_tells_preparations_apart() -> None:
    request = make_request()
    key = editor.session_key("tiny", request)
    moved = (Trajectory((Point(1.0, 1.0), Point(2.0, 2.0))),)
    assert editor.session_key("tiny", replace(request, trajectories=moved)) == key
    assert editor.session_key("tiny", replace(request, config=make_config(max_drag_steps=9))) == key
    for changed in (
        replace(request, prompt="another"),
        replace(request, image=make_image(32, 31)),
        replace(request, region=Rectangle(0, 0, 16, 16)),
        replace(request, config=make_config(seed=1)),
        replace(request, config=make_config(lora=_LORA)),
        replace(request, config=make_config(inversion_strength=0.6)),
    ):
        assert editor.session_key("tiny", changed) != key
    assert editor.session_key("other", request) != key


def test_a_session_of_another_request_is_refused(model: DiffusionModel) -> None:
    session = run(editor.open_session(model, make_request(), stop=Event()))
    with pytest.raises(InvalidRequest, match="prepare it again"):
        run(editor.drag(session, make_request(prompt="another"), stop=Event()))


_STAGES: dict[str, Callable[[Any], bool]] = {
    "encoding": lambda event: isinstance(event, StageStep) and event.stage is Stage.ENCODING,
    "fine_tuning": lambda event: isinstance(event, StageStep) and event.stage is Stage.FINE_TUNING,
    "inverting": lambda event: isinstance(event, StageStep) and event.stage is Stage.INVERTING,
    "recording": lambda event: isinstance(event, StageStep) and event.step == 5,
    "dragging": lambda event: isinstance(event, DragStep),
    "denoising": lambda event: isinstance(event, StageStep) and event.stage is Stage.DENOISING,
}


@pytest.mark.parametrize("stage", _STAGES)
def test_cancelling_stops_within_one_step_and_leaves_the_model_and_no_tensor(
    model: DiffusionModel, only_new_objects: Callable[[], list[Any]], stage: str
) -> None:
    request, stop, events = make_request(make_config(lora=_LORA)), Event(), []
    before = _fingerprint(model)

    def whole_edit() -> Any:
        session = yield from editor.open_session(model, request, stop=stop)
        return (yield from editor.drag(session, request, stop=stop))

    work = whole_edit()
    while not (events and _STAGES[stage](events[-1])):
        events.append(next(work))
    stop.set()
    with pytest.raises(Cancelled):
        next(work)
    assert _fingerprint(model) == before
    feature_grid._resize_matrix.cache_clear()
    assert [thing for thing in only_new_objects() if isinstance(thing, Tensor)] == []


@pytest.fixture
def only_new_objects(model: DiffusionModel) -> Iterator[Callable[[], list[Any]]]:
    """What lives, of what came into being since."""
    del model  # it is there already
    gc.freeze()
    yield lambda: [gc.collect(), *gc.get_objects()]
    gc.unfreeze()


@pytest.mark.parametrize(
    "config", [make_config(), reference_config()], ids=["default", "reference"]
)
def test_enough_ends_the_dragging_and_keeps_what_is_there(
    model: DiffusionModel, config: Any
) -> None:
    config = replace(config, max_drag_steps=40, settle=True)
    request, enough, events = make_request(config), Event(), []
    before = _fingerprint(model)
    session = run(editor.open_session(model, request, stop=Event()))
    work = editor.drag(session, request, stop=Event(), enough=enough)
    while not (events and isinstance(events[-1], DragStep) and events[-1].step == 3):
        events.append(next(work))
    enough.set()
    taken = run(work)
    assert (taken.drag_steps, taken.taken_early) == (3, True)

    shorter = replace(request, config=replace(config, max_drag_steps=3))
    three_steps = run(editor.drag(session, shorter, stop=Event()))
    assert (three_steps.drag_steps, three_steps.taken_early) == (3, False)
    np.testing.assert_array_equal(taken.image, three_steps.image)
    assert _fingerprint(model) == before


def test_enough_before_dragging_makes_one_step(model: DiffusionModel) -> None:
    request, enough = make_request(make_config(max_drag_steps=40)), Event()
    enough.set()
    session = run(editor.open_session(model, request, stop=Event()))
    taken = run(editor.drag(session, request, stop=Event(), enough=enough))
    assert (taken.drag_steps, taken.taken_early) == (1, True)


def test_enough_at_the_last_step_is_not_early(model: DiffusionModel) -> None:
    request, enough = make_request(make_config(max_drag_steps=1)), Event()
    enough.set()
    session = run(editor.open_session(model, request, stop=Event()))
    assert not run(editor.drag(session, request, stop=Event(), enough=enough)).taken_early


def test_who_has_enough_can_still_cancel(model: DiffusionModel) -> None:
    request, stop, enough = make_request(), Event(), Event()
    session = run(editor.open_session(model, request, stop=Event()))
    work = editor.drag(session, request, stop=stop, enough=enough)
    enough.set()
    next(work)
    stop.set()
    with pytest.raises(Cancelled):
        run(work)


def test_an_edit_that_is_dropped_leaves_the_model(model: DiffusionModel) -> None:
    request, before = make_request(make_config(lora=_LORA)), _fingerprint(model)
    session = run(editor.open_session(model, request, stop=Event()))
    work = editor.drag(session, request, stop=Event())
    next(work)
    work.close()
    assert _fingerprint(model) == before


def test_gradients_work_where_the_caller_has_switched_them_off(model: DiffusionModel) -> None:
    with torch.no_grad():
        assert edit(model, make_request(make_config(lora=_LORA))).drag_steps == 4


def _refused() -> dict[str, tuple[DragRequest, str, str]]:
    request = make_request(mask=_mask())

    def from_point(x: float, y: float) -> DragRequest:
        trajectories = (*request.trajectories, Trajectory((Point(x, y), Point(9.0, 9.0))))
        return replace(request, trajectories=trajectories)

    return {
        "nothing": (replace(request, trajectories=()), "at least one handle", "trajectories"),
        "outside": (from_point(40.0, 9.0), "outside the image", "trajectories[1]"),
        "masked": (from_point(1.0, 1.0), "outside the mask", "trajectories[1]"),
        "nan": (from_point(float("nan"), 1.0), "finite", "trajectories[1]"),
        "infinite": (from_point(float("inf"), 1.0), "finite", "trajectories[1]"),
        "size": (replace(request, mask=_mask(16, 16)), "one size", "mask"),
        "empty": (replace(request, mask=np.zeros((32, 32), np.uint8)), "mask is empty", "mask"),
        "region": (replace(request, region=Rectangle(8, 8, 32, 8)), "inside the image", "region"),
        "flat": (replace(request, region=Rectangle(8, 8, 0, 8)), "inside the image", "region"),
        "away": (
            replace(request, region=Rectangle(16, 16, 16, 16)),
            "outside the region",
            "trajectories[0]",
        ),
        "grey": (replace(request, image=np.zeros((32, 32), np.uint8)), "RGBA", "image"),
    }


@pytest.mark.parametrize("case", _refused())
def test_what_cannot_work_is_refused_with_a_sentence(case: str) -> None:
    request, sentence, field = _refused()[case]
    with pytest.raises(InvalidRequest, match=sentence) as refused:
        editor.validate(request)
    assert refused.value.field == field
    assert str(refused.value).endswith(".")
