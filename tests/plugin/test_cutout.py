"""What is read of a large layer holds all that the daemon would have used of the whole."""

import random

import numpy as np
import pytest
from engine.tiny_model import edit, make_config, make_image, make_model

from dragdiffusion.engine import geometry
from dragdiffusion.engine.config import DragConfig, Fit
from dragdiffusion.engine.drag_types import DragRequest, Pixels, Point, Rectangle, Trajectory
from plugin import cutout
from plugin.edit_model import Drag, LayerState, Region, Settings

LAYER = LayerState("Photo", "layer", 12000, 9000)
SELECTED = (3000, 2000, 400, 300)
ONE_DRAG = (Drag("a", ((3100.0, 2100.0), (3300.0, 2200.0))),)


def plan(selected=SELECTED, drags=ONE_DRAG, layer=LAYER, now=None, **settings) -> Region | None:
    return cutout.plan(layer, selected, drags, Settings(**settings), now)


def an_image(region: Region, source: Pixels | None) -> Pixels:
    x, y, width, height = region
    if source is None:
        return np.broadcast_to(np.zeros(4, np.uint8), (height, width, 4))
    return np.ascontiguousarray(source[y : y + height, x : x + width])


def a_mask(region: Region, painted: Region | None) -> Pixels | None:
    if painted is None:
        return None
    mask = np.zeros((region[3], region[2]), np.uint8)
    left, top = painted[0] - region[0], painted[1] - region[1]
    mask[max(0, top) : top + painted[3], max(0, left) : left + painted[2]] = 255
    return mask


def request_of(
    part: Region, painted: Region | None, drags, config: DragConfig, source: Pixels | None = None
) -> DragRequest:
    return DragRequest(
        image=an_image(part, source),
        trajectories=tuple(
            Trajectory(tuple(Point(x - part[0], y - part[1]) for x, y in drag.points))
            for drag in drags
        ),
        mask=a_mask(part, painted),
        prompt="",
        config=config,
    )


def draw_case(lots: random.Random, layer: LayerState):
    """A selection or none, and drags that may leave it; small and large, at borders too."""

    def place(side: int) -> int:
        return lots.choice([0, side // 2, side - 1, lots.randrange(side)])

    size = lots.choice([3, 40, 400, 2500])
    x, y = place(layer.width), place(layer.height)
    painted = (x, y, min(size, layer.width - x), min(lots.choice([2, size]), layer.height - y))
    reach = lots.choice([5, 100, 1500])
    way = tuple(
        (
            min(max(x + lots.uniform(-reach, reach), 0), layer.width - 0.01),
            min(max(y + lots.uniform(-reach, reach), 0), layer.height - 0.01),
        )
        for _ in range(2)
    )
    return lots.choice([None, painted]), (Drag("a", way),)


@pytest.mark.parametrize("seed", range(60))
def test_the_daemon_works_in_the_same_region_with_the_same_borders(seed):
    lots = random.Random(seed)
    layer = LayerState("Photo", "layer", *lots.choice([(9000, 6000), (1500, 40000), (8200, 8200)]))
    painted, drags = draw_case(lots, layer)
    config = DragConfig(working_size=lots.choice([128, 512, 1024, 1600]), fit=Fit.AREA)
    part = cutout.plan(layer, painted, drags, Settings())
    assert part is not None
    sent = geometry.plan_region(request_of(part, painted, drags, config))
    of_whole = geometry.plan_region(request_of(cutout.whole(layer), painted, drags, config))
    assert (sent.x + part[0], sent.y + part[1], *sent[2:]) == of_whole
    # It fades out where it ends inside the picture: at the same sides.
    assert (sent.x > 0) == (of_whole.x > 0)
    assert (sent.y > 0) == (of_whole.y > 0)
    assert (sent.right < part[2]) == (of_whole.right < layer.width)
    assert (sent.bottom < part[3]) == (of_whole.bottom < layer.height)


@pytest.mark.parametrize("painted", [None, (210, 150, 40, 30)])
def test_the_result_has_the_same_pixels(painted, monkeypatch):
    """A model of 32 × 32, and a picture that is large for it."""
    for name, value in {"LARGE": 1000, "SMALLEST_SIDE": 64, "MARGIN": 40, "GRID": 32}.items():
        monkeypatch.setattr(cutout, name, value)
    layer = LayerState("Photo", "layer", 500, 400)
    drags = (Drag("a", ((220.0, 160.0), (240.0, 170.0))),)
    part = cutout.plan(layer, painted, drags, Settings())
    assert part is not None
    assert part[2] * part[3] < 500 * 400 / 2
    source, config = make_image(500, 400), make_config(warp=True, settle=True, max_drag_steps=2)
    model = make_model()
    ours = edit(model, request_of(part, painted, drags, config, source))
    whole = edit(model, request_of(cutout.whole(layer), painted, drags, config, source))
    moved = ours.region
    assert Rectangle(moved.x + part[0], moved.y + part[1], *moved[2:]) == whole.region
    np.testing.assert_array_equal(ours.image, whole.image)


def test_a_selection_of_four_hundred_pixels_takes_a_fraction_of_the_layer():
    part = plan()
    assert part is not None
    assert part[2] * part[3] < 0.1 * LAYER.width * LAYER.height


def test_it_stays_while_points_are_moved():
    part = plan()
    farther = (Drag("a", ((3050.0, 2010.0), (3450.0, 2350.0))),)
    assert plan(drags=farther) == part  # the dialog of another day
    far = (Drag("a", ((3050.0, 2010.0), (7000.0, 2350.0))),)
    larger = plan(drags=far, now=part)
    assert larger != part
    assert plan(drags=farther, now=larger) == larger


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"layer": LayerState("Photo", "layer", 8000, 6000)}, (0, 0, 8000, 6000)),
        ({"mode": "reference"}, (0, 0, 12000, 9000)),
        ({"selected": (0, 0, 12000, 9000)}, (0, 0, 12000, 9000)),
        ({"selected": (100, 100, 9000, 8000)}, (0, 0, 12000, 9000)),
        ({"selected": None, "drags": ()}, None),
        ({"selected": (0, 0, 0, 0), "drags": ()}, None),
    ],
)
def test_the_whole_layer_or_nothing_yet(arguments, expected):
    assert plan(**arguments) == expected


def test_a_selection_that_is_enlarged_and_softened_needs_more():
    assert plan((3000, 2000, 3000, 300)) != plan(
        (3000, 2000, 3000, 300), mask_grow=400, mask_feather=200
    )
