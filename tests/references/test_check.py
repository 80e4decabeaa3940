"""Stills that do not show their frames are found, with the frame that they do show; the others are left alone."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import cv2
import numpy as np
import pytest

from kinemacolor.core.shot import Shot
from kinemacolor.core.types import FloatArray, Reference
from kinemacolor.engine.registry import open_engine
from kinemacolor.references.check import Misplaced, PlaceCheck, check_places
from kinemacolor.references.flip import frame_thumbnails
from kinemacolor.references.place_search import SEARCHED_STILLS

SIZE = (72, 128)
SHOTS = [Shot(0, 40), Shot(40, 90), Shot(90, 150), Shot(150, 200)]
ENGINE = open_engine("matching")


def scene(seed: int, shift: float, size: tuple[int, int] = SIZE) -> FloatArray:
    """L* of a picture that moves to the side."""
    small = np.random.default_rng(seed).uniform(10, 90, (9, 24)).astype(np.float32)
    large = np.asarray(cv2.resize(small, (3 * size[1], size[0]), interpolation=cv2.INTER_CUBIC), np.float32)
    matrix = np.array([[1, 0, -shift], [0, 1, 0]], np.float32)
    return np.clip(cv2.warpAffine(large, matrix, size[::-1]), 0, 100)


def frame(index: int) -> FloatArray:
    number = next(number for number, shot in enumerate(SHOTS) if index in shot)
    return scene(number, 1.5 * (index - SHOTS[number].start))


def still(lightness: FloatArray) -> Reference:
    """Painted, a little lighter, in other contrast, with some grain."""
    grain = np.random.default_rng(0).normal(0, 2, lightness.shape)
    painted = np.clip(0.8 * lightness + 14 + grain, 0, 100).astype(np.float32)
    return Reference(painted, np.full((*lightness.shape, 2), 20, np.float32), np.ones(lightness.shape, bool))


def check(
    bound: dict[int, int], show: Callable[[int], FloatArray] = frame, reads: list[int] | None = None
) -> PlaceCheck:
    """The check of stills: frame they are bound to → frame they show."""

    def lightness(index: int) -> FloatArray:
        if reads is not None:
            reads.append(index)
        return frame(index)

    references = [still(show(shown)) for shown in bound.values()]
    frames = dict(enumerate(bound))
    return check_places(ENGINE, references, frames, SHOTS, lightness, frame_thumbnails(lightness))


def test_stills_that_show_their_frames_pass() -> None:
    assert check({10: 10, 39: 39, 40: 40, 120: 120, 199: 199}).lines([""] * 5, int) == ()


def test_swapped_names_are_told_with_the_frame_that_fits() -> None:
    result = check({20: 60, 60: 20, 120: 120})
    assert result.misplaced == (Misplaced(0, 20, 60), Misplaced(1, 60, 20))
    assert result.shift == 0
    assert result.lines(["a.png", "b.png", "c.png"], lambda index: index + 86400) == (
        "a.png: does not show frame 86420, to which it is bound, but fits frame 86460; bind it to that frame",
        "b.png: does not show frame 86460, to which it is bound, but fits frame 86420; bind it to that frame",
    )


@pytest.mark.parametrize(("bound", "shown"), [(39, 43), (100, 112), (30, 133), (160, 5), (155, 198)])
def test_one_still_astray_is_found_in_the_film(bound: int, shown: int) -> None:
    (misplaced,) = check({bound: shown, 80: 80}).misplaced
    assert (misplaced.number, misplaced.frame) == (0, bound)
    assert misplaced.fits is not None
    assert abs(misplaced.fits - shown) <= 1


def test_a_still_of_another_film_fits_no_frame() -> None:
    result = check({20: 20, 100: 100}, lambda index: scene(77, 0) if index == 100 else frame(index))
    assert result.misplaced == (Misplaced(1, 100, None),)
    (line,) = result.lines(["a.png", "b.png"], int)
    assert "b.png: does not show frame 100, to which it is bound, nor any frame" in line


@pytest.mark.parametrize("shift", [-1, 1])
def test_numbers_that_are_off_by_one_are_one_line(shift: int) -> None:
    names = ["a.png", "b.png", "c.png", "d.png"]
    edge = 40 if shift < 0 else 39  # the first of these shows another shot
    result = check({edge: edge + shift, 10: 10 + shift, 60: 60 + shift, 130: 130 + shift})
    assert result.shift == shift
    (line,) = result.lines(names, int)
    assert "all bound stills show the frame" in line
    assert ("one lower" in line and "ffmpeg" in line) == (shift < 0)


def test_off_by_one_is_seen_without_any_cut() -> None:
    assert check({10: 9, 60: 59, 130: 129}).shift == -1
    assert check({10: 9, 60: 60, 130: 129}).shift == 0


@pytest.mark.parametrize("shift", [-9, -2, 3, 24])
def test_numbers_that_are_all_off_by_more_are_one_line(shift: int) -> None:
    names = [f"{letter}.png" for letter in "abcd"]
    result = check({place: place + shift for place in (10, 62, 71, 133)})
    (line,) = result.lines(names, int)
    side, change = ("before", "lower") if shift < 0 else ("after", "higher")
    assert line.startswith("a.png, b.png, c.png and 1 more: ")
    assert line.endswith(
        f"show the frame {abs(shift)} {side} the one they name; make each number {abs(shift)} {change}"
    )


def test_some_that_are_off_by_one_are_one_line() -> None:
    fast = [Shot(0, 60)]

    def show(index: int) -> FloatArray:
        return scene(0, 6 * index)

    def faithful(index: int) -> Reference:
        return Reference(show(index), np.zeros((*SIZE, 2), np.float32), np.ones(SIZE, bool))

    shown = {10: 9, 20: 20, 30: 29, 40: 40, 50: 49}
    references, frames = [faithful(shows) for shows in shown.values()], dict(enumerate(shown))
    result = check_places(ENGINE, references, frames, fast, show, frame_thumbnails(show))
    assert result.lines(list("abcde"), int) == (
        "a, c, e: show the frame before the one they name (ffmpeg numbers images from 1, frames count from 0); "
        "make each number one lower",
    )


def test_what_is_to_be_done_is_said_in_the_film_s_numbers() -> None:
    check_result = check({10: 9, 60: 59, 130: 129})
    (line,) = check_result.lines(list("abc"), lambda index: 100 + 2 * index)
    assert line == "a, b, c: all bound stills show the frame 2 before the one they name; make each number 2 lower"
    (line,) = check_result.lines(list("abc"), int, by_time=[1])
    assert line == "a, b, c: all bound stills show the frame before the one they name; bind each to the frame before it"


def test_slow_movement_is_enough_for_stills_that_are_all_off_by_one() -> None:
    """Half a pixel from frame to frame."""

    def show(index: int) -> FloatArray:
        return scene(index // 50, 0.5 * (index % 50))

    def shift(step: int) -> int:
        references = [
            Reference(np.round(2 * show(place + step)) / 2, np.zeros((*SIZE, 2), np.float32), np.ones(SIZE, bool))
            for place in (10, 60, 110, 160)
        ]
        frames = {0: 10, 1: 60, 2: 110, 3: 160}
        result = check_places(ENGINE, references, frames, [Shot(0, 200)], show, frame_thumbnails(show))
        assert result.misplaced == ()
        return result.shift

    assert [shift(-1), shift(0), shift(1)] == [-1, 0, 1]


def test_a_still_that_is_mirrored_and_astray_is_found() -> None:
    mirrored = {20: np.ascontiguousarray(frame(130)[:, ::-1])}
    result = check({20: 20, 80: 80}, lambda index: mirrored.get(index, frame(index)))
    (misplaced,) = result.misplaced
    assert misplaced.mirrored
    assert misplaced.fits is not None
    assert abs(misplaced.fits - 130) <= 1
    (line,) = result.lines(["a.png", "b.png"], int)
    assert f"does not show frame 20, to which it is bound, but fits frame {misplaced.fits}, mirrored; bind it" in line


@pytest.mark.parametrize(
    ("share", "left", "top"), [(0.92, 1.0, 0.0), (0.8, 0.0, 1.0), (0.65, 0.9, 0.2), (0.5, 0.5, 0.5)]
)
def test_a_crop_is_its_own_frame_even_where_another_looks_like_it(share: float, left: float, top: float) -> None:
    """The picture moves to the side: a later frame shows the part where the crop has it."""
    height, width = (round(share * side) for side in SIZE)
    row, column = round(top * (SIZE[0] - height)), round(left * (SIZE[1] - width))

    def show(index: int) -> FloatArray:
        part = frame(index)[row : row + height, column : column + width]
        return np.clip(cv2.resize(part, SIZE[::-1], interpolation=cv2.INTER_CUBIC), 0, 100)

    assert check({index: index for index in (20, 45, 60, 100, 140)}, show).lines(list("abcde"), int) == ()


def test_stills_that_fit_nothing_are_one_line() -> None:
    result = check({20: 20, 60: 60, 100: 100}, lambda index: frame(20) if index == 20 else scene(700 + index, 0))
    (line,) = result.lines(["a.png", "b.png", "c.png"], int)
    assert line.startswith("b.png, c.png: do not show the frames to which they are bound, nor any frame")


def test_crops_masks_borders_and_flat_stills_are_no_mistake() -> None:
    crop = {100: np.ascontiguousarray(frame(100)[4:68, 6:118])}
    assert check({20: 20, 100: 100}, lambda index: crop.get(index, frame(index))).misplaced == ()
    zoomed = {100: cv2.resize(frame(100)[9:54, 16:96], SIZE[::-1], interpolation=cv2.INTER_CUBIC).clip(0, 100)}
    assert check({20: 20, 100: 100}, lambda index: zoomed.get(index, frame(index))).misplaced == ()
    flat = {100: np.full(SIZE, 50, np.float32)}
    references = [still(frame(20)), Reference(flat[100], np.zeros((*SIZE, 2), np.float32), np.ones(SIZE, bool))]
    thumbnails = frame_thumbnails(frame)
    assert check_places(ENGINE, references, {0: 20, 1: 100}, SHOTS, frame, thumbnails).misplaced == ()
    mask = np.zeros(SIZE, bool)
    mask[10:60, 10:50] = True
    painted = np.where(mask, frame(100), 0).astype(np.float32)
    references[1] = Reference(painted, np.zeros((*SIZE, 2), np.float32), mask)
    assert check_places(ENGINE, references, {0: 20, 1: 100}, SHOTS, frame, thumbnails).misplaced == ()


def test_stills_outside_of_the_part_are_passed_over() -> None:
    assert check_places(ENGINE, [still(frame(5))], {0: 500}, SHOTS, frame, frame) == PlaceCheck()


def test_the_search_reads_few_frames() -> None:
    reads: list[int] = []
    check({10: 10, 60: 60, 120: 120, 180: 180}, reads=reads)
    assert len(reads) == 12  # a still's frame and its neighbors
    reads.clear()
    check({20: 77, 60: 60}, reads=reads)
    assert len(reads) < 100


def test_the_search_is_bounded_for_many_stills() -> None:
    """Stills of another film, one for every second frame."""
    reads: list[int] = []
    other = {index: scene(1000 + index, 0) for index in range(0, 200, 2)}
    result = check({index: index for index in other}, lambda index: other[index], reads)
    assert 0 < len(result.misplaced) <= SEARCHED_STILLS
    assert len(reads) <= 200 + 5 * SEARCHED_STILLS


def test_the_film_is_read_a_few_times_in_order_however_many_stills_are_astray() -> None:
    reads: list[int] = []
    rng = np.random.default_rng(5)
    places = rng.permutation(200)[:40].tolist()
    check({place: int(rng.integers(0, 200)) for place in sorted(places)}, reads=reads)
    returns = sum(after < before for before, after in pairwise(reads))
    assert 0 < returns <= 4
