"""Samples: functions of seed and index; truth, reference and luminance fit together whatever is varied."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from kinemacolor.core.color import lab_to_rgb, rgb_to_lab, still_lightness
from kinemacolor.core.errors import UsageError
from kinemacolor.core.types import Array
from kinemacolor.evaluation.optical import clip_flow, pair_flow
from kinemacolor.propagation.correspondence import sample as sample_at
from kinemacolor.propagation.dis_flow import DisFlow, pixel_positions
from kinemacolor.training.config.augmentation import PAPER_AUGMENTATION, Augmentation
from kinemacolor.training.data.cache import Cache, CachedClip, write_cache
from kinemacolor.training.data.propagated_inputs import PATH_COUNT
from kinemacolor.training.data.samples import Sample
from kinemacolor.training.data.views import warp_picture
from kinemacolor.training.data.windows import WindowSampler
from tests.training.toys import moving, picture, toy_cache

SIZE = (48, 80)
PLAIN = replace(PAPER_AUGMENTATION, whole=False)
FIELDS = ("luminance", "lightness", "ab", "reference_luminance", "reference_ab", "reference_mask")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    return toy_cache(tmp_path_factory.mktemp("data") / "cache")


def one_film(folder: Path, frames: Array) -> Cache:
    return write_cache(folder, [(CachedClip("f#0", "f", False, *frames.shape[:3]), frames)], [], "k")  # type: ignore[arg-type]


def same(a: Sample, b: Sample) -> bool:
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in FIELDS)


# --- draws --------------------


def test_a_sample_is_a_function_of_seed_and_index(cache: Cache) -> None:
    first, again = WindowSampler(cache, 3, SIZE, seed=5), WindowSampler(cache, 3, SIZE, seed=5)
    for index in (7, 0, 3):  # in any order
        assert same(first.sample(index), again.sample(index))
    assert not same(first.sample(0), first.sample(1))
    assert not same(first.sample(0), WindowSampler(cache, 3, SIZE, seed=6).sample(0))


def test_fields_have_their_shapes_types_and_ranges(cache: Cache) -> None:
    windows = WindowSampler(cache, 4, SIZE, Augmentation(degraded=1, masked=1, rotate=1, saturation=(3, 3)))
    names = set()
    for index in range(40):
        s = windows.sample(index)
        names.add(s.name)
        assert s.luminance.shape == s.lightness.shape == (4, *SIZE)
        assert s.ab.shape == (4, *SIZE, 2)
        assert s.reference_luminance.shape == s.reference_mask.shape == SIZE
        assert s.reference_ab.shape == (*SIZE, 2)
        for name in FIELDS[:-1]:
            assert getattr(s, name).dtype == np.float32
            assert getattr(s, name).flags.c_contiguous
        assert s.reference_mask.dtype == np.bool_
        for light in (s.luminance, s.lightness, s.reference_luminance):
            assert light.min() >= 0
            assert light.max() <= 100
        assert np.abs(s.ab).max() <= 128
        assert s.coordinates is s.flow is s.visible is s.consistency is None
    assert names == {"films/f0#0", "films/f1#0", "photos/p0", "photos/p1"}


def test_the_papers_samples_are_whole_consecutive_frames(tmp_path: Path) -> None:
    frames = moving(9, 96, 160)
    windows = WindowSampler(one_film(tmp_path / "c", frames), 4, SIZE, PAPER_AUGMENTATION)
    small = [cv2.resize(f, SIZE[::-1], interpolation=cv2.INTER_AREA).astype(np.float32) / 255 for f in frames]
    light = np.stack([rgb_to_lab(one)[..., 0] for one in small])
    starts = set()
    for index in range(20):
        s = windows.sample(index)
        errors = [np.abs(light[k : k + 4] - s.lightness).mean() for k in range(6)]
        starts.add(int(np.argmin(errors)))
        assert min(errors) < 0.5
        assert s.reference_frame == 0
        np.testing.assert_array_equal(s.luminance, s.lightness)
        np.testing.assert_array_equal(s.reference_luminance, s.lightness[0])
        np.testing.assert_array_equal(s.reference_ab, s.ab[0])
        assert s.reference_mask.all()
    assert len(starts) >= 4


def shots(folder: Path, *counts: int) -> Cache:
    """Shots of so many frames."""
    entries = [(CachedClip(f"f{n}#0", f"f{n}", False, n, 60, 94), moving(n, 60, 94, n)) for n in counts]
    return write_cache(folder, entries, [], "k")


def test_windows_have_at_most_their_length(tmp_path: Path) -> None:
    """Clips that are shorter are taken whole, from their first frame; those left out are told."""
    cache = shots(tmp_path / "c", 2, 4, 9)
    windows = WindowSampler(cache, 6, SIZE, PAPER_AUGMENTATION, shortest=3, flow=partial(clip_flow, cache=None))
    assert [clip.name for clip in windows.films] == ["f4#0", "f9#0"]
    assert [clip.name for clip in windows.too_short] == ["f2#0"]
    lengths = {}
    for index in range(12):
        s = windows.sample(index)
        lengths[s.name] = len(s.luminance)
        assert s.flow is not None
        assert len(s.luminance) == len(s.ab) == len(s.flow) + 1
        assert s.reference_frame == 0
    assert lengths == {"f4#0": 4, "f9#0": 6}
    exact = WindowSampler(cache, 6, SIZE, PAPER_AUGMENTATION)
    assert [clip.name for clip in exact.films] == ["f9#0"]
    assert [clip.name for clip in exact.too_short] == ["f2#0", "f4#0"]
    with pytest.raises(UsageError, match="no clip has 10 frames"):
        WindowSampler(cache, 12, SIZE, PAPER_AUGMENTATION, shortest=10)


def test_strides_and_reversal(tmp_path: Path) -> None:
    """Frames that tell their number by their level."""
    frames = np.stack([np.full((60, 100, 3), 20 + 10 * t, np.uint8) for t in range(12)])
    frames[..., 0] += 30
    level = rgb_to_lab(frames[:, 0, 0].astype(np.float32) / 255)[:, 0]
    windows = WindowSampler(one_film(tmp_path / "c", frames), 3, SIZE, replace(PLAIN, stride=3, reverse=0.5))
    steps = set()
    for index in range(60):
        numbers = [int(np.abs(level - value).argmin()) for value in windows.sample(index).lightness[:, 5, 5]]
        assert numbers[2] - numbers[1] == numbers[1] - numbers[0]
        steps.add(numbers[1] - numbers[0])
    assert steps == {-3, -2, -1, 1, 2, 3}


# --- references --------------------


def test_a_far_reference_is_named_where_it_is_a_frame_of_the_window(tmp_path: Path) -> None:
    frames = np.stack([np.full((60, 100, 3), 20 + 10 * t, np.uint8) for t in range(12)])
    frames[..., 0] += 30
    windows = WindowSampler(one_film(tmp_path / "c", frames), 3, SIZE, replace(PLAIN, far=1, distance=4))
    level = rgb_to_lab(frames[:, 0, 0].astype(np.float32) / 255)[:, 0]
    seen = set()
    for index in range(60):
        s = windows.sample(index)
        seen.add(s.reference_frame)
        inside = [k for k in range(3) if np.array_equal(s.lightness[k], s.reference_luminance)]
        assert inside == ([] if s.reference_frame is None else [s.reference_frame])
        first = int(np.abs(level - s.lightness[0, 0, 0]).argmin())
        assert -4 <= int(np.abs(level - s.reference_luminance[0, 0]).argmin()) - first <= 6
    assert seen == {None, 0, 1, 2}


def test_another_view_is_not_a_frame_of_the_window(cache: Cache) -> None:
    for photos in (0.0, 1.0):
        options = replace(PLAIN, photos=photos, other_view=1, crop=(0.7, 0.8))
        s = WindowSampler(cache, 2, SIZE, options, propagated=True).sample(3)
        assert s.reference_frame is None
        assert not s.chained
        assert s.coordinates is not None
        assert not s.coordinates.any()
        assert np.abs(s.reference_ab - s.ab[0]).mean() > 1
        assert abs(s.reference_ab.mean() - s.ab[0].mean()) < 12  # the same scene


def test_mirroring_takes_reference_and_truth_together(tmp_path: Path) -> None:
    cache = one_film(tmp_path / "c", np.repeat(picture(48, 80)[None], 4, axis=0))
    plain = WindowSampler(cache, 2, SIZE, PLAIN).sample(0)
    mirrored = WindowSampler(cache, 2, SIZE, replace(PLAIN, mirror=1)).sample(0)
    np.testing.assert_allclose(mirrored.ab, plain.ab[:, :, ::-1], atol=1e-4)
    np.testing.assert_allclose(mirrored.reference_ab, plain.reference_ab[:, ::-1], atol=1e-4)


def test_masked_references_keep_some_color(cache: Cache) -> None:
    windows = WindowSampler(cache, 1, SIZE, replace(PLAIN, masked=1))
    shares = [windows.sample(index).reference_mask.mean() for index in range(20)]
    assert 0.2 < min(shares) < 0.95
    assert max(shares) <= 1


# --- color and light --------------------


def test_recoloring_turns_truth_and_reference_alike(cache: Cache) -> None:
    plain = WindowSampler(cache, 2, SIZE, PLAIN)
    turned = WindowSampler(cache, 2, SIZE, replace(PLAIN, rotate=1, saturate=1, saturation=(0.5, 0.9)))
    angles = []
    for index in range(8):
        a, b = plain.sample(index), turned.sample(index)
        np.testing.assert_array_equal(a.luminance, b.luminance)
        here, there = a.ab[..., 0] + 1j * a.ab[..., 1], b.ab[..., 0] + 1j * b.ab[..., 1]
        factor = (there * here.conj()).sum() / (np.abs(here) ** 2).sum()
        assert 0.49 < abs(factor) < 0.91
        np.testing.assert_allclose(there, here * factor, atol=1e-3)
        reference = (a.reference_ab[..., 0] + 1j * a.reference_ab[..., 1]) * factor
        np.testing.assert_allclose(b.reference_ab[..., 0] + 1j * b.reference_ab[..., 1], reference, atol=1e-3)
        angles.append(np.angle(factor))
    assert np.std(angles) > 0.5


def test_luminance_may_be_that_of_luma(cache: Cache) -> None:
    s = WindowSampler(cache, 2, SIZE, replace(PLAIN, film_luma=1)).sample(1)
    rgb = lab_to_rgb(np.concatenate([s.lightness[..., None], s.ab], axis=3))
    np.testing.assert_allclose(s.luminance, still_lightness(rgb, "bt709"), atol=0.05)
    assert np.abs(s.luminance - s.lightness).max() > 1


def test_degraded_luminance_leaves_the_truth_clean(cache: Cache) -> None:
    clean = WindowSampler(cache, 3, SIZE, PLAIN)
    for shown in (0.0, 1.0):
        worn = WindowSampler(cache, 3, SIZE, replace(PLAIN, degraded=1, reference_degraded=shown))
        for index in range(4):
            a, b = clean.sample(index), worn.sample(index)
            np.testing.assert_array_equal(a.lightness, b.lightness)
            np.testing.assert_array_equal(a.ab, b.ab)
            seen = b.luminance[0] if shown else a.reference_luminance
            np.testing.assert_array_equal(b.reference_luminance, seen)
    assert np.abs(a.luminance - b.luminance).max() > 0.5


# --- flow and propagated coordinates --------------------


def test_flow_leads_from_each_frame_to_the_one_before(tmp_path: Path) -> None:
    cache = one_film(tmp_path / "c", moving(5, 72, 120, speed=2))
    method = partial(clip_flow, cache=None, method="dis")
    s = WindowSampler(cache, 3, (72, 120), replace(PLAIN, whole=True), flow=method).sample(0)
    assert s.flow is not None
    assert s.visible is not None
    assert s.flow.shape == (2, 72, 120, 2)
    assert s.visible.shape == (2, 72, 120)
    assert np.median(s.flow[..., 0]) == pytest.approx(-2, abs=0.3)  # the picture moves right by 2
    before = sample_at(s.ab[0], pixel_positions(72, 120) + s.flow[0])
    assert np.abs(before - s.ab[1])[s.visible[0]].mean() < 0.4 * np.abs(s.ab[0] - s.ab[1]).mean()


def test_flow_of_whole_windows_is_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = one_film(tmp_path / "c", moving(4, 40, 60, speed=2))
    drawn = dict.fromkeys(("far", "other_view", "rotate", "saturate", "degraded"), 1.0)
    options = replace(PAPER_AUGMENTATION, stride=2, reverse=0.5, film_luma=0.5, **drawn)  # type: ignore[arg-type]
    assert options.repeats
    windows = WindowSampler(cache, 2, SIZE, options, flow=partial(pair_flow, cache=tmp_path / "flow", method="dis"))
    seen = [windows.sample(index) for index in range(60)]
    pairs = list((tmp_path / "flow").iterdir())
    assert len(pairs) == 10  # each two frames 1 or 2 apart, there and back

    def refuse(*_: object) -> None:
        raise AssertionError("the flow was computed again")

    monkeypatch.setattr(DisFlow, "__call__", refuse)
    for index in (0, 59):
        again = windows.sample(index).flow
        assert again is not None
        np.testing.assert_array_equal(again, seen[index].flow)
    windows.sample(1000)


@pytest.mark.parametrize("changes", [{"photos": 0.1}, {"mirror": 0.5}, {"whole": False}])
def test_frames_in_changing_views_do_not_repeat(changes: dict[str, float]) -> None:
    assert not replace(PAPER_AUGMENTATION, **changes).repeats  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options", [PLAIN, replace(PLAIN, far=1, distance=6), replace(PLAIN, photos=1, far=1, distance=6)]
)
def test_propagated_coordinates_find_the_references_colors(options: Augmentation, tmp_path: Path) -> None:
    frames, photo = moving(10, 72, 120, speed=1.5), picture(90, 150, 4)[None]
    cache = write_cache(
        tmp_path / "c",
        [(CachedClip("f#0", "f", False, 10, 72, 120), frames), (CachedClip("p", "p", True, 1, 90, 150), photo)],
        [],
        "k",
    )
    windows = WindowSampler(cache, 3, (72, 120), replace(options, crop=(0.85, 0.9)), propagated=True)
    gaps = []
    for index in range(5):
        s = windows.sample(index)
        assert s.chained
        assert s.coordinates is not None
        assert s.consistency is not None
        if s.reference_frame is not None:
            for coordinates in s.coordinates[s.reference_frame]:
                np.testing.assert_array_equal(coordinates, pixel_positions(72, 120))
        inside = (slice(None), slice(8, -8), slice(16, -16))
        unmoved = np.abs(s.reference_ab - s.ab)[inside].mean()
        for path in range(PATH_COUNT):
            propagated = np.stack([sample_at(s.reference_ab, coordinates[path]) for coordinates in s.coordinates])
            gaps.append((path, np.abs(propagated - s.ab)[inside].mean(), unmoved))
        assert s.consistency.min() > 0
        assert s.consistency.max() <= 1
    for path in range(PATH_COUNT):
        gap, unmoved = np.mean([row[1:] for row in gaps if row[0] == path], axis=0)
        assert gap < 0.4 * unmoved


@pytest.mark.parametrize("photos", [0, 1])
@pytest.mark.parametrize("other_view", [0, 1])
def test_matches_find_the_references_colors_from_every_view(photos: int, other_view: int, tmp_path: Path) -> None:
    frames, photo = moving(10, 144, 240, speed=2), picture(180, 300, 4)[None]
    cache = write_cache(
        tmp_path / "c",
        [(CachedClip("f#0", "f", False, 10, 144, 240), frames), (CachedClip("p", "p", True, 1, 180, 300), photo)],
        [],
        "k",
    )
    options = replace(PLAIN, photos=photos, other_view=other_view, mirror=0.5, far=1, distance=4, crop=(0.7, 0.9))
    windows = WindowSampler(cache, 3, (72, 120), options, propagated=True, matches=True)
    gaps = []
    for index in range(8):
        s = windows.sample(index)
        assert s.chained == (not other_view)
        assert s.matches is not None
        assert s.matches.shape == (3, 18, 30, 3)
        certainty = s.matches[..., 2]
        assert 0 <= certainty.min() <= certainty.max() <= 1
        assert certainty.mean() > 0.3
        matched_ab = sample_at(s.reference_ab, np.ascontiguousarray(s.matches[..., :2].reshape(54, 30, 2)))
        true_ab = s.ab[:, 2::4, 2::4].reshape(54, 30, 2)
        weight = certainty.reshape(54, 30, 1) > 0.5
        unmoved_ab = s.reference_ab[None, 2::4, 2::4].repeat(3, axis=0).reshape(54, 30, 2)
        gaps.append([(np.abs(ab - true_ab) * weight).sum() / weight.sum() for ab in (matched_ab, unmoved_ab)])
    gap, unmoved = np.mean(gaps, axis=0)
    assert gap < 0.4 * unmoved


def test_a_foreign_reference_has_no_certain_matches(cache: Cache) -> None:
    options = replace(PLAIN, foreign=1)
    matches = WindowSampler(cache, 3, SIZE, options, propagated=True, matches=True).sample(3).matches
    assert matches is not None
    assert not matches.any()


def test_without_a_chain_the_last_frame_of_the_block_before_is_propagated(tmp_path: Path) -> None:
    frames = moving(10, 72, 120, speed=1.5)
    cache = write_cache(tmp_path / "c", [(CachedClip("f#0", "f", False, 10, 72, 120), frames)], [], "k")
    windows = WindowSampler(cache, 5, (72, 120), replace(PLAIN, other_view=1), propagated=True, block=2)
    s = windows.sample(0)
    assert not s.chained
    assert s.coordinates is not None
    assert s.consistency is not None
    assert not s.coordinates[:2].any()
    assert not s.consistency[:2].any()
    inside = (slice(8, -8), slice(16, -16))
    for number, last in ((2, 1), (3, 1), (4, 3)):
        propagated = sample_at(s.ab[last], s.coordinates[number][0])
        np.testing.assert_array_equal(s.coordinates[number][1], s.coordinates[number][0])
        gap, unmoved = (np.abs(ab - s.ab[number])[inside].mean() for ab in (propagated, s.ab[last]))
        assert gap < 0.4 * unmoved
        assert 0 < s.consistency[number].min() <= s.consistency[number].max() <= 1


def test_weights_decide_how_often_clips_are_drawn(tmp_path: Path) -> None:
    cache = toy_cache(tmp_path / "cache", films=2, photos=2)
    options = Augmentation(photos=0.5)
    plain = WindowSampler(cache, 2, (34, 50), options)
    weighted = WindowSampler(cache, 2, (34, 50), options, weights={"f1": 3, "photos/p0": 0})
    noise = np.random.default_rng(0)
    drawn = [weighted._draw_clip(noise)[1] for _ in range(600)]
    assert drawn.count("photos/p0") == 0
    lengths = [np.sqrt(clip.frames) for clip in weighted.films]
    expected = 3 * lengths[1] / (lengths[0] + 3 * lengths[1])
    films = [name for name in drawn if name.startswith("films")]
    assert films.count("films/f1#0") / len(films) == pytest.approx(expected, abs=0.06)
    drawn = [plain._draw_clip(noise)[1] for _ in range(600)]
    assert drawn.count("photos/p0") == pytest.approx(150, abs=45)
    with pytest.raises(UsageError, match="all clips have weight 0"):
        WindowSampler(cache, 2, (34, 50), options, weights={"f?": 0})


# --- the rest --------------------


def test_warping_shrinks_without_aliasing() -> None:
    stripes = np.zeros((96, 160, 3), np.uint8)
    stripes[:, ::2] = 200
    whole = warp_picture(stripes, np.array([[4.0, 0, 1.5], [0, 4.0, 1.5]]), (24, 40))
    assert np.abs(whole.astype(int) - 100).max() <= 2
    plain = warp_picture(stripes, np.array([[1.0, 0, 10], [0, 1, 20]]), (24, 40))
    np.testing.assert_array_equal(plain, stripes[20:44, 10:50])


def test_clips_too_short_are_left_out(cache: Cache) -> None:
    windows = WindowSampler(cache, 10, SIZE, PLAIN)
    assert [clip.name for clip in windows.films] == ["films/f1#0"]
    with pytest.raises(UsageError, match="no clip has 20 frames; use shorter windows"):
        WindowSampler(cache, 20, SIZE, PLAIN)
    photos = WindowSampler(cache, 20, SIZE, Augmentation())  # scenes made from photos are endless
    assert photos.sample(0).luminance.shape == (20, *SIZE)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mirror": 1.5}, "mirror: expected a probability"),
        ({"crop": (0.9, 0.5)}, "crop: expected 0 < from"),
        ({"saturation": (2.0, 1.0)}, "saturation: expected"),
        ({"stride": 0}, "stride, distance: expected at least 1"),
        ({"tilt": 90.0}, "tilt: expected degrees"),
    ],
)
def test_impossible_augmentations_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Augmentation(**change)  # type: ignore[arg-type]
