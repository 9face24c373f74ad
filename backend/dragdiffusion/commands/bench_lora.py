"""`dragdiffusion bench lora`: what fine-tuning gives for what it takes, setting by setting.

Two questions: does the model know the picture better (the error of its noise prediction at the timesteps in use, and the
picture inverted and denoised again without reference-latent control), and do drags get better.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import mean

import torch
from rich.console import Console
from rich.table import Table

from dragdiffusion.commands.bench_engine import BenchEngine, EngineOrder, to_request
from dragdiffusion.commands.outputs import refuse_unwritable, write_json
from dragdiffusion.engine.config import LoraConfig, Mode
from dragdiffusion.engine.drag_types import DragRequest
from dragdiffusion.evaluation.edit_flops import count_edit
from dragdiffusion.evaluation.lora_identity import measure_identity
from dragdiffusion.evaluation.scene_cases import DragCase, make_cases
from dragdiffusion.evaluation.scene_metrics import measure

_CHEAP = LoraConfig(batch_size=1, used_timesteps=True, cosine=True)
SETTINGS = {
    "none": LoraConfig(steps=0),
    "paper: 80 steps of 4": LoraConfig(),
    "80 of 1": LoraConfig(batch_size=1),
    "80 of 1, in use, cosine": replace(_CHEAP, learning_rate=2e-3),
    "80 of 1, in use, cosine, half the rate": replace(_CHEAP, learning_rate=1e-3),
    "40 of 2, in use, cosine": replace(_CHEAP, steps=40, batch_size=2, learning_rate=2e-3),
    "40 of 1, in use, cosine": replace(_CHEAP, steps=40, learning_rate=2e-3),
    "40 of 1, in use, cosine, up blocks": replace(
        _CHEAP, steps=40, learning_rate=2e-3, up_blocks_only=True
    ),
    "20 of 1, in use, cosine": replace(_CHEAP, steps=20, learning_rate=3e-3),
}


@dataclass(frozen=True)
class LoraOrder:
    """What the command line asks for."""

    count: int = 10
    seed: int = 3
    model: str = "embedded"
    drags: bool = False  # also edit every scene, in this mode
    mode: Mode = Mode.REFERENCE
    settings: tuple[str, ...] = tuple(SETTINGS)
    json: Path | None = None


@dataclass(frozen=True)
class LoraFigures:
    """Of one setting on one scene."""

    case: str
    setting: str
    gflop: float  # of the whole fine-tuning at the model's own shape
    noise_error: float
    rebuilt_psnr_db: float
    distance_px: float | None = None
    success: float | None = None
    truth_psnr_db: float | None = None
    inside_psnr_db: float | None = None


def run_lora(order: LoraOrder) -> None:
    refuse_unwritable(order.json)
    engine = BenchEngine(EngineOrder(mode=order.mode, model=order.model))
    figures = []
    for figure in _figures(engine, order):
        print(f"{figure.case:<14} {figure.setting:<40} {figure.noise_error:6.2f}", flush=True)
        figures.append(figure)
    Console().print(_table(figures))
    if order.json is not None:
        about = engine.about() | {"seed": order.seed, "cases": [asdict(f) for f in figures]}
        write_json(order.json, about)


def _figures(engine: BenchEngine, order: LoraOrder) -> Iterator[LoraFigures]:
    gflop = {name: 0.0 for name in order.settings if SETTINGS[name].steps == 0}
    for case in make_cases(order.count, order.seed):
        for name in order.settings:
            request = _request(engine, case, SETTINGS[name])
            if name not in gflop:
                gflop[name] = count_edit(engine.model, request).total("lora") / 1e9
            image = torch.from_numpy(case.image).permute(2, 0, 1)[None].float() / 127.5 - 1
            identity = measure_identity(engine.model, image, case.caption, request.config)
            yield LoraFigures(
                case.name,
                name,
                gflop[name],
                identity.noise_error,
                identity.rebuilt_psnr_db,
                **(_drag(engine, case, request) if order.drags else {}),
            )


def _request(engine: BenchEngine, case: DragCase, setting: LoraConfig) -> DragRequest:
    config = replace(engine.config, lora=setting)
    return to_request(case.image, case.mask, case.point_pairs, case.caption, config)


def _drag(engine: BenchEngine, case: DragCase, request: DragRequest) -> dict[str, float]:
    outcome = engine.edit(request)
    figures = measure(case, outcome.image, outcome.raw)
    return {
        "distance_px": figures.mean_distance_px,
        "success": float(figures.success),
        "truth_psnr_db": figures.truth_psnr_db,
        "inside_psnr_db": figures.inside_psnr_db,
    }


def _table(figures: list[LoraFigures]) -> Table:
    headings = {
        "gflop": "GFLOP",
        "noise_error": "noise error × 1000",
        "rebuilt_psnr_db": "rebuilt, dB",
        "distance_px": "distance, px",
        "success": "reached",
        "truth_psnr_db": "truth, dB",
        "inside_psnr_db": "inside, dB",
    }
    table = Table("setting")
    for heading in headings.values():
        table.add_column(heading, justify="right")
    for name in dict.fromkeys(figure.setting for figure in figures):
        of_setting = [asdict(figure) for figure in figures if figure.setting == name]
        table.add_row(name, *(_mean([f[key] for f in of_setting]) for key in headings))
    return table


def _mean(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{mean(known):.2f}" if known else "–"
