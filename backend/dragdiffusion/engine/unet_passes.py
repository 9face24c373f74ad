"""What the UNet's passes have in common is done once; the numbers are the same.

    with unet_passes.repeated(model):  # whose weights stay what and where they are
        ...

On a card, passes are CUDA graphs: it is given a thousand small operations at once, not one after the other. The first pass of a
kind is recorded; those that follow copy their inputs to where its were, and replay it
(https://pytorch.org/blog/accelerating-pytorch-with-cuda-graphs). Elsewhere the layers' projections of timestep and prompt, which do
not depend on the latent, are kept for the next pass that has the same ones.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.resnet import ResnetBlock2D
from torch import Tensor, nn

Pass = Callable[..., "tuple[Tensor, ...]"]
_log = logging.getLogger(__name__)


class DirectPasses:
    """Each operation is started when its turn comes."""

    def run(
        self, _name: str, function: Pass, latent: Tensor, timestep: int | Tensor, prompt: Tensor
    ) -> tuple[Tensor, ...]:
        return function(latent, torch.as_tensor(timestep, device=latent.device), prompt)

    @contextmanager
    def holding(self, reference: Any) -> Iterator[Any]:
        """Inside, passes may read these tensors beside their inputs: `ReferenceKeyValues`."""
        yield reference


DIRECT = DirectPasses()


@contextmanager
def repeated(model: Any) -> Iterator[None]:
    """Inside, passes of the model are recorded and replayed, or else their projections kept, where that can be."""
    if _can_record(model) or not _can_keep(model):
        with graphed(model):
            yield
        return
    kept = KeptProjections()
    with _using(model, kept), kept.of(model.unet):
        yield


@contextmanager
def graphed(model: Any) -> Iterator[None]:
    """Inside, the model's passes are recorded and replayed where that can be; its weights may learn, in place."""
    if not _can_record(model):
        yield
        return
    with _using(model, GraphedPasses(model.unet)):
        yield


@contextmanager
def _using(model: Any, passes: DirectPasses) -> Iterator[None]:
    found, model.passes = model.passes, passes
    try:
        yield
    finally:
        model.passes = found


def _can_record(model: Any) -> bool:
    short_of_memory = model.savings.recomputed or model.savings.reference_on_host
    return model.records_passes and model.device.type == "cuda" and not short_of_memory


def _can_keep(model: Any) -> bool:
    """Not where a pass is done again on its way back, when another one may have been made; nor in compiled blocks."""
    return not model.savings.recomputed and not model.is_compiled


class KeptProjections(DirectPasses):
    """What layers make of the timestep and of the prompt of the pass that runs, if the one before had them too."""

    def __init__(self) -> None:
        self._timestep = (-1, 0)  # and for how many samples
        self._of_timestep: dict[nn.Module, Tensor] = {}
        self._prompt: Tensor | None = None
        self._of_prompt: dict[nn.Module, Tensor] = {}

    def run(
        self, name: str, function: Pass, latent: Tensor, timestep: int | Tensor, prompt: Tensor
    ) -> tuple[Tensor, ...]:
        moment = int(timestep), len(latent)
        if moment != self._timestep:
            self._timestep, self._of_timestep = moment, {}
        if prompt is not self._prompt:
            self._prompt, self._of_prompt = prompt, {}
        return super().run(name, function, latent, timestep, prompt)

    @contextmanager
    def of(self, unet: Any) -> Iterator[None]:
        """Inside, these layers of the UNet answer with what is kept."""
        with ExitStack() as stack:
            for module in list(unet.modules()):
                if isinstance(module, ResnetBlock2D) and module.time_emb_proj is not None:
                    stack.enter_context(
                        _keeping(module, "time_emb_proj", lambda: self._of_timestep)
                    )
                elif isinstance(module, BasicTransformerBlock) and module.attn2 is not None:
                    for name in ("to_k", "to_v"):
                        stack.enter_context(_keeping(module.attn2, name, lambda: self._of_prompt))
            yield


class _Keeping(nn.Module):
    """In a layer's place: computes with it what is not kept, and keeps it."""

    def __init__(self, layer: nn.Module, get_kept: Callable[[], dict[nn.Module, Tensor]]) -> None:
        super().__init__()
        self.layer, self._get_kept = layer, get_kept

    def forward(self, values: Tensor) -> Tensor:
        kept = self._get_kept()
        if self.layer not in kept:
            kept[self.layer] = self.layer(values)
        return kept[self.layer]


@contextmanager
def _keeping(
    parent: nn.Module, name: str, get_kept: Callable[[], dict[nn.Module, Tensor]]
) -> Iterator[None]:
    layer = getattr(parent, name)
    setattr(parent, name, _Keeping(layer, get_kept))
    try:
        yield
    finally:
        setattr(parent, name, layer)


class GraphedPasses(DirectPasses):
    """Passes of one name with inputs of like shapes must do the same operations."""

    def __init__(self, unet: Any) -> None:
        self._trained = tuple(weight for weight in unet.parameters() if weight.requires_grad)
        self._recorded: dict[Hashable, _RecordedPass | None] = {}  # None: cannot be recorded
        self._held: dict[Hashable, Any] = {}
        self._holds: Hashable = None

    def run(
        self, name: str, function: Pass, latent: Tensor, timestep: int | Tensor, prompt: Tensor
    ) -> tuple[Tensor, ...]:
        inputs = (latent, torch.as_tensor(timestep, device=latent.device), prompt)
        learns = torch.is_grad_enabled() and any(t.requires_grad for t in (*inputs, *self._trained))
        shapes = tuple((t.shape, t.dtype, t.requires_grad) for t in inputs)
        kind = (name, learns, self._holds, shapes)
        if kind not in self._recorded:
            self._recorded[kind] = self._record(function, inputs, learns=learns)
        recorded = self._recorded[kind]
        if recorded is None:
            return function(*inputs)
        outputs: tuple[Tensor, ...] = _Replay.apply(recorded, *inputs, *self._trained)
        return outputs

    @contextmanager
    def holding(self, reference: Any) -> Iterator[Any]:
        """Gives copies, always in the same place."""
        found = self._holds
        self._holds = tuple(tuple((t.shape, t.dtype) for t in layer) for layer in reference)
        held = self._held.get(self._holds)
        if held is None:
            held = tuple(type(layer)(*map(torch.empty_like, layer)) for layer in reference)
            self._held[self._holds] = held
        for layer, new in zip(held, reference, strict=True):
            for tensor, value in zip(layer, new, strict=True):
                tensor.copy_(value)
        try:
            yield held
        finally:
            self._holds = found

    def _record(
        self, function: Pass, inputs: tuple[Tensor, ...], *, learns: bool
    ) -> _RecordedPass | None:
        try:
            return _RecordedPass(function, inputs, self._trained if learns else None)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            _log.warning("a pass of the UNet cannot be recorded as a CUDA graph: %s", error)
            return None


class _RecordedPass:
    """A pass on tensors that stay in place, and its way back."""

    def __init__(
        self, function: Pass, inputs: tuple[Tensor, ...], trained: tuple[Tensor, ...] | None
    ) -> None:
        """`trained` None: without gradients."""
        self.inputs = tuple(
            t.detach().clone().requires_grad_(trained is not None and t.requires_grad)
            for t in inputs
        )
        every = (*self.inputs, *(trained or ()))
        self.needs_gradient = [t.requires_grad for t in every]
        wanted = [t for t in every if t.requires_grad]
        with torch.set_grad_enabled(trained is not None):
            outputs = function(*self.inputs)  # libraries set themselves up at the first call
            self.output_gradients = tuple(torch.zeros_like(t) for t in outputs)
            if wanted:
                torch.autograd.grad(outputs, wanted, self.output_gradients)
            del outputs
            self.replay, outputs = record(lambda: function(*self.inputs))
            if wanted:
                self.replay_backward, self.gradients = record(
                    lambda: torch.autograd.grad(outputs, wanted, self.output_gradients)
                )
        self.outputs = tuple(t.detach() for t in outputs)


def record(work: Callable[[], tuple[Tensor, ...]]) -> tuple[Callable[[], None], tuple[Tensor, ...]]:
    """What does the work again, and where its results are then."""
    graph = torch.cuda.CUDAGraph()
    with (
        torch.cuda.stream(torch.cuda.current_stream()),  # which is so again if recording fails
        torch.cuda.graph(graph, capture_error_mode="thread_local"),  # others may ask for memory
    ):
        results = work()
    return graph.replay, results


class _Replay(torch.autograd.Function):
    """A recorded pass as an operation of its inputs and the weights that learn."""

    @staticmethod
    def forward(ctx: Any, recorded: _RecordedPass, *inputs: Tensor) -> tuple[Tensor, ...]:
        ctx.recorded = recorded
        for place, value in zip(recorded.inputs, inputs, strict=False):
            place.copy_(value)
        recorded.replay()
        return tuple(output.clone() for output in recorded.outputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        recorded = ctx.recorded
        for place, value in zip(recorded.output_gradients, gradients, strict=True):
            place.copy_(value)
        recorded.replay_backward()
        ready = iter(recorded.gradients)
        return None, *(
            next(ready).clone() if needed else None for needed in recorded.needs_gradient
        )
