"""kinemacolor: color a black-and-white film from a few colored stills.

>>> import kinemacolor
>>> summary = kinemacolor.colorize("film.mp4", ["still.png"], "film-color.mp4")  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kinemacolor.core.errors import InputError, KinemacolorError, OutputError, UsageError
from kinemacolor.core.version import VERSION as __version__

if TYPE_CHECKING:
    from kinemacolor.pipeline.film import Summary, colorize


__all__ = ["InputError", "KinemacolorError", "OutputError", "Summary", "UsageError", "__version__", "colorize"]


def __getattr__(name: str) -> Any:
    """The pipeline is imported when it is first asked for: ``--help`` and ``--version`` need no video stack."""
    if name in ("Summary", "colorize"):
        from kinemacolor.pipeline import film as pipeline

        return getattr(pipeline, name)
    raise AttributeError(f"module 'kinemacolor' has no attribute {name!r}")
