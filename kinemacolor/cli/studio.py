"""``kinemacolor studio``: a page in the browser in which a film is painted, tried and run."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Annotated

import typer

from kinemacolor.core.errors import InputError, UsageError

STUDIO_EXAMPLES = """
**Examples**

    kinemacolor studio film.mp4

    kinemacolor studio reel1.toml --port 8320 --no-browser

The first line that is printed is the page's address. It holds a secret: whoever knows it can use the studio.
"""
LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")
_GIB = 1 << 30


def studio(
    target: Annotated[
        str | None,
        typer.Argument(metavar="[FILM or PROJECT]", help="Film or project file to open.", show_default=False),
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port to listen on.", show_default="8320, or the next free one")
    ] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Do not open the browser.")] = False,
    root: Annotated[
        list[str] | None,
        typer.Option(
            help="Folder that the page may use; may be repeated.",
            show_default="the film's folder, the current one and your home",
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; others than this machine's own need --i-know.")] = (
        "127.0.0.1"
    ),
    i_know: Annotated[
        bool,
        typer.Option(
            "--i-know", help="Other machines may reach the studio, unencrypted, and read and write files as I can."
        ),
    ] = False,
    most_upload: Annotated[int, typer.Option(min=1, help="Size of a dropped film at most, in GiB.")] = 8,
) -> None:
    """Open the studio: paint key frames in the browser, try them on the shot, and run the film."""
    if host not in LOCAL_HOSTS and not i_know:
        problem = f"{host} lets other machines read and write your files as you can, if they learn the secret address"
        raise UsageError("host", problem, "leave it out, or add --i-know")
    path = None
    if target is not None:
        path = Path(target)
        if not path.exists():
            raise InputError(target, "there is no such file", "give a film, a folder of images, or a project file")
    try:
        from kinemacolor.studio.server import serve
    except ModuleNotFoundError as error:
        problem = f"the studio needs {error.name}, which is not installed"
        raise InputError("studio", problem, "pip install 'kinemacolor[studio]'") from error
    with contextlib.suppress(KeyboardInterrupt):  # it does not come where the shell has the process ignore it
        serve(path, host=host, port=port, browser=not no_browser, roots=root or (), most_upload=most_upload * _GIB)
    print("the studio is closed; films that ran go on from what is finished", file=sys.stderr)
