"""``kinemacolor keyframes``: which frames to paint."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kinemacolor.cli.colorize import DAMAGED
from kinemacolor.cli.progress import progress_line
from kinemacolor.core.errors import InputError, OutputError, UsageError

if TYPE_CHECKING:
    from kinemacolor.core.types import Array, Frame, Shot
    from kinemacolor.engine.features import FrameFeatures
    from kinemacolor.engine.protocol import Engine
    from kinemacolor.keyframes.search import Proposal
    from kinemacolor.pipeline.analysis import FilmAnalysis
    from kinemacolor.video.info import VideoInfo
    from kinemacolor.video.reader import VideoReader

AREA = 256 * 144
"""Pixels at which frames are compared."""
FINEST = 4
"""Frames between two that are looked at, at least, unless ``--every`` says otherwise."""
LOOKS = 1000
"""Frames that are looked at, about, at most, unless ``--every`` says otherwise: 0.4 MB of memory each."""
NAMES = re.compile(r"\d{7,}\.png")
PROPOSAL, SHEET = "proposal.json", "sheet.png"
COLUMNS, CELL = 5, 320
"""Of the sheet: pictures in a row (more, where there are more than a thousand), and the width of one in pixels."""

EXAMPLES = """
**Examples**

    kinemacolor keyframes film.mp4 --output paint/

    kinemacolor keyframes film.mp4 --output paint/ --budget 12

    kinemacolor keyframes film.mkv -o paint/ --shots shots.csv --threshold 0.8

The images are gray frames of the film, named by frame number; their names bind them once they are painted. Exit
codes: 2 usage, 3 input (also where the film breaks off; what decodes was looked at), 4 output, 130 interrupted.
"""


def keyframes(
    film: Annotated[str, typer.Argument(help="Film file, folder of images, or a pattern such as frame_%06d.png.")],
    output: Annotated[str, typer.Option("--output", "-o", help="Folder for the frames.", show_default=False)],
    budget: Annotated[int | None, typer.Option(help="Paint at most so many frames.", show_default=False)] = None,
    threshold: Annotated[
        float | None,
        typer.Option(help="Support in 0 to 1 that every frame shall have.", show_default="0.55, or none with --budget"),
    ] = None,
    shots: Annotated[str | None, typer.Option(help="List of shots.", show_default="found in the film")] = None,
    engine: Annotated[str, typer.Option(help="Engine whose eyes are used; see `kinemacolor info`.")] = "matching",
    weights: Annotated[
        str | None, typer.Option(help="Of a trained network: file for torch, folder for onnx.", show_default=False)
    ] = None,
    every: Annotated[
        int | None, typer.Option(help="Look at every so-manieth frame.", show_default="4, or more in long films")
    ] = None,
    size: Annotated[
        int | None, typer.Option(help="Short side at which frames are compared.", show_default="about 256×144 in area")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier proposal in the folder.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no summary.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the proposal as JSON.")] = False,
) -> None:
    """Propose the fewest frames of FILM to paint so that every frame finds its colors in one; export them."""
    check_numbers(budget, threshold, every, size)
    folder = Path(output)
    check_folder(folder, film, overwrite)
    from kinemacolor.engine.registry import open_engine
    from kinemacolor.keyframes.search import propose
    from kinemacolor.references.image import network_size
    from kinemacolor.video.reader import VideoReader

    hidden = quiet or as_json
    eyes = open_engine(engine, weights=weights)
    try:
        reader = VideoReader(film)
    except OSError as error:
        raise InputError(film, f"cannot be reached ({error.strerror or error})", "check its name") from error
    with reader:
        info = reader.info
        aspect = float(info.width * info.sample_aspect_ratio) / info.height
        shape = network_size(aspect, 1, area=AREA, side=size)
        found = film_survey(reader, shots, hidden)
        damage = reader.damage  # later passes may end before they meet it
        sampled = sample(found.shots, every)
        looks = film_looks(reader, eyes, sampled, shape, hidden)
        with progress_line("comparing", hidden=hidden, unit="frames a second") as advance:
            proposal = propose(looks, sampled, found.shots, threshold=threshold, budget=budget, progress=advance)
        numbers = found.numbers(info)
        told = {"film": film, "engine": eyes.name, "size": [shape[1], shape[0]], **record(proposal, info, numbers)}
        export(reader, proposal, folder, told, numbers, overwrite, hidden)
    if as_json:
        print(json.dumps(told, indent=2))
    elif not quiet:
        print(summary(proposal, folder))
    if damage:
        print(f"{film}: {damage}; what decodes was looked at", file=sys.stderr)
        raise typer.Exit(DAMAGED)


# --- what was asked for --------------------


def check_numbers(budget: int | None, threshold: float | None, every: int | None, size: int | None) -> None:
    """Raises UsageError where a number makes no sense."""
    if budget is not None and budget < 1:
        raise UsageError("--budget", f"{budget} is not a number of frames", "give at least 1")
    if threshold is not None and not 0 < threshold <= 1:
        raise UsageError("--threshold", f"{threshold} is not a support", "give more than 0 and at most 1, such as 0.55")
    if every is not None and every < 1:
        raise UsageError("--every", f"{every} is not a step in frames", "give at least 1")
    if size is not None and not 32 <= size <= 2160:
        raise UsageError("--size", f"{size} is not a short side in pixels", "give 32 to 2160")


def check_folder(folder: Path, film: str, overwrite: bool) -> None:
    """Whether a proposal may be written there; painted frames are never replaced.

    Raises:
        OutputError: it is a file, lies nowhere, is the film's own folder, holds files (without ``overwrite``), or
            holds painted frames.
    """
    remedy = "choose another folder"
    try:
        if folder.exists() and not folder.is_dir():
            raise OutputError(folder, "is a file", "give the name of a folder")
        if not folder.exists():
            if not folder.absolute().parent.is_dir():
                raise OutputError(folder.absolute().parent, "there is no such folder", "make it first")
            return
        source = Path(film)
        images = source if source.is_dir() else source.parent
        if not source.is_file() and images.is_dir() and os.path.samefile(folder, images):
            raise OutputError(folder, "is the folder of the film that is read", remedy)
        files = sorted(folder.iterdir())
    except OSError as error:
        raise OutputError(folder, f"cannot be reached ({error.strerror or error})", remedy) from error
    if files and not overwrite:
        raise OutputError(folder, "holds files already", f"{remedy}, or --overwrite")
    from kinemacolor.references.image import read_still

    for file in files:
        if NAMES.fullmatch(file.name):
            try:
                read_still(file)
            except InputError:  # gray, as it was exported
                continue
            raise OutputError(folder, f"{file.name} in it is painted", f"move it away, or {remedy}")


# --- the film --------------------


def film_survey(reader: VideoReader, file: str | None, hidden: bool) -> FilmAnalysis:
    """The film's frames, and its shots: from a list, or found."""
    from kinemacolor.core.pipelining import StageTimer
    from kinemacolor.pipeline.analysis import analyze_film

    with progress_line("finding shots", hidden=hidden) as advance:
        return analyze_film(reader, None, None, Path(file) if file else "auto", StageTimer(), advance)


def sample(shots: Sequence[Shot], every: int | None) -> list[int]:
    """Frames to look at: in each shot at least one, else one in the middle of each of its equal pieces.

    Args:
        shots: whose ends are known.
        every: longest piece, in frames; None for 4, or more where that made more than about ``LOOKS`` frames.
    """
    lengths = [(shot.stop or shot.start + 1) - shot.start for shot in shots]
    step = every or max(FINEST, -(-sum(lengths) // LOOKS))
    frames: list[int] = []
    for shot, length in zip(shots, lengths, strict=True):
        pieces = -(-length // step)
        frames += [shot.start + (2 * piece + 1) * length // (2 * pieces) for piece in range(pieces)]
    return frames


def film_looks(
    reader: VideoReader, engine: Engine, sampled: Sequence[int], shape: tuple[int, int], hidden: bool
) -> list[FrameFeatures]:
    """What the engine sees of the sampled frames at ``shape``, (height, width)."""
    from kinemacolor.engine.features import extract_features
    from kinemacolor.pipeline.segment_runner import network_lightness

    looks = []
    with progress_line("looking", hidden=hidden, unit="frames a second") as advance:
        for frame in wanted(reader, sampled):
            looks.append(extract_features(engine, network_lightness(frame, shape)))
            if advance:
                advance(len(looks), len(sampled))
    return looks


def wanted(reader: VideoReader, indices: Sequence[int]) -> Iterator[Frame]:
    """The frames of these indices, in order, and no more of the film than that takes."""
    left = set(indices)
    for frame in reader.frames():
        if frame.index in left:
            left.remove(frame.index)
            yield frame
        if not left:
            return


# --- what comes out --------------------


def export(
    reader: VideoReader, proposal: Proposal, folder: Path, told: dict[str, Any], numbers: Sequence[int],
    overwrite: bool, hidden: bool,
) -> None:  # fmt: skip
    """Writes the frames, the sheet and the proposal; the folder gets them when all of them are there.

    Args:
        reader: of the film.
        proposal: the frames.
        folder: where they go.
        told: the proposal's record.
        numbers: by which people call the film's frames.
        overwrite: whether an earlier proposal goes.
        hidden: whether there is no progress line.
    """
    import cv2

    from kinemacolor.report.contact_sheet import contact_sheet, write_contact_sheet

    with _aside(folder, overwrite) as partial, progress_line("exporting", hidden=hidden) as advance:
        orders = {pick.frame: order for order, pick in enumerate(proposal.picks, start=1)}
        small: list[tuple[str, Array]] = []
        for frame in wanted(reader, sorted(orders)):
            image = shown(frame, reader.info)
            good, png = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_GRAY2BGR))
            if not good:
                raise OutputError(folder, f"frame {frame.index} could not be encoded", "convert the film first")
            (partial / file_name(numbers[frame.index])).write_bytes(png.tobytes())
            height = max(1, round(image.shape[0] * CELL / image.shape[1]))
            picture = cv2.resize(image, (CELL, height), interpolation=cv2.INTER_AREA)
            picture = (picture >> (8 * (picture.itemsize - 1))).astype("uint8")
            small.append((f"{orders[frame.index]}: {numbers[frame.index]:07d}", picture))
            if advance:
                advance(len(small), len(orders))
        write_contact_sheet(partial / SHEET, contact_sheet(small, columns=max(COLUMNS, len(small) // 200), width=CELL))
        (partial / PROPOSAL).write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


def shown(frame: Frame, info: VideoInfo) -> Array:
    """The luma (H, W) of a frame as a viewer sees it: upright, square pixels, full range; uint8, or uint16."""
    import cv2
    import numpy as np

    from kinemacolor.core.color import codes_to_luma

    luma = np.clip(codes_to_luma(frame.luma, frame.coding), 0, 1)
    height, width = luma.shape
    aspect = info.sample_aspect_ratio
    size = (round(width * aspect), height) if aspect >= 1 else (width, round(height / aspect))
    if size != (width, height):
        luma = np.clip(cv2.resize(luma, size, interpolation=cv2.INTER_CUBIC), 0, 1)
    dtype = np.uint8 if frame.coding.bit_depth == 8 else np.uint16
    return np.ascontiguousarray(np.rot90(np.rint(luma * np.iinfo(dtype).max).astype(dtype), -(info.rotation // 90)))


@contextmanager
def _aside(folder: Path, overwrite: bool) -> Iterator[Path]:
    """A folder beside it whose files get their place at the end; those of an earlier proposal go."""
    place = folder.absolute()
    partial = place.parent / f".{place.name}.partial-{os.getpid()}"
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        yield partial
        if not place.exists():
            os.rename(partial, place)
            return
        check_folder(folder, str(partial), overwrite)
        for file in sorted(place.iterdir()):
            if NAMES.fullmatch(file.name) or file.name in (PROPOSAL, SHEET):
                file.unlink()
        for file in sorted(partial.iterdir()):
            os.replace(file, place / file.name)
    except OSError as error:
        problem = f"cannot be written to ({error.strerror or error})"
        raise OutputError(folder, problem, "check the space and the permissions there") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def file_name(number: int) -> str:
    """Of an exported frame; painted under this name, it is bound to that frame."""
    return f"{number:07d}.png"


def record(proposal: Proposal, info: VideoInfo, numbers: Sequence[int]) -> dict[str, Any]:
    """A proposal as JSON-ready values: frames as indices in the film, files by the numbers that people call them,
    times in seconds at the film's declared rate."""
    rate = float(info.rate)
    return {
        "threshold": proposal.threshold,
        "met": proposal.met,
        "support": round(proposal.support, 4),
        "share": round(proposal.share, 4),
        "picks": [
            {
                "frame": pick.frame,
                "file": file_name(numbers[pick.frame]),
                "seconds": round(pick.frame / rate, 3),
                "shot": pick.shot,
                "gain": round(pick.gain, 5),
                "share_before": round(pick.before, 4),
                "share_after": round(pick.after, 4),
                "covers": list(pick.covers),
            }
            for pick in proposal.picks
        ],
        "shots": [
            {
                "start": shot.shot.start,
                "stop": shot.shot.stop,
                "sampled": shot.sampled,
                "picks": list(shot.picks),
                "support": round(shot.support, 4),
                "lowest": {"frame": shot.weakest, "support": round(shot.lowest, 4)},
                "share": round(shot.share, 4),
            }
            for shot in proposal.shots
        ],
    }


def summary(proposal: Proposal, folder: Path) -> str:
    """A few lines for a person."""
    count = len(proposal.picks)
    own = sum(1 for shot in proposal.shots if shot.picks)
    lines = [
        f"{folder}: {count} frame{'s' * (count != 1)} to paint, in {own} of {len(proposal.shots)} shots; mean support "
        f"{proposal.support:.2f}, {proposal.share:.0%} of the picture at {proposal.threshold:g} or more"
    ]
    if not proposal.met:
        weakest = min(proposal.shots, key=lambda shot: shot.lowest)
        lines.append(f"weakest: frame {weakest.weakest}, {weakest.lowest:.2f}; a larger --budget helps there first")
    return "\n".join(lines)
