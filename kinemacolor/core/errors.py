"""Errors that are shown to the user: each names its subject, the problem and the remedy in one line.

A front end prints ``str(error)`` and exits with ``error.exit_code``; nothing else about an error is for the user.
"""

from __future__ import annotations

from pathlib import Path
from unicodedata import category


def printable(text: str) -> str:
    """Text of others, such as a file's name, in one line: line breaks and control characters as ``\\n``, ``\\x1b``."""
    return "".join(
        part if part.isprintable() or category(part) == "Zs" else part.encode("unicode_escape").decode()
        for part in text
    )


class KinemacolorError(Exception):
    """One line for the user: ``subject: problem; remedy``.

    Args:
        subject: the file, folder, setting or argument at fault. A setting is named as in Python (``block_size``); the
            command line shows it as its option.
        problem: what is wrong with it, without a full stop.
        remedy: what the user can do about it, without a full stop.
    """

    exit_code = 1

    def __init__(self, subject: str | Path, problem: str, remedy: str) -> None:
        self.subject, self.problem, self.remedy = (printable(part) for part in (str(subject), problem, remedy))
        super().__init__(f"{self.subject}: {problem}; {remedy}")


class UsageError(KinemacolorError):
    """A setting or an argument is invalid, or does not fit the others (exit code 2)."""

    exit_code = 2


class InputError(KinemacolorError):
    """A film or a reference cannot be used (exit code 3)."""

    exit_code = 3


class OutputError(KinemacolorError):
    """The result cannot be written to the path, or in the format, that was chosen (exit code 4)."""

    exit_code = 4
