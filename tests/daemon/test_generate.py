"""Pictures from a prompt and drags on them through the real daemon, with the fake engine."""

from __future__ import annotations

import json

import numpy as np
import pytest

from dragdiffusion.client.connection import Connection, DaemonError, to_pixels
from dragdiffusion.engine.drag_types import Pixels
from dragdiffusion_rpc import drag_pb2 as rpc
from fakes.running import StartDaemon, preparation, wait_until

ORDER = rpc.Generation(
    prompt="a ball",
    seed=7,
    num_inference_steps=4,
    guidance_scale=3,
    width=64,
    height=48,
    timestep_spacing=rpc.TIMESTEP_SPACING_LEADING,
)


def make(daemon: Connection, order: rpc.Generation) -> tuple[rpc.GeneratedImage, Pixels]:
    events = list(daemon.generate(rpc.GenerateRequest(generation=order)))
    header = next(e.generated_image for e in events if e.HasField("generated_image"))
    rows = b"".join(e.pixel_chunk.chunk for e in events if e.HasField("pixel_chunk"))
    return header, to_pixels(header.pixels, rows)


def drag_on(
    daemon: Connection, pixels: Pixels, generation: rpc.Generation, **fields: object
) -> rpc.DragRequest:
    request = preparation(daemon.upload(pixels), generation=generation, **fields)  # type: ignore[arg-type]
    request.hyper_parameters.CopyFrom(rpc.HyperParameters(max_drag_steps=2, inversion_strength=0.5))
    return rpc.DragRequest(preparation=request)


def run_of(daemon: Connection, request: rpc.DragRequest) -> rpc.Run:
    events = list(daemon.drag(request))
    return next(e.edited_image.run for e in events if e.HasField("edited_image"))


def test_progress_then_pixels(start_daemon: StartDaemon) -> None:
    with start_daemon().connect() as daemon:
        events = list(daemon.generate(rpc.GenerateRequest(generation=ORDER)))
        header, pixels = make(daemon, ORDER)
    progress = [e.progress for e in events if e.HasField("progress")]
    stages = [p.stage for p in progress if p.stage != rpc.STAGE_QUEUED]
    wanted = [rpc.STAGE_LOADING_MODEL, rpc.STAGE_SAMPLING, rpc.STAGE_COMPOSITING]
    assert list(dict.fromkeys(stages)) == wanted
    fractions = [p.fraction for p in progress]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert pixels.shape == (48, 64, 3)
    assert header.generation == ORDER
    assert json.loads(header.run.config_json)["prompt"] == "a ball"


def test_what_is_not_said_is_filled_in(start_daemon: StartDaemon) -> None:
    with start_daemon().connect() as daemon:
        header, pixels = make(daemon, rpc.Generation(prompt="a ball"))
    generation = header.generation
    assert all(generation.HasField(name) for name in ("num_inference_steps", "guidance_scale"))
    assert pixels.shape == (generation.height, generation.width, 3)


def test_a_drag_on_it_samples_nothing_again(start_daemon: StartDaemon) -> None:
    running = start_daemon()
    with running.connect() as daemon:
        header, pixels = make(daemon, ORDER)
        assert running.steps_done("sample") == 4
        run = run_of(daemon, drag_on(daemon, pixels, header.generation))
        again = run_of(daemon, drag_on(daemon, pixels, header.generation))
    assert running.steps_done("sample") == 4
    assert (run.prepared_before, again.prepared_before) == (False, True)
    config = json.loads(run.config_json)
    assert (config["num_inference_steps"], config["guidance_scale"]) == (4, 3.0)
    assert (config["lora"]["steps"], config["working_size"]) == (0, 64)


def test_a_daemon_that_was_restarted_samples_again(start_daemon: StartDaemon) -> None:
    first = start_daemon()
    with first.connect() as daemon:
        header, pixels = make(daemon, ORDER)
        daemon.shut_down()
    assert first.process.wait(timeout=10) == 0
    second = start_daemon()
    with second.connect() as daemon:
        run_of(daemon, drag_on(daemon, pixels, header.generation))
        assert second.steps_done("sample") == 8  # of both; they share the journal
        other = drag_on(daemon, pixels ^ 0x80, header.generation)
        with pytest.raises(DaemonError, match="not the image") as refused:
            run_of(daemon, other)
    assert refused.value.code.name == "INVALID_ARGUMENT"
    assert refused.value.field == "generation"


def test_what_the_generation_settles_cannot_be_set_otherwise(start_daemon: StartDaemon) -> None:
    with start_daemon().connect() as daemon:
        header, pixels = make(daemon, ORDER)
        fine = drag_on(daemon, pixels, header.generation, prompt="a ball")
        fine.preparation.hyper_parameters.lora_steps = 0
        fine.preparation.hyper_parameters.guidance_scale = 3
        assert run_of(daemon, fine).drag_steps == 2
        other_prompt = drag_on(daemon, pixels, header.generation, prompt="a cube")
        learning = drag_on(daemon, pixels, header.generation)
        learning.preparation.hyper_parameters.lora_steps = 5
        for request, field in (
            (other_prompt, "prompt"),
            (learning, "hyper_parameters.lora_steps"),
        ):
            with pytest.raises(DaemonError, match="leave") as refused:
                run_of(daemon, request)
            assert refused.value.field == field


def test_what_cannot_be_generated_is_refused(start_daemon: StartDaemon) -> None:
    with start_daemon().connect() as daemon:
        with pytest.raises(DaemonError, match="multiple of 8") as refused:
            make(daemon, rpc.Generation(prompt="a ball", width=100, height=96))
        assert refused.value.field == "generation.width"
        unknown = rpc.GenerateRequest(model="none such", generation=ORDER)
        with pytest.raises(DaemonError, match="There is no model") as refused:
            list(daemon.generate(unknown))
        assert refused.value.field == "model"
        spaced = rpc.Generation(timestep_spacing=77)  # type: ignore[arg-type]
        with pytest.raises(DaemonError, match="not known") as refused:
            make(daemon, spaced)
        assert refused.value.field == "generation.timestep_spacing"


def test_closing_the_stream_stops_the_sampling(start_daemon: StartDaemon) -> None:
    running = start_daemon(step_seconds=0.1)
    endless = rpc.Generation(prompt="a ball", num_inference_steps=900, width=64, height=64)
    with running.connect() as daemon:
        events = daemon.generate(rpc.GenerateRequest(generation=endless))
        next(event for event in events if event.progress.stage == rpc.STAGE_SAMPLING)
        events.close()
        wait_until(lambda: running.steps_done("stopped"))
        wait_until(lambda: daemon.status().queue_length == 0)


def test_the_picture_is_uploaded_like_any_other(start_daemon: StartDaemon) -> None:
    with start_daemon().connect() as daemon:
        header, pixels = make(daemon, ORDER)
        assert daemon.upload(pixels) == header.pixels
        assert np.array_equal(make(daemon, ORDER)[1], pixels)
