"""``kinemacolor colorize``: a film in color."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kinemacolor.cli.progress import progress_lines
from kinemacolor.core.errors import OutputError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from kinemacolor.engine.protocol import Engine
    from kinemacolor.pipeline.film import Summary
    from kinemacolor.pipeline.project import Project

DAMAGED = 3
"""Exit code where the input broke off: the output is complete as far as it goes."""
SLOWEST, FASTEST = 0.001, 1000
"""Limits of ``--fps``."""

EXAMPLES = """
**Examples**

    kinemacolor colorize film.mp4 --reference still.png -o film-color.mp4

    kinemacolor colorize film.mkv -r girl.png -r street.jpg -o color.mkv --codec ffv1

    kinemacolor colorize scans/frame_%06d.png -r still.png -o color/ --fps 18

    kinemacolor colorize film.mp4 -r still.png -o try.mp4 --start 60 --end 70

Transparent areas of a still mean "no color given here". Exit codes: 2 usage, 3 input, 4 output, 130 interrupted.
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


class UpsampleChoice(StrEnum):
    """Ways of ``--upsample``."""

    fast = "fast"
    best = "best"


def colorize(
    film: Annotated[
        str | None,
        typer.Argument(help="Film file, folder of images, or a pattern such as frame_%06d.png.", show_default=False),
    ] = None,
    reference: Annotated[
        list[str] | None,
        typer.Option(
            "--reference", "-r", help="Colored still, or a folder; give it again for more.", show_default=False
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", help="*.mp4, *.mkv, *.mov, a folder or a pattern.", show_default=False),
    ] = None,
    project: Annotated[
        str | None, typer.Option(help="TOML file that says all this; options given here win.", show_default=False)
    ] = None,
    shots: Annotated[
        str | None, typer.Option(help="Shot list (json, csv, edl), or none for one shot.", show_default="found")
    ] = None,
    size: Annotated[
        int | None, typer.Option(help="Short side at which the network works.", show_default="about 384×216 in area")
    ] = None,
    engine: Annotated[
        str | None, typer.Option(help="Colorization engine; see `kinemacolor info`.", show_default="lite")
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="Of a trained network: file for torch, folder for onnx.", show_default=False)
    ] = None,
    block_size: Annotated[
        int | None, typer.Option(help="Frames a trained network colors together.", show_default="the network's")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda or mps, for torch.", show_default="the best there is")
    ] = None,
    propagate: Annotated[
        bool | None, typer.Option(help="Carry colors along the optical flow too.", show_default="propagate")
    ] = None,
    color_memory: Annotated[
        bool | None, typer.Option("--color-memory", help="Match with past frames too.", show_default=False)
    ] = None,
    codec: Annotated[CodecChoice | None, typer.Option(help="Encoder of the picture.", show_default="h264")] = None,
    crf: Annotated[
        int | None, typer.Option(help="Quality of h264 and h265, lower is better.", show_default="visually lossless")
    ] = None,
    start: Annotated[float | None, typer.Option(help="Begin here, in seconds.", show_default=False)] = None,
    end: Annotated[float | None, typer.Option(help="Stop before here, in seconds.", show_default=False)] = None,
    chroma: Annotated[
        ChromaChoice | None, typer.Option(help="Chroma subsampling.", show_default="the film's; 420 for gray films")
    ] = None,
    upsample: Annotated[UpsampleChoice | None, typer.Option(help="Chroma upsampling.", show_default="fast")] = None,
    saturation: Annotated[float | None, typer.Option(help="Factor on the colors.", show_default="1.0")] = None,
    steady: Annotated[
        bool | None,
        typer.Option(help="Hold colors still where the picture is, against shimmer.", show_default="steady"),
    ] = None,
    denoise_guide: Annotated[
        bool | None,
        typer.Option("--denoise-guide", help="Show the network less grain and flicker.", show_default=False),
    ] = None,
    fps: Annotated[str | None, typer.Option(help="Rate of a folder of images, as 18 or 24000/1001.")] = None,
    report: Annotated[
        str | None, typer.Option(help="*.html: where references helped, and where more would.", show_default=False)
    ] = None,
    overlay: Annotated[
        str | None, typer.Option(help="*.mp4: a small film of the confidence.", show_default=False)
    ] = None,
    preview: Annotated[
        bool, typer.Option("--preview", help="Color single frames, small, and write them as a sheet (.png, .jpg).")
    ] = False,
    every: Annotated[int, typer.Option(help="With --preview: of each shot, every so-manieth frame.")] = 48,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing output.")] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Begin anew where a run broke off.")] = False,
    strict: Annotated[bool | None, typer.Option("--strict", help="Fail where a stream cannot be kept.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no summary.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Color FILM from colored stills; luma, sound, subtitles and timing stay as they are.

    A run that breaks off goes on where it was when the same command is given again.
    """
    from kinemacolor.engine.registry import DEFAULT_ENGINE, open_engine
    from kinemacolor.pipeline import film as pipeline
    from kinemacolor.pipeline.fingerprint import engine_fingerprint

    said = {
        **{"film": film, "references": reference or None, "output": output},
        **{"shots": None if shots == "none" else shots},
        **{"size": size, "engine": engine, "weights": weights, "block_size": block_size, "device": device},
        **{"propagate": propagate, "color_memory": color_memory, "codec": codec and codec.value, "crf": crf},
        **{"start": start, "end": end, "chroma": chroma and chroma.value, "upsample": upsample and upsample.value},
        **{"saturation": saturation, "steady": steady, "denoise_guide": denoise_guide},
        **{"fps": _rate(fps), "strict": strict},
    }
    asked = _asked(project, said)
    assert asked.film is not None
    assert asked.output is not None
    chosen = asked.settings.said()
    opening = {name: chosen.pop(name, None) for name in ("weights", "color_memory", "block_size", "device")}
    name, carries = chosen.pop("engine", DEFAULT_ENGINE), chosen.pop("propagate", True)
    colorizer = open_engine(name, propagation="full" if carries else "off", **opening)
    chosen["rate"] = chosen.pop("fps", None)
    listed: Any = "none" if shots == "none" else asked.shots or "auto"
    if preview:
        _preview(asked, colorizer, listed, chosen["rate"], every, overwrite=overwrite, hidden=quiet)
        return
    chosen |= {"shots": listed, "overwrite": overwrite, "restart": restart, "report": report, "overlay": overlay}
    identity = engine_fingerprint(name, propagate=carries, **opening)
    noting = None if quiet else partial(_note, asked.output)
    try:
        with progress_lines("looking", "coloring", hidden=quiet or as_json) as lines:
            chosen |= {"looking": lines[0], "progress": lines[1], "noting": noting}
            engines: dict[str, Any] = {"engine": colorizer, "identity": identity}
            summary = pipeline.colorize(asked.film, asked.references, asked.output, **engines, **chosen)
    except KeyboardInterrupt:
        _tell_what_is_kept(asked.output)
        raise
    _tell(summary, hidden=quiet, as_json=as_json)
    if summary.damage:
        print(f"{asked.film}: {summary.damage}; what decodes was colored", file=sys.stderr)
        raise typer.Exit(DAMAGED)


def _asked(file: str | None, said: dict[str, Any]) -> Project:
    """What the project file says, with what is said on the command line in its place.

    Raises:
        UsageError: neither says the film or the output.
        InputError: the project file cannot be used.
    """
    from kinemacolor.pipeline.project import Project, merge, read_project

    asked = merge(read_project(file) if file else Project(), said)
    if asked.film is None or asked.output is None:
        missing = ("FILM", "the film") if asked.film is None else ("--output", "where to write it")
        raise UsageError(missing[0], f"{missing[1]} is not said", "see kinemacolor colorize --help")
    return asked


def _note(output: Path, line: str) -> None:
    print(f"{output}: {line}", file=sys.stderr)


def _tell_what_is_kept(output: Path) -> None:
    from kinemacolor.pipeline.workdir import work_folder

    kept = work_folder(output)
    if kept.exists():
        print(f"what is finished lies in {kept}; the same command goes on from there", file=sys.stderr)


def _tell(summary: Summary, *, hidden: bool, as_json: bool) -> None:
    for warning in summary.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if as_json:
        print(json.dumps(summary_record(summary), indent=2))
    elif not hidden:
        print(summary_line(summary))


def _preview(
    asked: Project, engine: Engine, shots: Any, rate: Any, every: int, *, overwrite: bool, hidden: bool
) -> None:
    """Writes a sheet in place of a film."""
    from kinemacolor.core.pipelining import StageTimer
    from kinemacolor.pipeline.analysis import analyze_film
    from kinemacolor.pipeline.preview import SIDE, preview, write_preview
    from kinemacolor.video.reader import VideoReader

    assert asked.film is not None
    assert asked.output is not None
    output, settings = asked.output, asked.settings
    if output.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise UsageError(output, "is no name for a sheet", "end it in .png or .jpg, or leave out --preview")
    if output.exists() and not overwrite:
        raise OutputError(output, "exists already", "give another name, or --overwrite")
    if every < 1:
        raise UsageError("--every", f"{every} is not a number of frames", "give 1 or more")
    with VideoReader(asked.film, rate=rate) as reader, progress_lines("looking", "coloring", hidden=hidden) as lines:
        begin, stop = (None if time is None else float(time) for time in (settings.start, settings.end))
        found = analyze_film(reader, begin, stop, shots, StageTimer(), lines[0])
        options: dict[str, Any] = {"every": every, "side": settings.size or SIDE, "progress": lines[1]}
        warnings: list[str] = []
        samples = preview(reader, asked.references, engine, found, **options, warn=warnings.append)
    write_preview(output, samples)
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if not hidden:
        mean = sum(one.confidence for one in samples) / len(samples)
        print(f"{output}: {len(samples)} frames of {len(found.shots)} shots, mean confidence {mean:.2f}")


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
        "resumed": summary.resumed,
        "shots": summary.shots,
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
