"""Pictures of frames as shot detection compares them: mismatch, and whether a stretch looks like a dissolve."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from kinemacolor.core.types import FloatArray

MINIMUM_THUMBNAIL_SIDE = 16
"""Smallest side of a thumbnail in pixels."""

_COMPARED_AREA = 48 * 27  # of the pictures that are compared, in pixels
_SMOOTHING = 0.7  # standard deviation of the blur of compared pictures, in pixels
_BLOCK = 9  # side of a block that is compared, in pixels, about
_DARK = 0.12  # luma below which rows and columns at an edge count as a black border
_SIMILAR = 0.8  # correlation above which two pictures are not the ends of a dissolve
_DEEPEST_DIP = -1.2  # logarithm of the share of variance that remains in the middle of a dissolve, at least
_UNRELATED = 0.65  # a mismatch that is hardly ever exceeded


@dataclass(slots=True, eq=False)
class ComparedPicture:
    """A frame as it is compared.

    Attributes:
        index: of the frame.
        image: (h, w) its blurred luma.
        box: (top, bottom, left, right) of the picture within black borders.
        contrast: standard deviation of its luma.
        change: mismatch with the picture before.
    """

    index: int
    image: FloatArray
    box: tuple[int, int, int, int]
    contrast: float
    change: float = 0.0


def compared_picture(luma: FloatArray, index: int) -> ComparedPicture:
    height, width = luma.shape
    scale = min(1.0, (_COMPARED_AREA / luma.size) ** 0.5)
    size = (max(MINIMUM_THUMBNAIL_SIDE, round(width * scale)), max(MINIMUM_THUMBNAIL_SIDE, round(height * scale)))
    image = cv2.GaussianBlur(cv2.resize(luma, size, interpolation=cv2.INTER_AREA), (0, 0), _SMOOTHING)
    box = (*_extent(image.max(axis=1)), *_extent(image.max(axis=0)))
    return ComparedPicture(index, image, box, float(image.std()))


def _extent(brightest: FloatArray) -> tuple[int, int]:
    """(start, stop) of the rows, or columns, within black borders; all of them if hardly any are bright."""
    bright = np.flatnonzero(brightest > _DARK)
    if len(bright) < MINIMUM_THUMBNAIL_SIDE // 2:
        return 0, len(brightest)
    return int(bright[0]), int(bright[-1]) + 1


def _without_borders(first: ComparedPicture, second: ComparedPicture, *more: ComparedPicture) -> Iterator[FloatArray]:
    """The pictures without the black borders that the first two share."""
    a, b = first.box, second.box
    rows, columns = slice(min(a[0], b[0]), max(a[1], b[1])), slice(min(a[2], b[2]), max(a[3], b[3]))
    return (picture.image[rows, columns] for picture in (first, second, *more))


def _correlation(a: FloatArray, b: FloatArray) -> float:
    a, b = a - a.mean(), b - b.mean()
    return float(np.vdot(a, b) / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-6))


def picture_mismatch(first: ComparedPicture, second: ComparedPicture, tolerance: float = 0.0) -> float:
    """How different two pictures are, from 0 (equal) to about 0.6 (unrelated).

    One minus the normalized correlation of blocks at their best displacement, weighted by their contrast, in both
    directions. If the mismatch without displacement is at most ``tolerance``, that one is returned.
    """
    a, b = _without_borders(first, second)
    undisplaced = 1 - _correlation(a, b)
    return undisplaced if undisplaced <= tolerance else 1 - (_block_match(a, b) + _block_match(b, a)) / 2


def _block_match(source: FloatArray, target: FloatArray) -> float:
    """Mean correlation of the source's blocks with the target, each at its best displacement."""
    reach = max(2, round(max(source.shape) / 8))
    total = weights = 0.0
    for top, bottom in _block_edges(source.shape[0]):
        for left, right in _block_edges(source.shape[1]):
            block = source[top:bottom, left:right]
            weight = float(cv2.meanStdDev(block)[1][0, 0])
            if weight < 1e-3:
                continue
            window = target[max(0, top - reach) : bottom + reach, max(0, left - reach) : right + reach]
            best = float(cv2.minMaxLoc(cv2.matchTemplate(window, block, cv2.TM_CCOEFF_NORMED))[1])
            total += weight * min(1.0, best)
            weights += weight
    return total / weights if weights else 1.0


def _block_edges(side: int) -> list[tuple[int, int]]:
    """(start, stop) of each block along a side."""
    count = max(1, round(side / _BLOCK))
    return [(side * k // count, side * (k + 1) // count) for k in range(count)]


def _mixing_weights(first: FloatArray, middle: FloatArray, last: FloatArray) -> tuple[float, float, float]:
    """a, b and the explained share of variance of middle ≈ a · first + b · last + c, by least squares."""
    x, y, z = (image.ravel() - image.mean() for image in (first, middle, last))
    xx, zz, xz, xy, zy, yy = (float(np.vdot(*pair)) for pair in ((x, x), (z, z), (x, z), (x, y), (z, y), (y, y)))
    determinant = max(xx * zz - xz * xz, 1e-9)
    a, b = (xy * zz - zy * xz) / determinant, (zy * xx - xy * xz) / determinant
    return a, b, (a * xy + b * zy) / max(yy, 1e-9)


def dissolve_score(stretch: list[ComparedPicture]) -> float:
    """Above 0 if the pictures look like weighted sums of the first and the last one, the middle one of both.

    A logistic regression over the share of variance explained at the quarters, the mismatch of the ends, how well one
    end matches anywhere in the other, and how far contrast dips in the middle.
    """
    half = len(stretch) // 2
    first, last, *inner = _without_borders(stretch[0], stretch[-1], *(stretch[k * half // 2] for k in (1, 2, 3)))
    if _correlation(first, last) > _SIMILAR:
        return 0.0
    middle = inner[1]
    dip = max(_DEEPEST_DIP, float(np.log((middle.var() + 1e-6) / ((first.var() + last.var()) / 2))))
    if dip > 0.2:
        return 0.0
    parts = [_mixing_weights(first, picture, last) for picture in inner]
    a, b, _ = parts[1]
    explained = float(np.mean([share for _, _, share in parts]))
    if explained < 0.4 or a + b < 0.4 or min(a, b) < 0.1 * (a + b):
        return 0.0
    evidence = 10 * explained - 6 * dip - 10
    if evidence + 10 * _UNRELATED <= 0:
        return 0.0
    evidence -= 8 * max(_far_match(first, last), _far_match(last, first))
    return evidence + 10 * picture_mismatch(stretch[0], stretch[-1])


def _far_match(source: FloatArray, target: FloatArray) -> float:
    """Correlation of the best large part of one picture anywhere in the other, as after a pan."""
    height, width = source.shape
    parts = [source[:, : width * 3 // 5], source[:, width * 2 // 5 :]]
    parts += [source[: height * 3 // 5], source[height * 2 // 5 :]]
    return max(float(cv2.matchTemplate(target, part, cv2.TM_CCOEFF_NORMED).max()) for part in parts)


def dissolve_crossing(stretch: list[ComparedPicture]) -> int:
    """Number of the first picture in which the last one outweighs the first."""
    for number, picture in enumerate(stretch[1:-1], start=1):
        first, last, mixed = _without_borders(stretch[0], stretch[-1], picture)
        a, b, _ = _mixing_weights(first, mixed, last)
        if b >= a:
            return number
    return len(stretch) - 1
