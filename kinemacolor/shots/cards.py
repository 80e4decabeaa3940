"""Title cards and blank leader: shots that have no colors of their own, found from small pictures of the luma.

A frame of a *card* has a flat background, dark or light, and on it letters: many small shapes of thin strokes that
stand in rows, with hardly anything between the two levels except at their edges. A *blank* frame is black or white all
over, specks of dust aside, without shapes that last. A shot is one or the other if most of its frames are; a low-lit
scene has soft shapes on its dark ground, few of them, and none in rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Literal

import cv2
import numpy as np

from kinemacolor.core.resample import resize
from kinemacolor.core.shot import Shot
from kinemacolor.core.types import Array, FloatArray

ShotMark = Literal["", "card", "blank", "neutral", "color"]
"""What is known of a shot: nothing; a title card or blank leader was found; a list says that it stays gray, or not."""
CARD_AREA = 320 * 180
"""Area in pixels at which letters are looked for."""
LEAST_LEADER = 12
"""Frames of the shortest blank stretch that becomes a shot of its own."""

_NARROWEST = 96  # pixels of the short side below which letters cannot be told
_COARSE = 4  # pixels of a side that become one where flatness is measured
_BLANK_DEVIATION = 0.05  # from the median, of luma in [0, 1], that a blank picture may have
_SPECKS = 0.004  # share of a blank picture that may deviate: dust
_RELIEF_CELL = 4  # of those pixels, a side of the areas whose levels are compared
_LEAST_RELIEF, _LASTING_RELIEF = 0.003, 0.5  # of a scene: deviation of levels, and its correlation from frame to frame
_BLACK, _WHITE = 0.16, 0.82  # luma below or above which a flat picture is leader rather than a wall or the sky
_DARK_GROUND = 0.4  # luma of the background, above that of black, up to which a card counts as dark
_FALLOFF_GRID, _MOST_FALLOFF = (18, 24), 0.3  # of a card's background: where it is fitted, and how much it may be
_LEAST_CONTRAST = 0.12  # of letters
_GROUND_SHARE = 0.6  # of a card that is background, at least
_INK_SHARES = (0.004, 0.3)  # of a card that letters cover
_OTHER_SHARE = 0.03  # of a card that may have other levels, away from letters
_LETTER_HEIGHTS = (0.02, 0.3)  # of the picture's height
_LEAST_LETTERS, _FEWEST_LETTERS = 5, 3  # the latter where there is nothing else
_IN_ROWS = 0.6  # share of the letters that have two neighbors of like height in their row
_STILLNESS = 0.7  # correlation of a card with the frame before at the best displacement
_CARD_FRAMES, _PLAIN_FRAMES, _BLANK_FRAMES = 0.5, 0.7, 0.9  # shares of a shot


class PlainFrameScan:
    """Takes a film's frames one by one, and tells which of its shots are cards or blank.

    Attributes:
        blank, card: for each frame.
    """

    def __init__(self) -> None:
        self.blank: list[bool] = []
        self.card: list[bool] = []
        self._previous: FloatArray | None = None
        self._specks: Array | None = None
        self._relief: FloatArray | None = None

    def add(self, picture: FloatArray) -> None:
        """Adds the next frame; see ``card_picture``."""
        height, width = picture.shape
        coarse = resize(picture, (max(1, height // _COARSE), max(1, width // _COARSE)))
        blank = self._is_blank(coarse)
        card = not blank and _may_be_card(coarse) and _is_card(picture)
        if card and self._previous is not None and self._previous.shape == coarse.shape:
            card = _displaced_correlation(self._previous, coarse) > _STILLNESS or not self.card[-1]
        self._previous = coarse
        self.blank.append(blank)
        self.card.append(card)

    def _is_blank(self, coarse: FloatArray) -> bool:
        level = float(np.median(coarse))
        if _BLACK <= level <= _WHITE:
            self._specks = self._relief = None
            return False
        if self._shows_something(coarse):
            return False
        specks = (np.abs(coarse - np.float32(level)) > _BLANK_DEVIATION).astype(np.uint8)
        before, count = self._specks, int(specks.sum())
        self._specks = specks
        if count > max(2, _SPECKS * specks.size):
            return False
        lasting = 0 if before is None else int((specks & cv2.dilate(before, np.ones((3, 3), np.uint8))).sum())
        return lasting <= count / 2 or count == 0  # dust is gone in the next frame, a distant lamp is not

    def _shows_something(self, coarse: FloatArray) -> bool:
        """Whether a picture of little contrast has shapes that last, as a scene at night or in snow has."""
        before, self._relief = self._relief, _relief(coarse)
        if self._relief.std() < _LEAST_RELIEF:
            return False
        if before is None or before.shape != self._relief.shape or before.std() < _LEAST_RELIEF / 10:
            return bool(self._relief.std() > 2 * _LEAST_RELIEF)
        return float(np.corrcoef(before.ravel(), self._relief.ravel())[0, 1]) > _LASTING_RELIEF

    def marked(self, shots: Sequence[Shot]) -> tuple[ShotMark, ...]:
        """What each of the shots is; they are in frames from the first that was added."""
        return tuple(self._mark(shot) for shot in shots)

    def _mark(self, shot: Shot) -> ShotMark:
        card, blank = (float(np.mean(flags[shot.start : shot.stop])) for flags in (self.card, self.blank))
        if blank >= _BLANK_FRAMES:
            return "blank"
        return "card" if card >= _CARD_FRAMES and card + blank >= _PLAIN_FRAMES else ""

    def with_leader(self, shots: Sequence[Shot]) -> tuple[Shot, ...]:
        """The shots, where long blank stretches that begin or end one of them are shots of their own."""
        edges = {edge for shot in shots for edge in (shot.start, shot.stop) if edge is not None}
        leader = [run for run in self._blank_runs() if any(run[0] <= edge <= run[1] for edge in edges)]
        kept = {edge for edge in edges if not any(start < edge < stop for start, stop in leader)}
        ends = sorted(kept.union(*leader))
        return tuple(Shot(start, stop) for start, stop in pairwise(ends))

    def _blank_runs(self) -> list[tuple[int, int]]:
        """(start, stop) of each run of at least ``LEAST_LEADER`` blank frames."""
        changes = np.flatnonzero(np.diff(np.array([False, *self.blank, False], np.int8)))
        runs = zip(changes[::2].tolist(), changes[1::2].tolist(), strict=True)
        return [(start, stop) for start, stop in runs if stop - start >= LEAST_LEADER]


def card_picture(luma: Array, maximum: int) -> FloatArray:
    """A picture of a frame, as ``PlainFrameScan`` takes it.

    Args:
        luma: Y plane (H, W) of code values.
        maximum: the largest code value (``Coding.maximum``).

    Returns:
        (h, w) float32 in [0, 1]: area means, at most about ``CARD_AREA`` pixels.
    """
    height, width = luma.shape
    scale = min(1.0, (CARD_AREA / luma.size) ** 0.5)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(luma, size, interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.float32) / np.float32(maximum)


# --- one frame --------------------


def _relief(coarse: FloatArray) -> FloatArray:
    """What remains of a picture without specks, scratches, and a background that falls off: medians of small areas."""
    rows, columns = (side // _RELIEF_CELL for side in coarse.shape)
    if min(rows, columns) < 4:
        return np.zeros((1, 1), np.float32)
    areas = coarse[: rows * _RELIEF_CELL, : columns * _RELIEF_CELL].reshape(rows, _RELIEF_CELL, columns, _RELIEF_CELL)
    medians = np.median(areas, axis=(1, 3)).astype(np.float32)
    terms = _surface_terms(rows, columns).reshape(-1, 6)
    surface, *_ = np.linalg.lstsq(terms, medians.ravel(), rcond=None)
    return np.asarray(medians - (terms @ surface).reshape(rows, columns), np.float32)


def _may_be_card(coarse: FloatArray) -> bool:
    """Whether much of a picture has one level; quick."""
    level = np.median(coarse)
    return bool((np.abs(coarse - level) < 0.1).mean() > 0.75 * _GROUND_SHARE)


def _is_card(picture: FloatArray) -> bool:
    """Whether a picture shows letters on a flat background."""
    if min(picture.shape) < _NARROWEST:
        return False
    image = _without_falloff(cv2.GaussianBlur(picture, (0, 0), 0.8))
    ground = float(np.median(image))
    if ground > 1 - _DARK_GROUND:
        image, ground = 1 - image, 1 - ground
    if ground > _DARK_GROUND:
        return False
    brightest = image.size // 250
    contrast = float(np.partition(image.ravel(), -brightest)[-brightest]) - ground
    tolerance = max(0.03, 0.2 * contrast)
    if contrast < _LEAST_CONTRAST or float((np.abs(image - ground) < tolerance).mean()) < _GROUND_SHARE:
        return False
    ink = (image > ground + 0.5 * contrast).astype(np.uint8)
    if not _INK_SHARES[0] <= float(ink.mean()) <= _INK_SHARES[1]:
        return False
    near_ink = cv2.dilate(ink, np.ones((7, 7), np.uint8)) > 0
    if float(((np.abs(image - ground) >= tolerance) & ~near_ink).mean()) > _OTHER_SHARE:
        return False
    return _thin_or_flat(image, ink, contrast) and _letters_in_rows(ink)


def _without_falloff(image: FloatArray) -> FloatArray:
    """The picture with its background made level: lamps and lenses leave the corners of a flat card darker.

    The background is a surface of the second order, fitted to most of a small copy.
    """
    small = resize(image, _FALLOFF_GRID)
    terms = _surface_terms(*_FALLOFF_GRID).reshape(-1, 6)
    values, near = small.ravel(), np.abs(small.ravel() - np.median(small)) < _MOST_FALLOFF
    for tolerance in (0.08, 0.05, 0.04):
        if near.sum() < _GROUND_SHARE * near.size / 2:
            return image
        surface, *_ = np.linalg.lstsq(terms[near], values[near], rcond=None)
        near = np.abs(terms @ surface - values) < tolerance
    level = np.asarray(_surface_terms(*image.shape) @ surface.astype(np.float32), np.float32)
    if float(np.ptp(level)) > _MOST_FALLOFF:
        return image
    return np.asarray(image - level + np.float32(np.median(level)), np.float32)


@lru_cache(maxsize=8)
def _surface_terms(height: int, width: int) -> FloatArray:
    """(height, width, 6): 1, x, y, x², xy, y² of each pixel, x and y in [-1, 1]."""
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1).astype(np.float32)


def _thin_or_flat(image: FloatArray, ink: Array, contrast: float) -> bool:
    """Whether shapes consist of thin strokes, or else have one level, as large letters have."""
    depth = cv2.distanceTransform(ink, cv2.DIST_L2, 3)
    core = depth > 0.025 * ink.shape[0]
    if core.sum() <= 0.1 * ink.sum():
        return True
    return float(image[core].std()) < 0.12 * contrast


def _letters_in_rows(ink: Array) -> bool:
    """Whether there are enough shapes of the size of letters, most of them with neighbors in a row."""
    height, width = ink.shape
    _, _, stats, centers = cv2.connectedComponentsWithStats(ink, connectivity=8)
    boxes, middles = stats[1:], centers[1:]
    tall = boxes[:, cv2.CC_STAT_HEIGHT]
    letter = (tall >= max(3, _LETTER_HEIGHTS[0] * height)) & (tall <= _LETTER_HEIGHTS[1] * height)
    letter &= boxes[:, cv2.CC_STAT_WIDTH] < 0.5 * width
    count = int(letter.sum())
    if count < _FEWEST_LETTERS or (count < _LEAST_LETTERS and not _one_short_word(ink, boxes, letter)):
        return False
    sizes, rows = tall[letter].astype(float), middles[letter, 1]
    larger = np.maximum(sizes[:, None], sizes[None])
    alike = (larger <= 2.5 * np.minimum(sizes[:, None], sizes[None])) & (np.abs(rows[:, None] - rows) < 0.6 * larger)
    return float((alike.sum(axis=1) >= 3).mean()) >= _IN_ROWS  # itself and two others


def _one_short_word(ink: Array, boxes: Array, letter: Array) -> bool:
    """Whether a few shapes are all there is, alike in height, of thin strokes, side by side in the middle: ``FIN``."""
    tall = boxes[letter, cv2.CC_STAT_HEIGHT].astype(float)
    depth = cv2.distanceTransform(ink, cv2.DIST_L2, 3).max()
    left, width = boxes[letter, cv2.CC_STAT_LEFT], boxes[letter, cv2.CC_STAT_WIDTH]
    middle = (left.min() + (left + width).max()) / 2 / ink.shape[1]
    gaps = np.sort(left)[1:] - np.sort(left + width)[:-1]
    return bool(
        boxes[letter, cv2.CC_STAT_AREA].sum() > 0.95 * boxes[:, cv2.CC_STAT_AREA].sum()
        and tall.max() <= 1.3 * tall.min()
        and 2 * depth < 0.3 * tall.mean()
        and abs(middle - 0.5) < 0.1
        and gaps.max() < 0.8 * tall.mean()
    )


def _displaced_correlation(before: FloatArray, after: FloatArray, reach: int = 2) -> float:
    """Correlation of two small pictures at the best displacement."""
    middle = after[reach:-reach, reach:-reach]
    if not middle.size or float(middle.std()) < 1e-4:
        return 0.0
    return float(cv2.minMaxLoc(cv2.matchTemplate(before, middle, cv2.TM_CCOEFF_NORMED))[1])
