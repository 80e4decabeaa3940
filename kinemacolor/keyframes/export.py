"""Frames to paint, written out: images named by frame, a contact sheet, and the proposal as JSON."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from kinemacolor.core.color import codes_to_luma
from kinemacolor.core.errors import InputError, OutputError
from kinemacolor.core.folder_exchange import complete_exchange, make_partial_folder, put_in_place
from kinemacolor.core.progress import ProgressCallback
from kinemacolor.core.types import Array, Frame
from kinemacolor.keyframes.proposal import Proposal
from kinemacolor.keyframes.sampling import read_frames
from kinemacolor.references.image import read_still
from kinemacolor.references.loading import PROPOSAL_FILE, PROPOSAL_SHEET
from kinemacolor.report.contact_sheet import contact_sheet, write_contact_sheet
from kinemacolor.video.info import VideoInfo
from kinemacolor.video.reader import VideoReader

EXPORTED_NAME = re.compile(r"\d{7,}\.png")
SHEET_COLUMNS, SHEET_CELL = 5, 320
"""Of the sheet: pictures in a row (more, where there are more than a thousand), and the width of one in pixels."""


def check_export_folder(folder: Path, film: Path, overwrite: bool) -> None:
    """Whether a proposal may be written there; painted frames are never replaced.

    Raises:
        OutputError: it is a file, its parent is missing, it is the film's own folder, holds files (without
            ``overwrite``), or holds painted frames.
    """
    remedy = "choose another folder"
    try:
        if folder.exists() and not folder.is_dir():
            raise OutputError(folder, "is a file", "give the name of a folder")
        if not folder.exists():
            if not folder.absolute().parent.is_dir():
                raise OutputError(folder.absolute().parent, "there is no such folder", "make it first")
            return
        images = film if film.is_dir() else film.parent
        if not film.is_file() and images.is_dir() and os.path.samefile(folder, images):
            raise OutputError(folder, "is the folder of the film that is read", remedy)
        complete_exchange(folder, OutputError)
        files = sorted(file for file in folder.iterdir() if not file.name.startswith("."))
    except OSError as error:
        raise OutputError(folder, f"cannot be reached ({error.strerror or error})", remedy) from error
    if files and not overwrite:
        raise OutputError(folder, "holds files already", f"{remedy}, or `overwrite`")
    for file in files:
        if EXPORTED_NAME.fullmatch(file.name):
            try:
                read_still(file)
            except InputError:  # gray, as it was exported
                continue
            raise OutputError(folder, f"{file.name} in it is painted", f"move it away, or {remedy}")


def export_proposal(
    reader: VideoReader,
    proposal: Proposal,
    folder: Path,
    record: dict[str, Any],
    numbers: Sequence[int],
    *,
    overwrite: bool = False,
    progress: ProgressCallback | None = None,
) -> None:
    """Writes the frames, the sheet and the proposal; the folder gets them when all of them are there.

    Args:
        reader: of the film.
        proposal: the frames.
        folder: where they go.
        record: of the proposal.
        numbers: by which people call the film's frames.
        overwrite: whether an earlier proposal is replaced.
        progress: called with the number of frames written and of all.

    Raises:
        OutputError: it cannot be written.
    """
    with _partial_folder(folder, overwrite) as partial:
        orders = {pick.frame: order for order, pick in enumerate(proposal.picks, start=1)}
        pictures: list[tuple[str, Array]] = []
        for frame in read_frames(reader, sorted(orders)):
            image = upright_luma(frame, reader.info)
            encoded, png = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_GRAY2BGR))
            if not encoded:
                raise OutputError(folder, f"frame {frame.index} could not be encoded", "convert the film first")
            (partial / exported_name(numbers[frame.index])).write_bytes(png.tobytes())
            height = max(1, round(image.shape[0] * SHEET_CELL / image.shape[1]))
            picture = cv2.resize(image, (SHEET_CELL, height), interpolation=cv2.INTER_AREA)
            picture = (picture >> (8 * (picture.itemsize - 1))).astype("uint8")
            pictures.append((f"{orders[frame.index]}: {numbers[frame.index]:07d}", picture))
            if progress:
                progress(len(pictures), len(orders))
        sheet = contact_sheet(pictures, columns=max(SHEET_COLUMNS, len(pictures) // 200), width=SHEET_CELL)
        write_contact_sheet(partial / PROPOSAL_SHEET, sheet)
        (partial / PROPOSAL_FILE).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def upright_luma(frame: Frame, info: VideoInfo) -> Array:
    """The luma (H, W) of a frame as a viewer sees it: upright, square pixels, full range; uint8, or uint16."""
    luma = np.clip(codes_to_luma(frame.luma, frame.coding), 0, 1)
    height, width = luma.shape
    aspect = info.sample_aspect_ratio
    size = (round(width * aspect), height) if aspect >= 1 else (width, round(height / aspect))
    if size != (width, height):
        luma = np.clip(cv2.resize(luma, size, interpolation=cv2.INTER_CUBIC), 0, 1)
    dtype = np.uint8 if frame.coding.bit_depth == 8 else np.uint16
    return np.ascontiguousarray(info.orientation.upright(np.rint(luma * np.iinfo(dtype).max).astype(dtype)))


@contextmanager
def _partial_folder(folder: Path, overwrite: bool) -> Iterator[Path]:
    """A folder whose files get their place at the end; those of an earlier proposal are removed."""
    partial: Path | None = None
    try:
        partial = make_partial_folder(folder)
        yield partial
        replaced: list[Path] = []
        if folder.exists():
            check_export_folder(folder, partial, overwrite)
            own = (PROPOSAL_FILE, PROPOSAL_SHEET)
            replaced = [file for file in folder.iterdir() if EXPORTED_NAME.fullmatch(file.name) or file.name in own]
        put_in_place(partial, folder, replaced)
    except OSError as error:
        problem = f"cannot be written to ({error.strerror or error})"
        raise OutputError(folder, problem, "check the space and the permissions there") from error
    finally:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)


def exported_name(number: int) -> str:
    """Of an exported frame; painted under this name, it is bound to that frame."""
    return f"{number:07d}.png"


def proposal_record(proposal: Proposal, info: VideoInfo, numbers: Sequence[int]) -> dict[str, Any]:
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
                "file": exported_name(numbers[pick.frame]),
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
