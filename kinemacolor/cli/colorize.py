"""``kinemacolor colorize``: a film in colour."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kinemacolor.cli.progress import progress_line
from kinemacolor.errors import UsageError

if TYPE_CHECKING:
    from kinemacolor.pipeline import Summary

DAMAGED = 3
"""Exit code where the input broke off: the output is complete as far as it goes."""
SLOWEST, FASTEST = 0.001, 1000
"""Limits of ``--fps``."""

EXAMPLES = """
**Examples**

    kinemacolor colorize film.mp4 --reference still.png -o film-colour.mp4

    kinemacolor colorize film.mkv -r girl.png -r street.jpg -o colour.mkv --codec ffv1

    kinemacolor colorize scans/frame_%06d.png -r still.png -o colour/ --fps 18

    kinemacolor colorize film.mp4 -r still.png -o try.mp4 --start 60 --end 70

Transparent areas of a still mean "no colour given here". Exit codes: 2 usage, 3 input, 4 output, 130 interrupted.
"""


class CodecChoice(StrEnum):
    """Encoders of ``--codec``."""

    h264 = "h264"
    h265 = "h265"
    prores = "prores"
    ffv1 = "ffv1"


class ChromaChoice(StrEnum):
    """Subsamplings of ``--chroma``."""

    c420 = "420"
    c422 = "422"
    c444 = "444"


class QualityChoice(StrEnum):
    """Ways of ``--quality``."""

    fast = "fast"
    best = "best"


def colorize(
    film: Annotated[str, typer.Argument(help="Film file, folder of images, or a pattern such as frame_%06d.png.")],
    reference: Annotated[
        list[str], typer.Option("--reference", "-r", help="Coloured still; give it again for more.", show_default=False)
    ],
    output: Annotated[
        str, typer.Option("--output", "-o", help="*.mp4, *.mkv, *.mov, a folder or a pattern.", show_default=False)
    ],
    size: Annotated[
        int | None, typer.Option(help="Short side at which the network works.", show_default="about 384×216 in area")
    ] = None,
    engine: Annotated[str, typer.Option(help="Colorization engine; see `kinemacolor info`.")] = "matching",
    weights: Annotated[
        str | None, typer.Option(help="Of a trained network: file for torch, folder for onnx.", show_default=False)
    ] = None,
    block_size: Annotated[
        int | None, typer.Option(help="Frames a trained network colours together.", show_default="the network's")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda or mps, for torch.", show_default="the best there is")
    ] = None,
    propagate: Annotated[bool, typer.Option(help="Carry colours along the optical flow too.")] = True,
    color_memory: Annotated[bool, typer.Option("--color-memory", help="Match with past frames too.")] = False,
    codec: Annotated[CodecChoice, typer.Option(help="Encoder of the picture.")] = CodecChoice.h264,
    crf: Annotated[
        int | None, typer.Option(help="Quality of h264 and h265, lower is better.", show_default="visually lossless")
    ] = None,
    start: Annotated[float | None, typer.Option(help="Begin here, in seconds.", show_default=False)] = None,
    end: Annotated[float | None, typer.Option(help="Stop before here, in seconds.", show_default=False)] = None,
    chroma: Annotated[
        ChromaChoice | None, typer.Option(help="Chroma subsampling.", show_default="the film's; 420 for grey films")
    ] = None,
    quality: Annotated[QualityChoice, typer.Option(help="Chroma upsampling.")] = QualityChoice.fast,
    fps: Annotated[str | None, typer.Option(help="Rate of a folder of images, as 18 or 24000/1001.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing output.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Fail where a stream cannot be kept.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no summary.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Colour FILM from coloured stills; luma, sound, subtitles and timing stay as they are."""
    from kinemacolor import pipeline
    from kinemacolor.engine import open_engine

    colorizer = open_engine(
        engine,
        weights=weights,
        propagate=propagate,
        color_memory=color_memory or None,
        block_size=block_size,
        device=device,
    )
    with progress_line("colouring", hidden=quiet or as_json) as advance:
        summary = pipeline.colorize(
            film,
            reference,
            output,
            size=size,
            engine=colorizer,
            codec=codec.value,
            crf=crf,
            start=start,
            end=end,
            chroma=chroma.value if chroma else None,
            quality=quality.value,
            rate=_rate(fps),
            overwrite=overwrite,
            strict=strict,
            progress=advance,
        )
    for warning in summary.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if as_json:
        print(json.dumps(summary_record(summary), indent=2))
    elif not quiet:
        print(summary_line(summary))
    if summary.damage:
        print(f"{film}: {summary.damage}; what decodes was coloured", file=sys.stderr)
        raise typer.Exit(DAMAGED)


def _rate(text: str | None) -> Any:
    from fractions import Fraction

    if text is None:
        return None
    try:
        rate = Fraction(text).limit_denominator(100_000)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not SLOWEST <= rate <= FASTEST:
        raise UsageError("--fps", f"{text} is not a rate", "give frames a second, as 18 or 24000/1001")
    return rate


def summary_record(summary: Summary) -> dict[str, Any]:
    """A summary as JSON-ready values; rates in frames a second, times in seconds."""
    return {
        "output": str(summary.output),
        "frames": summary.frames,
        "size": summary.size,
        "network_size": summary.network_size,
        "seconds": round(summary.seconds, 3),
        "frames_per_second": round(summary.frames_per_second, 3),
        "stage_frames_per_second": {
            name: round(summary.frames / seconds, 2) for name, seconds in summary.stage_seconds.items() if seconds
        },
        "confidence": round(summary.confidence, 4),
        "warnings": summary.warnings,
        "damage": summary.damage,
    }


def summary_line(summary: Summary) -> str:
    """One line for a person."""
    return (
        f"{summary.output}: {summary.frames} frames in {summary.seconds:.1f} s "
        f"({summary.frames_per_second:.1f} a second), mean confidence {summary.confidence:.2f}"
    )
