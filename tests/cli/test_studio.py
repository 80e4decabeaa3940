"""The command that starts the studio: what it refuses, and what it says where the extra is missing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def studio(folder: Path, *arguments: str, missing: str = "") -> subprocess.CompletedProcess[str]:
    block = f"sys.modules[{missing!r}] = None; " if missing else ""
    program = f"import sys; {block}sys.argv = ['kinemacolor', 'studio', *{list(arguments)!r}]; "
    command = [sys.executable, "-c", program + "from kinemacolor.cli import main; main()"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["missing.mkv"], 3, "there is no such file"),
        (["--host", "0.0.0.0"], 2, "--i-know"),
        (["--port", "99999"], 2, "65535"),
        (["--root", "nowhere"], 3, "is no folder"),
        (["broken.mp4"], 3, "broken.mp4"),
    ],
)
def test_what_is_refused_is_one_line(tmp_path: Path, arguments: list[str], code: int, words: str) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no film")
    result = studio(tmp_path, *arguments, "--no-browser")
    assert result.returncode == code
    assert words in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


@pytest.mark.parametrize("library", ["uvicorn", "starlette"])
def test_a_missing_extra_is_named(tmp_path: Path, library: str) -> None:
    result = studio(tmp_path, missing=library)
    assert result.returncode == 3
    assert "pip install 'kinemacolor[studio]'" in result.stderr
