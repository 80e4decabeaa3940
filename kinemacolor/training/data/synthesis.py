"""Clips from photos: a camera that pans, zooms and turns, a scene that sways, an object of another photo crossing it.

A scene is a value; ``render`` shows it at any time through any view, so that a reference may be seen differently from
the frames. Coordinates are (x, y) in pixels; affine maps are 2×3 and applied to (x, y, 1).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from kinemacolor.core.types import Array, FloatArray
from kinemacolor.propagation.dis_flow import pixel_positions

Affine = Array
FRAMES = (24.0, 72.0)
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
    """Where a picture is at a time, as a map from coordinates around a point to the picture's pixels.

    Attributes:
        center: (x, y) in the picture that the point shows.
        scale: pixels of the picture in a unit of the coordinates.
        turn: degrees.
        x, y: path of the point in the picture, pixels.
        zoom: path of the logarithm of the scale.
        swing: path of the angle, degrees.
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
class Thing:
    """An object that crosses the scene.

    Attributes:
        picture: (h, w, 4) uint8, R'G'B' and opacity.
        motion: from coordinates around its place to the picture's pixels.
        x, y: path of its place in the scene's photo, pixels.
        place: (x, y) about which that path runs.
    """

    picture: Array
    motion: Motion
    x: Wave
    y: Wave
    place: tuple[float, float]

    def matrix(self, time: float) -> Affine:
        """From the scene's photo to the picture, at a time."""
        shift = np.array([[1, 0, -self.place[0] - self.x(time)], [0, 1, -self.place[1] - self.y(time)]])
        return chain(self.motion.matrix(time), shift)


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A photo brought to life.

    Attributes:
        photo: (h, w, 3) uint8.
        camera: from coordinates around the frame's center, in frame pixels, to the photo's pixels.
        sway: displacements of two modes (2, rows, columns, 2) on a coarse grid over the photo, pixels; None for none.
        sways: how far each mode is out at a time.
        thing: an object, or None.
    """

    photo: Array
    camera: Motion
    sway: FloatArray | None
    sways: tuple[Wave, Wave]
    thing: Thing | None


def chain(after: Affine, before: Affine) -> Affine:
    """The map that applies ``before``, then ``after``."""
    square = np.vstack([before, [0, 0, 1]])
    product: Affine = after @ square
    return product


def _wave(noise: np.random.Generator, amplitude: float) -> Wave:
    period = float(noise.uniform(*FRAMES))
    return Wave(float(amplitude * noise.uniform(0.2, 1)), period, float(noise.uniform(0, 2 * np.pi)))


def draw_scene(
    noise: np.random.Generator, photo: Array, other: Array | None, size: tuple[int, int], share: tuple[float, float]
) -> Scene:
    """A random scene.

    Args:
        noise: source of all that is drawn.
        photo: (h, w, 3) uint8.
        other: photo an object is cut from, or None.
        size: (H, W) of frames.
        share: how much of the largest part of the photo of the frames' shape a frame shows, from and to; what is left
            is room for the camera.
    """
    height, width = photo.shape[:2]
    fit = min(height / size[0], width / size[1])
    scale = fit * float(noise.uniform(*share))
    room = (max(width - scale * size[1], 0) / 2, max(height - scale * size[0], 0) / 2)
    reach = min(0.12 * scale * size[1], 24 * scale)
    aim = [
        (side - 1) / 2 + float(noise.uniform(-0.6, 0.6)) * free
        for side, free in zip((width, height), room, strict=True)
    ]
    camera = Motion(
        (aim[0], aim[1]),
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
    sways = (_wave(noise, 1.0), _wave(noise, 1.0))
    thing = draw_thing(noise, other, photo.shape[:2]) if other is not None else None
    return Scene(photo, camera, sway, sways, thing)


def draw_thing(noise: np.random.Generator, photo: Array, scene: tuple[int, int]) -> Thing:
    """An object cut from the middle of a photo (h, w, 3), to cross a scene of (height, width)."""
    height, width = photo.shape[:2]
    opacity = blob(noise, (height, width), float(noise.uniform(0.55, 0.95)))
    tall = float(noise.uniform(0.35, 0.8)) * scene[0]  # of the object in the scene, pixels
    still = Wave(0.0, 1.0, 0.0)
    motion = Motion(
        ((width - 1) / 2, (height - 1) / 2),
        0.8 * height / tall,
        float(noise.uniform(-20, 20)),
        still,
        still,
        _wave(noise, 0.2),
        _wave(noise, 14.0),
    )
    place = (float(noise.uniform(0.15, 0.85)) * scene[1], float(noise.uniform(0.25, 0.8)) * scene[0])
    picture = np.dstack([photo, opacity])
    return Thing(picture, motion, _wave(noise, 0.25 * scene[1]), _wave(noise, 0.1 * scene[0]), place)


def blob(noise: np.random.Generator, size: tuple[int, int], share: float) -> Array:
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
    to_photo = chain(scene.camera.matrix(time), view)
    place = _apply(to_photo, size)
    seen = place if scene.sway is None else place + _swayed(scene, time, place)
    picture = cv2.remap(scene.photo, seen, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    if scene.thing is None:
        return np.asarray(picture)
    inside = _apply(chain(scene.thing.matrix(time), to_photo), size)
    over = cv2.remap(scene.thing.picture, inside, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    opacity = over[..., 3].astype(np.float32) * np.float32(1 / 255)
    mixed: Array = cv2.blendLinear(np.ascontiguousarray(over[..., :3]), picture, opacity, 1 - opacity)
    return mixed


def _apply(matrix: Affine, size: tuple[int, int]) -> FloatArray:
    """Where each pixel of a picture of (H, W) lands: (H, W, 2)."""
    return np.asarray(cv2.transform(pixel_positions(*size), matrix), dtype=np.float32)


def _swayed(scene: Scene, time: float, place: FloatArray) -> FloatArray:
    """Displacement (H, W, 2) at places in the photo."""
    assert scene.sway is not None
    field = scene.sway[0] * np.float32(scene.sways[0](time)) + scene.sway[1] * np.float32(scene.sways[1](time))
    height, width = scene.photo.shape[:2]
    fine = cv2.resize(field, (width // 4, height // 4), interpolation=cv2.INTER_CUBIC)
    return np.asarray(
        cv2.remap(fine, place / np.float32(4), None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101),
        dtype=np.float32,
    )
