"""Pictures of other programs are laid onto the frame that they show."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from kinemacolor.core.color import luma_to_gray_lightness, rgb_to_lab, rgb_to_luma
from kinemacolor.core.errors import InputError
from kinemacolor.core.types import Array, FloatArray
from kinemacolor.references.registration import register_picture
from tests.stills import gray, write_still


def scene(width: int = 320, height: int = 180) -> Array:
    """(H, W, 3) uint8: blobs of colors, seeded."""
    rng = np.random.default_rng(5)
    image = np.full((height, width, 3), 120, np.uint8)
    for _ in range(60):
        center = (int(rng.integers(0, width)), int(rng.integers(0, height)))
        cv2.circle(image, center, int(rng.integers(5, 30)), tuple(int(v) for v in rng.integers(20, 235, 3)), -1)
    return cv2.GaussianBlur(image, (0, 0), 1.5)


def lightness_of(image: Array) -> FloatArray:
    return luma_to_gray_lightness(rgb_to_luma(image.astype(np.float32) / 255, "bt709"))


def test_scale_and_shift_are_found_and_colors_lie_where_they_belong(tmp_path: Path) -> None:
    image = scene()
    matrix = np.array([[1.06, 0, -14.0], [0, 1.06, 4.0]])
    moved = cv2.warpAffine(image, matrix, (320, 180), borderMode=cv2.BORDER_REPLICATE)
    brighter = np.clip(moved.astype(np.float32) * 0.9 + 20, 0, 255).astype(np.uint8)
    path = write_still(tmp_path / "picture.png", cv2.resize(brighter, (640, 360)))
    found = register_picture(path, lightness_of(image), "bt709")
    assert found.scale == pytest.approx(1.06, abs=0.02)
    assert found.shift[0] == pytest.approx((1.06 * 160 - 14 - 160) / 320, abs=0.01)
    assert found.shift[1] == pytest.approx((1.06 * 90 + 4 - 90) / 180, abs=0.01)
    truth = rgb_to_lab(image.astype(np.float32) / 255)[..., 1:]
    inside = found.mask
    assert inside.mean() > 0.85
    error = np.abs(found.ab - truth)[inside].mean()
    assert error < 4
    assert error < 0.4 * np.abs(rgb_to_lab(moved.astype(np.float32) / 255)[..., 1:] - truth)[inside].mean()
    assert "scaled by 1.0" in found.message


def test_a_picture_that_fits_stays_where_it_is(tmp_path: Path) -> None:
    image = scene()
    found = register_picture(write_still(tmp_path / "same.png", image), lightness_of(image), "bt709")
    assert found.scale == pytest.approx(1, abs=0.01)
    assert found.mask.mean() > 0.98
    assert found.correlation > 0.9


def test_another_picture_is_refused(tmp_path: Path) -> None:
    path = write_still(tmp_path / "other.png", np.ascontiguousarray(scene()[::-1, ::-1]))
    with pytest.raises(InputError, match="does not show this frame"):
        register_picture(path, lightness_of(scene()), "bt709")
    with pytest.raises(InputError, match="no colors"):
        register_picture(write_still(tmp_path / "gray.png", gray(scene())), lightness_of(scene()), "bt709")
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(InputError):
        register_picture(tmp_path / "text.png", lightness_of(scene()), "bt709")
