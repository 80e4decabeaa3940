"""The references of a clip: frames of the clip itself, or stills from a folder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from kinemacolor.core.color import ab_to_chroma, chroma_to_rgb, lab_to_rgb, rgb_to_lab
from kinemacolor.core.errors import InputError, UsageError
from kinemacolor.core.resample import resize
from kinemacolor.core.types import Array, FloatArray, Reference
from kinemacolor.evaluation.clips import ClipTruth, images_in
from kinemacolor.references.image import Still, read_still, to_reference

REFERENCE_FRAMES = ("first", "middle", "last", "mirrored")
"""Names of frames that can serve as the reference."""


@dataclass(frozen=True, slots=True)
class ReferenceChoice:
    """Which references a clip gets.

    Attributes:
        text: as on the command line: ``first``, ``middle`` or ``last`` for a frame of the clip; ``mirrored`` for the
            mirrored first frame; ``every:K`` for frames 0, K, 2K …; else a folder with, for a clip *name*,
            ``name.png`` (or .jpg …), images ``name_*.png``, or a folder *name* of images.
        step: the K of ``every:K``, else None.
        folder: with stills, else None.
    """

    text: str
    step: int | None = None
    folder: Path | None = None

    def indices(self, length: int) -> list[int]:
        """Numbers of the clip's frames that serve as references; none if stills from a folder do."""
        if self.folder:
            return []
        if self.step:
            return list(range(0, length, self.step))
        return [{"middle": length // 2, "last": length - 1}.get(self.text, 0)]

    def bound_frames(self, length: int) -> list[int]:
        """Numbers of the frames that the references are bound to, in their order; a mirrored one is bound to none."""
        return [] if self.text == "mirrored" else self.indices(length)


def parse_choice(text: str) -> ReferenceChoice:
    """A choice of references from its text.

    Raises:
        UsageError: ``text`` is neither one of ``REFERENCE_FRAMES``, nor ``every:K`` with K ≥ 1, nor a folder.
    """
    if text in REFERENCE_FRAMES:
        return ReferenceChoice(text)
    if text.startswith("every:"):
        number = text.removeprefix("every:")
        if not number.isdecimal() or int(number) < 1:
            raise UsageError("reference", f"{text} has no valid step", "give every:K with K = 1, 2, 3 …")
        return ReferenceChoice(text, step=int(number))
    if Path(text).is_dir():
        return ReferenceChoice(text, folder=Path(text))
    remedy = f"give {', '.join(REFERENCE_FRAMES)}, every:K, or a folder of stills"
    raise UsageError("reference", f"{text} is neither a known choice nor a folder", remedy)


def stills_of(folder: Path, name: str) -> list[Path]:
    """The stills in a folder that belong to the clip ``name``.

    Raises:
        InputError: there is none.
    """
    inside = folder / name
    stills = images_in(inside) if inside.is_dir() else []
    stills += [file for file in images_in(folder) if file.stem == name or file.stem.startswith(f"{name}_")]
    if not stills:
        remedy = f"add {name}.png, or a folder {name} of images"
        raise InputError(folder, f"contains no still for the clip {name}", remedy)
    return stills


def references_of(truth: ClipTruth, choice: ReferenceChoice) -> tuple[list[Reference], Array]:
    """The references at network size, and the first of them as R'G'B' (h, w, 3) uint8 for reports.

    Their lightness is that of the protocol's black-and-white film: L* of the color for protocols at network size, L* of
    the luma as gray for protocols at full size.

    Raises:
        InputError: a still is missing or cannot be used.
    """
    if choice.folder:
        stills = [read_still(path) for path in stills_of(choice.folder, truth.clip.name)]
        references = [_from_still(truth, still) for still in stills]
    else:
        references = [_from_frame(truth, index) for index in choice.indices(len(truth))]
    if choice.text == "mirrored":
        references = [replace(each.mirrored(), name=f"{each.name}, mirrored") for each in references]
    first = references[0]
    if truth.frames:
        shown = _from_gray_lightness(first.lightness, first.ab)
    else:
        shown = lab_to_rgb(np.concatenate([first.lightness[..., None], first.ab], axis=2))
    return references, np.clip(np.rint(shown * 255), 0, 255).astype(np.uint8)


def _from_frame(truth: ClipTruth, index: int) -> Reference:
    """A frame of the clip as reference. Its frame number is left out, as a user's still has none either."""
    rgb = truth.small(index)
    if truth.frames:
        still = Still(rgb, np.ones(truth.shape, np.bool_), f"frame {index}")
        return to_reference(still, truth.shape, truth.frames[0].coding.matrix, aspect=truth.aspect)
    lab = rgb_to_lab(rgb)
    ab = np.ascontiguousarray(lab[..., 1:])
    return Reference(truth.lightness[index], ab, np.ones(truth.shape, np.bool_), f"frame {index}")


def _from_still(truth: ClipTruth, still: Still) -> Reference:
    matrix = truth.frames[0].coding.matrix if truth.frames else "bt709"
    shape = truth.shape
    aspect = shape[1] / shape[0] if truth.protocol.size == "stretch" else truth.aspect
    if truth.protocol.size == "stretch":
        still = _stretched(still, shape)
    reference = to_reference(still, shape, matrix, aspect=aspect)
    if truth.frames:
        return reference
    rgb = np.clip(_from_gray_lightness(reference.lightness, reference.ab), 0, 1)
    lightness = np.clip(rgb_to_lab(rgb)[..., 0], 0, 100)
    return Reference(lightness, reference.ab, reference.mask, reference.name)


def _stretched(still: Still, shape: tuple[int, int]) -> Still:
    """A still at ``shape``, whatever its own aspect. Opaque pixels take no color from transparent ones."""
    weight = np.maximum(still.mask.astype(np.float32), np.float32(1e-3))
    rgb = resize(still.rgb * weight[..., None], shape) / resize(weight, shape)[..., None]
    return Still(rgb, resize(still.mask, shape) >= 0.5, still.name)


def _from_gray_lightness(lightness: FloatArray, ab: FloatArray) -> FloatArray:
    """R'G'B' of a reference whose lightness is that of its BT.709 luma as gray."""
    zeros = np.zeros_like(lightness)
    luma = np.ascontiguousarray(lab_to_rgb(np.stack([lightness, zeros, zeros], axis=2))[..., 0])
    return chroma_to_rgb(luma, ab_to_chroma(luma, ab, "bt709"), "bt709")
