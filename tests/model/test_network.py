"""Properties of the network for any widths, tested on toy networks with the switches of both configurations."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch", reason="needs the extra train")

from kinemacolor.model.bank import join  # noqa: E402
from kinemacolor.model.colorization import Candidates  # noqa: E402
from kinemacolor.model.correspondence import match_heads, unit_keys  # noqa: E402
from kinemacolor.model.network import Network, NetworkOutput  # noqa: E402
from tests.model import toys  # noqa: E402

BOTH = ("paper", "lite-full")
both = pytest.mark.parametrize("name", BOTH)
every = pytest.mark.parametrize("name", [*BOTH, "lite"])


def run(network: Network, block: torch.Tensor, count: int = 1, **state: object) -> NetworkOutput:
    with torch.no_grad():
        bank = toys.bank_of(network, len(block), count, *block.shape[3:])
        return network.step(block, bank, **state)


def differ(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).abs().max())


# --- shapes --------------------


@both
@pytest.mark.parametrize(("height", "width"), [(48, 64), (37, 53), (71, 34), (32, 32)])
@pytest.mark.parametrize(("batch", "frames", "count"), [(1, 1, 1), (2, 3, 2)])
def test_shapes(name: str, height: int, width: int, batch: int, frames: int, count: int) -> None:
    network = toys.shared(name)
    config, stride = network.config, network.config.stride
    ab, similarity, keys, memory = run(network, toys.luminance(batch, frames, height, width), count)
    assert ab.shape == (batch, frames, 2, height, width)
    assert similarity.shape == (batch, frames, 1, height, width)
    assert keys.shape == (batch, frames, 2 * config.key_channels, -(-height // 4), -(-width // 4))
    tokens = -(-height // stride) * -(-width // stride) * (stride // config.token_stride) ** 2
    assert memory is not None
    assert memory.information.shape == (batch, frames * tokens, config.token_channels)
    assert ab.isfinite().all()
    assert float(similarity.abs().max()) <= 1 + 1e-9


@every
def test_keys_are_of_unit_length_in_each_head(name: str) -> None:
    keys = run(toys.shared(name), toys.luminance(1, 2, 37, 53)).keys
    for head in keys.chunk(2, dim=2):
        torch.testing.assert_close(head.norm(dim=2), torch.ones_like(head[:, :, 0]))


@every
@pytest.mark.parametrize("frames", range(1, 7))
def test_any_block_size(name: str, frames: int) -> None:
    assert run(toys.shared(name), toys.luminance(1, frames, 32, 32)).ab.shape[1] == frames


@pytest.mark.parametrize("augmented_stride", [4, 8])
def test_bank_of_separate_references_has_an_entry_a_cell(augmented_stride: int) -> None:
    network = toys.toy("lite-full", augmented_stride=augmented_stride)
    bank = toys.bank_of(network, 2, 3, 37, 53)
    entries = 3 * 10 * 14
    assert bank.keys.shape == (2, entries, 2 * network.config.key_channels)
    assert bank.ab.shape == (2, entries, 2)
    assert bank.valid.shape == (2, entries)
    assert network.step(toys.luminance(2, 1, 48, 64), bank).ab.isfinite().all()


@every
def test_padding_does_not_count_toward_the_mean(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Equation 1 gets cells beyond the image as padding."""
    seen: list[torch.Tensor] = []

    def spy(maps: list[torch.Tensor], weight: torch.Tensor) -> torch.Tensor:
        seen.append(weight)
        return unit_keys(maps, weight)

    monkeypatch.setattr("kinemacolor.model.network.unit_keys", spy)
    network = toys.shared(name)
    bank = toys.bank_of(network, 1, 1, 37, 41)
    seen.clear()
    network.step(toys.luminance(1, 1, 37, 41), bank)
    inside = seen[0]
    want = torch.zeros_like(inside)
    want[..., :10, :11] = 1
    assert torch.equal(inside, want)


# --- gradients and batches --------------------


@every
@pytest.mark.parametrize("training", [False, True])
def test_every_parameter_gets_a_gradient(name: str, training: bool) -> None:
    network = toys.own(name).train(training)
    first, second = toys.luminance(2, 2), toys.luminance(2, 2, seed=5)
    bank = toys.bank_of(network, 2)
    carried = toys.propagated(first) if network.config.propagation else None
    one = network.step(first, bank, None, carried)
    two = network.step(second, bank, one.memory, carried)
    three = network.step(first, bank, two.memory, carried)  # it reads what a block with memory stored
    weight = toys.noise(*two.ab.shape, seed=3)
    torch.stack([(step.ab * weight).sum() for step in (one, two, three)]).sum().backward()
    without = [k for k, p in network.named_parameters() if p.grad is None or float(p.grad.abs().max()) < 1e-12]
    alone = ["descriptors.weight", "descriptors.warmth"]  # read where descriptors are trained without heads
    assert without == (alone if network.config.descriptor_channels else [])


@both
def test_training_in_bfloat16_and_channels_last(name: str) -> None:
    """Autocast forward and backward: matching and the mixing of colors keep full precision."""
    exact = toys.own(name).float().train()
    network = deepcopy(exact).to(memory_format=torch.channels_last)
    block = toys.luminance(1, 1, 32, 48).float()
    luminance, ab = (x.float() for x in toys.references(1, 1, 32, 48))
    with torch.autocast("cpu", torch.bfloat16):
        bank = network.start(luminance, ab)
        step = network.step(block, bank, network.step(block, bank).memory)
    bank = exact.start(luminance, ab)
    want = exact.step(block, bank, exact.step(block, bank).memory)
    assert step.ab.dtype == step.keys.dtype == step.similarity.dtype == torch.float32
    torch.testing.assert_close(step.keys.norm(dim=2), torch.full_like(step.keys[:, :, 0], 2**0.5))
    gap, size = (step.ab - want.ab).detach().abs().mean(), want.ab.detach().abs().mean()
    assert float(gap) < 0.25 * float(size)  # random weights, statistics of a toy batch
    step.ab.abs().mean().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())


@both
def test_a_detached_memory_keeps_its_values_and_stops_gradients(name: str) -> None:
    network = toys.shared(name)
    bank = toys.bank_of(network)
    memory = network.step(toys.luminance(1, 1), bank).memory
    assert memory is not None
    assert memory.information.requires_grad
    assert not memory.detached().information.requires_grad
    assert torch.equal(memory.detached().information, memory.information)


@both
def test_a_batch_of_two_is_two_batches_of_one(name: str) -> None:
    network = toys.shared(name)
    block, later = toys.luminance(2, 2), toys.luminance(2, 2, seed=4)
    luminance, ab = toys.references(2, 2)
    carried = toys.propagated(block) if network.config.propagation else None
    with torch.no_grad():
        bank = network.start(luminance, ab)
        whole = network.step(later, bank, network.step(block, bank).memory, carried)
        for i in range(2):
            one = slice(i, i + 1)
            bank_of_one = network.start(luminance[one], ab[one])
            propagated = carried and type(carried)(carried.ab[one], carried.similarity[one], carried.consistency[one])
            memory = network.step(block[one], bank_of_one).memory
            part = network.step(later[one], bank_of_one, memory, propagated)
            for a, b in ((whole.ab, part.ab), (whole.similarity, part.similarity), (whole.keys, part.keys)):
                torch.testing.assert_close(a[one], b, atol=1e-9, rtol=1e-9)


# --- time --------------------


@both
def test_frames_of_a_block_attend_jointly(name: str) -> None:
    network = toys.shared(name)
    block = toys.luminance(1, 3)
    other = block.clone()
    other[:, 2] = toys.luminance(1, 1, seed=8)[:, 0]
    assert differ(run(network, block).ab[:, 0], run(network, other).ab[:, 0]) > 1e-4
    bank = toys.bank_of(network)
    with torch.no_grad():  # ho_t of frame 1 comes before equation 1, whose mean joins frames by itself
        one, two = (
            network.represent(network.encode(b), network.inside(b), None, bank.references).hidden
            for b in (block, other)
        )
    assert one is not None
    assert two is not None
    assert differ(one[:, : one.shape[1] // 3], two[:, : one.shape[1] // 3]) > 1e-6


@both
def test_without_the_transformer_only_the_mean_of_the_block_joins_frames(name: str) -> None:
    """Equation 1 centers over the block; nothing else connects the frames."""
    network = toys.toy(name, transformer=False, linkage=False)
    block = toys.luminance(1, 2)
    still = block[:, :1].expand(-1, 2, -1, -1, -1)
    assert differ(run(network, still).ab[:, 0], run(network, block[:, :1]).ab[:, 0]) < 1e-9


@both
def test_memory_carries_over_blocks(name: str) -> None:
    network = toys.shared(name)
    first, second = toys.luminance(1, 2), toys.luminance(1, 2, seed=5)
    bank = toys.bank_of(network)
    with torch.no_grad():
        one = network.step(first, bank)
        kept, dropped = network.step(second, bank, one.memory), network.step(second, bank)
        assert torch.equal(network.step(first, bank).ab, one.ab)
    assert differ(kept.ab, dropped.ab) > 1e-4


@both
def test_memory_keeps_its_size_whatever_the_next_block(name: str) -> None:
    network = toys.shared(name)
    bank = toys.bank_of(network)
    with torch.no_grad():
        memory = network.step(toys.luminance(1, 3), bank).memory
        assert memory is not None
        size = memory.information.shape
        for frames in (1, 4):
            memory = network.step(toys.luminance(1, frames, seed=frames), bank, memory).memory
            assert memory is not None
            assert memory.information.shape == size


@both
def test_memory_does_not_explode(name: str) -> None:
    """Equation 7 adds the present to the past. i_t may grow with the number of blocks, no faster."""
    network, block = toys.shared(name), toys.luminance(1, 1, 32, 32)
    bank, memory, sizes = toys.bank_of(network, 1, 1, 32, 32), None, []
    with torch.no_grad():
        for _ in range(24):
            memory = network.step(block, bank, memory).memory
            assert memory is not None
            sizes.append(float(memory.information.norm(dim=2).mean()))
    assert sizes[-1] < 2 * len(sizes) * sizes[0]


@both
def test_the_network_holds_no_state(name: str) -> None:
    network = toys.shared(name)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    run(network, toys.luminance(1, 2))
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


# --- the bank --------------------


@both
def test_masked_colors_change_nothing(name: str) -> None:
    network = toys.shared(name)
    luminance, ab = toys.references(1, 1)
    mask = torch.ones_like(luminance)
    mask[..., 16:32, 16:48] = 0
    block = toys.luminance(1, 2)
    with torch.no_grad():
        expected = network.step(block, network.start(luminance, ab, mask))
        got = network.step(block, network.start(luminance, torch.where(mask > 0, ab, 99.0), mask))
        unmasked = network.step(block, network.start(luminance, ab))
    torch.testing.assert_close(got.ab, expected.ab, atol=1e-9, rtol=0)
    torch.testing.assert_close(got.similarity, expected.similarity, atol=1e-9, rtol=0)
    assert differ(unmasked.ab, expected.ab) > 1e-3


@both
def test_a_reference_that_is_masked_completely_changes_nothing(name: str) -> None:
    """It is like padding of a bank: its entries and, with joint references, its tokens."""
    network = toys.shared(name)
    luminance, ab = toys.references(1, 2)
    mask = torch.ones_like(luminance)
    mask[:, 1] = 0
    block = toys.luminance(1, 2)
    with torch.no_grad():
        expected = network.step(block, network.start(luminance[:, :1], ab[:, :1]))
        got = network.step(block, network.start(luminance, ab, mask))
    torch.testing.assert_close(got.ab, expected.ab, atol=1e-9, rtol=0)


@both
def test_invalid_entries_change_nothing(name: str) -> None:
    network = toys.shared(name)
    bank, block = toys.bank_of(network), toys.luminance(1, 2)
    width = bank.keys.shape[2]
    with torch.no_grad():
        expected = network.step(block, bank).ab
        keys, ab = toys.noise(1, 1, width, 2, 3), 99 * toys.noise(1, 1, 2, 8, 12)
        keys = torch.cat([torch.nn.functional.normalize(head, dim=2) for head in keys.chunk(2, dim=2)], dim=2)
        marks = torch.zeros_like(keys[:, :, :1])
        padded = network.step(block, bank.with_past_outputs(keys, ab, marks)).ab
        joined = network.step(block, bank.with_past_outputs(keys, ab)).ab
    torch.testing.assert_close(padded, expected, atol=1e-9, rtol=0)
    assert differ(joined, expected) > 1e-4


@both
def test_order_of_references_does_not_matter(name: str) -> None:
    network = toys.shared(name)
    luminance, ab = toys.references(1, 3)
    order = torch.tensor([2, 0, 1])
    block = toys.luminance(1, 2)
    with torch.no_grad():
        a = network.step(block, network.start(luminance, ab))
        b = network.step(block, network.start(luminance[:, order], ab[:, order]))
    torch.testing.assert_close(a.ab, b.ab, atol=1e-9, rtol=0)


def test_order_of_entries_does_not_matter() -> None:
    network = toys.shared("lite-full")
    bank, block = toys.bank_of(network), toys.luminance(1, 2)
    order = torch.randperm(bank.keys.shape[1], generator=torch.Generator().manual_seed(0))
    shuffled = replace(bank, keys=bank.keys[:, order], ab=bank.ab[:, order], valid=bank.valid[:, order])
    with torch.no_grad():
        torch.testing.assert_close(network.step(block, shuffled).ab, network.step(block, bank).ab, atol=1e-9, rtol=0)


def test_several_separate_references_are_a_concatenation() -> None:
    network = toys.shared("lite-full")
    luminance, ab = toys.references(1, 2)
    tall = toys.references(1, 1, 65, 41, seed=20)
    with torch.no_grad():
        whole = network.start(luminance, ab)
        parts = join([network.start(luminance[:, r : r + 1], ab[:, r : r + 1]) for r in range(2)])
        torch.testing.assert_close(whole.keys, parts.keys)
        torch.testing.assert_close(whole.ab, parts.ab)
        mixed = join([whole, network.start(*tall)])
        assert network.step(toys.luminance(1, 1), mixed).ab.isfinite().all()
    assert mixed.keys.shape[1] == whole.keys.shape[1] + 17 * 11


def test_y_lab_is_of_the_reference_that_contributes_most() -> None:
    """One reference is the frame itself, the other is noise; in either order."""
    network = toys.shared("paper")
    frame, ab = toys.references(1, 1)
    other, other_ab = toys.references(1, 1, seed=31)
    for first in (True, False):
        pair = ((frame, ab), (other, other_ab)) if first else ((other, other_ab), (frame, ab))
        luminance, colors = (torch.cat(x, dim=1) for x in zip(*pair, strict=True))
        with torch.no_grad():
            bank = network.start(luminance, colors)
            block = network.represent(network.encode(frame), network.inside(frame), None, bank.references)
            sampled, _ = match_heads(block.keys, *bank.concatenated(block.reference_keys), network.config.tau, (1, 1))
        assert bank.reference_colors is not None
        image = bank.reference_colors.image(sampled[0][:, :, 2:].mean(dim=(3, 4)))
        torch.testing.assert_close(image[:, :, 1:], ab)


@pytest.mark.parametrize("name", ["lite-full"])
def test_a_frame_equal_to_the_reference_gets_its_colors(name: str) -> None:
    """With τ → 0 and unique features, W is the color of the cell itself and S is 1."""
    network = toys.toy(name, tau=1e-4)
    luminance, ab = toys.references(1, 1)
    with torch.no_grad():
        bank = network.start(luminance, ab)
        block = network.represent(network.encode(luminance), network.inside(luminance))
        sampled, similarity = match_heads(block.keys, *bank.concatenated(None), 1e-4, (1, 1))
    colors = bank.ab[0].T.reshape(1, 1, 2, 12, 16)
    for warped, best in zip(sampled, similarity, strict=True):
        torch.testing.assert_close(warped, colors, atol=1e-6, rtol=0)
        torch.testing.assert_close(best, torch.ones_like(best))


# --- propagation and output --------------------


def test_nothing_propagated_is_zero_ab_and_the_least_similarity() -> None:
    network = toys.shared("lite-full")
    block = toys.luminance(1, 2, 37, 53)
    propagated = toys.propagated(block)
    empty = type(propagated)(propagated.ab * 0, propagated.similarity * 0 - 1, propagated.consistency * 0)
    assert differ(run(network, block).ab, run(network, block, propagated=empty).ab) == 0
    assert differ(run(network, block).ab, run(network, block, propagated=propagated).ab) > 1e-3


def test_at_first_the_gate_follows_the_better_candidate() -> None:
    """Before training, P where s_P is clearly above S, and the warped colors where it is clearly below."""
    torch.manual_seed(0)
    network = Network(toys.toy_config("lite-full")).double().eval()
    block = toys.luminance(1, 1)
    propagated = toys.propagated(block)
    high = type(propagated)(propagated.ab, torch.full_like(propagated.similarity, 1.5), propagated.consistency)
    low = type(propagated)(propagated.ab, torch.full_like(propagated.similarity, -1), propagated.consistency)
    assert differ(run(network, block, propagated=high).ab, propagated.ab) < 5
    colors = toys.bank_of(network).ab
    ab = run(network, block, propagated=low).ab
    assert (ab > colors.amin() - 5).all()
    assert (ab < colors.amax() + 5).all()


def test_the_papers_output_stays_within_its_scale() -> None:
    network = toys.own("paper")
    with torch.no_grad():
        network.colorization.last.weight.mul_(100)
    ab = run(network, toys.luminance(1, 1)).ab
    assert float(ab.abs().max()) <= 128
    assert float(ab.abs().max()) > 120


def test_inputs_of_equation_5() -> None:
    """W_1 ⊕ S_1 ⊕ W_2 ⊕ S_2 ⊕ B^l ⊕ y^lab, chrominance over 128; y^lab may be channels or one more frame."""
    block = toys.luminance(1, 2)
    w1, w2 = (Candidates(toys.noise(1, 2, 2, 48, 64, seed=s), toys.noise(1, 2, 1, 48, 64, seed=s + 1)) for s in (1, 3))
    lab = toys.noise(1, 2, 3, 48, 64, seed=5)
    channels = toys.toy("paper", reference_frame=False)
    got = channels.colorization._inputs(block, [w1, w2], lab)
    want = [w1.ab / 128, w1.similarity, w2.ab / 128, w2.similarity, block, lab[:, :, :1], lab[:, :, 1:] / 128]
    assert torch.equal(got, torch.cat(want, dim=2))
    assert channels.colorization.inputs == 10
    assert toys.shared("paper").colorization.inputs == 7
    assert toys.toy("paper", augmented_head=False).colorization.inputs == 4
    assert toys.shared("lite-full").colorization.inputs == 1 + 3 * 3 + 1


def test_the_spread_of_colors_is_that_of_what_is_averaged() -> None:
    """Two entries that fit alike, of (3, 4) and of (−3, −4), have the mean 0, from which each is 5 away."""
    network = toys.toy("lite", color_spread=True)
    assert network.colorization.inputs == toys.shared("lite").colorization.inputs + 3
    bank = toys.bank_of(network)
    alike = bank.keys[:, :1].expand(-1, 2, -1)
    block = toys.luminance(1, 2)
    seen: list[list[Candidates]] = []
    network.colorization.register_forward_pre_hook(lambda _module, arguments: seen.append(arguments[1]))
    for colors, spread in (([[3.0, 4.0], [-3.0, -4.0]], 5.0), ([[3.0, 4.0], [3.0, 4.0]], 0.0)):
        ab = torch.tensor([colors], dtype=alike.dtype)
        with torch.no_grad():
            network.step(block, replace(bank, keys=alike, ab=ab, valid=None))
        for candidate in seen[-1][:2]:
            assert candidate.spread is not None
            torch.testing.assert_close(candidate.spread, torch.full_like(block, spread), atol=0.02, rtol=0)


def test_propagated_colors_without_a_spread_that_is_an_input_are_refused() -> None:
    network, block = toys.toy("lite", color_spread=True), toys.luminance(1, 1)
    propagated = replace(toys.propagated(block), spread=None)
    with pytest.raises(ValueError, match=r"propagated\.spread: expected maps"):
        network.step(block, toys.bank_of(network), None, propagated)


# --- what the released network does where the paper allows both --------------------


def test_the_reference_is_a_frame_of_the_colorization_subnet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its colors are W_1 and W_2 there, its similarity is 1; the outputs are those of the frames alone."""
    network = toys.own("paper")
    luminance, ab = toys.references(1, 2)
    mask = torch.ones_like(luminance)
    mask[:, 1, :, :, :32] = 0
    block, seen = toys.luminance(1, 3), []
    forward = network.colorization.forward

    def spy(*arguments: object) -> object:
        seen.append(arguments)
        return forward(*arguments)

    monkeypatch.setattr(network.colorization, "forward", spy)
    with torch.no_grad():
        step = network.step(block, network.start(luminance, ab, mask))
    (given, candidates, image, hidden, positions, _) = seen[0]
    assert image is None
    assert torch.equal(given, torch.cat([luminance, block], dim=1))
    for candidate in candidates:
        assert torch.equal(candidate.ab[:, :2], ab * mask)
        assert torch.equal(candidate.similarity[:, 0], mask[:, 0])
        assert torch.equal(candidate.similarity[:, 1, :, :, :30], mask[:, 1, :, :, :30])
    assert hidden.shape[1] == len(positions) == 5 * 6 * 8
    assert torch.equal(positions[:48], positions[48:96])  # references have no order
    assert step.ab.shape == (1, 3, 2, 48, 64)
    assert step.memory.information.shape[1] == 3 * 48  # the frames' tokens alone are stored


def test_the_augmented_head_is_a_convex_mix() -> None:
    """F_2 = (1 − α) · conv(R') + α · R'_high, α = 0.75 and not learned."""
    subnet = toys.shared("paper").correspondence
    width = toys.shared("paper").config.feature_channels
    high, low = toys.noise(1, 2, width, 6, 8), toys.noise(1, 2, 12, 12, 16, seed=1)
    assert "alpha" not in dict(subnet.named_parameters())
    with torch.no_grad():
        vanilla, augmented = subnet.represent(high, low, None)
        reduced = torch.nn.functional.interpolate(subnet.to_quarter(high[0]), scale_factor=2.0, mode="bilinear")
        features = subnet.residual(torch.cat([reduced, low[0]], dim=1))
        torch.testing.assert_close(augmented[0], 0.25 * subnet.heads[1](features) + 0.75 * reduced)
        torch.testing.assert_close(vanilla[0], subnet.heads[0](features))
    added = toys.toy("paper", augmented_mix="added").correspondence
    assert float(added.alpha) == 0.75
    added.load_state_dict({**subnet.state_dict(), "alpha": torch.tensor(0.5)})
    with torch.no_grad():
        torch.testing.assert_close(added.represent(high, low, None)[1][0], subnet.heads[1](features) + 0.5 * reduced)


@pytest.mark.parametrize("coupling", ["parallel", "sequential"])
def test_the_transformer_branch_gets_the_blocks_input_or_what_the_cnn_makes_of_it(coupling: str) -> None:
    network = toys.toy("paper", coupling=coupling)
    block, seen = network.correspondence.blocks[1], []
    block.to_transformer.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    features, tokens = toys.noise(2, 20, 4, 6), toys.noise(1, 48, 24, seed=1)
    with torch.no_grad():
        block(features, tokens, toys.noise(48, 24, seed=2))
        given = features if coupling == "parallel" else block.cnn(features)
    want = torch.cat([tokens, given.flatten(2).transpose(1, 2).reshape(1, -1, 20)], dim=2)
    torch.testing.assert_close(seen[0], want)
