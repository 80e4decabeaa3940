"""The demo: takes the color from the example clip, colors it again from one still, and compares with the truth.

    python examples/demo.py [--output out]

Writes ``gray.mkv`` (the input of kinemacolor), ``demo.mp4`` (its output) and ``demo.png``, a contact sheet.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import av
import cv2
import numpy as np

import kinemacolor
from kinemacolor.core.color import codes_to_luma, yuv_to_rgb
from kinemacolor.core.events import AnyEvent, ProgressEvent
from kinemacolor.evaluation.metrics import cdc, psnr
from kinemacolor.references.image import read_still
from kinemacolor.video.reader import VideoReader

CLIP = Path(__file__).parent / "dog"
TIMES = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("out"))
    folder: Path = parser.parse_args().output
    folder.mkdir(parents=True, exist_ok=True)
    gray_film, result_film = folder / "gray.mkv", folder / "demo.mp4"
    take_color_away(CLIP / "truth.mp4", gray_film)
    summary = kinemacolor.colorize(gray_film, [CLIP / "still.png"], result_film, overwrite=True, on_event=show_progress)
    print()
    gray, result, truth = (film_rgb(path) for path in (gray_film, result_film, CLIP / "truth.mp4"))
    write_sheet(folder / "demo.png", gray, result, truth)
    print(f"{result_film}: {summary.frames} frames, {summary.frames_per_second:.1f} a second in all")
    for stage, seconds in summary.stage_seconds.items():
        print(f"  {stage:<9} {summary.frames / seconds:7.1f} frames a second")
    print(f"mean confidence {summary.confidence:.3f}")
    print("           PSNR (dB)   CDC (truth's own: " + f"{cdc(truth):.5f})")
    for name, film in (("gray", gray), ("colored", result)):
        print(f"  {name:<9} {np.mean(psnr(film, truth)):7.2f}   {cdc(film):.5f}")
    print(f"contact sheet: {folder / 'demo.png'}")


def show_progress(event: AnyEvent) -> None:
    """Rewrites a line on a terminal; elsewhere prints one at the end."""
    terminal = sys.stdout.isatty()
    if isinstance(event, ProgressEvent) and event.stage == "color" and (terminal or event.done == event.total):
        print(f"\rcoloring {event.done}/{event.total}", end="" if terminal else "\n", flush=True)


def take_color_away(source: Path, destination: Path) -> None:
    """A lossless gray film with the source's own luma and frame times."""
    with VideoReader(source) as reader, av.open(str(destination), "w") as container:
        info = reader.info
        stream = container.add_stream("ffv1", rate=info.rate, width=info.width, height=info.height, pix_fmt="gray")
        stream.codec_context.time_base = stream.time_base = info.time_base
        tags = info.tags.for_output(info.coding)
        stream.codec_context.color_range, stream.codec_context.colorspace = tags.range, tags.matrix
        for frame in reader.frames():
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame.luma), "gray")
            picture.pts, picture.time_base = frame.pts, frame.time_base
            picture.color_range, picture.colorspace = tags.range, tags.matrix
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


def film_rgb(path: Path) -> np.ndarray:
    """RGB uint8 (T, H, W, 3); a film without chroma in gray."""
    film = []
    with VideoReader(path) as reader:
        for frame in reader.frames(chroma=True):
            if frame.chroma:
                rgb = yuv_to_rgb(frame.luma, *frame.chroma, frame.coding)
            else:
                rgb = np.repeat(codes_to_luma(frame.luma, frame.coding)[..., None], 3, axis=2)
            film.append(np.clip(np.rint(rgb * 255), 0, 255).astype(np.uint8))
    return np.stack(film)


def write_sheet(path: Path, gray: np.ndarray, result: np.ndarray, truth: np.ndarray) -> None:
    """Columns: gray input, reference, result, truth. Rows: five times."""
    still = np.rint(read_still(CLIP / "still.png").rgb * 255).astype(np.uint8)
    height, width = truth.shape[1:3]
    rows = [titles(("gray film", "reference", "colored", "truth"), width)]
    for index in np.linspace(0, len(truth) - 1, TIMES).round().astype(int):
        row = np.hstack([gray[index], still, result[index], truth[index]])
        rows.append(cv2.putText(row.copy(), f"{index}", (6, height - 8), 0, 0.5, (255, 255, 255), 1, cv2.LINE_AA))
    cv2.imwrite(str(path), np.vstack(rows)[..., ::-1])


def titles(names: tuple[str, ...], width: int) -> np.ndarray:
    strip = np.full((28, width * len(names), 3), 255, np.uint8)
    for column, name in enumerate(names):
        cv2.putText(strip, name, (width * column + 8, 20), 0, 0.55, (0, 0, 0), 1, cv2.LINE_AA)
    return strip


if __name__ == "__main__":
    main()
