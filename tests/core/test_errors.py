"""Errors for the user are one line each and have exit codes."""

from __future__ import annotations

from pathlib import Path

import pytest

from kinemacolor.core.errors import InputError, KinemacolorError, OutputError, UsageError


@pytest.mark.parametrize(("kind", "code"), [(UsageError, 2), (InputError, 3), (OutputError, 4)])
def test_an_error_names_subject_problem_and_remedy(kind: type[KinemacolorError], code: int) -> None:
    error = kind(Path("films/a.mp4"), "cannot be read", "choose another film")
    assert isinstance(error, KinemacolorError)
    assert (error.subject, error.problem, error.remedy) == ("films/a.mp4", "cannot be read", "choose another film")
    assert str(error) == "films/a.mp4: cannot be read; choose another film"
    assert error.exit_code == code
