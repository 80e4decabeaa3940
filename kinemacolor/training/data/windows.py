"""Samples to learn from: a window of frames, its true colors, and a reference. Each is a function of (seed, index)."""

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
from kinemacolor.training.data.cache import Cache, Clip
from kinemacolor.training.data.film_degradation import degrade, mask_areas
from kinemacolor.training.data.synthesis import Affine, Scene, chain, draw_scene, render
from kinemacolor.training.rollout.propagated_inputs import Trail, carried_places, cell_matches, previous_places

FlowMethod = Callable[[FloatArray], ClipFlow]
"""L* (2, H, W) of consecutive frames → their flow; ``functools.partial(clip_flow, cache=…, method=…)``."""
_ENDLESS = 1_000_000
_SHRINK = 1.5
"""Pixels of a picture to one of the result from which it is shrunk by area means first, against aliasing."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A window of T frames with its truth and one reference, all H × W, float32 unless said otherwise, Lab units.

    Attributes:
        luminance: (T, H, W), L* as the network sees it: perhaps worn, perhaps that of luma.
        lightness: (T, H, W), CIE L* of the clean truth; with ``ab`` it makes the true picture.
        ab: (T, H, W, 2), the truth.
        reference_luminance: (H, W), L* as the network sees it.
        reference_ab: (H, W, 2).
        reference_mask: (H, W) bool, False where the reference gives no color.
        reference_frame: index of the frame of the window that the reference is, or None.
        name: of the clip, for pictures and messages.
        chained: whether a chain starts at the reference; not where it is seen otherwise than the frames.
        coordinates: (T, OFFERS, H, W, 2), (x, y) of each pixel along the flow of ``luminance``: in the reference;
            without a chain, in the last frame of the block before, 0 in the first block; None if not asked for.
        agreement: (T, OFFERS, H, W) in (0, 1], of the frame and what it is carried from, at those coordinates; 0 where
            that is nothing; None with ``coordinates``.
        matches: (T, rows, columns, 3), what each key cell should be matched with (``carried.cell_matches``), also where
            no chain starts; sure of nothing where nothing may fit; None if not asked for.
        flow: (T − 1, H, W, 2), (x, y) pixels from frame t + 1 to frame t, of ``lightness``; None if not asked for.
        visible: (T − 1, H, W) bool, False where frame t does not show what frame t + 1 does; None with ``flow``.
    """

    luminance: FloatArray
    lightness: FloatArray
    ab: FloatArray
    reference_luminance: FloatArray
    reference_ab: FloatArray
    reference_mask: BoolArray
    reference_frame: int | None
    name: str
    chained: bool
    coordinates: FloatArray | None = None
    agreement: FloatArray | None = None
    matches: FloatArray | None = None
    flow: FloatArray | None = None
    visible: BoolArray | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Shots:
    """Pictures of a clip by time and view: of a film's shot, or of a scene made from a photo."""

    frames: Array
    scene: Scene | None
    to_picture: Affine

    @property
    def length(self) -> int:
        return _ENDLESS if self.scene else len(self.frames)

    def __call__(self, time: int, view: Affine, size: tuple[int, int]) -> Array:
        """R'G'B' (H, W, 3) uint8."""
        if self.scene:
            return render(self.scene, time, view, size)
        return look(self.frames[time], chain(self.to_picture, view), size)


class Windows:
    """Samples by number; no two calls depend on each other.

    Args:
        cache: the clips; shots of fewer than ``length`` frames are left out.
        length: T, frames of a window.
        size: (H, W), of at least 32.
        augmentation: how samples are varied.
        seed: of all that is drawn.
        flow: gives samples ``flow`` and ``visible`` by this method.
        carried: gives samples ``coordinates`` and ``agreement`` (DIS, as the engines).
        matches: gives samples ``matches``.
        block: N, frames colored together; None for the whole window.
        weights: of the clips that these names match, beside the others of their kind at 1.

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
        flow: FlowMethod | None = None,
        carried: bool = False,
        matches: bool = False,
        block: int | None = None,
        weights: Mapping[str, float] | None = None,
    ) -> None:
        if length < 1 or min(size) < MINIMUM_SIDE:
            raise ValueError(f"length, size: expected at least 1 and {MINIMUM_SIDE}, got {length}, {size}")
        self.cache, self.length, self.size, self.seed = cache, length, size, seed
        self.augmentation = augmentation or Augmentation()
        self.flow, self.carried, self.matches, self.block = flow, carried, matches, block or length
        self.films = [clip for clip in cache.clips if not clip.photo and clip.frames >= length]
        self.photos = [clip for clip in cache.clips if clip.photo] if self.augmentation.photos > 0 else []
        if not self.films and not self.photos:
            raise UsageError(cache.folder, f"no clip has {length} frames", "ask for shorter windows, or add clips")
        self._film_share = self._shares(self.films, weights or {})
        self._photo_share = self._shares(self.photos, weights or {})

    def _shares(self, clips: list[Clip], weights: Mapping[str, float]) -> Array:
        """Probability of each: as the square root of its length, and as it is weighted."""
        shares = np.sqrt(np.array([clip.frames for clip in clips], dtype=np.float64))
        for number, clip in enumerate(clips):
            for pattern, weight in weights.items():
                shares[number] *= weight if clip.matches(pattern) else 1
        if len(clips) and not shares.sum() > 0:
            raise UsageError(self.cache.folder, "all clips are weighted 0", "give some clips weight")
        return np.asarray(shares / shares.sum() if len(clips) else shares)

    def _draw_photo(self, noise: np.random.Generator) -> Clip:
        return self.photos[int(noise.choice(len(self.photos), p=self._photo_share))]

    def sample(self, index: int) -> Sample:
        """Sample ``index`` ≥ 0."""
        noise = np.random.default_rng((self.seed, index))
        options = self.augmentation
        shots, name = self._draw_clip(noise)
        times = self._draw_times(noise, shots.length)
        view = self._draw_view(noise, mirror=bool(noise.random() < options.mirror))
        reference_time, reference_view = self._draw_reference(noise, shots, times, view)
        frames = np.stack([shots(time, view, self.size) for time in times])
        same = reference_view is view
        inside = times.index(reference_time) if same and reference_time in times else None
        reference = frames[inside] if inside is not None else shots(reference_time, reference_view, self.size)
        approach = None
        if options.foreign and noise.random() < options.foreign:
            other, _ = self._draw_clip(noise)
            reference, inside, same = other(self._draw_times(noise, other.length)[0], view, self.size), None, False
        elif self.matches or (self.carried and same):
            approach = self._approach(shots, times, reference_time, view, reference_view)
        return self._finish(noise, frames, reference, inside, name, same, approach)

    # --- draws --------------------

    def _draw_clip(self, noise: np.random.Generator) -> tuple[_Shots, str]:
        """The clip, and where its pictures come from: for a film, the map to its pixels around the frame's center."""
        options = self.augmentation
        if self.photos and (not self.films or noise.random() < options.photos):
            clip = self._draw_photo(noise)
            other: Array | None = None
            if noise.random() < options.thing:
                other = self.cache.frames(self._draw_photo(noise))[0]
            photo = self.cache.frames(clip)[0]
            scene = draw_scene(noise, photo, other, self.size, (options.crop[0], max(options.crop[0], 0.95)))
            return _Shots(photo[None], scene, np.zeros((2, 3))), clip.name
        clip = self.films[int(noise.choice(len(self.films), p=self._film_share))]
        return _Shots(self.cache.frames(clip), None, self._draw_crop(noise, clip.height, clip.width)), clip.name

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
        most = (available - 1) // max(self.length - 1, 1)
        stride = int(noise.integers(1, min(self.augmentation.stride, most) + 1)) if most > 0 else 1
        start = int(noise.integers(0, available - stride * (self.length - 1)))
        times = [start + stride * k for k in range(self.length)]
        return times[::-1] if noise.random() < self.augmentation.reverse else times

    def _draw_view(self, noise: np.random.Generator, *, mirror: bool) -> Affine:
        """From pixels of the result to frame pixels around the frame's center."""
        side = -1.0 if mirror else 1.0
        height, width = self.size
        return np.array([[side, 0, -side * (width - 1) / 2], [0, 1, -(height - 1) / 2]])

    def _draw_reference(
        self, noise: np.random.Generator, shots: _Shots, times: list[int], view: Affine
    ) -> tuple[int, Affine]:
        """Time and view of the reference."""
        options, (height, width) = self.augmentation, self.size
        time = times[0]
        if noise.random() < options.far:
            first = max(0, min(times) - options.distance)
            last = min(shots.length - 1, max(times) + options.distance)
            time = int(noise.integers(first, last + 1))
        if noise.random() >= options.other_view:
            return time, view
        own = self._draw_view(noise, mirror=bool(noise.random() < 0.5))
        if shots.scene is None and not options.whole:  # another crop of the film's frame
            back = cv2.invertAffineTransform(shots.to_picture)
            return time, chain(chain(back, self._draw_crop(noise, *shots.frames.shape[1:3])), own)
        angle, zoom = np.deg2rad(noise.uniform(-6, 6)), float(noise.uniform(0.7, 1))
        cos, sin = zoom * np.cos(angle), zoom * np.sin(angle)
        shift = noise.uniform(-0.5, 0.5, 2) * (1 - zoom) * np.array([width, height])
        return time, chain(np.array([[cos, -sin, shift[0]], [sin, cos, shift[1]]]), own)

    def _approach(
        self, shots: _Shots, times: list[int], reference_time: int, view: Affine, reference_view: Affine
    ) -> Trail:
        """Frames between the reference and the window, for the chain to step on."""
        trail = Trail.between(times, reference_time, self.augmentation.stride)
        pictures = [shots(time, view, self.size) for time in trail.between_times]
        if reference_view is view:
            return trail.filled(pictures)
        turn = chain(cv2.invertAffineTransform(reference_view), view)
        return trail.filled(pictures, shots(reference_time, view, self.size), turn)

    # --- from R'G'B' to a sample --------------------

    def _finish(
        self,
        noise: np.random.Generator,
        frames: Array,
        reference: Array,
        inside: int | None,
        name: str,
        chained: bool,
        approach: Trail | None,
    ) -> Sample:
        options = self.augmentation
        on_the_way = approach.pictures if approach else []
        rgb = np.concatenate([frames, reference[None], *(one[None] for one in on_the_way)]).astype(np.float32)
        rgb *= np.float32(1 / 255)
        lab = rgb_to_lab(rgb[: len(frames) + 1])
        np.clip(lab[..., 0], 0, 100, out=lab[..., 0])
        film = noise.random() < options.film_luma
        if film:
            seen = still_lightness(rgb, "bt709")
        else:
            beyond = rgb_to_lab(rgb[len(frames) + 1 :])[..., 0] if on_the_way else lab[:0, ..., 0]
            seen = np.clip(np.concatenate([lab[..., 0], beyond]), 0, 100)
        ab = self._recolor(noise, lab[..., 1:])
        count = len(frames)
        if inside is not None:  # equal to the last bit, which depends on where in memory a pixel lies
            ab[count], seen[count] = ab[inside], seen[inside]
        seen = self._wear(noise, seen, count, inside)
        mask = np.ones(self.size, np.bool_)
        if noise.random() < options.masked:
            areas = mask_areas(self.size, noise)
            mask = areas if areas.mean() > 0.2 else mask
        lightness = np.ascontiguousarray(lab[:count, ..., 0])
        coordinates = agreement = None
        matches = np.zeros((count, *cells(*self.size), 3), np.float32) if self.matches else None
        if approach is not None:
            start = seen[count] if approach.reference is None else seen[-1]
            between = seen[count + 1 : count + 1 + len(approach.frames)]
            coordinates, agreement = carried_places(approach, seen[:count], start, between)
            if matches is not None:
                matches = cell_matches(coordinates, agreement, approach.turn, self.size)
        if not self.carried:
            coordinates = agreement = None
        elif not chained:
            coordinates, agreement = previous_places(seen[:count], self.block)
        flow, visible = self._flows(lightness)
        return Sample(
            seen[:count],
            lightness,
            np.ascontiguousarray(ab[:count]),
            np.ascontiguousarray(seen[count]),
            np.ascontiguousarray(ab[count]),
            mask,
            inside,
            name,
            chained,
            coordinates,
            agreement,
            matches,
            flow,
            visible,
        )

    def _recolor(self, noise: np.random.Generator, ab: FloatArray) -> FloatArray:
        """Truth and reference with the ab plane rotated and scaled, as a painter might have it."""
        options = self.augmentation
        angle = noise.uniform(0, 2 * np.pi) if noise.random() < options.rotate else 0.0
        scale = noise.uniform(*options.saturation) if noise.random() < options.saturate else 1.0
        if angle == 0 and scale == 1:
            return ab
        cos, sin = scale * np.cos(angle), scale * np.sin(angle)
        turned = np.ascontiguousarray(ab).reshape(1, -1, 2)
        turned = cv2.transform(turned, np.array([[cos, -sin], [sin, cos]])).reshape(ab.shape)
        return np.asarray(np.clip(turned, -128, 128), dtype=np.float32)

    def _wear(self, noise: np.random.Generator, seen: FloatArray, count: int, inside: int | None) -> FloatArray:
        """Worn luminance: of the frames, of frames on the way to the reference, and perhaps of the reference."""
        options = self.augmentation
        if noise.random() >= options.degraded:
            return seen
        worn = degrade(seen, noise, options.wear)
        if noise.random() >= options.reference_degraded:
            worn[count] = seen[count]
        elif inside is not None:
            worn[count] = worn[inside]
        return worn

    def _flows(self, lightness: FloatArray) -> tuple[FloatArray | None, BoolArray | None]:
        if self.flow is None or len(lightness) < 2:
            return None, None
        pairs = [self.flow(lightness[t : t + 2]) for t in range(len(lightness) - 1)]  # pairs come back; windows do not
        flow = np.concatenate([pair.flow for pair in pairs]).astype(np.float32)
        return flow, np.concatenate([pair.visible for pair in pairs])


def look(picture: Array, matrix: Affine, size: tuple[int, int]) -> Array:
    """(H, W, 3) whose pixel (x, y) is the picture's at ``matrix`` @ (x, y, 1); beyond its edges it is mirrored."""
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    if scale > _SHRINK:
        height, width = picture.shape[:2]
        small = (max(1, round(width / scale)), max(1, round(height / scale)))
        picture = cv2.resize(picture, small, interpolation=cv2.INTER_AREA)
        across, down = small[0] / width, small[1] / height
        matrix = chain(np.array([[across, 0, across / 2 - 0.5], [0, down, down / 2 - 0.5]]), matrix)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(picture, matrix, size[::-1], flags=flags, borderMode=cv2.BORDER_REFLECT_101))
