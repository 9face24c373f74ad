"""A daemon without a model: answers the whole contract in milliseconds, and fails on demand.

    with FakeDaemon() as daemon:
        endpoint = daemon.endpoint            # a plugin.client.Endpoint's fields, as a dict

Its "edit" inverts the colours where the mask lets it, on the mask's bounding box. When a caller goes away before
the end, `daemon.cancelled` is set (`daemon.unprepared`, where it only prepared). The prompt tells it what else to do:
    "fail CODE sentence"   end the call with this status; "fail CODE@FIELD sentence" names the field at fault
    "hang"                 report progress until the caller goes away
    "slow SECONDS"         take so long for each of the five steps of a drag
    "study SECONDS"        take so long for each of the five steps of a preparation
    "unprepared sentence"  fail to prepare
    "die"                  break off in the middle: the process ends (as a program of its own) or the server stops
    "forget"               drop the uploaded pixels once, after they were found
    "short"                send half of the result
A drag on a picture that Generate made is refused if its seed is 13: as if it could not be made again.

As a program it writes the endpoint file, as the real one does:  python fake_daemon.py [--version X] [--broken] [--busy N]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc

from dragdiffusion_rpc import drag_pb2 as rpc
from dragdiffusion_rpc import drag_pb2_grpc

TOKEN = "a token"
CHUNK = 1 << 20
BYTES_PER_PIXEL = {rpc.PIXEL_FORMAT_RGBA8: 4, rpc.PIXEL_FORMAT_RGB8: 3, rpc.PIXEL_FORMAT_Y8: 1}


READY, PARTIAL, ABSENT = (
    rpc.MODEL_STATE_READY,
    rpc.MODEL_STATE_PARTIAL,
    rpc.MODEL_STATE_ABSENT,
)


class FakeDaemon(drag_pb2_grpc.DragDiffusionServicer):
    def __init__(self, version: str = "0.1.0", die: Any = None, address: str = "127.0.0.1:0"):
        self.version = version
        self.requests: list[rpc.DragRequest] = []
        self.prepared: list[rpc.PrepareRequest] = []
        self.generations: list[rpc.GenerateRequest] = []
        self.finished: set[str] = set()  # edit_id
        self.buffers: dict[bytes, bytes] = {}
        self.uploads = 0
        self.loaded_model = "sd15"
        self.busy = 0  # edits that wait or run, besides those asked for here
        self.stored_images = 5
        self.answer_seconds = 0.0  # that GetStatus takes
        self.log = ["12:00:01 INFO daemon: listens", "12:00:02 INFO daemon: model sd15 loaded"]
        self.asked: list[str] = []  # Unload, ClearStore, Shutdown, … as they were asked for
        self.ended: list[str] = []  # downloads, however they ended
        self.models = _models()
        self.is_damaged = False  # a verification finds something
        self.step_seconds = 0.0  # of a download (20 steps) and of a verification (5)
        self.cancelled = threading.Event()
        self.unprepared = threading.Event()
        self._die = die or (lambda: self._server.stop(0))
        self._server = grpc.server(futures.ThreadPoolExecutor(8), interceptors=[_TokenCheck()])
        drag_pb2_grpc.add_DragDiffusionServicer_to_server(self, self._server)
        port = self._server.add_insecure_port(address)
        self.address = address if address.startswith("unix:") else f"127.0.0.1:{port}"

    @property
    def endpoint(self) -> dict[str, Any]:
        return {
            "address": self.address,
            "token": TOKEN,
            "pid": os.getpid(),
            "version": self.version,
            "log_file": "/var/log/dragdiffusion.log",
        }

    def __enter__(self) -> FakeDaemon:
        self._server.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.stop(0).wait()

    def serve_forever(self) -> None:
        self._server.wait_for_termination()

    # ---- the contract

    def GetStatus(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: ARG002
        time.sleep(self.answer_seconds)
        return rpc.GetStatusResponse(
            version=self.version,
            pid=os.getpid(),
            engine_ready=True,
            device="cuda:0 NVIDIA GeForce RTX 4090",
            dtype="float16",
            device_memory_bytes=24_000_000_000,
            device_memory_free_bytes=18_200_000_000,
            process_memory_bytes=1_400_000_000,
            loaded_model=self.loaded_model,
            memory_plan="about 3.6 GiB needed, 17.1 GiB available: enough for full speed"
            if self.loaded_model
            else "",
            queue_length=self.busy,
            prepared_images=2 if self.loaded_model else 0,
            prepared_bytes=64_000_000 if self.loaded_model else 0,
            store_folder="/home/me/.cache/dragdiffusion/prepared",
            store_bytes=31_000_000 * self.stored_images,
            store_limit_bytes=4_294_967_296,
            stored_images=self.stored_images,
            log_file="/home/me/.local/state/dragdiffusion/daemon.log",
            uptime_seconds=3 * 3600 + 725,
            log_lines=self.log[-request.log_lines :] if request.log_lines else [],
        )

    def Unload(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: ARG002
        self.asked.append("Unload")
        if self.busy:
            return rpc.UnloadResponse(unloaded=False)
        self.loaded_model = ""
        self.log.append("12:05:00 INFO daemon: asked to free the model")
        return rpc.UnloadResponse(unloaded=True)

    def ClearStore(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: ARG002
        self.asked.append("ClearStore")
        count, self.stored_images = self.stored_images, 0
        return rpc.ClearStoreResponse(removed_images=count, removed_bytes=31_000_000 * count)

    def Shutdown(self, request: Any, context: grpc.ServicerContext) -> Any:
        self.asked.append("Shutdown if idle" if request.only_if_idle else "Shutdown")
        if request.only_if_idle and self.busy:
            return rpc.ShutdownResponse(stopping=False)
        context.add_callback(self._die)
        return rpc.ShutdownResponse(stopping=True)

    def FindMissing(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: ARG002
        missing = [buffer for buffer in request.buffers if buffer.sha256 not in self.buffers]
        return rpc.FindMissingResponse(missing=missing)

    def Upload(self, request_iterator: Any, context: grpc.ServicerContext) -> Any:
        header = next(request_iterator).header
        rows = b"".join(part.chunk for part in request_iterator)
        channels = BYTES_PER_PIXEL[header.format]
        text = f"{header.width}x{header.height}x{channels}:".encode("ascii")
        if len(rows) != header.width * header.height * channels:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "The pixels are not all there.")
        if hashlib.sha256(text + rows).digest() != header.sha256:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "The pixels are not those named.")
        self.buffers[header.sha256] = rows
        self.uploads += 1
        return rpc.UploadResponse(buffer=header)

    def Prepare(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        self.prepared.append(request)
        _refuse_seed_13(request, context)
        ended = threading.Event()
        context.add_callback(lambda: ended.is_set() or self.unprepared.set())
        if request.image.sha256 not in self.buffers:
            context.abort(grpc.StatusCode.NOT_FOUND, "The image was not uploaded.")
        word, _, rest = request.prompt.partition(" ")
        if word == "unprepared":
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, rest)
        for step in range(1, 6):
            progress = _progress(rpc.STAGE_FINE_TUNING, 0.2 * step, 5 - step, step, 5).progress
            yield rpc.PrepareEvent(progress=progress)
            time.sleep(float(rest) if word == "study" else 0.0)
        mask = self.buffers[request.mask.sha256] if request.HasField("mask") else None
        left, top, width, height = _bounding_box(mask, request.image.width, request.image.height)
        region = rpc.Rectangle(x=left, y=top, width=width, height=height)
        yield rpc.PrepareEvent(prepared=rpc.Prepared(region=region))
        ended.set()

    def ListModels(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: ARG002
        ready = [name for name, m in self.models.items() if m.state == rpc.MODEL_STATE_READY]
        return rpc.ListModelsResponse(
            models=self.models.values(),
            default_model="sd15" if "sd15" in ready else "embedded",
            folder="/home/me/.local/share/dragdiffusion/models",
            free_bytes=38_400_000_000,
        )

    def DownloadModel(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        """Twenty steps; the last fifth is the large file's second half."""
        self.asked.append(f"DownloadModel {request.name}")
        if request.name == "no/model":
            context.abort(grpc.StatusCode.NOT_FOUND, "Hugging Face has no model no/model.")
        if request.name not in self.models:
            self.models[request.name] = _a_model(request.name, request.name, ABSENT, "sd1")
        model = self.models[request.name]
        model.state, model.can_remove, model.damaged_files[:] = PARTIAL, True, []
        context.add_callback(lambda: self.ended.append(f"DownloadModel {request.name}"))
        step = model.download_bytes // 20
        while model.here_bytes < model.download_bytes and context.is_active():
            time.sleep(self.step_seconds)
            model.here_bytes = min(model.here_bytes + step, model.download_bytes)
            yield rpc.DownloadModelEvent(
                file="unet/diffusion_pytorch_model.fp16.safetensors",
                done_bytes=model.here_bytes,
                total_bytes=model.download_bytes,
            )
        if model.here_bytes == model.download_bytes:
            model.state, model.available, model.can_verify = READY, True, True

    def VerifyModel(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:  # noqa: ARG002
        self.asked.append(f"VerifyModel {request.name}")
        model = self.models[request.name]
        bad = ["vae/diffusion_pytorch_model.fp16.safetensors"] if self.is_damaged else []
        for step in range(1, 6):
            time.sleep(self.step_seconds)
            yield rpc.VerifyModelEvent(
                file="a file",
                done_bytes=step * model.here_bytes // 5,
                total_bytes=model.here_bytes,
                damaged_files=bad if step > 3 else [],
            )
        if bad:
            model.state, model.available = rpc.MODEL_STATE_DAMAGED, False
            model.damaged_files[:] = bad
            model.here_bytes -= 200_000_000  # what a repair brings again

    def RemoveModel(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: ARG002
        self.asked.append(f"RemoveModel {request.name}")
        model = self.models[request.name]
        freed, model.here_bytes = model.here_bytes, 0
        model.state, model.available = ABSENT, False
        model.can_remove = model.can_verify = False
        return rpc.RemoveModelResponse(freed_bytes=freed)

    def FinishDrag(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: ARG002
        self.finished.add(request.edit_id)
        return rpc.FinishDragResponse(running=True)

    def Drag(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        self.requests.append(request)
        _refuse_seed_13(request.preparation, context)
        ended = threading.Event()
        context.add_callback(lambda: ended.is_set() or self.cancelled.set())
        word, _, rest = request.preparation.prompt.partition(" ")
        if word == "forget" and len(self.requests) == 1:
            self.buffers.clear()
        if request.preparation.image.sha256 not in self.buffers:
            context.abort(grpc.StatusCode.NOT_FOUND, "The image was not uploaded.")
        yield _progress(rpc.STAGE_LOADING_MODEL, 0.1)
        if word == "fail":
            _fail(rest, context)
        if word == "hang":
            yield from self._hang()
        if word == "die":
            self._die()
            time.sleep(5)
        pace = float(rest) if word == "slow" else 0.0
        yield from self._edit(request, pace, short=word == "short")
        ended.set()

    def Generate(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        """Every pixel has the seed as red, its row as green and its column as blue."""
        self.generations.append(request)
        ended = threading.Event()
        context.add_callback(lambda: ended.is_set() or self.cancelled.set())
        word, _, rest = request.generation.prompt.partition(" ")
        if word == "fail":
            _fail(rest, context)
        for step in range(1, 6):
            progress = _progress(rpc.STAGE_SAMPLING, 0.2 * step, 5 - step, step, 5).progress
            yield rpc.GenerateEvent(progress=progress)
            time.sleep(float(rest) if word == "slow" else 0.0)
        made = rpc.Generation(
            width=64, height=48, num_inference_steps=25, guidance_scale=3, prompt="", seed=0
        )
        made.MergeFrom(request.generation)
        seed, size = made.seed % 256, (made.width, made.height)
        rows = bytes(
            part
            for y in range(size[1])
            for x in range(size[0])
            for part in (seed, y % 256, x % 256)
        )
        digest = hashlib.sha256(f"{size[0]}x{size[1]}x3:".encode("ascii") + rows).digest()
        pixels = rpc.BufferReference(
            sha256=digest, width=size[0], height=size[1], format=rpc.PIXEL_FORMAT_RGB8
        )
        run = rpc.Run(device="fake", model=request.model or "here")
        header = rpc.GeneratedImage(pixels=pixels, generation=made, run=run)
        yield rpc.GenerateEvent(generated_image=header)
        end = len(rows) // 2 if word == "short" else len(rows)
        for start in range(0, end, CHUNK):
            chunk = rows[start : min(end, start + CHUNK)]
            yield rpc.GenerateEvent(pixel_chunk=rpc.PixelChunk(chunk=chunk))
        ended.set()

    def _hang(self) -> Iterator[Any]:
        while not self.cancelled.wait(0.1):
            yield _progress(rpc.STAGE_DRAGGING, 0.2, eta=99)

    def _edit(self, request: Any, pace: float, short: bool) -> Iterator[Any]:
        preparation = request.preparation
        size = (preparation.image.width, preparation.image.height)
        image = self.buffers[preparation.image.sha256]
        mask = None
        if preparation.HasField("mask"):
            mask = self.buffers[preparation.mask.sha256]
        region = _bounding_box(mask, *size)
        for step in range(1, 6):
            yield _progress(rpc.STAGE_DRAGGING, 0.2 + 0.1 * step, eta=5 - step, step=step, steps=5)
            yield rpc.DragEvent(drag_step=_drag_step(preparation, step))
            if request.preview_every:
                yield rpc.DragEvent(preview=_preview(image, size))
            time.sleep(pace)
            if request.edit_id in self.finished:
                break
        pixels = _invert(image, mask, size[0], region)
        yield rpc.DragEvent(edited_image=_edited_image(region, pixels, step))
        end = len(pixels) // 2 if short else len(pixels)
        for start in range(0, end, CHUNK):
            chunk = pixels[start : min(end, start + CHUNK)]
            yield rpc.DragEvent(pixel_chunk=rpc.PixelChunk(chunk=chunk))


def _models() -> dict[str, Any]:
    """As the real daemon has them before anything is downloaded."""
    from dragdiffusion.models import catalogue

    made = {}
    for source in catalogue.known_models():
        is_here = source.name == "embedded"
        made[source.name] = _a_model(
            source.name,
            source.title,
            READY if is_here else ABSENT,
            source.family.value,
            source.download_bytes or 24_000_000,
            source.purpose,
            source.license,
        )
    return made


def _a_model(
    name: str,
    title: str,
    state: Any,
    family: str,
    size: int = 2_130_000_000,
    purpose: str = "",
    license_name: str = "",
) -> Any:
    is_here = state == READY
    return rpc.Model(
        name=name,
        title=title,
        family=family,
        state=state,
        available=is_here,
        here_bytes=size if is_here else 0,
        download_bytes=size,
        purpose=purpose,
        license=license_name,
    )


class _TokenCheck(grpc.ServerInterceptor):
    def intercept_service(self, continuation: Any, details: Any) -> Any:
        if ("authorization", f"Bearer {TOKEN}") in details.invocation_metadata:
            return continuation(details)

        def refuse(_request: Any, context: grpc.ServicerContext) -> None:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "The token is missing or wrong.")

        return grpc.unary_unary_rpc_method_handler(refuse)


def _fail(told: str, context: grpc.ServicerContext) -> None:
    code_and_field, _, sentence = told.partition(" ")
    code, _, field = code_and_field.partition("@")
    context.set_trailing_metadata((("dragdiffusion-field", field),))
    context.abort(grpc.StatusCode[code], sentence)


def _refuse_seed_13(request: Any, context: grpc.ServicerContext) -> None:
    if request.generation.seed == 13:
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "This is not the image that was made.")


def _progress(stage: int, fraction: float, eta: float = 0, step: int = 0, steps: int = 0) -> Any:
    progress = rpc.Progress(stage=stage, fraction=fraction, step=step, steps=steps)
    if eta:
        progress.eta_seconds = eta
    return rpc.DragEvent(progress=progress)


def _drag_step(preparation: Any, step: int) -> Any:
    """Each handle so far on the straight way to its target."""
    handles = []
    for trajectory in preparation.trajectories:
        start, end, share = trajectory.points[0], trajectory.points[-1], (step - 1) / 4
        x, y = (start.x + share * (end.x - start.x), start.y + share * (end.y - start.y))
        handles.append(rpc.Point(x=x, y=y))
    return rpc.DragStep(step=step, max_steps=5, loss=1.0, handles=handles)


def _preview(image: bytes, size: tuple[int, int]) -> Any:
    """Every fourth pixel."""
    at = [4 * (y * size[0] + x) for y in range(0, size[1], 4) for x in range(0, size[0], 4)]
    rgb = b"".join(image[start : start + 3] for start in at)
    whole = rpc.Rectangle(width=size[0], height=size[1])
    return rpc.Preview(region=whole, width=-(-size[0] // 4), height=-(-size[1] // 4), rgb=rgb)


def _invert(image: bytes, mask: bytes | None, stride: int, region: tuple[int, ...]) -> bytes:
    """The region's colours inverted; its alpha is the mask's times the image's, as the real daemon has it."""
    left, top, width, height = region
    pixels = bytearray(4 * width * height)
    inverted = image.translate(bytes(range(255, -1, -1)))
    for row in range(height):
        start = (top + row) * stride + left
        line = bytearray(inverted[4 * start : 4 * (start + width)])
        alpha = image[4 * start + 3 : 4 * (start + width) : 4]
        if mask is not None:
            pairs = zip(alpha, mask[start : start + width], strict=True)
            alpha = bytes((ours * theirs + 127) // 255 for ours, theirs in pairs)
        line[3::4] = alpha
        pixels[4 * row * width : 4 * (row + 1) * width] = line
    return bytes(pixels)


def _bounding_box(mask: bytes | None, width: int, height: int) -> tuple[int, int, int, int]:
    if mask is None:
        return 0, 0, width, height
    rows = [y for y in range(height) if any(mask[y * width : (y + 1) * width])]
    columns = [x for x in range(width) if any(mask[x::width])]
    return columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1


def _edited_image(region: tuple[int, int, int, int], pixels: bytes, steps: int) -> Any:
    left, top, width, height = region
    digest = hashlib.sha256(f"{width}x{height}x4:".encode("ascii") + pixels).digest()
    return rpc.EditedImage(
        region=rpc.Rectangle(x=left, y=top, width=width, height=height),
        pixels=rpc.BufferReference(
            sha256=digest, width=width, height=height, format=rpc.PIXEL_FORMAT_RGBA8
        ),
        run=rpc.Run(device="fake", model="none", drag_steps=steps, config_json='{"seed": 0}'),
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--version", default="0.1.0")
    parser.add_argument("--broken", action="store_true")
    parser.add_argument("--busy", type=int, default=0)
    options = parser.parse_args()
    if options.broken:
        sys.exit("RuntimeError: no room for the model")
    with FakeDaemon(version=options.version, die=lambda: os._exit(1)) as daemon:
        daemon.busy = options.busy
        path = Path(os.environ["DRAGDIFFUSION_ENDPOINT_FILE"])
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(daemon.endpoint), encoding="utf-8")
        fresh.replace(path)
        daemon.serve_forever()


if __name__ == "__main__":
    main()
