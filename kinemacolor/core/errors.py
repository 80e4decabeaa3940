"""The errors a user can meet: each names a file, the problem and the remedy in one line.

A front end prints ``str(error)`` and leaves with ``error.exit_code``; nothing else about an error is for the user.
"""

from __future__ import annotations

from pathlib import Path


class KinemacolorError(Exception):
    """One line for the user: ``subject: problem; remedy``.

    Args:
        subject: the file, folder or option at fault.
        problem: what is wrong with it, without a full stop.
        remedy: what the user can do about it, without a full stop.
    """

    exit_code = 1

    def __init__(self, subject: str | Path, problem: str, remedy: str) -> None:
        self.subject, self.problem, self.remedy = str(subject), problem, remedy
        super().__init__(f"{self.subject}: {problem}; {remedy}")


class UsageError(KinemacolorError):
    """The command line or the arguments of a call make no sense (exit code 2)."""

    exit_code = 2


class InputError(KinemacolorError):
    """A film or a reference cannot be used (exit code 3)."""

    exit_code = 3


class OutputError(KinemacolorError):
    """The result cannot be written where, or as, it was asked for (exit code 4)."""

    exit_code = 4
