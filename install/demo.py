"""The main job on a sample scene: a path and a selection, dragged by the plug-in in real GIMP 3 where it is, else by the
command line.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from places import Places

HERE = Path(__file__).resolve().parent
_IN_GIMP = HERE / "demo_gimp.py"
_BATCH = ("gimp-console", "-i", "--batch-interpreter=python-fu-eval", "--quit")


def drag_sample_scene(places: Places, where: str) -> None:
    """`where`: "host", the folder of a GIMP 3 tree (gimp_tree.sh --where), or "" for no GIMP that can be asked."""
    folder = places.demo
    folder.mkdir(parents=True, exist_ok=True)
    for made in ("after.png", "drag.xcf"):
        (folder / made).unlink(missing_ok=True)
    subprocess.run([places.python, HERE / "demo_scene.py", folder], check=True)
    if where == "host":
        _drag_in_gimp(folder, [], os.environ, log=folder / "gimp.log")
    elif where:
        _drag_in_tree(places, Path(where), demo_in_tree(Path(where)))
    else:
        _drag_by_command_line(places)
    by = "GIMP 3" if where else "dragdiffusion edit"
    print(f"Dragged by {by}. Look at:", folder / "before.png", folder / "after.png", sep="\n  ")
    if (folder / "drag.xcf").exists():
        print(f"  {folder / 'drag.xcf'} (with its layers, for GIMP)")


def _drag_in_gimp(
    folder: Path, prefix: list[str | Path], environ: Mapping[str, str], *, log: Path
) -> None:
    """`prefix`: what runs a command where GIMP is."""
    shutil.copyfile(_IN_GIMP, folder / _IN_GIMP.name)
    script = f"exec(open({str(folder / _IN_GIMP.name)!r}).read())"
    command = [*prefix, "env", f"DEMO_FOLDER={folder}", *_BATCH, "-b", script]
    with log.open("w", encoding="utf-8") as told:
        done = subprocess.run(command, stdout=told, stderr=told, env=environ, check=False)
    if done.returncode != 0 or not (folder / "after.png").exists():
        last = log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:]
        raise SystemExit("\n".join([*last, f"The demonstration in GIMP failed; its log: {log}"]))


def demo_in_tree(tree: Path) -> Path:
    """The copy of the demonstration that GIMP in the tree can open; GIMP_TREE_DEMO puts it elsewhere below DIR/tmp."""
    return Path(os.environ.get("GIMP_TREE_DEMO") or tree / "tmp" / "dragdiffusion-demo")


def _drag_in_tree(places: Places, tree: Path, scene: Path) -> None:
    """The plug-in in the tree cannot start a daemon outside it: one is started here, and found by its endpoint file."""
    shutil.rmtree(scene, ignore_errors=True)
    shutil.copytree(places.demo, scene)
    endpoint = scene / "endpoint.json"
    environ = {**os.environ, "DRAGDIFFUSION_ENDPOINT_FILE": str(endpoint)}
    run: list[str | Path] = ["bash", HERE / "gimp_tree.sh", "--run", tree]
    with _daemon(places, environ, endpoint):
        _drag_in_gimp(scene, run, environ, log=places.demo / "gimp.log")
    for made in ("after.png", "drag.xcf"):
        shutil.copyfile(scene / made, places.demo / made)


@contextmanager
def _daemon(places: Places, environ: Mapping[str, str], endpoint: Path) -> Iterator[None]:
    log = places.demo / "daemon.log"
    command: list[str | Path] = [places.daemon, "serve"]
    with (
        log.open("w", encoding="utf-8") as told,
        subprocess.Popen(command, stdout=told, stderr=told, env=environ) as started,
    ):
        try:
            while not endpoint.exists():
                if started.poll() is not None:
                    raise SystemExit(f"The daemon did not start; its log: {log}")
                time.sleep(0.1)
            yield
        finally:
            started.terminate()


def _drag_by_command_line(places: Places) -> None:
    folder = places.demo
    scene = json.loads((folder / "scene.json").read_text(encoding="utf-8"))
    point = ":".join(",".join(map(str, scene[name])) for name in ("handle", "target"))
    command = [
        *(places.daemon, "edit", folder / "before.png", "--point", point),
        *("--prompt", scene["prompt"], "--mask", folder / "mask.png"),
        *("--output", folder / "after.png"),
    ]
    subprocess.run(command, check=True)
