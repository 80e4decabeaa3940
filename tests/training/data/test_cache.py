"""From folders to a cache: sources that are found, sources that are skipped, cuts, and corrupt caches."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from kinemacolor.core.errors import InputError, OutputError, UsageError
from kinemacolor.training.data.cache import CachedClip, CacheSettings, build_cache, open_cache, write_cache
from kinemacolor.training.data.cuts import CutDetector
from kinemacolor.training.data.decode import FilmShots, shrink, stretches
from kinemacolor.training.data.sources import Source, find_sources
from tests.training.toys import moving, picture, toy_cache, write_film, write_frames, write_photo

SMALL = CacheSettings(side=36, photo_side=48, limit=50, shortest=3)


def kinds(sources: list[Source]) -> dict[str, str]:
    return {source.name: source.kind for source in sources}


# --- sources --------------------


def test_any_folder_holds_films_clips_and_photos(tmp_path: Path) -> None:
    write_film(tmp_path / "clips" / "one.mkv", 3)
    write_film(tmp_path / ".hidden" / "no.mkv", 3)
    write_frames(tmp_path / "shot", moving(4, 40, 60))
    for number in range(3):
        write_photo(tmp_path / "album" / f"{number:04d}.png", height=50 + 4 * number)
        write_photo(tmp_path / "same size" / f"{number:04d}.png", seed=7 * number)
    write_photo(tmp_path / "photo.png")
    (tmp_path / "notes.txt").write_text("no picture")
    assert kinds(find_sources(tmp_path)) == {
        "clips/one": "film",
        "shot": "frames",
        "photo": "photo",
        **{f"{folder}/000{k}": "photo" for folder in ("album", "same size") for k in range(3)},
    }
    assert kinds(find_sources(tmp_path / "clips" / "one.mkv")) == {"one": "film"}


def test_davis_layout_with_its_lists(tmp_path: Path) -> None:
    for name in ("bear", "bmx", "camel"):
        write_frames(tmp_path / "JPEGImages" / "480p" / name, moving(3, 40, 60))
        write_frames(tmp_path / "JPEGImages" / "Full-Resolution" / name, moving(3, 40, 60))
    lists = tmp_path / "ImageSets" / "2017"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("bear\nbmx\nmissing\n")
    (lists / "val.txt").write_text("camel\n")
    train = find_sources(tmp_path)
    assert kinds(train) == dict.fromkeys(("bear", "bmx", "missing"), "frames")
    assert train[0].path == tmp_path / "JPEGImages" / "480p" / "bear"
    assert kinds(find_sources(tmp_path, "test")) == {"camel": "frames"}
    cache = build_cache(train, tmp_path / "cache", SMALL)
    assert [(source.name, source.reason) for source in cache.skipped] == [("missing", "is missing")]


@pytest.mark.parametrize("halves", [("train/JPEGImages", "test/JPEGImages"), ("Train", "Test"), ("train", "valid")])
def test_layouts_in_two_halves(tmp_path: Path, halves: tuple[str, str]) -> None:
    """YouTube-VOS and FVI keep JPEGImages in each half, Videvo the clips themselves."""
    write_frames(tmp_path / halves[0] / "a1", moving(3, 40, 60))
    write_frames(tmp_path / halves[0] / "a2", moving(3, 40, 60))
    write_frames(tmp_path / halves[1] / "b1", moving(3, 40, 60))
    assert kinds(find_sources(tmp_path)) == {"a1": "frames", "a2": "frames"}
    assert kinds(find_sources(tmp_path, "test")) == {"b1": "frames"}


def test_unusable_folders_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no films, clips or photos; give"):
        find_sources(tmp_path)
    write_photo(tmp_path / "a.png")
    with pytest.raises(InputError, match="holds no films, clips or photos for the split 'test'"):
        find_sources(tmp_path, "test")
    with pytest.raises(InputError, match="is not a folder"):
        find_sources(tmp_path / "nowhere")


# --- cuts --------------------


def cuts_in(film: np.ndarray) -> list[int]:
    detector = CutDetector()
    return [k for k, frame in enumerate(film) if detector(frame, film[k + 1] if k + 1 < len(film) else None)]


def test_cuts_are_found_and_motion_and_flicker_are_none() -> None:
    film = np.concatenate([moving(7, 90, 160, 0), moving(8, 90, 160, 3)[..., ::-1], moving(6, 90, 160, 1, speed=3)])
    film[7:15] = (film[7:15] * 0.6 + 60).astype(np.uint8)
    assert cuts_in(film) == [7, 15]
    assert cuts_in(moving(20, 90, 160, 2, speed=4)) == []
    fast = moving(30, 90, 160, 2, speed=9)
    assert cuts_in(fast[[0, 0, 0, 0, 2, 2]]) == [4]  # a leap out of stillness
    assert cuts_in(fast) == []  # the same leap amid leaps
    flicker = moving(12, 90, 160, 1).astype(np.float32) * np.linspace(1, 0.85, 12)[::-1, None, None, None]
    assert cuts_in(flicker.astype(np.uint8)) == []
    assert cuts_in(np.repeat(film[:1], 5, axis=0)) == []


# --- the cache --------------------


def test_frames_are_unchanged(tmp_path: Path) -> None:
    frames = moving(5, 36, 54)
    write_frames(tmp_path / "data" / "shot", frames)
    write_photo(tmp_path / "data" / "p.png", height=48, width=70)
    cache = build_cache(find_sources(tmp_path / "data"), tmp_path / "cache", SMALL)
    shot, photo = sorted(cache.clips, key=lambda clip: clip.photo)
    assert (shot.name, shot.shape, photo.name, photo.shape) == ("shot#0", (5, 36, 54, 3), "p", (1, 48, 70, 3))
    np.testing.assert_array_equal(cache.frames(shot), frames)
    np.testing.assert_array_equal(cache.frames(photo)[0], picture(48, 70))
    assert not (tmp_path / "cache.part").exists()


def test_films_are_cut_resized_and_numbered(tmp_path: Path) -> None:
    film = np.concatenate([moving(6, 72, 108, 0), 255 - moving(5, 72, 108, 2), moving(2, 72, 108, 4)])
    write_frames(tmp_path / "data" / "film", film)
    cache = build_cache(find_sources(tmp_path / "data"), tmp_path / "cache", SMALL)
    assert [(c.name, c.frames, c.start) for c in cache.clips] == [("film#0", 6, 0), ("film#1", 5, 6)]  # 2 are too few
    assert cache.clips[0].shape[1:3] == (36, 54)
    mean = film[8].reshape(36, 2, 54, 2, 3).astype(np.float64).mean(axis=(1, 3))
    np.testing.assert_allclose(cache.frames(cache.clips[1])[2], mean, atol=0.51)


def test_a_film_file_keeps_its_colors(tmp_path: Path) -> None:
    film = Path(__file__).parents[3] / "examples" / "dog" / "truth.mp4"
    source = Source("dog", film, "film")
    cache = build_cache([source], tmp_path / "cache", CacheSettings(side=90, limit=12))
    assert sum(clip.frames for clip in cache.clips) >= 8
    frames = cache.frames(cache.clips[0])
    assert min(frames.shape[1:3]) == 90
    assert np.ptp(frames, axis=3).max() > 40


def test_unusable_sources_are_listed_once(tmp_path: Path) -> None:
    data = tmp_path / "data"
    write_frames(data / "good", moving(5, 40, 60))
    write_frames(data / "short", moving(2, 40, 60))
    write_frames(data / "gray", np.repeat(moving(5, 40, 60)[..., :1], 3, axis=3))
    (data / "broken.mp4").write_bytes(b"no film at all")
    (data / "torn.jpg").write_bytes(b"\xff\xd8\xff\xe0 torn")
    calls: list[tuple[int, int | None]] = []
    cache = build_cache(
        find_sources(data), tmp_path / "cache", SMALL, progress=lambda done, total: calls.append((done, total))
    )
    assert {clip.source for clip in cache.clips} == {"good"}
    reasons = {source.name: source.reason for source in cache.skipped}
    assert set(reasons) == {"short", "gray", "broken", "torn"}
    assert reasons["short"] == reasons["gray"] == "has no shot of 3 frames in color"
    assert "corrupt" in reasons["torn"]
    assert calls == [(done, 5) for done in range(5)]


def test_a_picture_missing_in_the_middle_ends_the_shot(tmp_path: Path) -> None:
    folder = write_frames(tmp_path / "data" / "shot", moving(9, 40, 60))
    (folder / "00004.png").write_bytes(b"torn")
    shots = list(FilmShots(folder, "frames", 36, 50, 3))
    assert [(len(frames), start) for frames, start in shots] == [(4, 0), (4, 5)]


def test_the_demonstration_clip_is_held_out(tmp_path: Path) -> None:
    for name in ("sam2_dog", "sam2_cups", "other"):
        write_frames(tmp_path / "data" / "clips" / name, moving(4, 40, 60))
    sources = find_sources(tmp_path / "data")
    cache = build_cache(sources, tmp_path / "cache", SMALL)
    assert {clip.source for clip in cache.clips} == {"clips/sam2_cups", "clips/other"}
    assert {c.source for c in cache.without(["sam2_*"]).clips} == {"clips/other"}
    assert {c.source for c in cache.only(["clips/other"]).clips} == {"clips/other"}
    with pytest.raises(UsageError, match="no clip is named 'sam2_dog'"):
        cache.only(["sam2_dog"])


def test_a_cache_is_built_once(tmp_path: Path) -> None:
    write_frames(tmp_path / "data" / "a", moving(4, 40, 60))
    sources = find_sources(tmp_path / "data")
    first = build_cache(sources, tmp_path / "cache", SMALL)
    stamp = (tmp_path / "cache" / "frames.bin").stat().st_mtime_ns
    again = build_cache(sources, tmp_path / "cache", SMALL)
    assert (again.digest, again.clips) == (first.digest, first.clips)
    assert (tmp_path / "cache" / "frames.bin").stat().st_mtime_ns == stamp
    with pytest.raises(OutputError, match="exists and is not a cache of these sources with these settings"):
        build_cache(sources, tmp_path / "cache", CacheSettings(side=40))
    write_frames(tmp_path / "data" / "b", moving(4, 40, 60))
    with pytest.raises(OutputError, match="choose another folder"):
        build_cache(find_sources(tmp_path / "data"), tmp_path / "cache", SMALL)


def test_data_without_usable_sources_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "broken.mp4").write_bytes(b"no film")
    with pytest.raises(InputError, match=r"no film or photo can be used \(the first: broken"):
        build_cache(find_sources(tmp_path / "data"), tmp_path / "cache", SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_cache_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    clip = CachedClip("a", "a", False, 4, 36, 54)
    with pytest.raises(OutputError, match="the cache cannot be written"):
        write_cache(tmp_path / "file" / "cache", [(clip, moving(4, 36, 54))], [], "k")


def test_corrupt_caches_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is not a cache \(index.json is missing\)"):
        open_cache(tmp_path)
    cache = toy_cache(tmp_path / "cache")
    index = cache.folder / "index.json"
    kept = index.read_text()
    index.write_text(kept[: len(kept) // 2])
    with pytest.raises(InputError, match=r"index\.json is corrupt"):
        open_cache(cache.folder)
    index.write_text(json.dumps({**json.loads(kept), "version": 0}))
    with pytest.raises(InputError, match="version 0"):
        open_cache(cache.folder)
    index.write_text(kept)
    with (cache.folder / "frames.bin").open("r+b") as file:
        file.truncate(1000)
    with pytest.raises(InputError, match="has 1000 bytes instead of"):
        open_cache(cache.folder)


# --- sizes --------------------


def test_long_films_give_stretches_over_their_length() -> None:
    assert stretches(10.0, 24.0, 300) == [(None, None)]
    assert stretches(None, 24.0, 300) == [(None, None)]
    found = stretches(3600.0, 25.0, 480)
    assert len(found) == 5
    assert all(b - a == pytest.approx(96 / 25) for a, b in found if a is not None and b is not None)
    starts = [a for a, _ in found if a is not None]
    assert np.diff(starts) == pytest.approx([np.diff(starts)[0]] * 4)
    assert starts[0] > 0
    assert found[-1][1] is not None
    assert found[-1][1] < 3600


def test_a_long_film_is_thinned_to_its_limit(tmp_path: Path) -> None:
    film = write_film(tmp_path / "long.mkv", 60)
    shots = list(FilmShots(film, "film", 40, 20, 2))
    assert 10 <= sum(len(frames) for frames, _ in shots) <= 20
    assert shots[0][1] > 5  # not its beginning


def test_shrinking_keeps_the_shape_and_never_enlarges() -> None:
    assert shrink(np.zeros((90, 160, 3), np.uint8), 45).shape == (45, 80, 3)
    assert shrink(np.zeros((90, 160, 3), np.uint8), 180).shape == (90, 160, 3)
    assert shrink(np.zeros((90, 120, 3), np.uint8), 45, aspect=16 / 9).shape == (45, 80, 3)  # oblong pixels
    with pytest.raises(ValueError, match="side: expected at least 32"):
        CacheSettings(side=8)
