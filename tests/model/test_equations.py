"""Positions and equations 6 and 7 against loops written from the paper, at prime sizes; the blocks' two branches."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra train")

from kinemacolor.model.blocks import CNNTransformerBlock, to_maps, to_tokens  # noqa: E402
from kinemacolor.model.linkage import (  # noqa: E402
    AttentionLinkage,
    LinkageLayer,
    LinkageMemory,
    LinkageSubnet,
    query,
    store,
)
from kinemacolor.model.positions import sine_positions  # noqa: E402
from tests.model import toys  # noqa: E402

T, M, D = 11, 13, 7


def attention_by_the_paper(q: np.ndarray, i: np.ndarray) -> np.ndarray:
    """q + softmax(q iᵀ / √d) i, one number at a time."""
    out = q.copy()
    for row in range(len(q)):
        logits = [sum(q[row][c] * i[m][c] for c in range(D)) / math.sqrt(D) for m in range(len(i))]
        total = sum(math.exp(x) for x in logits)
        for channel in range(D):
            out[row, channel] += sum(math.exp(x) / total * i[m][channel] for m, x in enumerate(logits))
    return out


def test_equations_6_and_7() -> None:
    high, information, hidden = toys.noise(2, T, D), toys.noise(2, M, D, seed=1), toys.noise(2, T, D, seed=2)
    for b in range(2):
        h, i, o = (x[b].numpy() for x in (high, information, hidden))
        np.testing.assert_allclose(query(high, information)[b], attention_by_the_paper(h, i), atol=1e-12)
        np.testing.assert_allclose(store(information, hidden)[b], attention_by_the_paper(i, o), atol=1e-12)


def test_the_first_block() -> None:
    """hi = R_high, i = ho."""
    high = toys.noise(2, T, D)
    assert torch.equal(query(high, None), high)
    assert torch.equal(store(None, high), high)


def test_residual_linear_layers_start_as_the_identity() -> None:
    subnet = LinkageSubnet(D).double()
    high, memory = toys.noise(2, T, D), LinkageMemory(toys.noise(2, M, D, seed=1), torch.tensor(3.0))
    torch.testing.assert_close(subnet.query(high, memory), query(high, memory.information))
    torch.testing.assert_close(subnet.store(memory, high).information, store(memory.information, high))


def test_residual_linear_layers_leave_the_memory_alone() -> None:
    """Blocks only add to i_t: with ho = 0 it does not change."""
    subnet = LinkageSubnet(D).double()
    torch.nn.init.normal_(subnet.keep.linear.weight)
    memory = LinkageMemory(toys.noise(2, M, D), torch.tensor(3.0))
    assert torch.equal(subnet.store(memory, torch.zeros(2, T, D, dtype=torch.float64)).information, memory.information)


def test_a_memory_of_no_blocks_is_ignored() -> None:
    """Exported graphs get such a memory before the first block, instead of None."""
    for mean in (False, True):
        subnet = LinkageSubnet(D, mean=mean).double()
        torch.nn.init.normal_(subnet.keep.linear.weight)
        high, hidden = toys.noise(2, T, D), toys.noise(2, T, D, seed=2)
        empty = LinkageMemory(toys.noise(2, T, D, seed=3), torch.tensor(0.0))
        assert torch.equal(subnet.query(high, empty), subnet.query(high, None))
        got, want = subnet.store(empty, hidden), subnet.store(None, hidden)
        assert torch.equal(got.information, want.information)
        assert got.blocks == want.blocks == 1


def test_a_mean_memory_is_read_divided_by_its_blocks() -> None:
    subnet, information = LinkageSubnet(D, mean=True).double(), toys.noise(2, M, D, seed=1)
    high, hidden = toys.noise(2, T, D), toys.noise(2, T, D, seed=2)
    memory = LinkageMemory(information, torch.tensor(4.0))
    torch.testing.assert_close(subnet.query(high, memory), query(high, information / 4))
    later = subnet.store(memory, hidden)
    torch.testing.assert_close(later.information, information + store(information / 4, hidden) - information / 4)
    assert later.blocks == 5


# --- the released network's layers around equations 6 and 7 --------------------


def test_a_linkage_layer_is_torchs_attention_in_residual_form_with_norms() -> None:
    """x' = LN(x + MHA(x, i, i)), LN(x' + W_2 relu(W_1 x')); four heads."""
    torch.manual_seed(0)
    width, layer = 8, LinkageLayer(8, 12, 4).double()
    theirs = torch.nn.MultiheadAttention(width, 4, batch_first=True).double()
    ours = layer.attention.state_dict()
    theirs.load_state_dict({name.replace("in_proj.", "in_proj_"): value for name, value in ours.items()})
    tokens, information = toys.noise(2, T, width), toys.noise(2, M, width, seed=1)
    x = torch.nn.functional.layer_norm(tokens + theirs(tokens, information, information)[0], (width,))
    want = torch.nn.functional.layer_norm(x + layer.linear2(layer.linear1(x).relu()), (width,))
    torch.testing.assert_close(layer(tokens, information), want)


def test_the_first_block_passes_the_released_linkage_as_it_is() -> None:
    torch.manual_seed(0)
    subnet = AttentionLinkage(8, 12, 4).double()
    high, hidden, stale = (toys.noise(2, T, 8, seed=seed) for seed in range(3))
    assert torch.equal(subnet.query(high, None), high)
    first = subnet.store(None, hidden)
    assert torch.equal(first.information, hidden)
    empty = LinkageMemory(stale, torch.tensor(0.0))
    assert torch.equal(subnet.query(high, empty), high)
    assert torch.equal(subnet.store(empty, hidden).information, hidden)
    later = subnet.store(first, high)
    assert later.blocks == 2
    torch.testing.assert_close(later.information, subnet.storage_layer(hidden, high))
    torch.testing.assert_close(subnet.query(high, later), subnet.query_layer(high, later.information))


def test_the_released_linkages_memory_does_not_grow() -> None:
    torch.manual_seed(0)
    subnet, memory = AttentionLinkage(8, 12, 4).double(), None
    with torch.no_grad():
        for block in range(60):
            memory = subnet.store(memory, 3 * toys.noise(1, T, 8, seed=block))
    assert memory is not None
    assert float(memory.information.abs().max()) < 8**0.5 + 1e-9  # a row of LayerNorm has the norm √d at most


def position_by_the_paper(t: int, y: int, x: int, lengths: tuple[int, int, int], channels: int) -> list[float]:
    """All three indices from 1."""
    third, out = channels // 3, []
    for index, length in zip((t, y, x), lengths, strict=True):
        for c in range(third):
            angle = index / length * 2 * math.pi / 10_000 ** (2 * (c // 2) / third)
            out.append(math.sin(angle) if c % 2 == 0 else math.cos(angle))
    return out


def test_positions() -> None:
    frames, height, width, channels = 3, 5, 7, 18
    times = torch.arange(1, frames + 1, dtype=torch.float64)
    got = sine_positions(times, frames, height, width, channels)
    assert got.shape == (frames * height * width, channels)
    row = 0
    for t in range(1, frames + 1):
        for y in range(1, height + 1):
            for x in range(1, width + 1):
                want = position_by_the_paper(t, y, x, (frames, height, width), channels)
                np.testing.assert_allclose(got[row], want, atol=1e-12)
                row += 1


@pytest.mark.parametrize("references", [0, 1, 3])
def test_references_share_time_index_0(references: int) -> None:
    """In front of N frames: index 0 of N + 1 for all, frames from 1; alone: index 0 of N."""
    network, frames = toys.shared("paper"), 2
    channels = network.config.token_channels
    got = network._positions(references, frames, 40, 56)
    first = 1 if references else 0
    indices = [0] * references + [first + n for n in range(frames)]
    want = [
        position_by_the_paper(t + 1, y, x, (first + frames, 5, 7), channels)
        for t in indices
        for y in range(1, 6)
        for x in range(1, 8)
    ]
    np.testing.assert_allclose(got, np.array(want), atol=1e-12)


@pytest.mark.parametrize("factor", [1, 2])
def test_tokens_and_maps_are_each_others_inverse(factor: int) -> None:
    """In order of frame, row, column; constant within a token's cells."""
    batch, frames, channels, height, width = 2, 3, 5, 7, 11
    tokens = toys.noise(batch, frames * height * width, channels)
    like = torch.zeros(batch * frames, 1, height * factor, width * factor)
    maps = to_maps(tokens, like, factor)
    assert maps.shape == (batch * frames, channels, height * factor, width * factor)
    if factor == 1:
        assert torch.equal(to_tokens(maps, batch, factor), tokens)
        assert torch.equal(maps[4, :, 2, 3], tokens[1, (1 * height + 2) * width + 3])
    blocky = torch.nn.functional.interpolate(to_maps(tokens, like[..., ::factor, ::factor], 1), scale_factor=factor)
    torch.testing.assert_close(to_tokens(blocky, batch, factor), tokens)


def block(transformer: bool = True) -> CNNTransformerBlock:
    torch.manual_seed(0)
    return CNNTransformerBlock(6, (2, 1, 2), "instance", (12, 10, 4) if transformer else None, 1).double()


def test_each_branch_is_fed_to_the_other() -> None:
    module = block()
    features, tokens = toys.noise(2, 6, 9, 9), toys.noise(1, 2 * 81, 12, seed=1)
    positions = toys.noise(2 * 81, 12, seed=2)
    out, seen = module(features, tokens, positions)
    assert out.shape == features.shape
    assert seen.shape == tokens.shape
    other_tokens, other_features = tokens.clone(), features.clone()
    other_tokens[:, -1] += toys.noise(12, seed=3)  # the last token, far from the first cell of the first frame
    other_features[1, :, 8, 8] += toys.noise(6, seed=4)
    assert (module(features, other_tokens, positions)[0] - out)[0, :, 0, 0].abs().max() > 1e-6
    assert (module(other_features, tokens, positions)[1] - seen)[0, 0].abs().max() > 1e-6


def test_without_the_transformer_a_block_is_local_to_its_frame() -> None:
    module = block(transformer=False)
    features = toys.noise(2, 6, 9, 9)
    out, none = module(features, None, None)
    assert none is None
    other = features.clone()
    other[1] += toys.noise(6, 9, 9, seed=4)
    assert torch.equal(module(other, None, None)[0][0], out[0])


def test_positions_do_not_reach_the_values() -> None:
    """With one token attention is its value: positions must not change it."""
    attention = block().transformer.self_attn
    token = toys.noise(1, 1, 12)
    a, b = (attention(token, toys.noise(1, 12, seed=s), None) for s in (1, 2))
    torch.testing.assert_close(a, b)
    pair = toys.noise(1, 2, 12)
    a, b = (attention(pair, toys.noise(2, 12, seed=s), None) for s in (1, 2))
    assert (a - b).abs().max() > 1e-6


def test_attention_is_torchs() -> None:
    """The same weights in ``nn.MultiheadAttention``, with positions on query and key."""
    ours = block().transformer.self_attn
    theirs = torch.nn.MultiheadAttention(12, 4, batch_first=True).double()
    theirs.load_state_dict({key.replace("in_proj.", "in_proj_"): value for key, value in ours.state_dict().items()})
    tokens, positions = toys.noise(2, 11, 12), toys.noise(11, 12, seed=3)
    expected, _ = theirs(tokens + positions, tokens + positions, tokens)
    torch.testing.assert_close(ours(tokens, positions, None), expected)
