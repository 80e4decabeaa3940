"""Windows of frames drawn from a cache and varied, as training samples; each is a function of (seed, index)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from kinemacolor.core.color import rgb_to_lab, still_lightness
from kinemacolor.core.errors import UsageError
from kinemacolor.core.limits import MINIMUM_SIDE
from kinemacolor.core.types import Array, BoolArray, FloatArray
from kinemacolor.engine.protocol import cells
from kinemacolor.evaluation.optical import ClipFlow
from kinemacolor.training.config.augmentation import Augmentation
from kinemacolor.training.data.cache import Cache, CachedClip
from kinemacolor.training.data.film_degradation import degrade, mask_areas
from kinemacolor.training.data.propagated_inputs import (
    ReferenceChain,
    cell_matches,
    previous_block_correspondences,
    propagated_correspondences,
)
from kinemacolor.training.data.samples import Sample
from kinemacolor.training.data.synthesis import Affine, compose, draw_scene
from kinemacolor.training.data.views import ClipView

FlowEstimator = Callable[[FloatArray], ClipFlow]
"""L* (T, H, W) of consecutive frames → their flow; ``functools.partial(pair_flow, cache=…, method=…)``: pairs of frames
recur, windows do not."""


@dataclass(frozen=True, slots=True, eq=False)
class _DrawnWindow:
    """The pictures of a sample.

    Attributes:
        name: of the clip.
        frames: R'G'B' (T, H, W, 3) uint8.
        reference: R'G'B' (H, W, 3) uint8.
        reference_frame, chained: see ``Sample``.
        chain: frames between the reference and the window; None where no correspondences are needed.
    """

    name: str
    frames: Array
    reference: Array
    reference_frame: int | None
    chained: bool
    chain: ReferenceChain | None


class WindowSampler:
    """Samples by number; no two calls depend on each other.

    Args:
        cache: the clips.
        length: T, frames of a window.
        size: (H, W), of at least 32.
        augmentation: how samples are varied.
        seed: of all draws.
        flow: computes ``flow`` and ``visible`` of samples.
        propagated: whether samples have ``coordinates`` and ``consistency`` (by DIS, as in the engines).
        matches: whether samples have ``matches``.
        block: N, frames colored together; None for the whole window.
        weights: how often clips of these names are drawn, relative to the others of their kind at 1.
        shortest: shots of fewer frames are left out; those of fewer than ``length`` give windows of all their frames.
            None for ``length``.

    Attributes:
        films: shots from which windows are drawn.
        photos: photos from which scenes are made.
        too_short: shots that are left out.

    Raises:
        UsageError: no clip is long enough.
    """

    def __init__(
        self,
        cache: Cache,
        length: int,
        size: tuple[int, int],
        augmentation: Augmentation | None = None,
        *,
        seed: int = 0,
        flow: FlowEstimator | None = None,
        propagated: bool = False,
        matches: bool = False,
        block: int | None = None,
        weights: Mapping[str, float] | None = None,
        shortest: int | None = None,
    ) -> None:
        if length < 1 or min(size) < MINIMUM_SIDE:
            raise ValueError(f"length, size: expected at least 1 and {MINIMUM_SIDE}, got {length}, {size}")
        self.cache, self.length, self.size, self.seed = cache, length, size, seed
        self.augmentation = augmentation or Augmentation()
        self.flow, self.propagated, self.matches, self.block = flow, propagated, matches, block or length
        shortest = length if shortest is None else shortest
        shots = [clip for clip in cache.clips if not clip.photo]
        self.films = [clip for clip in shots if clip.frames >= shortest]
        self.too_short = [clip for clip in shots if clip.frames < shortest]
        self.photos = [clip for clip in cache.clips if clip.photo] if self.augmentation.photos > 0 else []
        if not self.films and not self.photos:
            raise UsageError(cache.folder, f"no clip has {shortest} frames", "use shorter windows, or add clips")
        self._film_shares = self._shares(self.films, weights or {})
        self._photo_shares = self._shares(self.photos, weights or {})

    def _shares(self, clips: list[CachedClip], weights: Mapping[str, float]) -> Array:
        """Probability of each: proportional to the square root of its length, and to its weight."""
        shares = np.sqrt(np.array([clip.frames for clip in clips], dtype=np.float64))
        for number, clip in enumerate(clips):
            for pattern, weight in weights.items():
                shares[number] *= weight if clip.matches(pattern) else 1
        if len(clips) and not shares.sum() > 0:
            raise UsageError(self.cache.folder, "all clips have weight 0", "give some clips weight")
        return np.asarray(shares / shares.sum() if len(clips) else shares)

    def sample(self, index: int) -> Sample:
        """Sample ``index`` ≥ 0."""
        noise = np.random.default_rng((self.seed, index))
        return self._to_sample(noise, self._draw_window(noise))

    # --- draws --------------------

    def _draw_window(self, noise: np.random.Generator) -> _DrawnWindow:
        options = self.augmentation
        clip, name = self._draw_clip(noise)
        times = self._draw_times(noise, clip.length)
        view = self._draw_view(noise, mirror=bool(noise.random() < options.mirror))
        reference_time, reference_view = self._draw_reference(noise, clip, times, view)
        frames = np.stack([clip.picture(time, view, self.size) for time in times])
        chained = reference_view is view
        if chained and reference_time in times:
            reference_frame = times.index(reference_time)
            reference = frames[reference_frame]
        else:
            reference_frame, reference = None, clip.picture(reference_time, reference_view, self.size)
        chain = None
        if options.foreign and noise.random() < options.foreign:
            other, _ = self._draw_clip(noise)
            reference = other.picture(self._draw_times(noise, other.length)[0], view, self.size)
            reference_frame, chained = None, False
        elif self.matches or (self.propagated and chained):
            chain = self._chain(clip, times, reference_time, view, reference_view)
        return _DrawnWindow(name, frames, reference, reference_frame, chained, chain)

    def _draw_clip(self, noise: np.random.Generator) -> tuple[ClipView, str]:
        """A clip, with the crop of its pictures, and its name."""
        options = self.augmentation
        if self.photos and (not self.films or noise.random() < options.photos):
            clip = self._draw_photo(noise)
            other: Array | None = None
            if noise.random() < options.moving_object:
                other = self.cache.frames(self._draw_photo(noise))[0]
            photo = self.cache.frames(clip)[0]
            scene = draw_scene(noise, photo, other, self.size, (options.crop[0], max(options.crop[0], 0.95)))
            return ClipView(photo[None], scene, np.zeros((2, 3))), clip.name
        clip = self.films[int(noise.choice(len(self.films), p=self._film_shares))]
        return ClipView(self.cache.frames(clip), None, self._draw_crop(noise, clip.height, clip.width)), clip.name

    def _draw_photo(self, noise: np.random.Generator) -> CachedClip:
        return self.photos[int(noise.choice(len(self.photos), p=self._photo_shares))]

    def _draw_crop(self, noise: np.random.Generator, rows: int, columns: int) -> Affine:
        """From frame pixels around the frame's center to the pixels of a film's picture of ``rows`` × ``columns``."""
        options, (height, width) = self.augmentation, self.size
        middle = np.array([(columns - 1) / 2, (rows - 1) / 2])
        if options.whole:
            return np.array([[columns / width, 0, middle[0]], [0, rows / height, middle[1]]])
        fit = min(rows / height, columns / width)
        scale = fit * float(noise.uniform(*options.crop))
        room = np.array([columns - scale * width, rows - scale * height]) / 2
        middle = middle + noise.uniform(-1, 1, 2) * room
        angle = np.deg2rad(noise.uniform(-1, 1) * options.tilt)
        cos, sin = scale * np.cos(angle), scale * np.sin(angle)
        return np.array([[cos, -sin, middle[0]], [sin, cos, middle[1]]])

    def _draw_times(self, noise: np.random.Generator, available: int) -> list[int]:
        length = min(self.length, available)
        most = (available - 1) // max(length - 1, 1)
        stride = int(noise.integers(1, min(self.augmentation.stride, most) + 1)) if most > 0 else 1
        start = int(noise.integers(0, available - stride * (length - 1)))
        times = [start + stride * k for k in range(length)]
        return times[::-1] if noise.random() < self.augmentation.reverse else times

    def _draw_view(self, noise: np.random.Generator, *, mirror: bool) -> Affine:
        """From pixels of the result to frame pixels around the frame's center."""
        side = -1.0 if mirror else 1.0
        height, width = self.size
        return np.array([[side, 0, -side * (width - 1) / 2], [0, 1, -(height - 1) / 2]])

    def _draw_reference(
        self, noise: np.random.Generator, clip: ClipView, times: list[int], view: Affine
    ) -> tuple[int, Affine]:
        """Time and view of the reference."""
        options, (height, width) = self.augmentation, self.size
        time = times[0]
        if noise.random() < options.far:
            first = max(0, min(times) - options.distance)
            last = min(clip.length - 1, max(times) + options.distance)
            time = int(noise.integers(first, last + 1))
        if noise.random() >= options.other_view:
            return time, view
        other_view = self._draw_view(noise, mirror=bool(noise.random() < options.mirrored_view))
        if clip.scene is None and not options.whole:  # another crop of the film's frame
            to_frame = cv2.invertAffineTransform(clip.to_picture)
            return time, compose(compose(to_frame, self._draw_crop(noise, *clip.frames.shape[1:3])), other_view)
        angle, zoom = np.deg2rad(noise.uniform(-6, 6)), float(noise.uniform(0.7, 1))
        cos, sin = zoom * np.cos(angle), zoom * np.sin(angle)
        shift = noise.uniform(-0.5, 0.5, 2) * (1 - zoom) * np.array([width, height])
        return time, compose(np.array([[cos, -sin, shift[0]], [sin, cos, shift[1]]]), other_view)

    def _chain(
        self, clip: ClipView, times: list[int], reference_time: int, view: Affine, reference_view: Affine
    ) -> ReferenceChain:
        """Frames between the reference and the window, in the window's view."""
        chain = ReferenceChain.planned(times, reference_time, self.augmentation.stride)
        between = [clip.picture(time, view, self.size) for time in chain.between_times]
        if reference_view is view:
            return chain.with_pictures(between)
        to_reference = compose(cv2.invertAffineTransform(reference_view), view)
        return chain.with_pictures(between, clip.picture(reference_time, view, self.size), to_reference)

    # --- from R'G'B' to a sample --------------------

    def _to_sample(self, noise: np.random.Generator, window: _DrawnWindow) -> Sample:
        count = len(window.frames)
        lab, luminance = self._lab_and_luminance(noise, window)
        ab = self._recolor(noise, lab[..., 1:])
        if window.reference_frame is not None:  # equal to the last bit, which depends on a pixel's position in memory
            ab[count], luminance[count] = ab[window.reference_frame], luminance[window.reference_frame]
        luminance = self._degrade(noise, luminance, count, window.reference_frame)
        mask = self._draw_mask(noise)
        lightness = np.ascontiguousarray(lab[:count, ..., 0])
        coordinates, consistency, matches = self._correspondences(window, luminance)
        flow, visible = self._flows(lightness)
        return Sample(
            luminance=luminance[:count],
            lightness=lightness,
            ab=np.ascontiguousarray(ab[:count]),
            reference_luminance=np.ascontiguousarray(luminance[count]),
            reference_ab=np.ascontiguousarray(ab[count]),
            reference_mask=mask,
            reference_frame=window.reference_frame,
            name=window.name,
            chained=window.chained,
            coordinates=coordinates,
            consistency=consistency,
            matches=matches,
            flow=flow,
            visible=visible,
        )

    def _lab_and_luminance(self, noise: np.random.Generator, window: _DrawnWindow) -> tuple[FloatArray, FloatArray]:
        """L*a*b* of frames and reference, and L* as the network sees it of these and of the chain's pictures."""
        count = len(window.frames) + 1
        pictures = window.chain.pictures if window.chain else []
        rgb = np.concatenate([window.frames, window.reference[None], *(p[None] for p in pictures)]).astype(np.float32)
        rgb *= np.float32(1 / 255)
        lab = rgb_to_lab(rgb[:count])
        np.clip(lab[..., 0], 0, 100, out=lab[..., 0])
        if noise.random() < self.augmentation.film_luma:
            return lab, still_lightness(rgb, "bt709")
        of_chain = rgb_to_lab(rgb[count:])[..., 0] if pictures else lab[:0, ..., 0]
        return lab, np.clip(np.concatenate([lab[..., 0], of_chain]), 0, 100)

    def _recolor(self, noise: np.random.Generator, ab: FloatArray) -> FloatArray:
        """Truth and reference with the ab plane rotated and scaled, as a painter might have it."""
        options = self.augmentation
        angle = noise.uniform(0, 2 * np.pi) if noise.random() < options.rotate else 0.0
        scale = noise.uniform(*options.saturation) if noise.random() < options.saturate else 1.0
        if angle == 0 and scale == 1:
            return ab
        cos, sin = scale * np.cos(angle), scale * np.sin(angle)
        rotated = np.ascontiguousarray(ab).reshape(1, -1, 2)
        rotated = cv2.transform(rotated, np.array([[cos, -sin], [sin, cos]])).reshape(ab.shape)
        return np.asarray(np.clip(rotated, -128, 128), dtype=np.float32)

    def _degrade(
        self, noise: np.random.Generator, luminance: FloatArray, count: int, reference_frame: int | None
    ) -> FloatArray:
        """Degraded luminance: of the frames, of the frames of the chain, and perhaps of the reference."""
        options = self.augmentation
        if noise.random() >= options.degraded:
            return luminance
        degraded = degrade(luminance, noise, options.wear)
        if noise.random() >= options.reference_degraded:
            degraded[count] = luminance[count]
        elif reference_frame is not None:
            degraded[count] = degraded[reference_frame]
        return degraded

    def _draw_mask(self, noise: np.random.Generator) -> BoolArray:
        """Mask of the reference."""
        mask = np.ones(self.size, np.bool_)
        if noise.random() < self.augmentation.masked:
            areas = mask_areas(self.size, noise)
            mask = areas if areas.mean() > 0.2 else mask
        return mask

    def _correspondences(
        self, window: _DrawnWindow, luminance: FloatArray
    ) -> tuple[FloatArray | None, FloatArray | None, FloatArray | None]:
        """``coordinates``, ``consistency`` and ``matches`` of the sample."""
        count, chain = len(window.frames), window.chain
        frames = luminance[:count]
        coordinates = consistency = None
        matches = np.zeros((count, *cells(*self.size), 3), np.float32) if self.matches else None
        if chain is not None:
            reference = luminance[count] if chain.reference is None else luminance[-1]
            between = luminance[count + 1 : count + 1 + len(chain.between)]
            coordinates, consistency = propagated_correspondences(chain, frames, reference, between)
            if matches is not None:
                matches = cell_matches(coordinates, consistency, chain.to_reference, self.size)
        if not self.propagated:
            return None, None, matches
        if not window.chained:
            coordinates, consistency = previous_block_correspondences(frames, self.block)
        return coordinates, consistency, matches

    def _flows(self, lightness: FloatArray) -> tuple[FloatArray | None, BoolArray | None]:
        """``flow`` and ``visible`` of the sample."""
        if self.flow is None or len(lightness) < 2:
            return None, None
        window = self.flow(lightness)
        return window.flow.astype(np.float32), window.visible
