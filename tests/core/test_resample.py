"""Resizing and warping of maps."""

from __future__ import annotations

import cv2
import numpy as np

from kinemacolor.core.resample import resize, warp


def test_a_smaller_size_takes_area_means() -> None:
    image = np.random.default_rng(0).random((12, 20, 2))
    result = resize(image, (4, 5))
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, image.reshape(4, 3, 5, 4, 2).mean(axis=(1, 3)), atol=1e-6)


def test_the_size_is_height_and_width() -> None:
    image = np.zeros((7, 9), np.uint8)
    assert resize(image, (21, 10), cv2.INTER_LINEAR).shape == (21, 10)
    assert resize(np.dstack([image] * 3), (3, 20)).shape == (3, 20, 3)


def test_both_sizes_cover_the_same_area() -> None:
    ramp = np.broadcast_to(np.arange(8, dtype=np.float32) + 0.5, (6, 8))
    large = resize(ramp, (12, 24), cv2.INTER_LINEAR)
    np.testing.assert_allclose(large[:, 2:-2], np.broadcast_to((np.arange(24) + 0.5) / 3, (12, 24))[:, 2:-2], atol=1e-5)


def test_warping_takes_pixels_from_where_the_matrix_points_and_continues_edges() -> None:
    image = np.random.default_rng(1).random((5, 7, 2)).astype(np.float32)
    matrix = np.array([[1.0, 0, 2], [0, 1, -1]])  # pixel (x, y) comes from (x + 2, y - 1)
    result = warp(image, matrix, (6, 8), cv2.INTER_NEAREST)
    assert result.shape == (6, 8, 2)
    for y in range(6):
        for x in range(8):
            np.testing.assert_array_equal(result[y, x], image[np.clip(y - 1, 0, 4), np.clip(x + 2, 0, 6)])
