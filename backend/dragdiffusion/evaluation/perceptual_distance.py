"""LPIPS (Zhang et al., arXiv 1801.03924), version 0.1 on AlexNet: how different two pictures look to a person.

Its weights are in two places, and nothing is downloaded: AlexNet's, which PyTorch publishes, in torch's cache; and those
with which LPIPS weighs AlexNet's channels, which come with the packages `torchmetrics` and `lpips`. Neither package is
imported: both need torchvision, for an AlexNet of five convolutions.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from .edits import ByteImage

ALEXNET_URL = "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth"
SIDE = 224  # pixels, as DragBench's evaluation has it
_CHANNEL_WEIGHTS = {
    "torchmetrics": "functional/image/lpips_models/alex.pth",
    "lpips": "weights/v0.1/alex.pth",
}
# Mean and deviation of ImageNet's colours, for pictures in [-1, 1].
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)


class WeightsMissing(Exception):
    """LPIPS cannot be computed here; the text says how to make it possible."""


class PerceptualDistance:
    """Raises WeightsMissing where the weights are not here."""

    def __init__(self) -> None:
        alexnet, channel_weights = _alexnet_file(), _channel_weights_file()
        missing = [] if channel_weights else [f"run `{sys.executable} -m pip install torchmetrics`"]
        if not alexnet.is_file():
            missing.append(f"download {ALEXNET_URL} (244 MB) to {alexnet}")
        if missing or channel_weights is None:
            raise WeightsMissing(" and ".join(missing) + ".")
        self._alexnet = _alexnet(alexnet)
        weights = _read(channel_weights)
        try:
            self._channel_weights = [weights[f"lin{i}.model.1.weight"] for i in range(5)]
        except KeyError as error:
            raise WeightsMissing(f"{channel_weights} has other weights.") from error

    @torch.no_grad()
    def __call__(self, one: ByteImage, other: ByteImage) -> float:
        """0 for equal pictures; both are (h, w, 3) and are compared at 224 × 224."""
        first, second = (self._activations(_to_tensor(picture)) for picture in (one, other))
        distance = 0.0
        for a, b, weight in zip(first, second, self._channel_weights, strict=True):
            distance += functional.conv2d((_unit(a) - _unit(b)).square(), weight).mean().item()
        return distance

    def _activations(self, image: Tensor) -> list[Tensor]:
        """After each of the five convolutions."""
        kept = []
        for layer in self._alexnet:
            image = layer(image)
            if isinstance(layer, nn.ReLU):
                kept.append(image)
        return kept


def _alexnet(file: Path) -> nn.Sequential:
    """The convolutions of AlexNet as torchvision has it (Krizhevsky, arXiv 1404.5997), numbered as there."""
    network = nn.Sequential(
        nn.Conv2d(3, 64, 11, stride=4, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2),
        nn.Conv2d(64, 192, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2),
        nn.Conv2d(192, 384, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1),
        nn.ReLU(),
    )
    weights, prefix = _read(file), "features."
    own = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
    try:
        network.load_state_dict(own)
    except RuntimeError as error:
        raise WeightsMissing(f"{file} has other weights than AlexNet's.") from error
    return network.eval().requires_grad_(False)


def _to_tensor(picture: ByteImage) -> Tensor:
    image = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 127.5 - 1
    image = functional.interpolate(image, (SIDE, SIDE), mode="bilinear")
    shift, scale = (torch.tensor(values).view(1, 3, 1, 1) for values in (_SHIFT, _SCALE))
    return (image - shift) / scale


def _unit(activations: Tensor) -> Tensor:
    """Of length 1 over the channels."""
    return activations / (activations.square().sum(dim=1, keepdim=True).sqrt() + 1e-10)


def _alexnet_file() -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints" / ALEXNET_URL.rpartition("/")[2]


def _channel_weights_file() -> Path | None:
    for package, inside in _CHANNEL_WEIGHTS.items():
        spec = find_spec(package)
        for folder in (spec.submodule_search_locations or []) if spec else []:
            if (Path(folder) / inside).is_file():
                return Path(folder) / inside
    return None


def _read(file: Path) -> Mapping[str, Tensor]:
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises nearly everything for a damaged file
        raise WeightsMissing(f"{file} is damaged: delete it and get it again.") from error
