"""The daemon as it is installed, told nothing: it finds the card, computes in half precision and edits."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dragdiffusion.client.connection import to_pixels
from dragdiffusion.evaluation.scene_metrics import locate
from dragdiffusion.models.load import place
from dragdiffusion_rpc import drag_pb2 as rpc
from fakes.running import real_daemon, wait_until
from gpu.card import DEVICE, NEEDS_CARD, ON_CARD, report, scene

pytestmark = NEEDS_CARD


def test_it_edits_on_the_card(tmp_path: Path) -> None:
    case = scene("ball")
    expected = place("auto" if ON_CARD else DEVICE)
    device = "auto" if ON_CARD else DEVICE
    with real_daemon(tmp_path, device=device, default_model="embedded") as daemon:
        wait_until(lambda: daemon.status().engine_ready, seconds=60)
        status = daemon.status()
        assert (status.device, status.dtype) == (expected.description, expected.dtype_name)
        assert 0 < status.device_memory_free_bytes <= status.device_memory_bytes

        opaque = np.dstack([case.image, np.full(case.image.shape[:2], 255, np.uint8)])
        trajectories = [
            rpc.Trajectory(points=[rpc.Point(x=x, y=y) for x, y in pair])
            for pair in case.point_pairs
        ]
        preparation = rpc.PrepareRequest(
            image=daemon.upload(opaque),
            mask=daemon.upload(case.mask),
            trajectories=trajectories,
            prompt=case.caption,
        )
        events = list(daemon.drag(rpc.DragRequest(preparation=preparation)))
    header = next(event.edited_image for event in events if event.HasField("edited_image"))
    rows = b"".join(event.pixel_chunk.chunk for event in events if event.HasField("pixel_chunk"))
    layer = to_pixels(header.pixels, rows)
    edited = case.image.copy()
    region = header.region
    under = edited[region.y : region.y + region.height, region.x : region.x + region.width]
    alpha = layer[..., 3:] / 255
    under[:] = np.rint(layer[..., :3] * alpha + under * (1 - alpha))
    found = locate(edited, case, case.point_pairs[0])
    seconds = {phase.phase: round(phase.seconds, 3) for phase in header.run.phases}
    report("daemon", {"device": status.device, "dtype": status.dtype, "seconds": seconds})
    assert np.hypot(*np.subtract(found, case.point_pairs[0][1])) <= 3
    assert header.run.peak_memory_bytes > 0
