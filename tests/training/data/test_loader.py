"""Batches: their order, their fields, their tensors, and what happens when a sample fails."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from kinemacolor.training.config.augmentation import PAPER_AUGMENTATION, Augmentation
from kinemacolor.training.data.cache import Cache
from kinemacolor.training.data.loader import Loader
from kinemacolor.training.data.propagated_inputs import PATH_COUNT
from kinemacolor.training.data.samples import Sample, stack_samples, to_tensors
from kinemacolor.training.data.windows import WindowSampler
from tests.training.toys import toy_cache

SIZE = (34, 50)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    return toy_cache(tmp_path_factory.mktemp("data") / "cache")


def test_batches_come_in_order_and_resume_exactly(cache: Cache) -> None:
    windows = WindowSampler(cache, 2, SIZE, seed=3)
    with Loader(windows, 3, collate=stack_samples) as loader:
        first = [next(loader) for _ in range(4)]
    assert [batch.indices for batch in first] == [(0, 1, 2), (3, 4, 5), (6, 7, 8), (9, 10, 11)]
    with Loader(windows, 3, start=2, collate=stack_samples) as resumed:
        again = next(resumed)
    for name, array in again.arrays().items():
        np.testing.assert_array_equal(array, first[2].arrays()[name])
    np.testing.assert_array_equal(again.ab[1], windows.sample(7).ab)


def test_processes_share_the_batch_of_one(cache: Cache) -> None:
    windows = WindowSampler(cache, 2, SIZE)
    seen = []
    for rank in (0, 1):
        with Loader(windows, 2, start=1, rank=rank, processes=2, collate=stack_samples) as loader:
            seen += [*next(loader).indices]
    with Loader(windows, 4, start=1, collate=stack_samples) as loader:
        assert list(next(loader).indices) == seen


def test_a_failing_sample_fails_where_its_batch_would_come(cache: Cache) -> None:
    class Failing(WindowSampler):
        def sample(self, index: int) -> Sample:
            if index == 3:
                raise RuntimeError("sample 3")
            return super().sample(index)

    with Loader(Failing(cache, 2, SIZE), 2, collate=stack_samples) as loader:
        assert next(loader).indices == (0, 1)
        with pytest.raises(RuntimeError, match="sample 3"):
            next(loader)
        with pytest.raises(StopIteration):
            next(loader)


def test_closing_ends_the_thread(cache: Cache) -> None:
    before = threading.active_count()
    loader = Loader(WindowSampler(cache, 2, SIZE), 2, depth=1, collate=stack_samples)
    next(loader)
    loader.close()
    assert threading.active_count() == before
    with pytest.raises(ValueError, match="expected batch_size and depth"):
        Loader(WindowSampler(cache, 2, SIZE), 0, collate=stack_samples)


def test_batches_show_which_samples_have_a_chain(cache: Cache) -> None:
    windows = WindowSampler(cache, 2, SIZE, Augmentation(other_view=0.5), propagated=True)
    samples = [windows.sample(index) for index in range(8)]
    batch = stack_samples(samples, range(8))
    assert batch.coordinates is not None
    assert set(batch.chained.tolist()) == {True, False}
    for item, sample in enumerate(samples):
        assert batch.chained[item] == sample.chained
        np.testing.assert_array_equal(batch.coordinates[item], sample.coordinates)
        assert batch.reference_frame[item] == (-1 if sample.reference_frame is None else sample.reference_frame)
    assert batch.flow is None
    assert "flow" not in batch.arrays()
    assert batch.names == tuple(sample.name for sample in samples)


def test_tensors_have_the_networks_units_and_order(cache: Cache) -> None:
    windows = WindowSampler(cache, 3, SIZE, Augmentation(other_view=0.5, masked=1), propagated=True)
    batch = stack_samples([windows.sample(index) for index in range(4)], range(4))
    t = to_tensors(batch)
    assert t.luminance.shape == t.lightness.shape == (4, 3, 1, *SIZE)
    assert t.ab.shape == (4, 3, 2, *SIZE)
    assert t.reference_luminance.shape == t.reference_mask.shape == (4, 1, 1, *SIZE)
    assert t.reference_ab.shape == (4, 1, 2, *SIZE)
    assert t.flow is t.visible is None
    np.testing.assert_allclose(t.luminance.numpy()[:, :, 0], batch.luminance / 50 - 1, rtol=1e-6)
    np.testing.assert_array_equal(t.lightness.numpy()[:, :, 0], batch.lightness)
    np.testing.assert_array_equal(t.ab.numpy()[:, :, 1], batch.ab[..., 1])
    np.testing.assert_array_equal(t.reference_ab.numpy()[:, 0, 0], batch.reference_ab[..., 0])
    np.testing.assert_array_equal(t.reference_mask.numpy()[:, 0, 0], batch.reference_mask)


def test_tensors_hold_the_propagated_coordinates(cache: Cache) -> None:
    windows = WindowSampler(cache, 3, SIZE, Augmentation(other_view=0.5), propagated=True, block=2)
    batch = stack_samples([windows.sample(index) for index in range(4)], range(4))
    t = to_tensors(batch)
    assert t.coordinates is not None
    assert t.consistency is not None
    assert batch.coordinates is not None
    assert batch.consistency is not None
    assert t.coordinates.shape == (4, 3, PATH_COUNT, 2, *SIZE)
    np.testing.assert_array_equal(t.coordinates.numpy()[:, :, :, 1], batch.coordinates[..., 1])
    np.testing.assert_array_equal(t.consistency.numpy()[:, :, :, 0], batch.consistency)
    assert t.chained.tolist() == batch.chained.tolist()
    assert t.indices == (0, 1, 2, 3)


def test_flow_tensors(tmp_path: Path) -> None:
    from functools import partial

    from kinemacolor.evaluation.optical import clip_flow

    cache = toy_cache(tmp_path / "cache")
    windows = WindowSampler(cache, 3, SIZE, PAPER_AUGMENTATION, flow=partial(clip_flow, cache=None, method="dis"))
    batch = stack_samples([windows.sample(index) for index in range(2)], range(2))
    t = to_tensors(batch)
    assert t.flow is not None
    assert t.visible is not None
    assert batch.flow is not None
    assert t.flow.shape == (2, 2, 2, *SIZE)
    assert t.visible.shape == (2, 2, 1, *SIZE)
    np.testing.assert_array_equal(t.flow.numpy()[:, :, 0], batch.flow[..., 0])
