"""Features of pictures for tests, from given or random vectors."""

from __future__ import annotations

import numpy as np

from kinemacolor.core.types import Array, FloatArray
from kinemacolor.engine.features import FrameFeatures


def unit(vectors: Array) -> FloatArray:
    """The vectors (…, C) at unit length."""
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def features_of(keys: Array) -> FrameFeatures:
    """The features of a picture with these keys (n, C), of any length."""
    keys = unit(np.asarray(keys, np.float64))
    signs = np.concatenate([np.maximum(keys, 0), np.maximum(-keys, 0)], axis=1)
    return FrameFeatures(keys, unit(np.sqrt(np.square(signs).mean(axis=0))))


def random_features(count: int, cells: int = 23, channels: int = 7, seed: int = 0) -> list[FrameFeatures]:
    """Features of ``count`` pictures that have nothing in common."""
    rng = np.random.default_rng(seed)
    return [features_of(rng.normal(size=(cells, channels))) for _ in range(count)]
