"""Pictures of what an engine chose from: warped colors, similarities, and which candidate won where (figure 7)."""

from __future__ import annotations

import cv2
import numpy as np

from kinemacolor.core.color import lab_to_rgb
from kinemacolor.core.types import Array, FloatArray
from kinemacolor.engine.explanation import Explanation

WINNER_COLORS = {"W1": (230, 126, 34), "W2": (52, 120, 220), "P": (46, 170, 90), "gray": (120, 120, 120)}
"""R'G'B' of candidates in the picture of the winners."""


def candidate_pictures(explanation: Explanation) -> list[tuple[str, Array]]:
    """Titles and pictures (H, W, 3) uint8 of the first frame: of each candidate its colors and its similarity, the
    candidate that the result is nearest to at each pixel, and the result."""
    lightness = explanation.lightness[0]
    pictures = []
    for each in explanation.candidates:
        if each.name != "gray":
            pictures.append((each.name, _colored(lightness, each.ab[0])))
            name = "s_P" if each.name == "P" else f"S{each.name[1:]}"
            pictures.append((name, _heat(each.similarity[0])))
    nearest = explanation.nearest()[0]
    shares = [
        f"{each.name} {100 * float((nearest == number).mean()):.0f} %"
        for number, each in enumerate(explanation.candidates)
    ]
    colors = np.array([WINNER_COLORS[each.name] for each in explanation.candidates], np.float32)
    shade = (0.35 + 0.65 * np.clip(lightness, 0, 100) / 100)[..., None]
    pictures.append((", ".join(shares), np.rint(colors[nearest] * shade).astype(np.uint8)))
    pictures.append(("result", _colored(lightness, explanation.ab[0])))
    return pictures


def _colored(lightness: FloatArray, ab: FloatArray) -> Array:
    rgb = np.clip(lab_to_rgb(np.dstack([lightness, ab]).astype(np.float32)), 0, 1)
    return np.asarray(np.rint(255 * rgb), dtype=np.uint8)


def _heat(similarity: FloatArray) -> Array:
    """0 dark, 1 bright."""
    levels = np.rint(255 * np.clip(similarity, 0, 1)).astype(np.uint8)
    return np.ascontiguousarray(cv2.applyColorMap(levels, cv2.COLORMAP_VIRIDIS)[..., ::-1])
