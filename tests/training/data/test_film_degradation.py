"""FilmWear: seeded, bounded, each damage on its own, and never in place."""

from __future__ import annotations

import numpy as np
import pytest

from kinemacolor.training.config.augmentation import FilmWear
from kinemacolor.training.data.film_degradation import degrade, mask_areas

NOTHING = FilmWear(blur=0, tone=0, flicker=0, grain=0, scratches=0, dust=0)


def clip(level: float | None = None) -> np.ndarray:
    if level is not None:
        return np.full((5, 43, 59), level, np.float32)
    y, x = np.mgrid[0:43, 0:59]
    return np.stack([50 + 30 * np.sin((x + t) * 0.3) * np.cos(y * 0.2) for t in range(5)]).astype(np.float32)


def worn(wear: FilmWear, film: np.ndarray, seed: int = 0) -> np.ndarray:
    return degrade(film, np.random.default_rng(seed), wear)


def only(name: str) -> FilmWear:
    return FilmWear(**{**dict.fromkeys(("blur", "tone", "flicker", "grain", "scratches", "dust"), 0.0), name: 1.0})


def test_no_damage_no_change() -> None:
    film = clip()
    np.testing.assert_array_equal(worn(NOTHING, film), film)


@pytest.mark.parametrize("name", ["blur", "tone", "flicker", "grain", "scratches", "dust"])
def test_each_damage_shows_repeats_and_spares_its_input(name: str) -> None:
    film = clip()
    kept = film.copy()
    results = [worn(only(name), film, seed) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(film, kept)
    np.testing.assert_array_equal(results[0], results[1])
    assert np.abs(results[0] - results[2]).max() > 0.1
    assert np.abs(results[0] - film).max() > 0.5
    for result in results:
        assert result.dtype == np.float32
        assert result.min() >= 0
        assert result.max() <= 100


def test_blur_takes_contrast_and_keeps_the_mean() -> None:
    film = clip()
    blurred = worn(only("blur"), film)
    assert np.abs(np.diff(blurred, axis=2)).mean() < np.abs(np.diff(film, axis=2)).mean()
    assert blurred.mean() == pytest.approx(film.mean(), abs=0.5)


def test_flicker_changes_whole_frames() -> None:
    result = worn(only("flicker"), clip(40.0))
    assert np.ptp(result, axis=(1, 2)).max() < 1e-4
    assert np.std(result.mean(axis=(1, 2))) > 0.3


def test_grain_has_the_level_asked_for_and_less_in_black() -> None:
    wear = FilmWear(blur=0, tone=0, flicker=0, scratches=0, dust=0, grain=1, grain_level=5.0)
    spreads = [worn(wear, clip(50.0), seed).std() for seed in range(30)]
    assert 0.7 < min(spreads) < max(spreads) < 5.3
    assert max(spreads) > 3
    dark = [worn(wear, clip(10.0), seed).std() for seed in range(30)]
    assert np.mean(dark) < 0.8 * np.mean(spreads)


def test_scratches_stand_upright_for_several_frames() -> None:
    changed = worn(only("scratches"), clip(50.0), 3) != 50
    assert changed.any(axis=1).sum(axis=1).max() <= 4  # columns a frame
    assert changed.any(axis=(1, 2)).sum() >= 2
    assert changed.sum() > 30


def test_dust_is_new_in_each_frame() -> None:
    changed = worn(only("dust"), clip(50.0)) != 50
    shares = changed.mean(axis=(1, 2))
    assert 0 < shares.max() < 0.1
    assert not np.array_equal(changed[0], changed[1])


def test_one_damage_switched_off_leaves_whether_others_occur() -> None:
    """Whether each occurs is drawn for all together."""
    with_tone, without = FilmWear(tone=1, blur=0), FilmWear(tone=0, blur=0)
    for seed in range(8):
        a, b = (np.random.default_rng(seed) for _ in range(2))
        first, second = degrade(clip(50.0), a, with_tone), degrade(clip(50.0), b, without)
        assert (np.ptp(first, axis=(1, 2)).max() > 1e-3) == (np.ptp(second, axis=(1, 2)).max() > 1e-3)


def test_areas_to_mask() -> None:
    shares = [mask_areas((43, 59), np.random.default_rng(seed)).mean() for seed in range(40)]
    assert min(shares) > 0.05
    assert max(shares) < 1.0
    assert np.std(shares) > 0.05


def test_impossible_wear_is_refused() -> None:
    with pytest.raises(ValueError, match="grain: expected a probability"):
        FilmWear(grain=1.5)
    with pytest.raises(ValueError, match="blur_sigma: expected at least 0"):
        FilmWear(blur_sigma=-1)
