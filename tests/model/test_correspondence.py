"""Equations 1 to 3 against loops written from the paper, at prime sizes."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra train")

from kinemacolor.model.correspondence import centered_unit, match, match_heads, unit_keys  # noqa: E402

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
    f, r, colors, v = (torch.from_numpy(a) for a in (frame, reference, ab, valid))
    query = centered_unit(f[None], torch.ones(1, T, dtype=torch.float64))
    keys = centered_unit(r[None], v[None])[0]
    warped, similarity = match(query, keys, colors, v, tau)
    return warped[0].numpy(), similarity[0].numpy()


def test_equations_1_to_3() -> None:
    case = random_case()
    for got, expected in zip(by_the_module(*case), by_the_paper(*case), strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-9)


def test_masked_entries_change_nothing() -> None:
    frame, reference, ab, valid = random_case()
    other, colors = reference.copy(), ab.copy()
    other[[2, 5]], colors[[2, 5]] = 77, -1000
    for got, expected in zip(
        by_the_module(frame, other, colors, valid), by_the_module(frame, reference, ab, valid), strict=True
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
    a, b = (centered_unit(torch.from_numpy(f[None]), torch.from_numpy(weight[None]))[0, :-3] for f in (frame, padded))
    np.testing.assert_allclose(a, b, atol=1e-12)


def heads_case() -> tuple[list[torch.Tensor], torch.Tensor, list[torch.Tensor], torch.Tensor, torch.Tensor]:
    """F_k of 2 frames and of 2 references, of which some cells are padding, and colors; two items, two heads."""
    noise = torch.Generator().manual_seed(0)
    maps = [torch.rand(2, 2, C, 5, 7, generator=noise, dtype=torch.float64) for _ in range(2)]
    references = [torch.rand(2, 2, C, 4, 6, generator=noise, dtype=torch.float64) for _ in range(2)]
    inside, valid = torch.ones_like(maps[0][:, :, :1]), torch.ones_like(references[0][:, :, :1])
    inside[..., 4:, :], valid[:, 1, :, :, 4:] = 0, 0
    return maps, inside, references, valid, torch.rand(2, 48, 2, generator=noise, dtype=torch.float64)


def bank_keys(references: list[torch.Tensor], valid: torch.Tensor) -> torch.Tensor:
    """Each reference a block of its own, as entries (B, R · h · w, heads · C)."""
    made = unit_keys([r.flatten(0, 1).unsqueeze(1) for r in references], valid.flatten(0, 1).unsqueeze(1))
    return made.squeeze(1).unflatten(0, valid.shape[:2]).movedim(2, 4).flatten(1, 3)


def test_each_head_does_equations_1_to_3_over_the_block() -> None:
    """μ_B over both frames without padding, μ_y over each reference's valid cells, by the loop above."""
    maps, inside, references, valid, ab = heads_case()
    keys = bank_keys(references, valid)
    queries = unit_keys(maps, inside)
    sampled, similarity = match_heads(queries, keys, ab, valid.flatten(1), TAU, (1, 1))
    assert queries.shape == (2, 2, 2 * C, 5, 7)
    for k, item in ((0, 1), (1, 0)):
        frame = maps[k][item, :, :, :4].movedim(1, 3).reshape(56, C).numpy()
        frame = frame - frame.mean(axis=0)
        rows = []
        for r in range(2):
            cells = references[k][item, r].movedim(0, 2).reshape(24, C).numpy()
            marks = valid[item, r].reshape(24).numpy().astype(bool)
            rows.append((cells - cells[marks].mean(axis=0))[marks])
        used = valid[item].reshape(48).numpy().astype(bool)
        known = np.concatenate(rows)
        cosine = (frame / np.linalg.norm(frame, axis=1, keepdims=True)) @ (
            known / np.linalg.norm(known, axis=1, keepdims=True)
        ).T
        share = np.exp(cosine / TAU)
        want = share / share.sum(axis=1, keepdims=True) @ ab[item].numpy()[used]
        got = sampled[k][item, :, :, :4].movedim(1, 3).reshape(56, 2)
        np.testing.assert_allclose(got, want, atol=1e-9)
        np.testing.assert_allclose(similarity[k][item, :, 0, :4].reshape(56), cosine.max(axis=1), atol=1e-9)


def test_padding_and_masked_cells_do_not_reach_the_heads() -> None:
    maps, inside, references, valid, ab = heads_case()
    marks = valid.flatten(1)
    expected = match_heads(unit_keys(maps, inside), bank_keys(references, valid), ab, marks, TAU, (1, 1))
    other = unit_keys([torch.where(inside > 0, m, 9.0) for m in maps], inside)
    masked = bank_keys([torch.where(valid > 0, r, 9.0) for r in references], valid)
    got = match_heads(other, masked, ab, marks, TAU, (1, 1))
    for kind in range(2):
        for head in range(2):
            torch.testing.assert_close(got[kind][head][..., :4, :], expected[kind][head][..., :4, :])


def test_a_coarser_head_asks_with_the_mean_of_its_cells() -> None:
    maps, inside, references, valid, ab = heads_case()
    maps, inside = [m[..., :4, :6] for m in maps], torch.ones_like(inside[..., :4, :6])
    keys, queries = bank_keys(references, valid), unit_keys(maps, inside)
    sampled, similarity = match_heads(queries, keys, ab, valid.flatten(1), TAU, (1, 2))
    assert sampled[1].shape == (2, 2, 2, 2, 3)
    mean = queries[:, :, C:].unflatten(4, (3, 2)).unflatten(3, (2, 2)).mean(dim=(4, 6))
    mean = mean / mean.norm(dim=2, keepdim=True)
    warped, best = match(mean.movedim(2, 4).flatten(1, 3), keys[..., C:], ab, valid.flatten(1), TAU)
    torch.testing.assert_close(sampled[1].movedim(2, 4).flatten(1, 3), warped)
    torch.testing.assert_close(similarity[1].flatten(1), best)
    fine = match_heads(queries, keys, ab, valid.flatten(1), TAU, (1, 1))
    torch.testing.assert_close(sampled[0], fine[0][0])
