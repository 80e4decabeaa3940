"""kinemacolor: color a black-and-white film from a few colored stills.

>>> import kinemacolor
>>> summary = kinemacolor.colorize("film.mp4", ["still.png"], "film-color.mp4")  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kinemacolor.core.errors import InputError, KinemacolorError, OutputError, UsageError
from kinemacolor.core.version import VERSION as __version__

if TYPE_CHECKING:
    from kinemacolor.pipeline.job import Job, colorize
    from kinemacolor.pipeline.job_spec import JobSpec
    from kinemacolor.pipeline.settings import ColorizeSettings
    from kinemacolor.pipeline.summary import Summary

_LAZY = {
    "ColorizeSettings": "kinemacolor.pipeline.settings",
    "Job": "kinemacolor.pipeline.job",
    "JobSpec": "kinemacolor.pipeline.job_spec",
    "Summary": "kinemacolor.pipeline.summary",
    "colorize": "kinemacolor.pipeline.job",
}

__all__ = [
    "ColorizeSettings",
    "InputError",
    "Job",
    "JobSpec",
    "KinemacolorError",
    "OutputError",
    "Summary",
    "UsageError",
    "__version__",
    "colorize",
]


def __getattr__(name: str) -> Any:
    """The pipeline is imported when it is first asked for: ``--help`` and ``--version`` need no video stack."""
    if name in _LAZY:
        from importlib import import_module

        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'kinemacolor' has no attribute {name!r}")
