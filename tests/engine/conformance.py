"""Checks that every engine must pass. Test modules run ``CHECKS`` on their engines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from kinemacolor.core.types import FloatArray, Reference
from kinemacolor.engine.protocol import Engine, ReferenceBank, cells

Check = Callable[[Engine], None]
SIZES = ((48, 64), (61, 97), (97, 61), (33, 130))


def scene(height: int, width: int, frames: int = 1, shift: float = 1.7, seed: int = 0) -> tuple[FloatArray, FloatArray]:
    """A textured picture drifting to the left: L* (frames, H, W) and ab (frames, H, W, 2)."""
    rng = np.random.default_rng(seed)
    waves = [
        (rng.uniform(0.04, 0.35), rng.uniform(0.04, 0.35), rng.uniform(0, 6), channel)
        for channel in range(3)
        for _ in range(6)
    ]
    y, x = np.mgrid[:height, :width].astype(np.float64)
    film = []
    for t in range(frames):
        channels = np.zeros((3, height, width))
        for fx, fy, phase, channel in waves:
            channels[channel] += np.sin(fx * (x + shift * t) + fy * y + phase) / 6
        film.append(channels)
    stack = np.stack(film).astype(np.float32)
    lightness = np.clip(50 + 45 * stack[:, 0], 0, 100).astype(np.float32)
    return lightness, np.moveaxis(stack[:, 1:], 1, 3) * np.float32(60)


def reference_of(lightness: FloatArray, ab: FloatArray) -> Reference:
    return Reference(lightness, np.ascontiguousarray(ab), np.ones(lightness.shape, np.bool_))


def masked(reference: Reference, mask: np.ndarray) -> Reference:
    return replace(reference, mask=mask)


def in_blocks(engine: Engine, film: FloatArray, bank: ReferenceBank, length: int) -> tuple[FloatArray, FloatArray]:
    """ab (N, H, W, 2) and similarity (N, H, W) of a film that is colored in blocks of ``length`` frames."""
    state, ab, similarity = None, [], []
    for first in range(0, len(film), length):
        result = engine.step(film[first : first + length], bank, state=state)
        state = result.state
        ab.append(result.ab)
        similarity.append(result.similarity)
    return np.concatenate(ab), np.concatenate(similarity)


def check_shapes(engine: Engine) -> None:
    for height, width in SIZES:
        film, colors = scene(height, width, 2)
        bank = engine.start([reference_of(film[0], colors[0])])
        result = engine.step(film, bank)
        assert result.ab.shape == (2, height, width, 2)
        assert result.similarity.shape == (2, height, width)
        assert result.keys.shape[:3] == (2, *cells(height, width))
        assert result.ab.dtype == result.similarity.dtype == result.keys.dtype == np.float32
        assert np.isfinite(result.ab).all()
        assert np.abs(result.similarity).max() <= 1.001
        assert bank.keys.shape == (np.prod(cells(height, width)), result.keys.shape[3])


def check_deterministic(engine: Engine) -> None:
    film, colors = scene(61, 97, 3)
    results = []
    for _ in range(2):
        bank = engine.start([reference_of(film[0], colors[0])])
        results.append(in_blocks(engine, film, bank, 2))
    np.testing.assert_array_equal(results[0][0], results[1][0])
    np.testing.assert_array_equal(results[0][1], results[1][1])


def check_block_sizes(engine: Engine) -> None:
    film, colors = scene(48, 64, 7)
    bank = engine.start([reference_of(film[0], colors[0])])
    for length in (1, 2, 3, 5):
        ab, similarity = in_blocks(engine, film, bank, length)
        assert ab.shape == (7, 48, 64, 2)
        error = np.abs(ab - colors).mean()
        assert error < 0.6 * np.abs(colors).mean(), f"block of {length}: off by {error}"
        assert similarity.mean() > 0


def check_several_references(engine: Engine) -> None:
    film, colors = scene(48, 64, 3)
    reference = reference_of(film[0], colors[0])
    other_film, other_colors = scene(61, 97, 1, seed=5)
    hidden = masked(reference_of(other_film[0], other_colors[0]), np.zeros((61, 97), np.bool_))
    alone = in_blocks(engine, film, engine.start([reference]), 2)
    for references in ([reference, hidden], [hidden, reference]):
        both = in_blocks(engine, film, engine.start(references), 2)
        np.testing.assert_allclose(both[0], alone[0], atol=2e-3)
        np.testing.assert_allclose(both[1], alone[1], atol=1e-4)
    swapped = reference_of(film[2], np.ascontiguousarray(colors[2][..., ::-1]))
    both = in_blocks(engine, film, engine.start([reference, swapped]), 2)
    assert np.abs(both[0] - alone[0]).max() > 0.02, "an unmasked second reference must matter"


def check_masked_areas(engine: Engine) -> None:
    film, colors = scene(48, 64, 2)
    mask = np.ones((48, 64), np.bool_)
    mask[:, 32:] = False
    poisoned = colors[0].copy()
    poisoned[:, 32:] = 120
    clean = in_blocks(engine, film, engine.start([masked(reference_of(film[0], colors[0]), mask)]), 1)
    hidden = in_blocks(engine, film, engine.start([masked(reference_of(film[0], poisoned), mask)]), 1)
    np.testing.assert_allclose(hidden[0], clean[0], atol=1e-3)


def check_padding(engine: Engine) -> None:
    """Invalid entries change nothing; repeating the border outward hardly changes the inside."""
    film, colors = scene(61, 97, 2)
    bank = engine.start([reference_of(film[0], colors[0])])
    rng = np.random.default_rng(1)
    padded = replace(
        bank,
        keys=np.concatenate([bank.keys, rng.standard_normal((37, bank.keys.shape[1])).astype(np.float32)]),
        ab=np.concatenate([bank.ab, np.full((37, 2), 99, np.float32)]),
        valid=np.concatenate([bank.valid, np.zeros(37, np.bool_)]),
    )
    plain = in_blocks(engine, film, bank, 1)
    np.testing.assert_allclose(in_blocks(engine, film, padded, 1)[0], plain[0], atol=2e-3)
    border = ((0, 3), (0, 15))
    wide_reference = Reference(
        np.pad(film[0], border, mode="edge"),
        np.pad(colors[0], (*border, (0, 0)), constant_values=99),
        np.pad(np.ones((61, 97), np.bool_), border),
    )
    wide_film = np.pad(film, ((0, 0), *border), mode="edge")
    wide = in_blocks(engine, wide_film, engine.start([wide_reference]), 1)[0][:, :61, :97]
    assert np.abs(wide - plain[0]).mean() < 0.1 * np.abs(colors).mean()


def check_state(engine: Engine) -> None:
    film, colors = scene(48, 64, 4)
    bank = engine.start([reference_of(film[0], colors[0])])
    first = engine.step(film[:2], bank)
    copy = first.ab.copy()
    engine.step(film[2:], bank, state=first.state)
    again = engine.step(film[:2], bank)
    np.testing.assert_array_equal(again.ab, copy, err_msg="a step without a state must be a fresh start")
    second = engine.step(film[2:], bank, state=first.state)
    repeated = engine.step(film[2:], bank, state=first.state)
    np.testing.assert_array_equal(second.ab, repeated.ab, err_msg="a state is a value: a step must not change it")


def check_color_comes_back(engine: Engine) -> None:
    film, colors = scene(48, 64)
    result = engine.step(film, engine.start([reference_of(film[0], colors[0])]))
    assert np.abs(result.ab - colors).mean() < 0.35 * np.abs(colors).mean()


def check_bad_input(engine: Engine) -> None:
    film, colors = scene(48, 64)
    reference = reference_of(film[0], colors[0])
    bank = engine.start([reference])
    for block, problem in (
        (film[0], r"expected \(N, H, W\)"),
        (film[:0], r"expected \(N, H, W\)"),
        (film[:, :20], r"expected \(N, H, W\)"),
        (film.astype(np.float64), "dtype float32"),
        (film + 60, r"L\* in \[0, 100\]"),
        (film * np.float32(np.nan), r"L\* in \[0, 100\]"),
    ):
        with pytest.raises(ValueError, match=problem):
            engine.step(block, bank)
    with pytest.raises(ValueError, match="at least one"):
        engine.start([])
    with pytest.raises(ValueError, match="at least one valid entry"):
        engine.start([masked(reference, np.zeros((48, 64), np.bool_))])


CHECKS: tuple[Check, ...] = (
    check_shapes,
    check_deterministic,
    check_block_sizes,
    check_several_references,
    check_masked_areas,
    check_padding,
    check_state,
    check_color_comes_back,
    check_bad_input,
)
