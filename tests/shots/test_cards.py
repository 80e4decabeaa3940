"""Title cards and blank leader are told from ordinary shots, dark and still ones among them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest

from kinemacolor.core.shot import Shot
from kinemacolor.core.types import Array
from kinemacolor.shots.cards import PlainFrameScan, ShotMark, card_picture

LINES = ("AND SO THE TRAIN", "LEFT WITHOUT THEM,", "late that night.")


def title_card(
    width: int = 480, height: int = 360, ground: int = 18, ink: int = 225, border: bool = False, scale: float = 1.0
) -> Array:
    """(H, W) uint8: three lines of text."""
    image = np.full((height, width), ground, np.uint8)
    size = scale * height / 360
    for number, line in enumerate(LINES):
        font, thick = cv2.FONT_HERSHEY_COMPLEX, max(1, round(2 * size))
        (wide, _), _ = cv2.getTextSize(line, font, size, thick)
        place = ((width - wide) // 2, round(height * (0.35 + 0.15 * number)))
        cv2.putText(image, line, place, font, size, ink, thick, cv2.LINE_AA)
    if border:
        margin = height // 14
        cv2.rectangle(image, (margin, margin), (width - margin, height - margin), ink, max(1, height // 120))
    return image


def printed(image: Array, number: int, *, grain: float = 0.0, weave: float = 0.0, flicker: float = 0.0) -> Array:
    """A frame of an old print of a still picture."""
    rng = np.random.default_rng(number)
    frame = image.astype(np.float32)
    if weave:
        matrix: Any = np.float32([[1, 0, rng.normal(0, weave)], [0, 1, rng.normal(0, weave)]])
        frame = cv2.warpAffine(frame, matrix, image.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
    frame = frame * (1 + rng.normal(0, flicker)) + rng.normal(0, grain, image.shape) if grain or flicker else frame
    return np.clip(np.rint(frame), 0, 255).astype(np.uint8)


def mark_of(frame: Callable[[int], Array], count: int = 24) -> ShotMark:
    scan = PlainFrameScan()
    for number in range(count):
        scan.add(card_picture(frame(number), 255))
    (mark,) = scan.marked([Shot(0, count)])
    return mark


@pytest.mark.parametrize("grain", [0, 6, 14])
@pytest.mark.parametrize("weave", [0, 1.5])
@pytest.mark.parametrize(
    "card",
    [
        title_card(),
        title_card(1280, 720),
        title_card(320, 240, scale=1.1),
        title_card(ground=45, ink=190, border=True),
        title_card(ground=215, ink=30),
        title_card(scale=0.6),
    ],
)
def test_text_on_a_flat_ground_is_a_card(card: Array, grain: float, weave: float) -> None:
    assert mark_of(lambda number: printed(card, number, grain=grain, weave=weave, flicker=0.04), 12) == "card"


def test_a_card_that_fades_in_and_out_is_a_card() -> None:
    def frame(number: int) -> Array:
        light = min(1.0, (number + 1) / 8, (40 - number) / 8)
        return printed((16 + light * (title_card() - 16.0)).astype(np.uint8), number, grain=4)

    assert mark_of(frame, 40) == "card"


@pytest.mark.parametrize("level", [0, 16, 28, 235, 250])
@pytest.mark.parametrize("grain", [0, 8])
def test_leader_is_blank_with_grain_and_dust(level: int, grain: float) -> None:
    def frame(number: int) -> Array:
        image = np.full((360, 480), level, np.uint8)
        x, y = np.random.default_rng(100 + number).integers(20, 340, 2)
        cv2.circle(image, (int(x), int(y)), 4, 255 - level, -1)
        return printed(image, number, grain=grain)

    assert mark_of(frame) == "blank"


def short_word(text: str) -> Array:
    """(H, W) uint8: one large word."""
    image, font = np.full((360, 480), 18, np.uint8), cv2.FONT_HERSHEY_COMPLEX
    (wide, high), _ = cv2.getTextSize(text, font, 2.5, 1)
    cv2.putText(image, text, ((480 - wide) // 2, (360 + high) // 2), font, 2.5, 225, 1, cv2.LINE_AA)
    return image


def falloff(image: Array, share: float) -> Array:
    """The picture with darker corners."""
    y, x = np.mgrid[-1 : 1 : image.shape[0] * 1j, -1 : 1 : image.shape[1] * 1j]
    return (image * (1 - share * (x * x + y * y) / 2)).astype(np.uint8)


@pytest.mark.parametrize(
    "card",
    [
        short_word("FIN"),
        short_word("1914"),
        falloff(title_card(ground=215, ink=30), 0.3),
        falloff(title_card(ground=60), 0.6),
    ],
)
def test_short_words_and_uneven_light_make_cards_as_well(card: Array) -> None:
    assert mark_of(lambda number: printed(card, number, grain=5, weave=0.6, flicker=0.04)) == "card"


@pytest.mark.parametrize("level", [16, 240])
def test_uneven_light_leaves_leader_blank(level: int) -> None:
    image = falloff(np.full((360, 480), level, np.uint8), 0.04)
    assert mark_of(lambda number: printed(image, number, grain=6, flicker=0.01)) == "blank"


# --- what is neither --------------------


def hills(number: int, dark: float, contrast: float) -> Array:
    """A landscape of hardly any contrast, that moves a little."""
    small = np.random.default_rng(9).uniform(0, 1, (9, 14)).astype(np.float32)
    land = cv2.resize(small, (560, 360), interpolation=cv2.INTER_CUBIC)[:, number : number + 480]
    return printed(np.clip(dark + contrast * land, 0, 255).astype(np.uint8), number, grain=3)


def darkest_night(number: int) -> Array:
    return hills(number, 17, 14)


def snow(number: int) -> Array:
    return hills(number, 238, 14)


def windows(number: int) -> Array:
    """Three windows side by side at night."""
    image = np.full((360, 480), 17, np.uint8)
    for left in (170, 222, 274):
        cv2.rectangle(image, (left, 150), (left + 30, 210), 220, -1)
    return printed(image, number, grain=4)


def lamp(number: int) -> Array:
    """A lamp in the dark, that does not move."""
    image = np.full((360, 480), 17, np.uint8)
    cv2.circle(image, (300, 120), 9, 230, -1)
    return printed(cv2.GaussianBlur(image, (0, 0), 3), number, grain=4)


def face(number: int) -> Array:
    """A soft shape, lit from one side, on a black ground."""
    y, x = np.mgrid[0:360, 0:480].astype(np.float32)
    inside = ((x - 240) / 80) ** 2 + ((y - 170) / 110) ** 2 < 1
    image = np.where(inside, np.clip(120 + (x - 240) * 1.2, 20, 230), 17).astype(np.uint8)
    for place in ((210, 140), (265, 140), (240, 215)):
        cv2.ellipse(image, place, (18, 7), 0, 0, 360, 30, -1)
    return printed(cv2.GaussianBlur(image, (0, 0), 2), number, grain=4)


def stars(number: int) -> Array:
    """Lights of many sizes, far apart."""
    image, rng = np.full((360, 480), 17, np.uint8), np.random.default_rng(5)
    for _ in range(16):
        place, radius = (int(rng.integers(10, 470)), int(rng.integers(10, 350))), int(rng.integers(2, 12))
        cv2.circle(image, place, radius, int(rng.integers(120, 250)), -1)
    return printed(cv2.GaussianBlur(image, (0, 0), 2), number, grain=4)


def night(number: int) -> Array:
    """Hills under a sky that is hardly lighter."""
    y, x = np.mgrid[0:360, 0:480].astype(np.float32)
    image = np.where(y > 200 + 30 * np.sin(x / 60), 20, 34 + y / 20)
    return printed(image.astype(np.uint8), number, grain=3)


def sky(number: int) -> Array:
    """A clear sky: flat, but neither black nor white."""
    return printed(np.full((360, 480), 150, np.uint8), number, grain=4)


def sign(number: int) -> Array:
    """Letters on a wall in the sun."""
    rng = np.random.default_rng(3)
    small = rng.uniform(70, 200, (12, 16)).astype(np.float32)
    wall = cv2.resize(small, (480, 360), interpolation=cv2.INTER_CUBIC)
    return printed(np.clip(wall + (title_card() > 100) * 90.0, 0, 255).astype(np.uint8), number, grain=4)


@pytest.mark.parametrize("scene", [lamp, face, stars, night, sky, sign, darkest_night, snow, windows])
def test_still_and_dark_shots_are_ordinary(scene: Callable[[int], Array]) -> None:
    assert mark_of(scene) == ""


def test_long_leader_at_the_ends_of_shots_is_a_shot() -> None:
    black, picture = np.full((90, 120), 16, np.uint8), face(0)[::4, ::4]
    order = [black] * 20 + [picture] * 30 + [black] * 20 + [picture] * 30 + [black] * 6
    scan = PlainFrameScan()
    for image in order:
        scan.add(card_picture(image, 255))
    shots = scan.with_leader([Shot(0, 60), Shot(60, 106)])
    assert shots == (Shot(0, 20), Shot(20, 50), Shot(50, 70), Shot(70, 106))
    assert scan.marked(shots) == ("blank", "", "blank", "")
