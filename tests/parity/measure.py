"""Measures the engine's reference mode against the official implementation, stage by stage.

python tests/parity/measure.py             prints the table of docs/parity.md
python tests/parity/measure.py float32     the other
"""

from __future__ import annotations

import json
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image
from torch import Tensor

from dragdiffusion.engine import editor, moved_parts
from dragdiffusion.engine.config import DragConfig, LoraConfig
from dragdiffusion.engine.diffusion_model import DiffusionModel
from dragdiffusion.engine.drag_types import DragRequest, Point, Trajectory
from dragdiffusion.engine.images import to_working_image
from dragdiffusion.engine.latent_optimization import DragProblem, LatentStep

DATA = Path(__file__).parent / "data"
CASES = sorted(folder.name for folder in DATA.glob("dev-*"))


BOUNDS = {
    "source_latent": 1e-5,
    "inverted_latent": 1e-4,
    "dragged_latent": 1e-4,
    "update": 1e-3,
    "edited_latent": 1e-4,
    "loss": 1e-4,
    "picture": 1,
}
"""What the official code's rounding explains, which is float32."""


@dataclass(frozen=True)
class Agreement:
    """Relative L2 differences unless said otherwise."""

    source_latent: float
    inverted_latent: float
    dragged_latent: float
    update: float  # dragged − inverted latent
    edited_latent: float
    loss: float  # largest difference ÷ largest loss
    num_steps: int
    same_timestep: bool  # of the inverted latent
    same_tracks: bool  # every handle after every tracking step
    picture: int  # largest difference, of 255

    def outside(self, bounds: dict[str, float]) -> list[str]:
        """What differs by more."""
        figures = {name: getattr(self, name) for name in bounds}
        found = [f"{name}: {x:.1e}" for name, x in figures.items() if not x <= bounds[name]]
        same = {"timestep": self.same_timestep, "handle tracks": self.same_tracks}
        return [*found, *(name for name, holds in same.items() if not holds)]

    def row(self, case: str) -> str:
        latents = (self.source_latent, self.inverted_latent, self.dragged_latent, self.update)
        figures = " | ".join(f"{x:.1e}" for x in (*latents, self.edited_latent, self.loss))
        tracks = "identical" if self.same_tracks else "differ"
        return f"| {case} | {figures} | {tracks} ({self.num_steps}) | {self.picture} |"


def load_model(
    device: torch.device | str = "cpu", dtype: torch.dtype = torch.float64
) -> DiffusionModel:
    """The mask term is a sum of |z − z⁰|, whose slope is a sign: in float32 it is the machine's rounding that decides it in places."""
    pipeline = StableDiffusionPipeline.from_pretrained(
        DATA / "model", dtype=dtype, safety_checker=None, local_files_only=True
    )
    return DiffusionModel.from_pipeline(
        pipeline, name="parity", family="sd1", device=device, dtype=dtype
    )


def measure(model: DiffusionModel, case: str) -> Agreement:
    request, official = read_request(case), np.load(DATA / case / "official.npz")
    session = _finish(editor.open_session(model, request, stop=Event()))
    problem = editor.pose(session, request)
    with _heard(editor, "optimize") as steps, _heard(moved_parts, "denoise") as denoised:
        picture = _finish(editor.drag(session, request, stop=Event())).raw
    inverted, dragged, edited = session.branch.latents[-1], steps[-1].latent, denoised[-1]
    loss = np.array([step.drag_step.loss for step in steps])
    output = np.asarray(Image.open(DATA / case / "output.png").convert("RGB"), dtype=int)
    source = model.encode(to_working_image(request.image, problem.space))
    moved = official["dragged_latent"] - official["inverted_latent"]
    return Agreement(
        source_latent=_relative(source, official["source_latent"]),
        inverted_latent=_relative(inverted, official["inverted_latent"]),
        dragged_latent=_relative(dragged, official["dragged_latent"]),
        update=_relative(dragged - inverted, moved),
        edited_latent=_relative(edited, official["edited_latent"]),
        loss=float(np.abs(loss - official["loss"]).max() / official["loss"].max()),
        num_steps=len(steps),
        same_timestep=session.branch.schedule.timestep(steps[-1].level)
        == int(official["timestep"]),
        same_tracks=_same_tracks(problem, steps, official["handles_row_col"]),
        picture=int(np.abs(picture.astype(int) - output).max()),
    )


@contextmanager
def _heard(module: ModuleType, name: str) -> Iterator[list[Any]]:
    """What a generator of the module yields, while it works as ever."""
    generator, heard = getattr(module, name), []

    def hearing(*args: Any, **kwargs: Any) -> Iterator[Any]:
        for item in generator(*args, **kwargs):
            heard.append(item)
            yield item

    with mock.patch.object(module, name, hearing):
        yield heard


def read_request(case: str) -> DragRequest:
    folder = DATA / case
    settings = json.loads((folder / "case.json").read_text())
    config = DragConfig(
        lora=LoraConfig(steps=0),
        **{name: settings[name] for name in _HYPER_PARAMETERS},
    )
    mask = None
    if settings["mask"] is not None:
        mask = np.asarray(Image.open(folder / settings["mask"]).convert("L"))
    return DragRequest(
        image=np.asarray(Image.open(folder / "image.png").convert("RGBA")),
        trajectories=tuple(
            Trajectory((_centre(pair["handle_xy"]), _centre(pair["target_xy"])))
            for pair in settings["point_pairs"]
        ),
        mask=mask,
        prompt=settings["prompt"],
        config=config,
        include_raw=True,
    )


_HYPER_PARAMETERS = (
    "num_inference_steps",
    "inversion_strength",
    "max_drag_steps",
    "learning_rate",
    "mask_weight",
    "supervision_radius",
    "tracking_radius",
    "guidance_scale",
    "reference_start_step",
    "reference_start_layer",
)


def _centre(pixel_index: list[float]) -> Point:
    """The official code's points are indices of pixels; the engine's are places in the picture."""
    x, y = pixel_index
    return Point(x + 0.5, y + 0.5)


def _same_tracks(problem: DragProblem, steps: list[LatentStep], official: np.ndarray) -> bool:
    tracked = [
        [problem.space.to_feature(handle) for handle in step.drag_step.handles]
        for step in steps[1:]  # the first iteration does not track
    ]
    return np.array_equal(np.array(tracked), official)


def _relative(ours: Tensor, official: np.ndarray) -> float:
    theirs = torch.from_numpy(official)
    return float((ours.cpu() - theirs).norm() / theirs.norm())


def _finish(work: Generator[Any, None, Any]) -> Any:
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


def main() -> None:
    torch.set_num_threads(1)
    model = load_model(dtype=torch.float32 if "float32" in sys.argv else torch.float64)
    print(HEADER)
    for case in CASES:
        print(measure(model, case).row(case))


HEADER = """\
| case | z_0 | z_t | ẑ_t | ẑ_t − z_t | edited z_0 | loss | handle tracks (iterations) | picture, of 255 |
|---|---|---|---|---|---|---|---|---|"""


if __name__ == "__main__":
    main()
