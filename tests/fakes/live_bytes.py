"""Counts the bytes of tensors while they live, allocation for allocation, on meta tensors: nothing is computed.

    with LiveBytes() as live:
        model = ...  # on torch.device("meta")
        model.decode(latent)
    live.peak

Attention is the fused kernel, as on every real device: on meta tensors torch would lay out its whole matrix.
"""

from __future__ import annotations

import weakref
from contextlib import ExitStack
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from dragdiffusion.engine import reference_latent_control
from dragdiffusion.evaluation.edit_flops import known_result


class LiveBytes(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        self.peak = 0
        self._counted: set[int] = set()
        self._patches = ExitStack()

    def take_peak(self) -> int:
        """Since it was last taken."""
        peak, self.peak = self.peak, self.now
        return peak

    def __enter__(self) -> LiveBytes:
        for place in (torch.nn.functional, reference_latent_control):
            patch = mock.patch.object(place, "scaled_dot_product_attention", _attention)
            self._patches.enter_context(patch)
        self._patches.enter_context(mock.patch.object(Tensor, "tolist", _zeros))
        super().__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)  # type: ignore[arg-type]
        self._patches.close()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        del types
        if func is torch.ops.aten._local_scalar_dense.default and args[0].is_meta:
            return 0.0  # float(tensor)
        if func is torch.ops.aten._to_copy.default and args[0].is_meta and _to_the_cpu(kwargs):
            return torch.zeros(args[0].shape, dtype=kwargs.get("dtype", args[0].dtype))
        result = known_result(func, args, kwargs or {})
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor) and leaf.is_meta:
                self._count(leaf)
        return result

    def _count(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        name, size = storage._cdata, storage.nbytes()
        if name in self._counted:
            return
        self._counted.add(name)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._forget, name, size)

    def _forget(self, name: int, size: int) -> None:
        self._counted.discard(name)
        self.now -= size


def _to_the_cpu(kwargs: dict[str, Any]) -> bool:
    return kwargs.get("device") == torch.device("cpu")


def _attention(query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> Tensor:
    return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(query, key, value)[0]


_real_tolist = Tensor.tolist


def _zeros(tensor: Tensor) -> Any:
    return _real_tolist(torch.zeros(tensor.shape, dtype=tensor.dtype) if tensor.is_meta else tensor)
