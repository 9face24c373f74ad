"""What the plug-in's vendor folder is filled with can be loaded by any GIMP's Python."""

from __future__ import annotations

from types import ModuleType

COMPILED = {".so", ".pyd", ".dylib", ".dll"}


def test_nothing_compiled_and_no_numpy_comes_in(vendor: ModuleType) -> None:
    vendor.bring_up_to_date(vendor.PLUGIN)  # at once where it is, as run.sh leaves it
    names = {path.name for path in (vendor.PLUGIN / "vendor").iterdir()}
    found = [path for path in (vendor.PLUGIN / "vendor").rglob("*") if path.suffix in COMPILED]

    assert {"google", "grpclib", "h2", "dragdiffusion_rpc"} <= names
    assert not {"numpy", "torch", "PIL"} & names
    assert found == []
