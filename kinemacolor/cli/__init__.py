"""The command line: a module for each command. Heavy imports happen inside them, so that ``--help`` is quick."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
import time
from types import FrameType
from typing import Annotated, NoReturn

import typer

from kinemacolor.cli.benchmark import BENCHMARK_EXAMPLES, benchmark
from kinemacolor.cli.colorize import COLORIZE_EXAMPLES, colorize
from kinemacolor.cli.evaluate import EVALUATE_EXAMPLES, evaluate
from kinemacolor.cli.explain import EXPLAIN_EXAMPLES, explain
from kinemacolor.cli.export import export
from kinemacolor.cli.follow import follow
from kinemacolor.cli.info import info
from kinemacolor.cli.keyframes import KEYFRAMES_EXAMPLES, keyframes
from kinemacolor.cli.options import dashed_message
from kinemacolor.cli.peers import PEERS_EXAMPLES, peers
from kinemacolor.cli.shots import SHOTS_EXAMPLES, shots
from kinemacolor.cli.studio import STUDIO_EXAMPLES, studio
from kinemacolor.cli.train import PACK_EXAMPLES, TRAIN_EXAMPLES, pack, train
from kinemacolor.core.errors import KinemacolorError, OutputError, UsageError, printable
from kinemacolor.core.memory import OutOfMemoryError, is_allocation_failure
from kinemacolor.core.version import VERSION

INTERRUPTED = 130

app = typer.Typer(
    name="kinemacolor",
    help="Color a black-and-white film from a few colored stills.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(requested: bool) -> None:
    if requested:
        print(f"kinemacolor {VERSION}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


app.command(epilog=COLORIZE_EXAMPLES)(colorize)
app.command(epilog=SHOTS_EXAMPLES)(shots)
app.command(epilog=KEYFRAMES_EXAMPLES)(keyframes)
app.command()(follow)
app.command(epilog=EXPLAIN_EXAMPLES)(explain)
app.command(epilog=STUDIO_EXAMPLES)(studio)
app.command(epilog=EVALUATE_EXAMPLES)(evaluate)
app.command(epilog=BENCHMARK_EXAMPLES)(benchmark)
app.command(epilog=PEERS_EXAMPLES)(peers)
app.command()(export)
app.command()(info)
app.command(epilog=TRAIN_EXAMPLES)(train)
app.command(epilog=PACK_EXAMPLES)(pack)


def _interruptible() -> None:
    """Ctrl-C, SIGTERM and a closed terminal interrupt; a second one within two seconds does not disturb the cleanup."""
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
    """Exits at once where a job is still deep in foreign code, which Python's own way out might crash."""
    if any(thread.name.startswith("kinemacolor ") for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def main() -> NoReturn:
    """Entry point: errors become one line on standard error and an exit code."""
    _interruptible()
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name that the terminal cannot show is no reason to fail
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = app(standalone_mode=False) or 0
    except KinemacolorError as error:
        print(f"kinemacolor: {dashed_message(error)}", file=sys.stderr)
        code = error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except Exception as error:
        if is_allocation_failure(error):
            print(f"kinemacolor: {OutOfMemoryError('kinemacolor')}", file=sys.stderr)
            _leave_if_busy(OutputError.exit_code)
            sys.exit(OutputError.exit_code)
        if not hasattr(error, "format_message"):  # what typer raises for a command line that makes no sense
            raise
        message = printable(error.format_message().rstrip("."))
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
