"""The RPC methods: what arrives is converted by `wire`, done by the workbench in its turn, and sent back as it happens."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import Any

import grpc

from dragdiffusion import __version__
from dragdiffusion.daemon import wire
from dragdiffusion.daemon.administration import AdministrationMethods
from dragdiffusion.daemon.drags import NamedDrags
from dragdiffusion.daemon.jobs import Queued
from dragdiffusion.daemon.model_methods import ModelMethods
from dragdiffusion.daemon.progress import ProgressMeter, plan, plan_generation
from dragdiffusion.daemon.statuses import errors_as_statuses
from dragdiffusion.daemon.workbench import Edited, Generated, Prepared
from dragdiffusion.daemon.workshop import Workshop
from dragdiffusion.engine.config import DragConfig, Generation, Mode
from dragdiffusion.engine.drag_types import DragRequest, DragStep, Preview, Stage, StageStep
from dragdiffusion.engine.errors import InvalidRequest
from dragdiffusion.models import catalogue
from dragdiffusion.models.profiles import Defaults, defaults
from dragdiffusion_rpc import drag_pb2 as rpc
from dragdiffusion_rpc import drag_pb2_grpc


class DragDiffusionServicer(
    AdministrationMethods, ModelMethods, drag_pb2_grpc.DragDiffusionServicer
):
    """Implements drag.proto."""

    def __init__(self, workshop: Workshop) -> None:
        self._shop = workshop
        self._drags = NamedDrags()

    # ---- pixels ----

    def FindMissing(
        self, request: rpc.FindMissingRequest, context: grpc.ServicerContext
    ) -> rpc.FindMissingResponse:
        with self._statuses(context):
            holds = self._shop.buffers.holds
            names = [wire.to_buffer_name(b, f"buffers[{i}]") for i, b in enumerate(request.buffers)]
            missing = [b for b, name in zip(request.buffers, names, strict=True) if not holds(name)]
            return rpc.FindMissingResponse(missing=missing)

    def Upload(
        self, request_iterator: Iterator[rpc.UploadRequest], context: grpc.ServicerContext
    ) -> rpc.UploadResponse:
        with self._statuses(context):
            first = next(request_iterator, rpc.UploadRequest())
            if first.WhichOneof("part") != "header":
                raise InvalidRequest("An upload begins with its header.", field="header")
            name = wire.to_buffer_name(first.header, "header")
            self._shop.buffers.receive(name, _chunks(request_iterator))
            return rpc.UploadResponse(buffer=first.header)

    # ---- edits ----

    def Generate(
        self, request: rpc.GenerateRequest, context: grpc.ServicerContext
    ) -> Iterator[rpc.GenerateEvent]:
        with self._statuses(context):
            source = self._model(request.model)
            default = defaults(Mode.DEFAULT, source).generation
            order = wire.to_generation(request.generation, default)
            stages = plan_generation(order, load=not self._shop.workbench.is_loaded(source))
            meter = ProgressMeter(stages, model=source.name, lora_batch=1, paces=self._shop.paces)
            work = self._shop.workbench.generate
            for event in self._run(lambda stop: work(source, order, stop), context):
                yield from _generate_events(event, meter, order)

    def Prepare(
        self, request: rpc.PrepareRequest, context: grpc.ServicerContext
    ) -> Iterator[rpc.PrepareEvent]:
        with self._statuses(context):
            source, default = self._model_and_defaults(request)
            order = wire.to_prepare_request(request, self._shop.buffers, default)
            meter = self._meter(source, order, drag=False)
            work = self._shop.workbench.prepare
            for event in self._run(lambda stop: work(source, order, stop), context):
                if isinstance(event, Prepared):
                    done = wire.from_prepared(event, order.config, __version__)
                    yield rpc.PrepareEvent(prepared=done)
                else:
                    yield rpc.PrepareEvent(progress=_progress(event, meter))

    def Drag(
        self, request: rpc.DragRequest, context: grpc.ServicerContext
    ) -> Iterator[rpc.DragEvent]:
        with self._statuses(context), self._drags.named(request.edit_id) as enough:
            source, default = self._model_and_defaults(request.preparation)
            order = wire.to_drag_request(request, self._shop.buffers, default)
            meter = self._meter(source, order, drag=True)
            work = self._shop.workbench.drag
            for event in self._run(lambda stop: work(source, order, stop, enough), context):
                yield from _drag_events(event, meter, order.config)

    def FinishDrag(
        self, request: rpc.FinishDragRequest, context: grpc.ServicerContext
    ) -> rpc.FinishDragResponse:
        with self._statuses(context):
            return rpc.FinishDragResponse(running=self._drags.finish(request.edit_id))

    # ---- shared ----

    def _statuses(self, context: grpc.ServicerContext) -> Any:
        return errors_as_statuses(context, self._shop.log_file)

    def _model_and_defaults(
        self, request: rpc.PrepareRequest
    ) -> tuple[catalogue.ModelSource, Defaults]:
        source = self._model(request.model)
        return source, defaults(wire.to_mode(request.mode), source)

    def _model(self, name: str) -> catalogue.ModelSource:
        """The model of this name, or the default; its files are here."""
        if name:
            source = catalogue.resolve(name)
        else:
            source = catalogue.default_model(self._shop.settings.default_model)
        catalogue.find_files(source)
        return source

    def _meter(
        self, source: catalogue.ModelSource, order: DragRequest, *, drag: bool
    ) -> ProgressMeter:
        bench = self._shop.workbench
        stages = plan(
            order.config,
            order.generation,
            load=not bench.is_loaded(source),
            prepare=not bench.is_prepared(source, order),
            drag=drag,
        )
        return ProgressMeter(
            stages,
            model=source.name,
            lora_batch=order.config.lora.batch_size,
            paces=self._shop.paces,
        )

    def _run(
        self, work: Callable[[Any], Generator[Any, None, None]], context: grpc.ServicerContext
    ) -> Iterator[Any]:
        """The work's events in its turn; it is cancelled when the call ends, however it ends."""
        queue = self._shop.queue
        job = queue.submit(work)
        if not context.add_callback(lambda: queue.cancel(job)):
            queue.cancel(job)  # the call has ended already
        for event in job.events():
            starting = event == Queued(0) and not self._shop.workbench.device.name
            yield StageStep(Stage.LOADING_MODEL, 0, 1) if starting else event


def _chunks(requests: Iterator[rpc.UploadRequest]) -> Iterator[bytes]:
    for request in requests:
        if request.WhichOneof("part") != "chunk":
            raise InvalidRequest("After its header an upload has chunks only.", field="chunk")
        yield request.chunk


def _progress(event: object, meter: ProgressMeter) -> rpc.Progress:
    if isinstance(event, Queued):
        return wire.from_queue_position(event.position)
    if isinstance(event, StageStep):
        return wire.from_reading(meter.advance(event.stage, event.step, event.steps))
    raise TypeError(f"unexpected event {event!r}")


def _generate_events(
    event: object, meter: ProgressMeter, generation: Generation
) -> Iterator[rpc.GenerateEvent]:
    if not isinstance(event, Generated):
        yield rpc.GenerateEvent(progress=_progress(event, meter))
        return
    for part in wire.from_generated(event, generation, __version__):
        if isinstance(part, rpc.GeneratedImage):
            yield rpc.GenerateEvent(generated_image=part)
        else:
            yield rpc.GenerateEvent(pixel_chunk=part)


def _drag_events(
    event: object, meter: ProgressMeter, config: DragConfig
) -> Iterator[rpc.DragEvent]:
    if isinstance(event, DragStep):
        yield rpc.DragEvent(drag_step=wire.from_drag_step(event))
        reading = meter.advance(Stage.DRAGGING, event.step, event.max_steps)
        yield rpc.DragEvent(progress=wire.from_reading(reading))
    elif isinstance(event, Preview):
        yield rpc.DragEvent(preview=wire.from_preview(event))
    elif isinstance(event, Edited):
        for part in wire.from_edited(event, config, __version__):
            if isinstance(part, rpc.EditedImage):
                yield rpc.DragEvent(edited_image=part)
            else:
                yield rpc.DragEvent(pixel_chunk=part)
    else:
        yield rpc.DragEvent(progress=_progress(event, meter))
