"""The lists of videos, and where they are found."""

from __future__ import annotations

from pathlib import Path

import pytest

from kinemacolor.core.errors import InputError, UsageError
from kinemacolor.evaluation.splits import known_splits, load_split, locate, missing, splits

SIZES = {"davis2017-train": 60, "davis2017-val": 30, "videvo-train": 80, "videvo-test": 20}


def test_there_are_these_lists_and_no_other() -> None:
    assert set(splits()) == set(SIZES)


@pytest.mark.parametrize("name", SIZES)
def test_a_list_names_each_video_once(name: str) -> None:
    names = load_split(name)
    assert len(names) == len(set(names)) == SIZES[name]
    assert all(part and part == part.strip() and "/" not in part and "#" not in part for part in names)


@pytest.mark.parametrize("kind", ["davis2017", "videvo"])
def test_training_and_test_share_nothing(kind: str) -> None:
    first, second = (set(load_split(name)) for name in SIZES if name.startswith(kind))
    assert not first & second


def test_known_members() -> None:
    assert {"blackswan", "camel", "car-shadow", "dance-twirl", "goat", "libby"} <= set(load_split("davis2017-val"))
    assert "bear" in load_split("davis2017-train")
    assert "CoupleRidingMotorbike" in load_split("videvo-test")


def test_sets_without_a_public_list_are_refused() -> None:
    with pytest.raises(UsageError, match="fvi-test: is not included: its makers publish no list"):
        load_split("fvi-test")
    with pytest.raises(UsageError, match="choose among davis2017-train, davis2017-val"):
        load_split("davis")


def test_videos_are_found_as_frames_and_as_films(tmp_path: Path) -> None:
    def touch(name: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        return path

    expected = {
        "goat": touch("JPEGImages/480p/goat/00000.jpg").parent,
        "camel": touch("davis_camel.mp4"),
        "libby": touch("libby.mkv"),
        "cows": touch("cows/0.png").parent,
    }
    (tmp_path / "dog").mkdir()  # an empty folder is no video
    touch("bear.mp4")  # not of this list
    assert locate("davis2017-val", tmp_path) == expected
    absent = missing("davis2017-val", tmp_path)
    assert len(absent) == 26
    assert "dog" in absent
    assert not set(absent) & set(expected)
    assert absent == [name for name in load_split("davis2017-val") if name not in expected]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a folder; give the folder that holds the videos of videvo-test"):
        missing("videvo-test", tmp_path / "no")


def test_videvos_halves_are_told_apart(tmp_path: Path) -> None:
    test_clip, train_clip = load_split("videvo-test")[0], load_split("videvo-train")[0]
    for path in (f"test/{test_clip}/000.jpg", f"train/{train_clip}/000.jpg", f"train/{test_clip}/000.jpg"):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).touch()
    assert locate("videvo-test", tmp_path) == {test_clip: tmp_path / "test" / test_clip}
    assert locate("videvo-train", tmp_path) == {train_clip: tmp_path / "train" / train_clip}
    (tmp_path / "test").rename(tmp_path / "moved")
    (tmp_path / "Test").mkdir()
    (tmp_path / "moved").rename(tmp_path / "Test" / "imgs")
    assert locate("videvo-test", tmp_path) == {test_clip: tmp_path / "Test" / "imgs" / test_clip}


def test_names_tell_which_lists_they_are_of() -> None:
    assert known_splits(["goat", "bear", "boat", "my film"]) == {"davis2017-train": 2, "davis2017-val": 1}
    assert known_splits(["my film"]) == {}
