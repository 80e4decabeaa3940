"""Which pictures of a folder are the frames of a film: the numbered series, without covers, sheets and previews."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

_NUMBERED = re.compile(r"(.*?)([0-9]+)([^0-9]*)", re.DOTALL)
_LOSSLESS_FIRST = (".dpx", ".exr", ".tif", ".tiff", ".png", ".ppm", ".pgm", ".bmp", ".webp", ".jpg", ".jpeg")
_NAMED = 3  # files that a remark names

Series = tuple[str, str, str]
"""What the names of a series have in common: the text before and behind the last number, and the extension."""


def frames_of_folder(files: Sequence[Path], size: Callable[[Path], object]) -> tuple[list[Path], str | None]:
    """The pictures that are frames, in the order given, and a line that names the others, or None.

    Most pictures of a film are numbered. Then those that belong to no series are not frames, nor is a series whose
    pictures have another size than those of the longest, or that repeats the numbers of another with another ending
    (``7.png``, ``7.jpg``, ``7-mask.png``).
    Where most pictures bear no number, all are frames.

    Args:
        files: the pictures.
        size: gives the size of a picture; equal values mean equal sizes.
    """
    groups: dict[Series, list[Path]] = defaultdict(list)
    for file in files:
        match = _NUMBERED.fullmatch(file.stem)
        if match:
            groups[match[1], match[3], file.suffix.lower()].append(file)
    series = {key: members for key, members in groups.items() if len(members) > 1}
    numbered = sum(map(len, series.values()))
    if 2 * numbered <= len(files):
        return list(files), None
    ranking = sorted(series, key=lambda key: (-len(series[key]), _LOSSLESS_FIRST.index(key[2]), key))
    main = ranking[0]
    kept = [main]
    for key in ranking[1:]:
        twin = any(key[0] == other[0] and _overlap(series[key], series[other]) for other in kept)
        if not twin and size(series[key][0]) == size(series[main][0]):
            kept.append(key)
    frames = {file for key in kept for file in series[key]}
    return [file for file in files if file in frames], _remark(files, frames, kept)


def _overlap(some: Sequence[Path], others: Sequence[Path]) -> bool:
    numbers = [{match[2] for file in files if (match := _NUMBERED.fullmatch(file.stem))} for files in (some, others)]
    return not numbers[0].isdisjoint(numbers[1])


def _remark(files: Sequence[Path], frames: set[Path], kept: Sequence[Series]) -> str | None:
    left_out = [file.name for file in files if file not in frames]
    lines = []
    if left_out:
        names = ", ".join(left_out[:_NAMED]) + (", …" if len(left_out) > _NAMED else "")
        pictures = f"{len(left_out)} picture{'s' * (len(left_out) != 1)}"
        lines.append(f"{pictures} in the folder belong to no series of frames and were left out: {names}")
    if len(kept) > 1:
        names = ", ".join(f"{prefix}…{tail}{suffix}" for prefix, tail, suffix in kept[:_NAMED])
        lines.append(f"{len(kept)} series of images in the folder are read one after another: {names}")
    if not lines:
        return None
    return "; ".join(lines) + "; give a pattern such as frame_%06d.png to choose others"
