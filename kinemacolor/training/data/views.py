"""Pictures of a clip at any time and in any view: frames of a film's shot, or of a scene made from a photo."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from kinemacolor.core.types import Array
from kinemacolor.training.data.synthesis import Affine, Scene, compose, render

_SCENE_LENGTH = 1_000_000
"""Frames of a scene; its motion never ends."""
_SHRINK = 1.5
"""Pixels of a picture in a pixel of the result from which it is first shrunk by area means, against aliasing."""


@dataclass(frozen=True, slots=True, eq=False)
class ClipView:
    """A clip and how its pictures are cropped.

    Attributes:
        frames: R'G'B' (T, H, W, 3) uint8 of the shot, or of the one photo.
        scene: made from the photo; None for a shot.
        to_picture: of a shot, the map from frame pixels around the frame's center to the picture's pixels.
    """

    frames: Array
    scene: Scene | None
    to_picture: Affine

    @property
    def length(self) -> int:
        """Number of frames."""
        return _SCENE_LENGTH if self.scene else len(self.frames)

    def picture(self, time: int, view: Affine, size: tuple[int, int]) -> Array:
        """R'G'B' (H, W, 3) uint8.

        Args:
            time: number of the frame.
            view: from pixels of the result to frame pixels around the frame's center.
            size: (H, W) of the result.
        """
        if self.scene:
            return render(self.scene, time, view, size)
        return warp_picture(self.frames[time], compose(self.to_picture, view), size)


def warp_picture(picture: Array, matrix: Affine, size: tuple[int, int]) -> Array:
    """(H, W, 3) whose pixel (x, y) is the picture's at ``matrix`` @ (x, y, 1); beyond its edges it is mirrored."""
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    if scale > _SHRINK:
        height, width = picture.shape[:2]
        small = (max(1, round(width / scale)), max(1, round(height / scale)))
        picture = cv2.resize(picture, small, interpolation=cv2.INTER_AREA)
        across, down = small[0] / width, small[1] / height
        matrix = compose(np.array([[across, 0, across / 2 - 0.5], [0, down, down / 2 - 0.5]]), matrix)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(picture, matrix, size[::-1], flags=flags, borderMode=cv2.BORDER_REFLECT_101))
