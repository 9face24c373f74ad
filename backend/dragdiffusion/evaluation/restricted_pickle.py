"""Reads a pickle that holds plain values and numpy arrays, and refuses every other.

A pickle is a program: whoever made the file may call any function by name. Here the only names are those with which
numpy builds arrays, so that nothing can be called that does anything else.
"""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

_LARGEST_BYTES = 256 << 20  # DragBench's are a quarter of a megabyte
_NUMPY_NAMES = {"ndarray", "dtype"}
# As numpy 1 and numpy 2 spell them: arrays, numbers, and arrays of pickle protocol 5.
_BUILDERS = {("multiarray", "_reconstruct"), ("multiarray", "scalar"), ("numeric", "_frombuffer")}


class Refused(pickle.UnpicklingError):
    """The pickle asks for something that is neither a plain value nor an array."""


def load(path: Path) -> Any:
    """The pickled value; Refused for what is not allowed, ValueError for what is no pickle, OSError."""
    if path.stat().st_size > _LARGEST_BYTES:
        raise Refused(f"it is larger than {_LARGEST_BYTES >> 20} MB")
    try:
        return _Unpickler(io.BytesIO(path.read_bytes())).load()
    except Refused:
        raise
    except Exception as error:  # damaged pickles raise nearly everything
        raise ValueError(f"it is no whole pickle ({type(error).__name__}: {error})") from error


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module == "numpy" and name in _NUMPY_NAMES:
            return getattr(np, name)
        package, _, part = module.rpartition(".")
        if package in ("numpy.core", "numpy._core") and (part, name) in _BUILDERS:
            return super().find_class(_numpy_core(part), name)
        raise Refused(f"it asks for {module}.{name}, and only numbers, texts and arrays are read")

    def persistent_load(self, pid: Any) -> Any:
        raise Refused(f"it asks for the outside object {pid!r}")


def _numpy_core(part: str) -> str:
    """This numpy's spelling, whichever the file has."""
    return (
        f"numpy._core.{part}"
        if np.lib.NumpyVersion(np.__version__) >= "2.0.0"
        else (f"numpy.core.{part}")
    )
