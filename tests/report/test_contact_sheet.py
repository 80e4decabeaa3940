"""Contact sheets: where the pictures lie, and the files."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from kinemacolor.core.errors import OutputError
from kinemacolor.core.types import Array
from kinemacolor.report.contact_sheet import contact_sheet, write_contact_sheet


def flat(level: int | tuple[int, int, int], height: int = 53, width: int = 97) -> Array:
    return np.full((height, width) if isinstance(level, int) else (height, width, 3), level, np.uint8)


def test_pictures_stand_in_rows_and_keep_their_shape_and_color() -> None:
    colors = [(200, 30, 40), (20, 180, 60), (10, 50, 220)]
    sheet = contact_sheet([(str(k), flat(color)) for k, color in enumerate(colors)], columns=2, width=97)
    assert sheet.dtype == np.uint8
    assert sheet.shape[2] == 3
    for place, color in zip(((0, 0), (0, 1), (1, 0)), colors, strict=True):
        places = np.argwhere((sheet == color).all(axis=2))
        (top, left), (bottom, right) = places.min(axis=0), places.max(axis=0)
        assert (bottom - top + 1, right - left + 1) == (53, 97)
        assert len(places) == 53 * 97
        assert (top > sheet.shape[0] / 2, left > sheet.shape[1] / 2) == (bool(place[0]), bool(place[1]))


def test_gray_pictures_of_other_sizes_are_scaled_to_the_width() -> None:
    sheet = contact_sheet([("a", flat(90, 31, 41)), ("b", flat(150, 400, 200))], columns=6, width=64)
    for level, height in ((90, round(31 * 64 / 41)), (150, 128)):
        rows, columns = np.nonzero((sheet == level).all(axis=2))
        assert [int(np.ptp(side)) + 1 for side in (rows, columns)] == [height, 64]


def test_captions_are_written_below_their_picture_and_stay_within_it() -> None:
    plain, captioned = (
        contact_sheet([(text, flat(90)), ("", flat(90))], columns=2, width=97) for text in ("", "0001234 " * 9)
    )
    changed = np.argwhere((plain != captioned).any(axis=2))
    assert len(changed) > 50
    picture = np.argwhere((plain == 90).all(axis=2))
    assert changed[:, 0].min() > picture[:, 0].max()
    first = picture[picture[:, 1] < plain.shape[1] / 2]
    assert first[:, 1].min() <= changed[:, 1].min()
    assert changed[:, 1].max() <= first[:, 1].max() - 2  # cut between letters


def test_a_sheet_is_read_back(tmp_path: Path) -> None:
    image = contact_sheet([("a", flat((200, 30, 40)))], width=97)
    write_contact_sheet(tmp_path / "a.png", image)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "a.png"))[..., ::-1], image)
    write_contact_sheet(tmp_path / "a.jpg", image)
    read = cv2.imread(str(tmp_path / "a.jpg"))[..., ::-1]
    assert np.abs(read.astype(int) - image).mean() < 3
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.jpg", "a.png"]


def test_arguments_are_checked() -> None:
    for pictures, columns, width in (
        ([], 6, 240),
        ([("a", flat(90))], 0, 240),
        ([("a", flat(90))], 6, 8),
        ([("a", flat(90).astype(np.float32))], 6, 240),
        ([("a", np.zeros((5, 5, 4), np.uint8))], 6, 240),
    ):
        with pytest.raises(ValueError, match="expected"):
            contact_sheet(pictures, columns, width)


def test_a_sheet_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    image = contact_sheet([("a", flat(90))])
    with pytest.raises(OutputError, match=r"a\.gif: is no name for a contact sheet; use \.png"):
        write_contact_sheet(tmp_path / "a.gif", image)
    with pytest.raises(OutputError, match="cannot be written"):
        write_contact_sheet(tmp_path / "none" / "a.png", image)
    with pytest.raises(OutputError, match="too large"):
        write_contact_sheet(tmp_path / "a.png", np.broadcast_to(np.uint8(0), (70_000, 8, 3)))
    assert not list(tmp_path.iterdir())
