"""LPIPS as its authors' package computes it; and nothing is downloaded."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from dragdiffusion.evaluation import perceptual_distance
from dragdiffusion.evaluation.edits import ByteImage
from dragdiffusion.evaluation.perceptual_distance import PerceptualDistance, WeightsMissing

# lpips 0.1.4, LPIPS(net="alex"), with the weights of `_alexnet_weights` and `_channel_weights`, on `_pictures`.
AUTHORS = 0.004638229962438345


@pytest.fixture(autouse=True)
def _empty_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    for package in ("torchmetrics", "lpips"):
        (tmp_path / "site" / package).mkdir(parents=True)
        (tmp_path / "site" / package / "__init__.py").write_text("raise AssertionError('imported')")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setattr("urllib.request.urlopen", lambda *_a, **_k: pytest.fail("a download"))


def _alexnet_weights() -> dict[str, torch.Tensor]:
    shapes = {0: (64, 3, 11, 11), 3: (192, 64, 5, 5), 6: (384, 192, 3, 3)}
    shapes |= {8: (256, 384, 3, 3), 10: (256, 256, 3, 3)}
    weights = {}
    for phase, (layer, shape) in enumerate(shapes.items()):
        weights[f"features.{layer}.weight"] = _waves(shape, phase)
        weights[f"features.{layer}.bias"] = _waves((shape[0], 1), phase + 9).flatten() * 0.1
    return weights


def _waves(shape: tuple[int, ...], phase: int) -> torch.Tensor:
    count = math.prod(shape)
    waves = torch.sin(torch.arange(count, dtype=torch.float64) * 0.7 + phase)
    return (waves * (2 * shape[0] / count) ** 0.5).float().reshape(shape)


def _channel_weights() -> dict[str, torch.Tensor]:
    return {
        f"lin{i}.model.1.weight": (1 + torch.sin(torch.arange(n, dtype=torch.float64)))
        .float()
        .reshape(1, n, 1, 1)
        / n
        for i, n in enumerate((64, 192, 384, 256, 256))
    }


def _pictures() -> tuple[ByteImage, ByteImage]:
    row, col = np.mgrid[:96, :128]
    one = np.stack([row * 2, col * 2, (row + col) % 256], axis=-1).astype(np.uint8)
    other = one.copy()
    other[30:60, 40:90] = (200, 40, 90)
    return one, other


def _alexnet_file(tmp_path: Path) -> Path:
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / "alexnet-owt-7be5be79.pth"


def _channel_file(tmp_path: Path, package: str) -> Path:
    file = tmp_path / "site" / package / perceptual_distance._CHANNEL_WEIGHTS[package]
    file.parent.mkdir(parents=True, exist_ok=True)
    return file


@pytest.mark.parametrize("package", ["torchmetrics", "lpips"])
def test_the_authors_figure(tmp_path: Path, package: str) -> None:
    torch.save(_alexnet_weights(), _alexnet_file(tmp_path))
    torch.save(_channel_weights(), _channel_file(tmp_path, package))
    distance = PerceptualDistance()
    one, other = _pictures()
    assert distance(one, other) == pytest.approx(AUTHORS, rel=1e-4)
    assert distance(one, one) == 0


def test_what_is_missing_is_told_with_the_way_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing) as both:
        PerceptualDistance()
    assert "-m pip install torchmetrics" in str(both.value)
    assert f"alexnet-owt-7be5be79.pth (244 MB) to {_alexnet_file(tmp_path)}" in str(both.value)
    torch.save(_alexnet_weights(), _alexnet_file(tmp_path))
    with pytest.raises(WeightsMissing) as one:
        PerceptualDistance()
    assert "alexnet" not in str(one.value)


@pytest.mark.parametrize(
    ("content", "words"), [(b"damaged", "is damaged"), (None, "other weights")]
)
def test_damaged_weights(tmp_path: Path, content: bytes | None, words: str) -> None:
    torch.save(_channel_weights(), _channel_file(tmp_path, "lpips"))
    if content is None:
        torch.save({"features.0.weight": torch.zeros(1)}, _alexnet_file(tmp_path))
    else:
        _alexnet_file(tmp_path).write_bytes(content)
    with pytest.raises(WeightsMissing, match=words):
        PerceptualDistance()
