"""The command line: one function a command. Heavy imports happen inside them, so that ``--help`` answers at once."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from enum import StrEnum
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from kinemacolor import __version__
from kinemacolor.errors import KinemacolorError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kinemacolor.pipeline import Summary

DAMAGED = 3
"""Exit code where the input broke off: the output is complete as far as it goes."""
INTERRUPTED = 130
SLOWEST, FASTEST = 0.001, 1000
"""Limits of ``--fps``."""

app = typer.Typer(
    name="kinemacolor",
    help="Colour a black-and-white film from a few coloured stills.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)

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


def _version(wanted: bool) -> None:
    if wanted:
        print(f"kinemacolor {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    pass


@app.command(epilog=EXAMPLES)
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
    propagate: Annotated[bool, typer.Option(help="Carry colours along the optical flow too.")] = True,
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

    with _progress(hidden=quiet or as_json) as advance:
        summary = pipeline.colorize(
            film,
            reference,
            output,
            size=size,
            engine=engine,
            propagate=propagate,
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


@contextmanager
def _progress(hidden: bool) -> Iterator[Callable[[int, int | None], None] | None]:
    """A progress line on standard error with frames, frames a second and ETA."""
    if hidden:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    bar = Progress(*columns, console=Console(stderr=True), speed_estimate_period=60)
    task = bar.add_task("colouring", total=None, rate="")
    try:

        def advance(done: int, total: int | None) -> None:
            bar.start()
            speed = bar.tasks[0].speed
            bar.update(task, completed=done, total=total and max(total, done), rate=f"{speed:.1f} fps" if speed else "")

        yield advance
    finally:
        if bar.live.is_started:  # else it would print an empty line
            bar.stop()


@app.command()
def info(as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False) -> None:
    """Versions, engines, weights with licence and sha256, and this machine."""
    from kinemacolor.info import installation

    record = installation()
    if as_json:
        print(json.dumps(record, indent=2))
        return
    print(f"kinemacolor {record['version']}, Python {record['python']}")
    print("libraries: " + ", ".join(f"{name} {version}" for name, version in record["libraries"].items()))
    hardware = record["hardware"]
    print(f"hardware:  {hardware['processor']}, {hardware['cores']} cores, {', '.join(hardware['providers'])}")
    for name, text in record["engines"].items():
        print(f"engine:    {name}: {text}")
    for weights in record["weights"]:
        print(f"weights:   {weights['file']} ({weights['engine']}), {weights['licence']}, {weights['origin']}")
        print(f"           sha256 {weights['sha256']}")


def _interruptible() -> None:
    """Ctrl-C, SIGTERM and a closed terminal interrupt; said again within two seconds, they leave the tidying alone."""
    last = float("-inf")

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        nonlocal last
        if time.monotonic() - last > 2:
            last = time.monotonic()
            raise KeyboardInterrupt

    for kind in _interrupting():
        if signal.getsignal(kind) is not signal.SIG_IGN:
            signal.signal(kind, interrupt)


def _interrupting() -> list[signal.Signals]:
    """The signals that mean "stop"; Windows has no SIGHUP."""
    return [signal.Signals[name] for name in ("SIGINT", "SIGTERM", "SIGHUP") if name in signal.Signals.__members__]


def _leave_if_busy(code: int) -> None:
    """Leaves at once where a stage is still deep in foreign code, which Python's own way out might crash."""
    stages = sys.modules.get("kinemacolor.stages")
    if stages and any(thread.name == stages.STAGE_THREAD for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def main() -> NoReturn:
    """Entry point: errors become one line on standard error and an exit code."""
    _interruptible()
    try:
        code = app(standalone_mode=False) or 0
    except KinemacolorError as error:
        print(f"kinemacolor: {error}", file=sys.stderr)
        code = error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except Exception as error:
        if not hasattr(error, "format_message"):  # what typer raises for a command line that makes no sense
            raise
        message = error.format_message().rstrip(".")
        if message:  # none where the help was shown instead
            print(f"kinemacolor: {message}; see kinemacolor --help", file=sys.stderr)
        code = UsageError.exit_code
    if code == INTERRUPTED:  # some versions of typer return it, others raise
        for kind in _interrupting():  # on its way out Python would let them kill it
            signal.signal(kind, signal.SIG_IGN)
        print("kinemacolor: interrupted; nothing was left under the output's name", file=sys.stderr)
    _leave_if_busy(code)
    sys.exit(code)


if __name__ == "__main__":
    main()
