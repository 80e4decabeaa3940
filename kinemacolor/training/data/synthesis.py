"""Clips from photos: a camera that pans, zooms and turns, a scene that sways, an object of another photo crossing it.

A scene is a value; ``render`` shows it at any time in any view, so that a reference may be seen differently from the
frames. Coordinates are (x, y) in pixels; affine maps are 2×3 and applied to (x, y, 1).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from kinemacolor.core.types import Array, FloatArray
from kinemacolor.propagation.dis_flow import pixel_positions

Affine = Array
WAVE_PERIODS = (24.0, 72.0)
"""Shortest and longest period of a motion, in frames: with the amplitudes below, at most a few pixels a frame."""
_SWAY_GRID = (4, 5)


@dataclass(frozen=True, slots=True)
class Wave:
    """amplitude · sin(2π t / period + phase): smooth, and bounded however long the clip."""

    amplitude: float
    period: float
    phase: float

    def __call__(self, time: float) -> float:
        return float(self.amplitude * np.sin(2 * np.pi * time / self.period + self.phase))


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """A map over time from coordinates around a point to a picture's pixels.

    Attributes:
        center: (x, y) of the point in the picture, pixels.
        scale: pixels of the picture in a unit of the coordinates.
        turn: angle, degrees.
        x, y: movement of the point in the picture, pixels.
        zoom: change of the logarithm of the scale.
        swing: change of the angle, degrees.
    """

    center: tuple[float, float]
    scale: float
    turn: float
    x: Wave
    y: Wave
    zoom: Wave
    swing: Wave

    def matrix(self, time: float) -> Affine:
        """The map at a time."""
        scale = self.scale * np.exp(self.zoom(time))
        angle = np.deg2rad(self.turn + self.swing(time))
        cos, sin = scale * np.cos(angle), scale * np.sin(angle)
        x, y = self.center[0] + self.x(time), self.center[1] + self.y(time)
        return np.array([[cos, -sin, x], [sin, cos, y]])


@dataclass(frozen=True, slots=True, eq=False)
class MovingObject:
    """An object that crosses the scene.

    Attributes:
        picture: (h, w, 4) uint8, R'G'B' and opacity.
        motion: from coordinates around its position to the picture's pixels.
        x, y: movement in the scene's photo, pixels.
        center: (x, y) around which it moves.
    """

    picture: Array
    motion: Motion
    x: Wave
    y: Wave
    center: tuple[float, float]

    def matrix(self, time: float) -> Affine:
        """From the scene's photo to the picture, at a time."""
        shift = np.array([[1, 0, -self.center[0] - self.x(time)], [0, 1, -self.center[1] - self.y(time)]])
        return compose(self.motion.matrix(time), shift)


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A photo, the motion of the camera over it, and an object that crosses it.

    Attributes:
        photo: (h, w, 3) uint8.
        camera: from coordinates around the frame's center, in frame pixels, to the photo's pixels.
        sway: displacements of two modes (2, rows, columns, 2) on a coarse grid over the photo, pixels; None for none.
        sway_waves: amplitude of each mode over time.
        moving_object: an object, or None.
    """

    photo: Array
    camera: Motion
    sway: FloatArray | None
    sway_waves: tuple[Wave, Wave]
    moving_object: MovingObject | None


def compose(after: Affine, before: Affine) -> Affine:
    """The map that applies ``before``, then ``after``."""
    square = np.vstack([before, [0, 0, 1]])
    product: Affine = after @ square
    return product


def _wave(noise: np.random.Generator, amplitude: float) -> Wave:
    period = float(noise.uniform(*WAVE_PERIODS))
    return Wave(float(amplitude * noise.uniform(0.2, 1)), period, float(noise.uniform(0, 2 * np.pi)))


def draw_scene(
    noise: np.random.Generator, photo: Array, other: Array | None, size: tuple[int, int], share: tuple[float, float]
) -> Scene:
    """A random scene.

    Args:
        noise: generator of all draws.
        photo: (h, w, 3) uint8.
        other: photo from which an object is cut, or None.
        size: (H, W) of frames.
        share: of the largest part of the photo with the frames' shape, the share that a frame shows, from and to; the
            rest is room for the camera.
    """
    height, width = photo.shape[:2]
    fit = min(height / size[0], width / size[1])
    scale = fit * float(noise.uniform(*share))
    room = (max(width - scale * size[1], 0) / 2, max(height - scale * size[0], 0) / 2)
    reach = min(0.12 * scale * size[1], 24 * scale)
    center = [
        (side - 1) / 2 + float(noise.uniform(-0.6, 0.6)) * free
        for side, free in zip((width, height), room, strict=True)
    ]
    camera = Motion(
        (center[0], center[1]),
        scale,
        float(noise.uniform(-4, 4)),
        _wave(noise, reach),
        _wave(noise, 0.6 * reach),
        _wave(noise, 0.12),
        _wave(noise, 5.0),
    )
    sway = None
    if noise.random() < 0.6:
        grid = noise.standard_normal((2, *_SWAY_GRID, 2)) * (0.015 * min(height, width))
        sway = grid.astype(np.float32)
    sway_waves = (_wave(noise, 1.0), _wave(noise, 1.0))
    moving_object = draw_moving_object(noise, other, photo.shape[:2]) if other is not None else None
    return Scene(photo, camera, sway, sway_waves, moving_object)


def draw_moving_object(noise: np.random.Generator, photo: Array, scene: tuple[int, int]) -> MovingObject:
    """An object cut from the middle of a photo (h, w, 3), to cross a scene of (height, width)."""
    height, width = photo.shape[:2]
    opacity = draw_blob(noise, (height, width), float(noise.uniform(0.55, 0.95)))
    object_height = float(noise.uniform(0.35, 0.8)) * scene[0]  # in the scene, pixels
    still = Wave(0.0, 1.0, 0.0)
    motion = Motion(
        ((width - 1) / 2, (height - 1) / 2),
        0.8 * height / object_height,
        float(noise.uniform(-20, 20)),
        still,
        still,
        _wave(noise, 0.2),
        _wave(noise, 14.0),
    )
    center = (float(noise.uniform(0.15, 0.85)) * scene[1], float(noise.uniform(0.25, 0.8)) * scene[0])
    picture = np.dstack([photo, opacity])
    return MovingObject(picture, motion, _wave(noise, 0.25 * scene[1]), _wave(noise, 0.1 * scene[0]), center)


def draw_blob(noise: np.random.Generator, size: tuple[int, int], share: float) -> Array:
    """Opacity (h, w) uint8 of a lobed shape with soft edges in the middle, reaching ``share`` of the half sides."""
    height, width = size
    angles = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    radius = np.ones_like(angles)
    for lobes in (2, 3, 4, 5):
        radius += noise.uniform(0, 0.5 / lobes) * np.sin(lobes * angles + noise.uniform(0, 2 * np.pi))
    radius *= share / radius.max()
    outline = np.stack([width / 2 * (1 + radius * np.cos(angles)), height / 2 * (1 + radius * np.sin(angles))], axis=1)
    mask = np.zeros(size, np.uint8)
    cv2.fillPoly(mask, [np.rint(outline).astype(np.int32)], 255)
    soft: Array = cv2.GaussianBlur(mask, (0, 0), 0.004 * min(size) * float(noise.uniform(1, 4)) + 0.3)
    return soft


def render(scene: Scene, time: float, view: Affine, size: tuple[int, int]) -> Array:
    """The scene at a time.

    Args:
        scene: from ``draw_scene``.
        time: in frames, any number.
        view: from pixels of the result to frame pixels around the frame's center.
        size: (H, W) of the result.

    Returns:
        R'G'B' (H, W, 3) uint8; beyond its edges the photo is mirrored.
    """
    to_photo = compose(scene.camera.matrix(time), view)
    positions = _mapped_positions(to_photo, size)
    swayed = positions if scene.sway is None else positions + _sway_at(scene, time, positions)
    picture = cv2.remap(scene.photo, swayed, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    if scene.moving_object is None:
        return np.asarray(picture)
    in_object = _mapped_positions(compose(scene.moving_object.matrix(time), to_photo), size)
    overlay = cv2.remap(scene.moving_object.picture, in_object, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    opacity = overlay[..., 3].astype(np.float32) * np.float32(1 / 255)
    mixed: Array = cv2.blendLinear(np.ascontiguousarray(overlay[..., :3]), picture, opacity, 1 - opacity)
    return mixed


def _mapped_positions(matrix: Affine, size: tuple[int, int]) -> FloatArray:
    """Where the map takes each pixel of a picture of (H, W): (H, W, 2)."""
    return np.asarray(cv2.transform(pixel_positions(*size), matrix), dtype=np.float32)


def _sway_at(scene: Scene, time: float, positions: FloatArray) -> FloatArray:
    """Displacement (H, W, 2) at positions in the photo."""
    assert scene.sway is not None
    first, second = (np.float32(wave(time)) for wave in scene.sway_waves)
    field = scene.sway[0] * first + scene.sway[1] * second
    height, width = scene.photo.shape[:2]
    fine = cv2.resize(field, (width // 4, height // 4), interpolation=cv2.INTER_CUBIC)
    return np.asarray(
        cv2.remap(fine, positions / np.float32(4), None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101),
        dtype=np.float32,
    )
