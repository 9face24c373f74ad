"""Brings a model from huggingface.co: only the files that are needed, resumed after a break, verified by their hashes.

The files come to lie in diffusers' layout in `models_folder()`; model_index.json comes last (of LoRA factors there is one
file), so that where it is, the model is whole. A model that another program has put into Hugging Face's own cache is found too.

Environment: HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE, HF_HOME as for every Hugging Face program; HTTPS_PROXY and its kin;
DRAGDIFFUSION_MODELS_FOLDER.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from threading import Event
from typing import Any

import platformdirs

from dragdiffusion.engine.errors import ModelNotFound, ModelUnavailable
from dragdiffusion.models import records
from dragdiffusion.models.families import folder_family
from dragdiffusion.models.records import BLOCK_BYTES, HubFile, Record, check_download

_TIMEOUT_SECONDS = 30.0
_ATTEMPTS = 6  # in a row without a byte
_PAUSE_SECONDS = 1.0  # after the first; then twice as long each time
_WAIT_SECONDS = 40.0  # for another download, which may hang on its connection though cancelled
_PARTS = ("scheduler", "tokenizer", "text_encoder", "unet", "vae")
INDEX = "model_index.json"
LORA_WEIGHTS = "pytorch_lora_weights.safetensors"  # where a repository has LoRA factors only
_CONFIGURATION = "unet/config.json"


@dataclass(frozen=True)
class DownloadStep:
    """`done` of `total` bytes of the model are here."""

    file: str
    done: int
    total: int


class _Damaged(Exception):
    """What arrived is not what the hub has."""


def models_folder() -> Path:
    """Where downloaded models lie."""
    override = os.environ.get("DRAGDIFFUSION_MODELS_FOLDER")
    if override:
        return Path(override)
    return Path(platformdirs.user_data_path("dragdiffusion", appauthor=False)) / "models"


def model_folder(hub_name: str) -> Path:
    """Where this model lies, or will."""
    return models_folder() / hub_name.replace("/", "--")


def record_file(hub_name: str) -> Path:
    """Where it is told what was downloaded of this model."""
    return models_folder() / "records" / f"{hub_name.replace('/', '--')}.json"


def cached_snapshot(hub_name: str) -> Path | None:
    """The folder of a model that is whole: ours, or one of Hugging Face's cache."""
    ours = model_folder(hub_name)
    if was_whole(ours):
        record = records.read(record_file(hub_name))
        if record is None or records.is_whole(ours, record):
            return ours
    return hub_snapshot(hub_name)


def was_whole(folder: Path) -> bool:
    """Its last file has come."""
    return any((folder / last).is_file() for last in (INDEX, LORA_WEIGHTS))


def hub_snapshot(hub_name: str) -> Path | None:
    """The folder of a whole model that another program has put into Hugging Face's own cache."""
    from huggingface_hub import try_to_load_from_cache

    for last in (INDEX, LORA_WEIGHTS):
        file = try_to_load_from_cache(hub_name, last)
        if isinstance(file, str) and (last == LORA_WEIGHTS or _has_weights(Path(file).parent)):
            return Path(file).parent
    return None


def configuration(hub_name: str) -> Path:
    """A folder with the model's configuration and tokenizer; they are downloaded (2 MB) if they are not here."""
    snapshot = cached_snapshot(hub_name)
    if snapshot is not None:
        return snapshot
    folder = models_folder() / "configurations" / hub_name.replace("/", "--")
    if not (folder / INDEX).is_file():
        _refuse_if_offline(hub_name)
        listing = list_files(hub_name)
        folder.mkdir(parents=True, exist_ok=True)
        indexes = [file for file in listing.files if file.path == INDEX]
        for file in (*_texts(listing.files), *indexes):
            url = _url(hub_name, listing.revision, file.path)
            for _ in _fetch_verified(url, file, folder, Event()):
                pass
    return folder


def remove(hub_name: str) -> int:
    """Delete a downloaded model, or the beginnings of one; the bytes that are free now."""
    folder = model_folder(hub_name)
    if not folder.is_dir() or folder.is_symlink():
        raise ModelUnavailable(
            f"{hub_name} has not been downloaded by this program; it stays as it is."
        )
    with records.sole_use(record_file(hub_name), hub_name):
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        (folder / INDEX).unlink(missing_ok=True)  # first: a half-removed model is no model
        shutil.rmtree(folder)
        record_file(hub_name).unlink(missing_ok=True)
    return size


def download(
    hub_name: str, *, full: bool = False, stop: Event | None = None
) -> Generator[DownloadStep, None, Path]:
    """Download a model in half precision, or `full`; its folder.

    Ending the generator, or setting `stop` (Cancelled), keeps what has arrived for the next time.
    """
    stop = stop or Event()
    _refuse_if_offline(hub_name)
    with records.sole_use(record_file(hub_name), hub_name, stop, _WAIT_SECONDS):
        listing = list_files(hub_name)
        wanted = choose_files(listing.files, full=full)
        folder = model_folder(hub_name)
        folder.mkdir(parents=True, exist_ok=True)
        _discard_useless(hub_name, wanted)
        records.write(record_file(hub_name), Record(listing.revision, listing.license, wanted))
        total = sum(file.size for file in wanted)
        _check_space(folder, wanted)
        before = 0
        for file in wanted:
            url = _url(hub_name, listing.revision, file.path)
            for done in _fetch_verified(url, file, folder, stop):
                yield DownloadStep(file.path, before + done, total)
            if file.path == _CONFIGURATION:
                folder_family(folder)  # refuses what cannot be used before the large files come
            before += file.size
        return folder


def _discard_useless(hub_name: str, wanted: tuple[HubFile, ...]) -> None:
    """Remove what was found damaged, and what the hub has in another version by now."""
    folder, record = model_folder(hub_name), records.read(record_file(hub_name))
    if record is None:
        return
    known = {file.path: file for file in record.files}
    newer = [file.path for file in wanted if known.get(file.path, file) != file]
    useless = {*record.damaged, *newer}
    if useless:
        (folder / INDEX).unlink(missing_ok=True)  # first: no model until it is whole again
    for path in useless:
        (folder / path).unlink(missing_ok=True)
        (folder / f"{path}.part").unlink(missing_ok=True)


def choose_files(files: tuple[HubFile, ...], *, full: bool) -> tuple[HubFile, ...]:
    """What a Stable Diffusion pipeline needs, as safetensors, in the wanted precision if there is a choice; or LoRA factors."""
    by_path = {file.path: file for file in files}
    if INDEX not in by_path and LORA_WEIGHTS in by_path:
        return (by_path[LORA_WEIGHTS],)
    if INDEX not in by_path:
        raise ModelUnavailable(
            "This model is not in diffusers' layout: it has no model_index.json."
        )
    wanted = _texts(files)
    for stem in (
        "text_encoder/model",
        "unet/diffusion_pytorch_model",
        "vae/diffusion_pytorch_model",
    ):
        names = [f"{stem}.fp16.safetensors", f"{stem}.safetensors"]
        here = [name for name in (reversed(names) if full else names) if name in by_path]
        if not here:
            raise ModelUnavailable(f"This model has no {stem}.safetensors; it cannot be used.")
        wanted.append(by_path[here[0]])
    return (*wanted, by_path[INDEX])


def _texts(files: tuple[HubFile, ...]) -> list[HubFile]:
    """Configurations and tokenizer."""
    return [
        file
        for file in files
        if file.path.split("/")[0] in _PARTS and file.path.endswith((".json", ".txt"))
    ]


def _fetch_verified(url: str, file: HubFile, folder: Path, stop: Event) -> Iterator[int]:
    """Bytes of the file that are here, until it is whole."""
    target = folder / file.path
    if target.is_file() and target.stat().st_size == file.size:
        yield file.size
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    try:
        yield from _fetch(url, file, part, stop)
    except _Damaged:
        part.unlink()
        try:
            yield from _fetch(url, file, part, stop)  # once more, from the beginning
        except _Damaged as error:
            part.unlink()
            raise ModelUnavailable(
                f"{file.path} arrived damaged twice: its hash is wrong. Try again later."
            ) from error
    part.replace(target)


def _fetch(url: str, file: HubFile, part: Path, stop: Event) -> Iterator[int]:
    """Receive until the part is as long as the file, again and again as long as something comes."""
    failures = 0
    while (before := _size(part)) < file.size:
        check_download(stop)
        reason: Exception | None = None
        try:
            yield from _receive(url, part, stop)
        except (OSError, HTTPException) as error:
            reason = error
            _raise_if_final(error, url, part)
        failures = 0 if _size(part) > before else failures + 1
        if failures >= _ATTEMPTS:
            raise _explained(reason or OSError("nothing is sent"), url) from reason
        if failures:
            stop.wait(_PAUSE_SECONDS * 2 ** (failures - 1))
    _verify(part, file)


def _raise_if_final(error: Exception, url: str, part: Path) -> None:
    """Raise what trying again does not mend."""
    if not isinstance(error, urllib.error.HTTPError):
        return
    if error.code == 416:  # the part is not the beginning of this file
        part.unlink(missing_ok=True)
    elif error.code < 500 and error.code not in (408, 429):
        raise _explained(error, url) from error


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _receive(url: str, part: Path, stop: Event) -> Iterator[int]:
    """Append what follows the part; its size as it grows."""
    have = _size(part)
    with _open(url, {"Range": f"bytes={have}-"} if have else {}) as response:
        resumes = response.status == 206
        with part.open("ab" if resumes else "wb") as stream:
            done = have if resumes else 0
            while block := response.read1(BLOCK_BYTES):  # what is there, so that a slow line shows
                check_download(stop)
                stream.write(block)
                done += len(block)
                yield done


def _verify(part: Path, file: HubFile) -> None:
    digest = file.new_digest()
    with part.open("rb") as stream:
        while block := stream.read(BLOCK_BYTES):
            digest.update(block)
    same = not file.expected or digest.hexdigest() == file.expected
    if part.stat().st_size != file.size or not same:
        raise _Damaged(file.path)


def list_files(hub_name: str) -> Record:
    """The newest revision and its files."""
    url = f"{_endpoint()}/api/models/{urllib.parse.quote(hub_name)}/revision/main?blobs=true"
    try:
        with _open(url, {}) as response:
            answer = json.load(response)
        files = tuple(_to_hub_file(sibling) for sibling in answer["siblings"])
        return Record(answer["sha"], _license(answer), files)
    except (OSError, HTTPException) as error:
        raise _explained(error, hub_name) from error
    except (ValueError, KeyError, TypeError) as error:
        raise ModelUnavailable(f"{_endpoint()} does not answer as Hugging Face does.") from error


def _license(answer: dict[str, Any]) -> str:
    """As the model's tags have it; "" where none tells."""
    tags = [str(tag) for tag in answer.get("tags", [])]
    return next((t.removeprefix("license:") for t in tags if t.startswith("license:")), "")


def _to_hub_file(sibling: dict[str, Any]) -> HubFile:
    large = sibling.get("lfs") or {}
    path = sibling["rfilename"]
    if path.startswith("/") or ".." in path.split("/"):
        raise ValueError(path)
    return HubFile(path, int(sibling["size"]), large.get("sha256", ""), sibling.get("blobId", ""))


def _open(url: str, headers: dict[str, str]) -> HTTPResponse:
    from huggingface_hub import get_token

    request = urllib.request.Request(url, headers={"User-Agent": "dragdiffusion", **headers})
    token = get_token()
    if token:  # not to be handed on to the server that a redirection names
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    return urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS)


def _explained(error: Exception, name: str) -> Exception:
    code = error.code if isinstance(error, urllib.error.HTTPError) else 0
    if code in (401, 403):
        return ModelUnavailable(
            f"Hugging Face does not give {name} to everyone: accept its terms on the web page, "
            f"then log in with `{_hf()} auth login`. (A name that does not exist is answered likewise.)"
        )
    if code == 404:
        return ModelNotFound(f"Hugging Face has no model {name}.")
    return ModelUnavailable(
        f"{_endpoint()} cannot be reached ({getattr(error, 'reason', error)}): check the "
        "connection or the proxy and try again. What has arrived so far is kept."
    )


def _hf() -> Path:
    """Hugging Face's program, which is installed with this one and need not be on the PATH."""
    beside = Path(sys.executable).with_name("hf")
    return beside if beside.exists() else Path("hf")


def _refuse_if_offline(hub_name: str) -> None:
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise ModelUnavailable(
            f"{hub_name} cannot be downloaded while HF_HUB_OFFLINE is set: unset it, or give a "
            "folder that has the model."
        )


def _check_space(folder: Path, wanted: tuple[HubFile, ...]) -> None:
    have = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    need = sum(file.size for file in wanted) - have
    free = shutil.disk_usage(folder).free
    if need > free:
        raise ModelUnavailable(
            f"The model needs {need / 1e9:.1f} GB more in {folder}; only {free / 1e9:.1f} GB are free."
        )


def _has_weights(snapshot: Path) -> bool:
    return all(any((snapshot / part).glob("*.safetensors")) for part in _PARTS[2:])


def _url(hub_name: str, revision: str, path: str) -> str:
    return f"{_endpoint()}/{hub_name}/resolve/{revision}/{urllib.parse.quote(path)}"


def _endpoint() -> str:
    from huggingface_hub import constants

    return str(constants.ENDPOINT).rstrip("/")
