"""The renderer: the same seed gives the same picture, and parts are where their points say."""

from __future__ import annotations

import numpy as np
import pytest

from dragdiffusion.evaluation.scenes import KINDS, SIZE, caption, edit, render, sample
from dragdiffusion.evaluation.scenes.primitives import PALETTE


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_decides_everything(kind: str) -> None:
    first, second = render(sample(7, kind)), render(sample(7, kind))
    assert np.array_equal(first.image, second.image)
    assert first.key_points == second.key_points


def test_different_seeds_give_different_pictures() -> None:
    assert not np.array_equal(render(sample(1)).image, render(sample(2)).image)


@pytest.mark.parametrize("seed", range(20))
def test_pictures_are_complete(seed: int) -> None:
    picture = render(sample(seed))
    assert picture.image.shape == (SIZE, SIZE, 3)
    assert picture.image.dtype == np.float32
    assert 0 <= picture.image.min() < picture.image.max() <= 1
    assert picture.image_bytes.dtype == np.uint8


def _colour_at(picture: np.ndarray, point: tuple[float, float]) -> np.ndarray:
    """Colour of the pixel that contains the point: x is the left edge of pixel x."""
    return picture[int(point[1]), int(point[0])]


@pytest.mark.parametrize("seed", range(5))
def test_ball_has_its_colour_at_its_point(seed: int) -> None:
    scene = edit(sample(seed, "ball"), banded=False, colour="red")
    rendered = render(scene)
    red, green, _ = _colour_at(rendered.image, rendered.key_points["ball"])
    assert red > 2 * green


@pytest.mark.parametrize("seed", range(5))
def test_flower_heart_is_at_its_point(seed: int) -> None:
    scene = edit(sample(seed, "flower"), heart="yellow")
    rendered = render(scene)
    found = _colour_at(rendered.image, rendered.key_points["flower"])
    assert np.abs(found - PALETTE["yellow"]).max() < 0.35


@pytest.mark.parametrize("seed", range(5))
def test_open_mouth_ends_at_the_lip(seed: int) -> None:
    scene = edit(sample(seed, "face"), mouth_opening=1.0)
    rendered = render(scene)
    x, y = rendered.key_points["lip"]
    inside = _colour_at(rendered.image, (x, y - 2))
    assert inside[0] > inside[1] + 0.2  # tongue: red


@pytest.mark.parametrize("seed", range(5))
def test_hat_is_below_its_upper_edge(seed: int) -> None:
    scene = edit(sample(seed, "face"), has_hat=True, hat="green", backdrop="pink", y=72.0)
    rendered = render(scene)
    _, green, blue = _colour_at(rendered.image, rendered.key_points["hat"])
    assert green > blue


@pytest.mark.parametrize(
    ("kind", "changes", "part"),
    [
        ("landscape", {"sun_x": 30.0}, "sun"),
        ("ball", {"x": 40.0}, "ball"),
        ("flower", {"head_x": 40.0}, "flower"),
        ("face", {"mouth_opening": 1.0}, "lip"),
    ],
)
def test_an_edit_changes_only_the_part(kind: str, changes: dict[str, object], part: str) -> None:
    before = sample(3, kind)
    after = edit(before, **changes)
    old, new = render(before), render(after)
    changed = np.abs(old.image - new.image).max(-1) > 0.02
    assert changed.any()
    assert changed.mean() < 0.5
    assert old.key_points[part] != new.key_points[part]
    unmoved = [name for name in old.key_points if name not in (part, "mouth")]
    assert all(old.key_points[name] == new.key_points[name] for name in unmoved)
    assert np.array_equal(old.image[~changed].round(1), new.image[~changed].round(1)) or (
        np.abs(old.image - new.image)[~changed].max() <= 0.02
    )


def test_captions_name_what_is_seen() -> None:
    scene = edit(sample(5, "landscape"), has_tree=True, sky="night")
    assert "a tree" in caption(scene)
    assert "a moon" in caption(scene)


def test_a_denser_picture_is_the_same_scene_with_sharper_edges() -> None:
    scene = sample(5, "ball")
    usual, dense = render(scene).image, render(scene, 4).image
    assert dense.shape == (4 * SIZE, 4 * SIZE, 3)
    shrunk = dense.reshape(SIZE, 4, SIZE, 4, 3).mean(axis=(1, 3))
    assert np.abs(shrunk - usual).mean() < 0.01
    steepest = np.abs(np.diff(dense, axis=0)).max()
    assert steepest > 0.8 * np.abs(np.diff(usual, axis=0)).max()  # in a quarter of the way
    np.testing.assert_array_equal(render(scene).image, usual)
