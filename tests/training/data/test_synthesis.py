"""Clips from photos: motion is smooth and bounded, views are honored, objects pass, draws repeat."""

from __future__ import annotations

import numpy as np
import pytest

from kinemacolor.training.data.synthesis import (
    Motion,
    MovingObject,
    Scene,
    Wave,
    compose,
    draw_blob,
    draw_scene,
    render,
)
from tests.training.toys import picture

SIZE = (48, 84)
STILL = Wave(0.0, 1.0, 0.0)
IDENTITY = np.array([[1.0, 0, -(SIZE[1] - 1) / 2], [0, 1, -(SIZE[0] - 1) / 2]])


def still_scene(photo: np.ndarray, thing: MovingObject | None = None, x: Wave = STILL) -> Scene:
    height, width = photo.shape[:2]
    camera = Motion(((width - 1) / 2, (height - 1) / 2), 1.0, 0.0, x, STILL, STILL, STILL)
    return Scene(photo, camera, None, (STILL, STILL), thing)


def test_a_still_camera_shows_the_photo_itself() -> None:
    photo = picture(*SIZE)
    np.testing.assert_array_equal(render(still_scene(photo), 5, IDENTITY, SIZE), photo)
    mirrored = compose(IDENTITY, np.array([[-1.0, 0, SIZE[1] - 1], [0, 1, 0]]))
    np.testing.assert_array_equal(render(still_scene(photo), 5, mirrored, SIZE), photo[:, ::-1])


def test_a_pan_moves_the_picture_by_whole_pixels() -> None:
    photo = picture(*SIZE)
    scene = still_scene(photo, x=Wave(3.0, 4.0, 0.0))  # 0, 3, 0, −3 pixels
    for time, shift in ((0, 0), (1, 3), (2, 0), (3, -3)):
        got = render(scene, time, IDENTITY, SIZE)
        expected = np.roll(photo, -shift, axis=1)
        np.testing.assert_array_equal(got[:, 4:-4], expected[:, 4:-4])


def test_chain_applies_one_map_after_another() -> None:
    noise = np.random.default_rng(0)
    a, b, point = noise.normal(size=(2, 3)), noise.normal(size=(2, 3)), noise.normal(size=2)
    once = b @ [*point, 1]
    np.testing.assert_allclose(compose(a, b) @ [*point, 1], a @ [*once, 1])


def test_an_object_covers_what_lies_behind_and_moves() -> None:
    photo, red = picture(*SIZE), np.zeros((20, 20, 4), np.uint8)
    red[..., 0], red[..., 3] = 255, 255
    red[:, :10, 3] = 128  # its left half is half transparent
    own = Motion((9.5, 9.5), 1.0, 0.0, STILL, STILL, STILL, STILL)
    scene = still_scene(photo, MovingObject(red, own, Wave(8.0, 4.0, 0.0), STILL, (40.5, 24.5)))
    now, later = render(scene, 0, IDENTITY, SIZE), render(scene, 1, IDENTITY, SIZE)
    solid = (slice(17, 33), slice(43, 49))
    assert (now[solid] == [255, 0, 0]).all()
    mixed = (slice(17, 33), slice(33, 39))
    expected = photo[mixed] * (127 / 255) + np.array([255, 0, 0]) * (128 / 255)
    np.testing.assert_allclose(now[mixed], expected, atol=1.5)
    np.testing.assert_array_equal(now[:, :28], photo[:, :28])
    assert (later[17:33, 51:57] == [255, 0, 0]).all()
    np.testing.assert_array_equal(later[:, :36], photo[:, :36])


def test_scenes_repeat_and_move_smoothly_over_any_length() -> None:
    photo, other = picture(90, 130), picture(80, 100, 3)
    scenes = [draw_scene(np.random.default_rng(4), photo, other, SIZE, (0.6, 0.9)) for _ in range(2)]
    times = (0, 1, 2, 3, 50, 1000)
    a, b = (np.stack([render(scene, t, IDENTITY, SIZE) for t in times]).astype(float) for scene in scenes)
    np.testing.assert_array_equal(a, b)
    other_draw = draw_scene(np.random.default_rng(5), photo, other, SIZE, (0.6, 0.9))
    assert np.abs(render(other_draw, 0, IDENTITY, SIZE) - a[0]).mean() > 5
    steps = [np.abs(a[k + 1] - a[k]).mean() for k in range(3)]
    assert min(steps) > 0.05
    assert max(steps) < np.abs(a[0] - a[4]).mean()


@pytest.mark.parametrize("seed", range(6))
def test_motion_between_frames_stays_within_a_few_pixels(seed: int) -> None:
    scene = draw_scene(np.random.default_rng(seed), picture(180, 240), None, (144, 256), (0.6, 0.95))
    corners = np.array([[x, y, 1.0] for x in (-128, 128) for y in (-72, 72)]).T
    for time in range(0, 80, 7):
        now, then = scene.camera.matrix(time) @ corners, scene.camera.matrix(time + 1) @ corners
        assert np.linalg.norm(then - now, axis=0).max() / scene.camera.scale < 12


def test_blobs_are_soft_and_in_the_middle() -> None:
    mask = draw_blob(np.random.default_rng(0), (60, 90), 0.8)
    assert mask[30, 45] == 255
    assert mask[0].max() == mask[-1].max() == mask[:, 0].max() == mask[:, -1].max() == 0
    assert ((mask > 20) & (mask < 235)).sum() > 50
    assert 0.2 < (mask > 127).mean() < 0.7
