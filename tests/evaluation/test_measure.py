"""All figures of a clip together; sets of clips; two films read side by side."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from kinemacolor.core.errors import InputError, KinemacolorError, UsageError
from kinemacolor.evaluation import measure as module
from kinemacolor.evaluation.measure import FIGURES, PSNR_CEILING, WRAPPED_CEILING, load_pair, mean_of, measure
from kinemacolor.evaluation.metrics import cdc, colorfulness, delta_e, psnr, ssim, warping_errors, wrapped_psnr
from kinemacolor.evaluation.optical import ClipFlow
from kinemacolor.evaluation.perceptual import FeatureSets, frechet_distance
from tests.media import Film, make_film


def clip(seed: int, frames: int = 6) -> np.ndarray:
    noise = np.random.default_rng(seed)
    coarse = noise.integers(0, 256, (frames, 5, 6, 3)).astype(np.uint8)
    return np.stack([cv2.resize(frame, (23, 19)) for frame in coarse])


def motion(frames: int = 6, seed: int = 0) -> ClipFlow:
    noise = np.random.default_rng(seed)
    flow = noise.normal(0, 1, (frames - 1, 19, 23, 2)).astype(np.float16)
    return ClipFlow(flow, noise.random((frames - 1, 19, 23)) < 0.8, "DIS")


class Fake:
    """Stands for ``PerceptualMetrics``: LPIPS is a constant, the features of a frame its mean color."""

    def __init__(self) -> None:
        self.notes = {"lpips": "fake", "fid": "fake"}

    def lpips(self, result: np.ndarray, truth: np.ndarray) -> np.ndarray:
        assert result.shape == truth.shape
        return np.arange(len(result)) / 10

    def features(self, result: np.ndarray, truth: np.ndarray) -> FeatureSets:
        return FeatureSets(result.mean(axis=(1, 2)), truth.mean(axis=(1, 2)))


def figures_of(result: np.ndarray, truth: np.ndarray, **options: Any) -> dict[str, float | None]:
    return measure(result, truth, **{"flow": None, **options}).figures


# --- a clip --------------------


def test_figures_are_means_of_the_metrics() -> None:
    result, truth, flow = clip(0), clip(1), motion()
    measurement = measure(result, truth, flow=flow)
    errors = 1000 * warping_errors([result, truth], flow.flow, flow.visible)
    expected: dict[str, np.ndarray] = {
        "psnr": psnr(result, truth),
        "ssim": ssim(result, truth),
        "delta_e": delta_e(result, truth),
        "colorfulness": colorfulness(result),
        "we": errors[0],
    }
    assert set(measurement.per_frame) == {*expected, "psnr_colormnet"}
    wrapped = np.minimum(wrapped_psnr(result, truth), WRAPPED_CEILING)
    np.testing.assert_array_equal(measurement.per_frame["psnr_colormnet"], wrapped)
    for name, values in expected.items():
        np.testing.assert_array_equal(measurement.per_frame[name], values)
        assert measurement.figures[name] == pytest.approx(values.mean())
    assert measurement.figures["we_truth"] == pytest.approx(errors[1].mean())
    assert measurement.figures["cdc"] == cdc(result)
    assert measurement.figures["cdc_truth"] == cdc(truth)
    ratio = colorfulness(result).mean() / colorfulness(truth).mean()
    assert measurement.figures["colorfulness_ratio"] == pytest.approx(ratio)
    assert set(measurement.figures) == set(FIGURES)
    assert measurement.notes["we"] == "flow: DIS"
    assert (measurement.figures["lpips"], measurement.figures["fid"]) == (None, None)
    assert measurement.notes["lpips"].startswith("n/a")


def test_the_truth_itself() -> None:
    truth = clip(2)
    measurement = measure(truth, truth, flow=motion())
    assert measurement.figures["psnr"] == pytest.approx(PSNR_CEILING)
    assert pytest.approx(58.92, abs=0.01) == PSNR_CEILING
    assert measurement.figures["ssim"] == pytest.approx(1)
    assert (measurement.figures["delta_e"], measurement.figures["colorfulness_ratio"]) == (0, 1)
    assert measurement.figures["we"] == measurement.figures["we_truth"]
    assert measurement.figures["cdc"] == measurement.figures["cdc_truth"]
    assert measurement.notes["psnr"].startswith("6 of 6 frames count as 58.9 dB")


def test_one_identical_frame_does_not_dominate_the_mean() -> None:
    result, truth = clip(3), clip(4)
    result[2] = truth[2]
    plain = np.delete(psnr(result, truth), 2)
    assert figures_of(result, truth)["psnr"] == pytest.approx((plain.sum() + PSNR_CEILING) / 6)


def test_gray() -> None:
    truth = clip(5)
    gray = np.repeat(truth[..., :1], 3, axis=3)
    measurement = figures_of(gray, truth)
    assert measurement["colorfulness"] == pytest.approx(0, abs=1e-9)
    assert measurement["colorfulness_ratio"] == pytest.approx(0, abs=1e-9)
    other = measure(truth, gray, flow=None)
    assert other.figures["colorfulness_ratio"] is None
    assert other.notes["colorfulness_ratio"] == "n/a: the truth is gray"


def test_the_order_of_frames_matters_where_it_should() -> None:
    result, truth = clip(6), clip(7)
    order = [4, 2, 0, 5, 1, 3]
    before, after = figures_of(result, truth), figures_of(result[order], truth[order])
    for name in ("psnr", "ssim", "delta_e", "colorfulness", "colorfulness_ratio"):
        assert after[name] == pytest.approx(before[name])
    assert after["cdc"] != before["cdc"]


def test_a_missing_figure_is_none_with_a_note() -> None:
    measurement = measure(clip(8, 4), clip(9, 4), flow=None)
    for name in ("we", "we_truth", "cdc", "cdc_truth", "lpips", "fid"):
        assert measurement.figures[name] is None
        assert measurement.notes[name].startswith("n/a: ")
    assert "we" not in measurement.per_frame


def test_pairs_without_common_pixels_are_reported() -> None:
    flow = motion()
    flow.visible[3] = False
    measurement = measure(clip(10), clip(11), flow=flow)
    assert measurement.per_frame["we"][3] == 0
    assert measurement.notes["we"] == "flow: DIS; 1 of 5 pairs have no common pixels and count as 0"


def test_bad_clips_are_named() -> None:
    truth = clip(12)
    with pytest.raises(ValueError, match="6 frames, got 5 frames"):
        measure(truth[:5], truth, flow=None)
    with pytest.raises(ValueError, match="23x19 pixels, got 22x19"):
        measure(truth[:, :, 1:], truth, flow=None)
    with pytest.raises(ValueError, match="one frame"):
        measure(truth[:1], truth[:1], flow=None)
    with pytest.raises(ValueError, match="NaN, first in frame 0"):
        measure(np.full(truth.shape, np.nan), truth, flow=None)
    with pytest.raises(ValueError, match="3 pairs"):
        measure(truth, truth, flow=motion(4))


def test_perceptual_figures() -> None:
    result, truth = clip(13), clip(14)
    small = measure(result, truth, flow=None, perceptual=Fake())  # type: ignore[arg-type]
    assert small.figures["lpips"] is None
    assert small.notes["lpips"] == "n/a: needs sides of at least 64 pixels"
    large = [np.repeat(np.repeat(film, 4, axis=1), 4, axis=2) for film in (result, truth)]
    measurement = measure(*large, flow=None, perceptual=Fake())  # type: ignore[arg-type]
    assert measurement.figures["lpips"] == pytest.approx(0.25)
    assert measurement.per_frame["lpips"] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5])
    features = FeatureSets(*(film.mean(axis=(1, 2)) for film in large))
    assert measurement.figures["fid"] == pytest.approx(frechet_distance(features))
    assert measurement.notes["fid"] == "fake"


# --- a set of clips --------------------


def test_clips_count_the_same_and_fid_is_of_all_frames() -> None:
    pairs = [(clip(20), clip(21)), (clip(22, 9), clip(23, 9))]
    measurement = [measure(*pair, flow=motion(len(pair[0])), perceptual=Fake()) for pair in pairs]  # type: ignore[arg-type]
    means = mean_of(measurement)
    assert set(means) == set(FIGURES)
    for name in ("psnr", "we", "cdc_truth", "colorfulness_ratio"):
        values = [one.figures[name] or 0 for one in measurement]
        assert means[name] == pytest.approx(sum(values) / 2)
    results, truths = (np.concatenate([pair[k].mean(axis=(1, 2)) for pair in pairs]) for k in (0, 1))
    assert means["fid"] == pytest.approx(frechet_distance(FeatureSets(results, truths)))


def test_a_figure_that_is_missing_for_one_clip_has_no_mean() -> None:
    short, long = measure(clip(24, 3), clip(25, 3), flow=None), measure(clip(24), clip(25), flow=motion())
    means = mean_of([short, long])
    assert (means["cdc"], means["we"], means["fid"]) == (None, None, None)
    assert means["psnr"] is not None
    without = replace(measure(clip(26), clip(27), flow=None, perceptual=Fake()), features=None)  # type: ignore[arg-type]
    assert mean_of([without])["fid"] is None
    with pytest.raises(ValueError, match="at least one clip"):
        mean_of([])


# --- two films --------------------


def write_frames(folder: Path, film: np.ndarray) -> Path:
    folder.mkdir()
    for number, frame in enumerate(film):
        assert cv2.imwrite(str(folder / f"{number:05d}.png"), np.ascontiguousarray(frame[..., ::-1]))
    return folder


def test_frames_are_read_unchanged(tmp_path: Path) -> None:
    films = [np.random.default_rng(seed).integers(0, 256, (4, 37, 41, 3)).astype(np.uint8) for seed in (30, 31)]
    folders = [write_frames(tmp_path / str(k), film) for k, film in enumerate(films)]
    for measurement, film in zip(load_pair(*folders, size="full"), films, strict=True):
        np.testing.assert_array_equal(measurement, film)
    half = load_pair(*folders, size="full", max_frames=2)
    np.testing.assert_array_equal(half[1], films[1][:2])
    assert load_pair(*folders, size="35")[0].shape == (4, 35, 39, 3)
    area = load_pair(*folders, max_frames=2)[0].shape
    assert abs(area[1] * area[2] / (384 * 216) - 1) < 0.01


def test_images_of_16_bits(tmp_path: Path) -> None:
    deep = np.random.default_rng(33).integers(0, 65536, (2, 37, 41, 3)).astype(np.uint16)
    folder = write_frames(tmp_path / "deep", deep)
    measurement, _ = load_pair(folder, folder, size="full")
    np.testing.assert_array_equal(measurement, np.rint(deep / 257).astype(np.uint8))


def test_films_can_be_compared_with_frames_and_gray_is_gray(tmp_path: Path) -> None:
    color, gray = tmp_path / "color.mkv", tmp_path / "gray.mkv"
    make_film(color, Film(count=5))
    make_film(gray, Film(count=5, pixel_format="gray"))
    films = load_pair(gray, color, size="full")
    assert films[0].shape == films[1].shape == (5, 48, 64, 3)
    np.testing.assert_array_equal(films[0][..., 0], films[0][..., 2])
    assert (films[1][..., 0] != films[1][..., 2]).any()
    folder = write_frames(tmp_path / "frames", films[1])
    np.testing.assert_array_equal(load_pair(folder, color, size="full")[0], films[1])


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (Film(count=4), "result.mkv: ends after 4 frames, truth.mkv continues"),
        (Film(count=7), "truth.mkv: ends after 5 frames, result.mkv continues"),
        (Film(count=5, width=66), "result.mkv: is 66x48, the truth is 64x48"),
        (Film(count=5, rate=Fraction(25)), "result.mkv: has 25.000 frames per second, the truth 24.000"),
        (Film(count=5, pts=(0, 42, 125, 167, 208)), "frame 2 is at 0.125 s, the truth's at 0.083 s"),
    ],
)
def test_films_that_do_not_belong_together(tmp_path: Path, result: Film, message: str) -> None:
    make_film(tmp_path / "truth.mkv", Film(count=5))
    make_film(tmp_path / "result.mkv", result)
    with pytest.raises(InputError, match=message):
        load_pair(tmp_path / "result.mkv", tmp_path / "truth.mkv", size="full")


def test_damage_is_named_even_if_fewer_frames_are_measured(tmp_path: Path) -> None:
    film = np.random.default_rng(32).integers(0, 256, (6, 37, 41, 3)).astype(np.uint8)
    truth, result = (write_frames(tmp_path / name, film) for name in ("truth", "result"))
    (result / "00002.png").write_bytes(b"no image")
    with pytest.raises(InputError, match="image number 3 cannot be read"):
        load_pair(result, truth, size="full", max_frames=4)
    (result / "00002.png").unlink()
    with pytest.raises(InputError, match="result: ends after 5 frames, truth continues"):
        load_pair(result, truth, size="full")
    (result / "00002.png").write_bytes((result / "00001.png").read_bytes())
    (result / "00005.png").write_bytes(b"no image")  # the end, where no frame is out of step yet
    with pytest.raises(InputError, match="result: is damaged: "):
        load_pair(result, truth, size="full")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": "large"}, "size: large is not a size"),
        ({"size": "8"}, "size: 8 is not a size"),
        ({"max_frames": 1}, "max_frames: 1 is too few for a film"),
    ],
)
def test_invalid_options_are_named(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    make_film(tmp_path / "film.mkv", Film(count=3))
    with pytest.raises(UsageError, match=message):
        load_pair(tmp_path / "film.mkv", tmp_path / "film.mkv", **options)


def test_a_film_of_one_frame_and_one_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_film(tmp_path / "one.mkv", Film(count=1))
    with pytest.raises(InputError, match="a single frame"):
        load_pair(tmp_path / "one.mkv", tmp_path / "one.mkv", size="full")
    make_film(tmp_path / "long.mkv", Film(count=9))
    monkeypatch.setattr(module, "PAIR_MEMORY", 4 * 16 * 48 * 64)
    seen: list[int] = []
    with pytest.raises(UsageError, match="too long to measure"):
        load_pair(tmp_path / "long.mkv", tmp_path / "long.mkv", size="full", progress=lambda n, _: seen.append(n))
    assert len(seen) <= 4
    assert len(load_pair(tmp_path / "long.mkv", tmp_path / "long.mkv", size="full", max_frames=4)[0]) == 4
    with pytest.raises(KinemacolorError, match=r"no\.mp4"):
        load_pair(tmp_path / "no.mp4", tmp_path / "long.mkv")
