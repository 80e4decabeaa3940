"""kinemacolor: colour a black-and-white film from a few coloured stills.

>>> import kinemacolor
>>> summary = kinemacolor.colorize("film.mp4", ["still.png"], "film-colour.mp4")  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kinemacolor.errors import InputError, KinemacolorError, OutputError, UsageError

if TYPE_CHECKING:
    from kinemacolor.pipeline import Summary, colorize

__version__ = "0.1.0"

__all__ = ["InputError", "KinemacolorError", "OutputError", "Summary", "UsageError", "__version__", "colorize"]


def __getattr__(name: str) -> Any:
    """The pipeline is imported when it is first asked for: ``--help`` and ``--version`` need no video stack."""
    if name in ("Summary", "colorize"):
        from kinemacolor import pipeline

        return getattr(pipeline, name)
    raise AttributeError(f"module 'kinemacolor' has no attribute {name!r}")
