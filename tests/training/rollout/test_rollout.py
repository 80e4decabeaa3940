"""Windows colored in training against the engine that colors films; gradients by block against those of the whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kinemacolor.core.color import rgb_to_lab
from kinemacolor.core.types import Array, FloatArray, Reference
from kinemacolor.engine import key_grid, propagator
from kinemacolor.engine.network import NetworkEngine, NetworkState
from kinemacolor.engine.protocol import ReferenceBank
from kinemacolor.engine.torch_runner import TorchRunner
from kinemacolor.model.bank import Bank, entries
from kinemacolor.model.network import Network
from kinemacolor.propagation.correspondence import (
    Correspondence,
    PropagationPaths,
    PropagationState,
    WeightedCorrespondence,
    propagate,
)
from kinemacolor.propagation.correspondence import sample as engine_sample
from kinemacolor.training.config.augmentation import PAPER_AUGMENTATION
from kinemacolor.training.config.sections import LossSection, LossTerm, RolloutSection
from kinemacolor.training.data.cache import CachedClip, write_cache
from kinemacolor.training.data.propagated_inputs import previous_block_correspondences
from kinemacolor.training.data.samples import BatchTensors, stack_samples, to_tensors
from kinemacolor.training.data.windows import WindowSampler
from kinemacolor.training.losses import losses
from kinemacolor.training.losses.block import ColoredBlock
from kinemacolor.training.losses.objective import Objective
from kinemacolor.training.rollout.rollout import (
    RolloutDraws,
    WindowRollout,
    correspondence_similarity,
    draw_rollout,
    sample_at,
)
from tests.model import toys
from tests.training.toys import moving, picture

SIZE = (36, 52)


def lab(rgb: Array) -> tuple[FloatArray, FloatArray]:
    """L* (…, H, W) and a*, b* (…, H, W, 2)."""
    values = rgb_to_lab(rgb.astype(np.float32) / 255)
    return np.clip(values[..., 0], 0, 100), np.ascontiguousarray(values[..., 1:])


def tensors(
    frames: Array, reference: Reference, chained: bool, coordinates: FloatArray | None, consistency: FloatArray | None
) -> BatchTensors:
    """One window as the loader gives it."""
    lightness, ab = lab(frames)

    def plane(x: Any) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32))[None].unsqueeze(-3)

    def pair(x: Any) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(np.moveaxis(x, -1, -3), dtype=np.float32))[None]

    return BatchTensors(
        luminance=plane(lightness / 50 - 1),
        lightness=plane(lightness),
        ab=pair(ab),
        reference_luminance=plane(reference.lightness[None] / 50 - 1),
        reference_ab=pair(reference.ab[None]),
        reference_mask=plane(reference.mask[None]),
        flow=None,
        visible=None,
        chained=torch.tensor([chained]),
        coordinates=None if coordinates is None else pair(coordinates),
        consistency=None if consistency is None else plane(consistency),
        matches=None,
        indices=(0,),
    )


def draws(dropped: bool = False, with_memory: bool = False) -> RolloutDraws:
    return RolloutDraws(torch.tensor([dropped]), torch.tensor([with_memory]))


def still(rgb: Array, hole: bool = True) -> Reference:
    lightness, ab = lab(rgb)
    mask = np.ones(lightness.shape, np.bool_)
    if hole:
        mask[5:19, 8:31] = False
    return Reference(lightness, ab, mask)


def network(**changes: Any) -> Network:
    return toys.toy("lite-full", **changes).float()


# --- the candidate P --------------------


def test_samples_equal_those_of_the_engine() -> None:
    noise = np.random.default_rng(0)
    image = noise.standard_normal((23, 31, 2)).astype(np.float32)
    at = (noise.integers(-160, 1200, (3, 17, 19, 2)) / 32).astype(np.float32)  # cv2 rounds to 32nds of a pixel
    samples = sample_at(torch.from_numpy(image).permute(2, 0, 1)[None], torch.from_numpy(at).permute(0, 3, 1, 2)[None])
    for number, coordinates in enumerate(at):
        expected = engine_sample(image, coordinates)
        np.testing.assert_allclose(samples[0, number].permute(1, 2, 0).numpy(), expected, atol=2e-5)


def test_correspondence_similarity_equals_that_of_the_engine() -> None:
    noise, heads, channels = np.random.default_rng(1), 2, 6
    reference = still(picture(*SIZE))
    rows, columns = 9, 13
    unit = torch.nn.functional.normalize
    bank_keys = unit(torch.from_numpy(noise.standard_normal((rows * columns, heads, channels))), dim=2)
    frame_keys = unit(torch.from_numpy(noise.standard_normal((2, rows, columns, heads, channels))), dim=4)
    valid = noise.random(rows * columns) < 0.7
    at = noise.uniform(-9, 60, (2, *SIZE, 2)).astype(np.float32)
    bank_keys, frame_keys = bank_keys.flatten(1).float(), frame_keys.flatten(3).float()
    extra = torch.cat([bank_keys, bank_keys[:5] * 0])  # past outputs after the reference's entries change nothing
    bank = Bank(extra[None], torch.zeros(1, len(extra), 2), torch.cat([torch.from_numpy(valid), torch.ones(5)])[None])
    similarity = correspondence_similarity(
        frame_keys.permute(0, 3, 1, 2)[None], torch.from_numpy(at).permute(0, 3, 1, 2)[None], bank, SIZE, heads
    )
    engine_bank = ReferenceBank(bank_keys.numpy(), np.zeros((len(bank_keys), 2), np.float32), valid, (reference,))
    for number in range(2):
        correspondence = Correspondence(at[number], np.zeros(SIZE, np.int16))
        expected = key_grid.correspondence_similarity(frame_keys[number].numpy(), correspondence, engine_bank)
        np.testing.assert_allclose(similarity[0, number, 0].numpy(), expected, atol=1e-5)
    assert expected.min() == -1


def test_correspondence_similarity_has_gradients_to_both_keys() -> None:
    frame_keys = torch.randn(1, 1, 4, 3, 3, requires_grad=True)
    bank_keys = torch.randn(1, 9, 4, requires_grad=True)
    bank = Bank(bank_keys, torch.zeros(1, 9, 2), torch.ones(1, 9))
    at = torch.full((1, 1, 2, 11, 11), 6.0)  # all from the cell in the middle
    correspondence_similarity(frame_keys, at, bank, (11, 11), 1).sum().backward()
    assert bank_keys.grad is not None
    assert frame_keys.grad is not None
    assert (bank_keys.grad[0].abs().sum(dim=1) > 0).tolist() == [k == 4 for k in range(9)]
    assert (frame_keys.grad.abs().sum(dim=2) > 0).all()


# --- against the engine --------------------


@pytest.mark.parametrize("color_spread", [False, True])
def test_a_window_without_a_chain_is_colored_as_the_engine_does(color_spread: bool) -> None:
    frames, other = moving(5, *SIZE, speed=1.5), still(picture(*SIZE, seed=7))
    lightness, _ = lab(frames)
    net = network(color_spread=color_spread)
    engine = NetworkEngine(TorchRunner(net, device="cpu", bfloat16=False), color_memory=False)
    bank, state, expected = engine.start([other]), None, []
    for first in (0, 2, 4):
        step = engine.step(lightness[first : first + 2], bank, state)
        state = step.state
        expected.append(step.ab)
    assert isinstance(state, NetworkState)
    assert state.propagation.propagation is None  # the frame before was propagated
    coordinates, consistency = previous_block_correspondences(lightness, 2)
    assert not coordinates[:2].any()
    t = tensors(frames, other, False, coordinates, consistency)
    with torch.no_grad():
        colored = [block.ab for block in WindowRollout(net, t, draws(), 2)]
        plain = [block.ab for block in WindowRollout(net, t, draws(dropped=True), 2)]
    assert [ab.shape[1] for ab in colored] == [2, 2, 1]
    for number, (ab, by_engine, without) in enumerate(zip(colored, expected, plain, strict=True)):
        gap = np.abs(ab[0].permute(0, 2, 3, 1).numpy() - by_engine)
        assert gap.mean() < 0.03  # cv2 rounds to 32nds of a pixel
        assert gap.max() < 0.3
        assert (number == 0) == (float((ab - without).abs().mean()) < 1)


@pytest.mark.parametrize("color_spread", [False, True])
def test_a_window_with_a_chain_is_colored_as_the_engine_does(
    monkeypatch: pytest.MonkeyPatch, color_spread: bool
) -> None:
    frames = moving(4, *SIZE, speed=1.5)
    first = still(frames[0])
    lightness, _ = lab(frames)
    net = network(color_spread=color_spread)
    engine = NetworkEngine(TorchRunner(net, device="cpu", bfloat16=False), color_memory=False, block_size=1)
    bank, state, expected = engine.start([first]), None, []
    candidates: list[tuple[WeightedCorrespondence, ...]] = []

    def recording(*arguments: Any) -> tuple[PropagationState | None, tuple[WeightedCorrespondence, ...]]:
        propagation, weighted = propagate(*arguments[:-1], PropagationPaths((1,)))
        candidates.append(weighted if len(weighted) == 2 else weighted * 2)
        return propagation, weighted

    monkeypatch.setattr(propagator, "propagate", recording)
    for number in range(4):
        step = engine.step(lightness[number : number + 1], bank, state)
        state = step.state
        assert isinstance(state, NetworkState)
        assert state.propagation.propagation is not None
        expected.append(step.ab[0])
    coordinates = np.stack([[c.correspondence.coordinates for c in weighted] for weighted in candidates])
    consistency = np.stack([[c.consistency for c in weighted] for weighted in candidates])
    t = tensors(frames, first, True, coordinates, consistency)
    with torch.no_grad():
        blocks = list(WindowRollout(net, t, draws(), 1))
    for number, block in enumerate(blocks):
        gap = np.abs(block.ab[0, 0].permute(1, 2, 0).numpy() - expected[number])
        assert gap.mean() < 0.05
        assert np.quantile(gap, 0.95) < 0.3
    assert blocks[0].available is not None
    masked = blocks[0].available[0, 0, net.config.heads].numpy()
    np.testing.assert_array_equal(masked > 0, first.mask)


def test_the_memory_of_the_block_before_counts() -> None:
    frames, other = moving(4, *SIZE), still(picture(*SIZE, seed=7))
    t = tensors(frames, other, False, None, None)
    net = network()
    with torch.no_grad():
        two = list(WindowRollout(net, t, draws(), 2))[1].ab
        late = replace(t, luminance=t.luminance[:, 2:], ab=t.ab[:, 2:])
        alone = next(iter(WindowRollout(net, late, draws(), 2))).ab
    assert float((two - alone).abs().max()) > 1e-3


def test_past_outputs_join_the_bank_of_windows_that_drew_it() -> None:
    frames, other = moving(4, *SIZE), still(picture(*SIZE, seed=7))
    one = tensors(frames, other, False, None, None)
    both = BatchTensors(
        *(torch.cat([x, x]) if isinstance(x, torch.Tensor) else x for x in (getattr(one, n) for n in one.__slots__))
    )
    net = network()
    some = RolloutDraws(torch.tensor([False, False]), torch.tensor([False, True]))
    with torch.no_grad():
        a, b = list(WindowRollout(net, both, some, 2))[1].ab
        plain = list(WindowRollout(net, one, draws(), 2))[1].ab[0]
    np.testing.assert_allclose(a.numpy(), plain.numpy(), atol=1e-3)
    assert float((b - plain).abs().max()) > 0.05


def test_keys_alone_are_those_of_colored_windows() -> None:
    net, t = network(), tensors(moving(4, *SIZE), still(picture(*SIZE, seed=7)), False, None, None)
    with torch.no_grad():
        plain, colored = (list(WindowRollout(net, t, draws(), 2, colored=x)) for x in (False, True))
    for a, b in zip(plain, colored, strict=True):
        assert torch.equal(a.keys, b.keys)
        assert torch.equal(a.bank.keys, b.bank.keys)
        assert not a.ab.any()
        assert b.ab.any()
        assert a.logits is None


@pytest.mark.parametrize("name", ["l1", "relative", "psnr", "chroma"])
def test_a_loss_of_the_recipe_is_that_of_its_name(name: str) -> None:
    net, t = network(), tensors(moving(2, *SIZE), still(picture(*SIZE, seed=7)), False, None, None)
    options = LossSection(**{"l1": LossTerm(), name: LossTerm(weight=3, every=2)})
    with torch.no_grad():
        (block,) = WindowRollout(net, t, draws(), 2)
        values = Objective(options, net.config, None)(block, t, 0)
        assert set(values) == {name}
        assert values[name] == getattr(losses, name)(block.ab, t.ab) > 0
        assert Objective(options, net.config, None).weighted_sum(values) == 3 * values[name]
        assert not Objective(options, net.config, None)(block, t, 1)


def test_the_loss_of_matching_knows_the_place_and_reaches_the_keys_alone(tmp_path: Path) -> None:
    clip = CachedClip("f#0", "f", False, 10, 72, 120)
    cache = write_cache(tmp_path / "c", [(clip, moving(10, 72, 120, speed=1.5))], [], "k")
    options = replace(PAPER_AUGMENTATION, whole=False, far=1, distance=6)
    windows = WindowSampler(cache, 3, (64, 96), options, propagated=True, matches=True)
    batch = to_tensors(stack_samples([windows.sample(index) for index in (0, 1)], [0, 1]))
    net = network().train()
    objective = Objective(LossSection(l1=LossTerm(), matches=LossTerm(weight=1)), net.config, None)
    assert not objective.needs_colors
    assert batch.matches is not None
    for step in range(4):  # another quarter of the cells each
        window = WindowRollout(net, batch, RolloutDraws(torch.zeros(2).bool(), torch.zeros(2).bool()), 3, colored=False)
        (block,) = window
        (right,) = objective(block, batch, step).values()
        turned = replace(batch, matches=batch.matches.flip(3))
        (wrong,) = objective(block, turned, step).values()
        assert right < wrong - 1
        right.backward()
        window.backward_to_references()
    for name, part in net.named_children():
        reached = any(p.grad is not None and bool(p.grad.any()) for p in part.parameters())
        assert reached == (name != "colorization")


# --- gradients --------------------


def gradients(net: Network) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}


def double(t: BatchTensors) -> BatchTensors:
    values = (getattr(t, name) for name in t.__slots__)
    return BatchTensors(*(x.double() if isinstance(x, torch.Tensor) and x.is_floating_point() else x for x in values))


@pytest.mark.parametrize("gradient_blocks", [1, 2])
@pytest.mark.parametrize("kind", ["lite-full", "paper"])
def test_blocks_one_by_one_give_the_gradients_of_all_at_once(kind: str, gradient_blocks: int) -> None:
    frames, other = moving(4, 32, 48), still(picture(32, 48, seed=7))
    changes = {"propagation": False} if kind == "lite-full" else {}
    net = toys.toy(kind, **changes)
    t = double(tensors(frames, other, False, None, None))
    net.zero_grad()
    window = WindowRollout(net, t, draws(), 2, gradient_blocks=gradient_blocks)
    pending = []
    for block in window:
        pending.append((block.ab - t.ab[:, block.frames]).abs().mean())
        if block.ends_span:
            torch.stack(pending).sum().backward()
            pending.clear()
    before = gradients(net)
    window.backward_to_references()
    mine = gradients(net)
    net.zero_grad()
    bank = net.start(t.reference_luminance, t.reference_ab, t.reference_mask)
    first = net.step(t.luminance[:, :2], bank)
    assert first.memory is not None
    handed_on = first.memory.detached() if gradient_blocks == 1 else first.memory
    second = net.step(t.luminance[:, 2:], bank, handed_on)
    loss = (first.ab.float() - t.ab[:, :2]).abs().mean() + (second.ab.float() - t.ab[:, 2:]).abs().mean()
    loss.backward()
    whole = gradients(net)
    assert mine.keys() == whole.keys()
    for name, gradient in whole.items():
        torch.testing.assert_close(mine[name], gradient, rtol=1e-5, atol=1e-6 * float(gradient.abs().max()) + 1e-12)
    stem = next(name for name in mine if "features" in name)
    assert not torch.allclose(before[stem], mine[stem])  # the reference's part came last


@pytest.mark.parametrize(("gradient_blocks", "spans"), [(1, [2, 4, 6, 7]), (2, [4, 7]), (3, [6, 7]), (9, [7])])
def test_what_the_linkage_subnet_stores_is_learned_across_blocks_alone(gradient_blocks: int, spans: list[int]) -> None:
    """Its storage layer has no other gradient; with spans of one block it is dead."""
    net = toys.toy("paper")
    t = double(tensors(moving(7, 32, 48), still(picture(32, 48, seed=7)), False, None, None))
    net.zero_grad()
    window, ends, pending = WindowRollout(net, t, draws(), 2, gradient_blocks=gradient_blocks), [], []
    for block in window:
        pending.append((block.ab - t.ab[:, block.frames]).abs().mean())
        if block.ends_span:
            ends.append(block.frames.stop)
            torch.stack(pending).sum().backward()
            pending.clear()
    assert ends == spans
    gradient = net.linkage.storage_layer.linear1.weight.grad
    assert (gradient is not None and bool(gradient.any())) == (gradient_blocks > 1)
    assert net.linkage.query_layer.linear1.weight.grad.any()


def test_propagated_colors_take_no_gradient_back() -> None:
    frames, other = moving(4, *SIZE), still(picture(*SIZE, seed=7))
    coordinates, consistency = previous_block_correspondences(lab(frames)[0], 2)
    t = tensors(frames, other, False, coordinates, consistency)
    seen: list[ColoredBlock] = []
    for block in WindowRollout(network(), t, draws(with_memory=True), 2):
        if seen:
            assert block.before is not None
            assert not block.before.requires_grad
            assert block.candidates is not None
            assert torch.autograd.grad(block.ab.sum(), seen[0].ab, allow_unused=True) == (None,)
        seen.append(block)


def test_draws_depend_on_seed_and_index_alone() -> None:
    options = RolloutSection(drop_propagated=0.3, color_memory=0.6)
    many = draw_rollout(options, 5, range(2000))
    assert float(many.dropped.float().mean()) == pytest.approx(0.3, abs=0.04)
    assert float(many.with_memory.float().mean()) == pytest.approx(0.6, abs=0.04)
    some = draw_rollout(options, 5, [7, 3])
    assert some.dropped.tolist() == [bool(many.dropped[7]), bool(many.dropped[3])]
    assert draw_rollout(options, 6, range(2000)).dropped.tolist() != many.dropped.tolist()


def test_entries_of_the_reference_come_first() -> None:
    net, other = network(), still(picture(*SIZE, seed=7))
    t = tensors(moving(2, *SIZE), other, False, None, None)
    with torch.no_grad():
        bank = net.start(t.reference_luminance, t.reference_ab, t.reference_mask)
        step = net.step(t.luminance, bank)
        more = bank.with_past_outputs(step.keys, step.ab)
    count = bank.keys.shape[1]
    assert count == 9 * 13
    assert torch.equal(more.keys[:, :count], bank.keys)
    assert torch.equal(more.keys[:, count:], entries(step.keys))
