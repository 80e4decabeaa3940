"""Which reference a clip's colorizers are given: frames of the clip itself, or stills from a folder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from kinemacolor.core.color import ab_to_chroma, chroma_to_rgb, lab_to_rgb, rgb_to_lab
from kinemacolor.core.errors import InputError, UsageError
from kinemacolor.core.types import Array, FloatArray, Reference
from kinemacolor.evaluation.clips import Truth, images_in
from kinemacolor.filters.chroma_upsample import resize
from kinemacolor.references.image import Still, read_still, to_reference

WORDS = ("first", "middle", "last", "mirrored")


@dataclass(frozen=True, slots=True)
class Choice:
    """A choice of references.

    Attributes:
        text: as on the command line: ``first``, ``middle`` or ``last`` frame; ``mirrored``, the first frame left to
            right; ``every:K``, frames 0, K, 2K …; else a folder that holds, for a clip *name*, ``name.png`` (or
            .jpg …), images ``name_*.png``, or a folder *name* of images.
        step: the K of ``every:K``, else None.
        folder: of stills, else None.
    """

    text: str
    step: int | None = None
    folder: Path | None = None

    def indices(self, length: int) -> list[int]:
        """The clip's frames that serve as references; none where stills from a folder do."""
        if self.folder:
            return []
        if self.step:
            return list(range(0, length, self.step))
        return [{"middle": length // 2, "last": length - 1}.get(self.text, 0)]

    def bound(self, length: int) -> list[int]:
        """The frames that the references are bound to, in their order; a mirrored one shows none as it is."""
        return [] if self.text == "mirrored" else self.indices(length)


def parse_choice(text: str) -> Choice:
    """Raises UsageError where ``text`` is neither a word, ``every:K`` with K ≥ 1, nor a folder."""
    if text in WORDS:
        return Choice(text)
    if text.startswith("every:"):
        number = text.removeprefix("every:")
        if not number.isdecimal() or int(number) < 1:
            raise UsageError("--reference", f"{text} names no step", "give every:K with K = 1, 2, 3 …")
        return Choice(text, step=int(number))
    if Path(text).is_dir():
        return Choice(text, folder=Path(text))
    remedy = f"give {', '.join(WORDS)}, every:K, or a folder of stills"
    raise UsageError("--reference", f"{text} is neither a known choice nor a folder", remedy)


def stills_of(folder: Path, name: str) -> list[Path]:
    """The stills in a folder that belong to the clip ``name``.

    Raises:
        InputError: there is none.
    """
    inside = folder / name
    found = images_in(inside) if inside.is_dir() else []
    found += [file for file in images_in(folder) if file.stem == name or file.stem.startswith(f"{name}_")]
    if not found:
        raise InputError(folder, f"holds no still for the clip {name}", f"add {name}.png, or a folder {name} of images")
    return found


def references_of(truth: Truth, choice: Choice) -> tuple[list[Reference], Array]:
    """The references at network size, and the first of them as R'G'B' (h, w, 3) uint8 to show.

    Their lightness is what the protocol's black-and-white film would show of them: L* of the color at network size,
    L* of the luma as a gray at full size.

    Raises:
        InputError: a still is missing or cannot be used.
    """
    if choice.folder:
        stills = [read_still(path) for path in stills_of(choice.folder, truth.clip.name)]
        references = [_fitted(truth, still) for still in stills]
    else:
        references = [_frame(truth, index) for index in choice.indices(len(truth))]
    if choice.text == "mirrored":
        references = [replace(one.mirrored(), name=f"{one.name}, mirrored") for one in references]
    first = references[0]
    if truth.frames:
        shown = _from_gray_lightness(first.lightness, first.ab)
    else:
        shown = lab_to_rgb(np.concatenate([first.lightness[..., None], first.ab], axis=2))
    return references, np.clip(np.rint(shown * 255), 0, 255).astype(np.uint8)


def _frame(truth: Truth, index: int) -> Reference:
    """A frame of the clip as reference; its number is not told, for a user's still has none either."""
    rgb = truth.small(index)
    if truth.frames:
        still = Still(rgb, np.ones(truth.shape, np.bool_), f"frame {index}")
        return to_reference(still, truth.shape, truth.frames[0].coding.matrix, aspect=truth.aspect)
    lab = rgb_to_lab(rgb)
    ab = np.ascontiguousarray(lab[..., 1:])
    return Reference(truth.lightness[index], ab, np.ones(truth.shape, np.bool_), f"frame {index}")


def _fitted(truth: Truth, still: Still) -> Reference:
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
    """As the clip is: whatever its own shape. Opaque pixels take no color from transparent ones."""
    weight = np.maximum(still.mask.astype(np.float32), np.float32(1e-3))
    rgb = resize(still.rgb * weight[..., None], shape) / resize(weight, shape)[..., None]
    return Still(rgb, resize(still.mask, shape) >= 0.5, still.name)


def _from_gray_lightness(lightness: FloatArray, ab: FloatArray) -> FloatArray:
    """R'G'B' of a reference whose lightness is that of its BT.709 luma as a gray."""
    zeros = np.zeros_like(lightness)
    luma = np.ascontiguousarray(lab_to_rgb(np.stack([lightness, zeros, zeros], axis=2))[..., 0])
    return chroma_to_rgb(luma, ab_to_chroma(luma, ab, "bt709"), "bt709")
