"""Arrays and plain values come through; nothing else is ever called."""

from __future__ import annotations

import collections
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dragdiffusion.evaluation import restricted_pickle
from dragdiffusion.evaluation.restricted_pickle import Refused


def written(tmp_path: Path, content: bytes) -> Path:
    file = tmp_path / "meta_data.pkl"
    file.write_bytes(content)
    return file


class _Call:
    """Pickles as a call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self._call = (function, arguments)

    def __reduce__(self) -> Any:
        return self._call


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_arrays_and_plain_values(tmp_path: Path, protocol: int) -> None:
    mask = np.arange(12, dtype=np.uint8).reshape(3, 4)
    content = {"prompt": "a cat", "points": [[1, 2], (np.int64(3), np.float32(4))], "mask": mask}
    read = restricted_pickle.load(written(tmp_path, pickle.dumps(content, protocol)))
    np.testing.assert_array_equal(read["mask"], mask)
    assert (read["prompt"], read["points"]) == ("a cat", [[1, 2], (3, 4)])


@pytest.mark.parametrize("spelling", [b"numpy.core", b"numpy._core"])
def test_either_numpy_s_spelling(tmp_path: Path, spelling: bytes) -> None:
    content = pickle.dumps(np.eye(2), protocol=2)
    content = content.replace(b"numpy._core", b"numpy.core").replace(b"numpy.core", spelling)
    with pytest.raises(Refused, match="_codecs"):  # protocol 2 keeps bytes by a call
        restricted_pickle.load(written(tmp_path, content))
    content = pickle.dumps(np.eye(2), protocol=3)
    content = content.replace(b"numpy._core", b"numpy.core").replace(b"numpy.core", spelling)
    np.testing.assert_array_equal(restricted_pickle.load(written(tmp_path, content)), np.eye(2))


@pytest.mark.parametrize(
    "malice",
    [
        _Call(eval, "open('witness', 'w')"),
        _Call(os.mkdir, "witness"),
        _Call(getattr, "", "join"),
        _Call(np.save, "witness", 1),
        collections.OrderedDict(prompt="harmless, and still not needed"),
    ],
)
@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_nothing_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, malice: Any, protocol: int
) -> None:
    monkeypatch.chdir(tmp_path)
    content = pickle.dumps({"prompt": "a cat", "points": malice}, protocol)
    with pytest.raises(Refused, match="it asks for"):
        restricted_pickle.load(written(tmp_path, content))
    assert [path.name for path in tmp_path.iterdir()] == ["meta_data.pkl"]


def test_outside_objects_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="outside object"):
        restricted_pickle.load(written(tmp_path, b"Pwitness\n."))


@pytest.mark.parametrize("content", [b"", b"no pickle", pickle.dumps(np.eye(9))[:-40]])
def test_what_is_no_pickle_is_said_so(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ValueError, match="no whole pickle"):
        restricted_pickle.load(written(tmp_path, content))
