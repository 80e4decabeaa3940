"""Equations 1 to 3 against loops written from the paper, at prime sizes."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra train")

from kinemacolor.model.correspondence import centred_unit, match  # noqa: E402

T, K, C, TAU = 11, 13, 7, 0.05


def by_the_paper(
    frame: np.ndarray, reference: np.ndarray, ab: np.ndarray, valid: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """W (T, 2) and S (T,) in float64, one number at a time."""
    mean_frame = [sum(frame[i][c] for i in range(T)) / T for c in range(C)]
    used = [j for j in range(K) if valid[j]]
    mean_reference = [sum(reference[j][c] for j in used) / len(used) for c in range(C)]
    warped, similarity = np.zeros((T, 2)), np.zeros(T)
    for i in range(T):
        row = []
        for j in used:
            a = [frame[i][c] - mean_frame[c] for c in range(C)]
            b = [reference[j][c] - mean_reference[c] for c in range(C)]
            dot = sum(p * q for p, q in zip(a, b, strict=True))
            row.append(dot / math.sqrt(sum(p * p for p in a)) / math.sqrt(sum(q * q for q in b)))
        total = sum(math.exp(m / TAU) for m in row)
        for channel in range(2):
            warped[i, channel] = sum(math.exp(m / TAU) / total * ab[j][channel] for m, j in zip(row, used, strict=True))
        similarity[i] = max(row)
    return warped, similarity


def random_case(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    noise = np.random.default_rng(seed)
    valid = np.ones(K)
    valid[[2, 5]] = 0
    return noise.random((T, C)), noise.random((K, C)) + 1, noise.standard_normal((K, 2)) * 40, valid


def by_the_module(
    frame: np.ndarray, reference: np.ndarray, ab: np.ndarray, valid: np.ndarray, tau: float = TAU
) -> tuple:
    f, r, colours, v = (torch.from_numpy(a) for a in (frame, reference, ab, valid))
    query = centred_unit(f[None], torch.ones(1, T, dtype=torch.float64))
    keys = centred_unit(r[None], v[None])[0]
    warped, similarity = match(query, keys, colours, v, tau)
    return warped[0].numpy(), similarity[0].numpy()


def test_equations_1_to_3() -> None:
    case = random_case()
    for got, expected in zip(by_the_module(*case), by_the_paper(*case), strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-9)


def test_masked_entries_change_nothing() -> None:
    frame, reference, ab, valid = random_case()
    other, colours = reference.copy(), ab.copy()
    other[[2, 5]], colours[[2, 5]] = 77, -1000
    for got, expected in zip(
        by_the_module(frame, other, colours, valid), by_the_module(frame, reference, ab, valid), strict=True
    ):
        np.testing.assert_allclose(got, expected, atol=1e-9)


def test_order_of_entries_does_not_matter() -> None:
    frame, reference, ab, valid = random_case()
    order = np.random.default_rng(4).permutation(K)
    shuffled = by_the_module(frame, reference[order], ab[order], valid[order])
    for got, expected in zip(shuffled, by_the_module(frame, reference, ab, valid), strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-9)


def test_a_small_tau_picks_the_best_entry() -> None:
    frame, reference, ab, valid = random_case()
    warped, _ = by_the_module(frame, reference, ab, valid, tau=1e-5)
    gaps = np.abs(warped[:, None] - ab[None]).max(axis=2).min(axis=1)
    assert gaps.max() < 1e-6


def test_padding_of_the_frame_does_not_move_the_mean() -> None:
    frame = np.random.default_rng(0).random((T, C))
    weight = np.ones(T)
    weight[-3:] = 0
    padded = frame.copy()
    padded[-3:] = 50
    a, b = (centred_unit(torch.from_numpy(f[None]), torch.from_numpy(weight[None]))[0, :-3] for f in (frame, padded))
    np.testing.assert_allclose(a, b, atol=1e-12)
