"""``welsh``: the color of the reference's sample of similar lightness and texture, pixel by pixel.

Welsh, Ashikhmin and Mueller, "Transferring Color to Grayscale Images" (2002), section 3: the reference's lightness is
shifted and scaled to the frame's mean and standard deviation; about 200 samples are drawn from the reference on a
jittered grid; each pixel takes a*, b* of the sample that is nearest in lightness and in the standard deviation of
lightness over 5×5 pixels, both weighted one half. Lab is CIELAB here, instead of the paper's
Lαβ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np

from kinemacolor.baselines.cells import NoState, cell_bank, cell_keys, check_state
from kinemacolor.core.types import FloatArray, Reference
from kinemacolor.engine.protocol import EngineState, ReferenceBank, StepResult, check_block

SAMPLES_PER_REFERENCE = 200
"""About so many samples are drawn from each reference."""
TEXTURE_WINDOW = 5
"""Side in pixels of the window of the texture measure."""
FARTHEST_SAMPLE = 20.0
"""Distance in L* from which on a sample's similarity is 0."""
_CHUNK = 16384


@dataclass(frozen=True, slots=True, eq=False)
class SampleBank(ReferenceBank):
    """A bank with the samples drawn from the references.

    Attributes:
        features: (S, 2) float32, in units of the standard deviation of the reference's lightness: difference of
            lightness from the mean, and standard deviation of lightness over the window.
        colors: (S, 2) float32, a* and b*.
    """

    features: FloatArray
    colors: FloatArray


def texture(lightness: FloatArray) -> FloatArray:
    """Standard deviation (H, W) of lightness (H, W) over 5×5 pixels, with mirrored borders."""
    window = (TEXTURE_WINDOW, TEXTURE_WINDOW)
    exact = lightness.astype(np.float64)
    mean = cv2.blur(exact, window, borderType=cv2.BORDER_REFLECT_101)
    square = cv2.blur(np.square(exact), window, borderType=cv2.BORDER_REFLECT_101)
    spread: FloatArray = np.sqrt(np.maximum(square - np.square(mean), 0)).astype(np.float32)
    return spread


def moments(lightness: FloatArray) -> tuple[float, float]:
    """Mean and standard deviation of lightness; the latter at least 1e-3, so that it can be divided by."""
    return float(lightness.mean(dtype=np.float64)), max(float(lightness.std(dtype=np.float64)), 1e-3)


def draw_samples(reference: Reference, count: int = SAMPLES_PER_REFERENCE) -> tuple[FloatArray, FloatArray]:
    """Samples on a jittered grid: their features (S, 2) and colors (S, 2).

    One pixel is drawn from the unmasked pixels of each of about ``count`` boxes; boxes that are masked give none.
    """
    height, width = reference.size
    side = np.sqrt(height * width / count)
    rows, columns = max(1, round(height / side)), max(1, round(width / side))
    edges_y, edges_x = (np.linspace(0, n, k + 1).round().astype(int) for n, k in ((height, rows), (width, columns)))
    noise = np.random.default_rng(0)
    points = []
    for top, bottom in pairwise(edges_y):
        for left, right in pairwise(edges_x):
            unmasked = np.argwhere(reference.mask[top:bottom, left:right])
            share = noise.random()  # drawn for every box, so that a mask does not move the samples of other boxes
            if len(unmasked):
                points.append(unmasked[int(share * len(unmasked))] + (top, left))
    if not points:
        return np.zeros((0, 2), np.float32), np.zeros((0, 2), np.float32)
    y, x = np.array(points).T
    mean, spread = moments(reference.lightness[reference.mask])
    features = np.stack([reference.lightness[y, x] - mean, texture(reference.lightness)[y, x]], axis=1) / spread
    return features.astype(np.float32), reference.ab[y, x]


class WelshEngine:
    """Matched color transfer, frame by frame.

    Similarity is 1 for a sample equal in both features, and 0 from the distance ``FARTHEST_SAMPLE`` on.
    """

    name = "welsh"
    block_size = 1

    def start(self, references: Sequence[Reference]) -> ReferenceBank:
        """See ``Engine.start``."""
        bank = cell_bank(references)
        features, colors = (np.concatenate(part) for part in zip(*map(draw_samples, references), strict=True))
        return SampleBank(bank.keys, bank.ab, bank.valid, bank.references, features, colors)

    def step(self, luma_block: FloatArray, bank: ReferenceBank, state: EngineState | None = None) -> StepResult:
        """See ``Engine.step``."""
        check_block(luma_block)
        check_state(state, NoState, self.name)
        if not isinstance(bank, SampleBank):
            raise ValueError(f"bank: expected one of the engine {self.name}, got {type(bank).__name__}")
        ab, similarity, keys = [], [], []
        for lightness in luma_block:
            mean, spread = moments(lightness)
            samples = bank.features * np.float32(spread)
            pixels = np.stack([lightness - np.float32(mean), texture(lightness)], axis=2).reshape(-1, 2)
            index, distance = nearest(pixels, samples)
            ab.append(bank.colors[index].reshape(*lightness.shape, 2))
            similarity.append(np.maximum(0, 1 - distance / np.float32(FARTHEST_SAMPLE)).reshape(lightness.shape))
            keys.append(cell_keys(lightness))
        return StepResult(np.stack(ab), np.stack(similarity), np.stack(keys), NoState())


def nearest(pixels: FloatArray, samples: FloatArray) -> tuple[np.ndarray[tuple[int], np.dtype[np.intp]], FloatArray]:
    """Index (P,) of the sample (S, 2) nearest to each pixel (P, 2), and the distance (P,): √(½ΔL² + ½Δσ²)."""
    rows = np.concatenate([-2 * samples, np.square(samples).sum(axis=1, keepdims=True)], axis=1).T
    index = np.empty(len(pixels), np.intp)
    for start in range(0, len(pixels), _CHUNK):
        part = pixels[start : start + _CHUNK]
        index[start : start + _CHUNK] = (part @ rows[:2] + rows[2]).argmin(axis=1)
    distance: FloatArray = np.sqrt(np.square(pixels - samples[index]).sum(axis=1) / 2)
    return index, distance
