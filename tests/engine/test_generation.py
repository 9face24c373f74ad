"""Pictures from a prompt, and drags that start from the way on which they came."""

from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline

from dragdiffusion.engine import editor
from dragdiffusion.engine.config import DragConfig, Fit, Generation, LoraConfig, TimestepSpacing
from dragdiffusion.engine.diffusion_model import DiffusionModel
from dragdiffusion.engine.drag_types import DragRequest, Rectangle, Stage, StageStep
from dragdiffusion.engine.errors import Cancelled, InvalidRequest
from dragdiffusion.engine.generation import GeneratedImage, generate
from engine.tiny_model import (
    Geometry,
    make_config,
    make_model,
    make_request,
    reference_config,
    run,
)

GENERATION = Generation("a tiny picture", "nothing", 3, 5, 4.0, width=32, height=40)
OFFICIAL = Path(__file__).parents[1] / "parity" / "data" / "model"
MODES = pytest.mark.parametrize(
    "config", [make_config(), reference_config()], ids=["default", "reference"]
)
SPACINGS = pytest.mark.parametrize("spacing", TimestepSpacing)


def made(model: DiffusionModel, generation: Generation = GENERATION) -> GeneratedImage:
    return run(generate(model, generation, stop=Event()))


def request_for(generated: GeneratedImage, config: DragConfig, **changes: Any) -> DragRequest:
    opaque = np.full((*generated.pixels.shape[:2], 1), 255, np.uint8)
    return make_request(
        generated.generation.settle(config),
        image=np.concatenate([generated.pixels, opaque], axis=2),
        prompt=generated.generation.prompt,
        generation=generated.generation,
        **changes,
    )


def drag(
    model: DiffusionModel,
    generated: GeneratedImage,
    request: DragRequest,
    events: list[Any] | None = None,
) -> Any:
    opened = editor.open_session(model, request, stop=Event(), generated=generated)
    return run(editor.drag(run(opened, events), request, stop=Event()), events)


@SPACINGS
def test_it_is_the_picture_that_diffusers_makes(spacing: TimestepSpacing) -> None:
    pipeline = StableDiffusionPipeline.from_pretrained(
        OFFICIAL, dtype=torch.float32, safety_checker=None, local_files_only=True
    )
    pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler = DDIMScheduler.from_config(
        pipeline.scheduler.config, clip_sample=False, timestep_spacing=spacing.value
    )
    model = DiffusionModel.from_pipeline(
        pipeline, name="m", family="sd1", device="cpu", dtype=torch.float32
    )
    generation = replace(GENERATION, prompt="a dog", negative_prompt="a cat", width=64, height=64)
    generation = replace(generation, timestep_spacing=spacing)
    expected = pipeline(
        generation.prompt,
        negative_prompt=generation.negative_prompt,
        num_inference_steps=generation.num_inference_steps,
        guidance_scale=generation.guidance_scale,
        width=generation.width,
        height=generation.height,
        generator=torch.Generator().manual_seed(generation.seed),
        output_type="np",
    ).images[0]
    difference = made(model, generation).pixels - expected * 255.0
    assert np.abs(difference).max() <= 0.51


def test_the_same_values_give_the_same_pixels() -> None:
    first = made(make_model())
    torch.manual_seed(99)
    again = made(make_model())
    np.testing.assert_array_equal(first.pixels, again.pixels)
    for other in (
        replace(GENERATION, seed=4),
        replace(GENERATION, prompt="another"),
        replace(GENERATION, negative_prompt=""),
        replace(GENERATION, guidance_scale=1.0),
        replace(GENERATION, num_inference_steps=6),
    ):
        assert not np.array_equal(made(make_model(), other).pixels, first.pixels)


def test_the_trajectory_ends_in_the_picture(model: DiffusionModel) -> None:
    from dragdiffusion.engine import images

    generated = made(model)
    assert generated.pixels.shape == (40, 32, 3)
    assert len(generated.latents) == GENERATION.num_inference_steps + 1
    np.testing.assert_array_equal(
        images.to_pixels(model.decode(generated.latents[0])), generated.pixels
    )
    assert generated.num_bytes > 40 * 32 * 3


@MODES
@SPACINGS
@pytest.mark.parametrize("guidance_scale", [4.0, 1.0])
def test_a_drag_that_moves_nothing_gives_the_picture_back(
    any_model: DiffusionModel, config: DragConfig, guidance_scale: float, spacing: TimestepSpacing
) -> None:
    changes = {"guidance_scale": guidance_scale, "timestep_spacing": spacing}
    generated = made(any_model, replace(GENERATION, **changes))
    still = replace(config, max_drag_steps=0)
    edited = drag(any_model, generated, request_for(generated, still, include_raw=True))
    difference = edited.raw.astype(int) - generated.pixels
    assert np.abs(difference).max() <= 1


@MODES
def test_a_drag_starts_from_the_trajectory(model: DiffusionModel, config: DragConfig) -> None:
    generated, events = made(model), []
    request = request_for(generated, config, preview_every=1)
    opened = editor.open_session(model, request, stop=Event(), generated=generated)
    session = run(opened, events)
    assert {event.stage for event in events} == {Stage.INVERTING}
    assert not session.lora
    top = request.config.num_inverted_steps
    assert session.branch.top_level == top
    for mine, theirs in zip(session.branch.latents, generated.latents, strict=False):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=0)
    edited = run(editor.drag(session, request, stop=Event()), events)
    assert edited.drag_steps == request.config.max_drag_steps
    assert set(edited.phase_seconds) == {"recording", "drag", "denoise", "decode"}
    assert not np.array_equal(edited.image[..., :3], generated.pixels)
    assert edited.image.shape == (40, 32, 4)


def test_what_the_generation_settles() -> None:
    config = GENERATION.settle(DragConfig(lora=LoraConfig(steps=80), fit=Fit.AREA))
    assert (config.num_inference_steps, config.guidance_scale) == (5, 4.0)
    assert (config.lora.steps, config.working_size, config.fit) == (0, 32, Fit.WIDTH)
    assert GENERATION.settle(config) == config


def test_sampling_stops_within_one_step(model: DiffusionModel) -> None:
    stop = Event()
    work = generate(model, GENERATION, stop=stop)
    assert next(work) == StageStep(Stage.SAMPLING, 1, 5)
    stop.set()
    with pytest.raises(Cancelled):
        next(work)


def test_what_does_not_go_with_the_generation_is_refused(model: DiffusionModel) -> None:
    generated = made(model)
    request = request_for(generated, make_config())
    retouched = request.image.copy()
    retouched[20, 20, 1] ^= 0x40
    transparent = request.image.copy()
    transparent[0, 0, 3] = 0
    for changed, field in (
        (replace(request, image=retouched), "generation"),
        (replace(request, image=transparent), "generation"),
        (replace(request, image=request.image[:32]), "generation"),
        (replace(request, region=Rectangle(0, 0, 16, 16)), "region"),
        (replace(request, config=make_config()), "hyper_parameters"),
    ):
        with pytest.raises(InvalidRequest) as refused:
            drag(model, generated, changed)
        assert refused.value.field == field
    for other in (None, made(model, replace(GENERATION, seed=4))):
        with pytest.raises(InvalidRequest, match="generated before"):
            drag(model, other, request)  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match="generated before"):
        drag(make_model(Geometry.LIKE_SD), replace(generated, model_name="another"), request)


@pytest.mark.parametrize(
    "values",
    [{"width": 100}, {"height": 8}, {"guidance_scale": 0.5}, {"num_inference_steps": 0}],
)
def test_values_that_cannot_be(values: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match="must be") as refused:
        Generation(**values)
    assert refused.value.field == f"generation.{next(iter(values))}"
