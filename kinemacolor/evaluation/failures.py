"""The two kinds of failure of figure 8, from the pictures of any results: wrong colors, and faded ones.

The paper's first kind is a wrong correspondence: another color of the reference. Its second is an object that the
reference does not show: hardly any color. Both are told apart by the chroma of the result.
"""

from __future__ import annotations

import cv2
import numpy as np

from kinemacolor.core.color import rgb_to_lab
from kinemacolor.core.types import Array, BoolArray
from kinemacolor.evaluation.methods import TRUTH
from kinemacolor.evaluation.pictures import contact_sheet, decode_picture, shown_frames, thumbnail
from kinemacolor.evaluation.results import Results

LEAST_DIFFERENCE = 20.0
"""Distance of a*, b* from the truth's, Lab units, from which a pixel is a failure."""
FADED_SHARE = 0.5
"""Share of the truth's chroma below which a failure is a faded color."""
LEAST_AREA = 0.01
"""Share of a frame below which a failure is not shown."""
KINDS = {"wrong": (220, 60, 40), "faded": (60, 120, 230)}
"""Kinds of failure, and R'G'B' of their pixels in the sheet."""


def failure_masks(result: Array, truth: Array) -> dict[str, BoolArray]:
    """Pixels (H, W) of each kind of failure of a frame (H, W, 3) uint8 against its truth."""
    ab, true = (rgb_to_lab(frame.astype(np.float32) / 255)[..., 1:] for frame in (result, truth))
    failed = np.linalg.norm(ab - true, axis=2) > LEAST_DIFFERENCE
    faded = failed & (np.linalg.norm(ab, axis=2) < FADED_SHARE * np.linalg.norm(true, axis=2))
    return {"wrong": np.asarray(failed & ~faded), "faded": np.asarray(faded)}


def failure_sheet(results: Results, clip: str) -> bytes | None:
    """A JPEG like figure 8: of each method the frame with most wrong color, and that with most faded color, with the
    reference, the truth, and where the failure is. None where no method fails in ``LEAST_AREA`` of a shown frame."""
    truth = results.result(clip, TRUTH)
    rows = []
    for name in results.names:
        pictures = results.result(clip, name).pictures
        masks = {}
        for index in shown_frames(truth.facts["frames"]):
            pair = decode_picture(pictures[str(index)]), decode_picture(truth.pictures[str(index)])
            masks[index] = failure_masks(*pair)
        for kind in KINDS:
            worst = max(masks, key=lambda index: masks[index][kind].mean())
            mask = masks[worst][kind]
            if mask.mean() >= LEAST_AREA:
                gray = decode_picture(truth.pictures[f"gray {worst}"])
                marked = thumbnail(_marked(gray, mask, kind))
                shown = [truth.pictures["reference"], pictures[str(worst)], truth.pictures[str(worst)], marked]
                rows.append((f"{name}: {kind}, {100 * mask.mean():.0f} % of frame {worst}", shown))
    return contact_sheet(["reference", "result", TRUTH, "failure"], rows) if rows else None


def _marked(gray: Array, mask: BoolArray, kind: str) -> Array:
    colored = np.where(mask[..., None], np.asarray(KINDS[kind], np.uint8), gray)
    return np.asarray(cv2.addWeighted(gray, 0.4, colored, 0.6, 0), dtype=np.uint8)
