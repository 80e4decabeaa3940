"""Runs of the command line as forks of this process, so that Python and its libraries are loaded once for thousands."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path


def load_libraries(*, training: bool) -> None:
    """Imports what runs are going to need, before they are forked. None of it starts a thread.

    Args:
        training: whether PyTorch and training are needed.
    """
    import kinemacolor.cli
    import kinemacolor.engine.matching
    import kinemacolor.engine.onnx_runner
    import kinemacolor.pipeline.job
    import kinemacolor.pipeline.keyframes_job
    import kinemacolor.pipeline.project

    if training:
        import kinemacolor.engine.torch_runner
        import kinemacolor.training.run.loop  # noqa: F401


def fork_command(
    arguments: Sequence[str], folder: Path, logs: Path, prepare: Callable[[], object] = lambda: None
) -> int:
    """Starts the command line as if in ``folder``, as the leader of its own group; returns its process id.

    Args:
        arguments: of the command line.
        folder: its working folder.
        logs: folder for its ``stdout`` and ``stderr``, and for temporary files.
        prepare: called in the fork before the command starts.
    """
    process = os.fork()
    if process == 0:
        _run(arguments, folder, logs, prepare)
    return process


def read_log(logs: Path, name: str) -> str:
    """What a run wrote to ``stdout`` or ``stderr``."""
    with contextlib.suppress(OSError):
        return (logs / name).read_text("utf-8", "replace")
    return ""


def _run(arguments: Sequence[str], folder: Path, logs: Path, prepare: Callable[[], object]) -> None:
    code = 1
    try:
        os.setsid()
        os.environ["TMPDIR"] = str(logs)
        for number, path in enumerate((Path(os.devnull), logs / "stdout", logs / "stderr")):
            flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC if number else os.O_RDONLY
            os.dup2(os.open(path, flags, 0o644), number)
        os.chdir(folder)
        from kinemacolor.cli import main

        sys.argv = ["kinemacolor", *arguments]
        prepare()
        main()
    except SystemExit as leave:
        code = leave.code if isinstance(leave.code, int) else int(leave.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
