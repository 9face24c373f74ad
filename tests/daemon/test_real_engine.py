"""The whole program: command line, daemon, engine, and a tiny random model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dragdiffusion.client.connection import Connection, DaemonError, to_pixels
from dragdiffusion.engine.drag_types import Pixels
from dragdiffusion_rpc import drag_pb2 as rpc
from fakes.lora import save_lora
from fakes.running import preparation, real_daemon, wait_until

TINY = Path(__file__).parents[1] / "parity" / "data" / "model"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    with real_daemon(tmp_path_factory.mktemp("real"), default_model=TINY) as connection:
        yield connection


@pytest.fixture
def mask() -> Pixels:
    mask = np.zeros((48, 64), np.uint8)
    mask[8:40, 8:56] = 255
    return mask


def small(daemon: Connection, image: Pixels, mask: Pixels, **changes: int) -> rpc.PrepareRequest:
    request = preparation(daemon.upload(image), mask=daemon.upload(mask), **changes)  # type: ignore[arg-type]
    request.hyper_parameters.working_size = 64
    return request


def test_prepare_then_drag(daemon: Connection, image: Pixels, mask: Pixels) -> None:
    request = small(daemon, image, mask)
    first, *_, last = daemon.prepare(request)
    assert first.progress.stage == rpc.STAGE_LOADING_MODEL  # the libraries count as such
    assert last.prepared.run.model == str(TINY)
    phases = {phase.phase for phase in last.prepared.run.phases}
    assert phases == {"load", "encode", "lora", "inversion"}

    events = list(daemon.drag(rpc.DragRequest(preparation=request, include_raw=True)))
    header = next(e.edited_image for e in events if e.HasField("edited_image"))
    assert header.run.prepared_before
    assert {phase.phase for phase in header.run.phases} == {"warp", "drag", "denoise", "decode"}
    assert json.loads(header.run.config_json)["working_size"] == 64
    fractions = [e.progress.fraction for e in events if e.HasField("progress")]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0

    rows = b"".join(e.pixel_chunk.chunk for e in events if e.HasField("pixel_chunk"))
    size = header.region.width * header.region.height * 4
    pixels = to_pixels(header.pixels, rows[:size])
    left, top = header.region.x, header.region.y
    within = mask[top : top + header.region.height, left : left + header.region.width]
    assert (pixels[..., 3][within == 0] == 0).all()
    assert (pixels[..., 3] > 0).any()


def test_the_same_request_gives_the_same_picture(
    daemon: Connection, image: Pixels, mask: Pixels
) -> None:
    request = rpc.DragRequest(preparation=small(daemon, image, mask))
    pictures = [
        b"".join(event.pixel_chunk.chunk for event in daemon.drag(request)) for _ in range(2)
    ]
    assert pictures[0] == pictures[1]


def test_a_cancelled_edit_leaves_the_engine_usable(
    daemon: Connection, image: Pixels, mask: Pixels
) -> None:
    endless = small(daemon, image, mask, drag_steps=2000)
    endless.hyper_parameters.arrival_distance = 0
    endless.hyper_parameters.drag_steps_per_timestep = 0
    events = daemon.drag(rpc.DragRequest(preparation=endless))
    next(event for event in events if event.HasField("drag_step"))
    events.close()
    wait_until(lambda: daemon.status().queue_length == 0, seconds=5)
    request = rpc.DragRequest(preparation=small(daemon, image, mask))
    assert any(event.HasField("edited_image") for event in daemon.drag(request))


def test_what_is_there_can_be_taken(daemon: Connection, image: Pixels, mask: Pixels) -> None:
    endless = small(daemon, image, mask, drag_steps=2000)
    endless.hyper_parameters.arrival_distance = 0
    endless.hyper_parameters.drag_steps_per_timestep = 0
    assert not daemon.finish_drag("mine")  # not yet
    events = daemon.drag(rpc.DragRequest(preparation=endless, edit_id="mine"))
    seen = [next(event for event in events if event.HasField("drag_step"))]
    assert daemon.finish_drag("mine")
    seen += events
    header = next(event.edited_image for event in seen if event.HasField("edited_image"))
    steps = sum(event.HasField("drag_step") for event in seen)
    assert header.run.taken_early
    assert header.run.drag_steps == steps < 2000
    assert [e.progress.fraction for e in seen if e.HasField("progress")][-1] == 1.0
    rows = b"".join(event.pixel_chunk.chunk for event in seen if event.HasField("pixel_chunk"))
    assert to_pixels(header.pixels, rows)[..., 3].any()
    assert not daemon.finish_drag("mine")  # no more


def test_a_prompt_only_preparation_needs_no_points(
    daemon: Connection, image: Pixels, mask: Pixels
) -> None:
    request = small(daemon, image, mask, lora_steps=1)
    del request.trajectories[:]
    *_, last = daemon.prepare(request)
    assert last.prepared.region.width > 0


@pytest.mark.parametrize("mode", [rpc.MODE_DEFAULT, rpc.MODE_FAST, rpc.MODE_REFERENCE])
def test_a_generated_picture_is_dragged_from_where_it_came(
    daemon: Connection, mode: rpc.Mode
) -> None:
    order = rpc.Generation(
        prompt="a dog", seed=10 + mode, num_inference_steps=4, width=64, height=64
    )
    events = list(daemon.generate(rpc.GenerateRequest(generation=order)))
    header = next(e.generated_image for e in events if e.HasField("generated_image"))
    rows = b"".join(e.pixel_chunk.chunk for e in events if e.HasField("pixel_chunk"))
    reference = daemon.upload(to_pixels(header.pixels, rows))
    assert reference == header.pixels

    request = preparation(reference, generation=header.generation, mode=mode)
    request.hyper_parameters.CopyFrom(rpc.HyperParameters(max_drag_steps=2, inversion_strength=0.5))
    request.hyper_parameters.arrival_distance = 0
    dragged = list(daemon.drag(rpc.DragRequest(preparation=request)))
    run = next(e.edited_image.run for e in dragged if e.HasField("edited_image"))
    assert run.drag_steps == 2
    warped = set() if mode == rpc.MODE_REFERENCE else {"warp"}
    phases = {phase.phase for phase in run.phases}
    assert phases == {"recording", "drag", "denoise", "decode"} | warped
    assert json.loads(run.config_json)["guidance_scale"] == header.generation.guidance_scale > 1

    request.generation.seed = 5  # another picture
    with pytest.raises(DaemonError, match="not, pixel for pixel") as refused:
        list(daemon.drag(rpc.DragRequest(preparation=request)))
    assert refused.value.field == "generation"


def test_the_engine_s_refusals_arrive(daemon: Connection, image: Pixels, mask: Pixels) -> None:
    request = small(daemon, image, mask)
    request.trajectories[0].points[0].x = 1  # outside the mask
    with pytest.raises(DaemonError, match="outside the mask") as raised:
        list(daemon.drag(rpc.DragRequest(preparation=request)))
    assert raised.value.field == "trajectories[0]"


def test_distilled_factors_in_few_steps(
    daemon: Connection, image: Pixels, mask: Pixels, tmp_path: Path
) -> None:
    """A LoRA file on the embedded model; its name says what it is for."""
    file = tmp_path / "lcm-lora.safetensors"
    save_lora(file)
    request = small(daemon, image, mask)
    request.model, request.mode = str(file), rpc.MODE_FAST
    request.hyper_parameters.ClearField("num_inference_steps")
    request.hyper_parameters.ClearField("inversion_strength")
    progress = [event.progress for event in daemon.prepare(request)]
    levels = {p.steps for p in progress if p.stage == rpc.STAGE_INVERTING}
    assert levels == {2 * 4}
    events = list(daemon.drag(rpc.DragRequest(preparation=request)))
    header = next(e.edited_image for e in events if e.HasField("edited_image"))
    config = json.loads(header.run.config_json)
    assert (header.run.model, header.run.prepared_before) == (str(file), True)
    assert (config["num_inference_steps"], config["timestep_spacing"]) == (10, "trailing")
