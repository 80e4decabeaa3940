"""A film colored with stills that do not show the frames that they name: told before the work, refused with strict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kinemacolor.core.errors import InputError
from kinemacolor.core.events import AnyEvent, SegmentFinishedEvent, WarningEvent
from kinemacolor.pipeline.job import colorize
from tests.pipeline.test_neutral_shots import Painter, colored, film  # noqa: F401
from tests.stills import write_still


def run(film: Path, stills: list[Path], output: Path, **settings: Any) -> list[str]:  # noqa: F811
    """Warnings that came before the first segment was finished; they are also those of the summary."""
    events: list[AnyEvent] = []
    summary = colorize(film, stills, output, engine=Painter(), codec="ffv1", on_event=events.append, **settings)
    first = next(k for k, event in enumerate(events) if isinstance(event, SegmentFinishedEvent))
    warnings = [event.message for event in events if isinstance(event, WarningEvent)]
    assert warnings == [event.message for event in events[:first] if isinstance(event, WarningEvent)]
    assert list(summary.warnings) == warnings
    return [warning for warning in warnings if "stay gray" not in warning]


def write(folder: Path, name: int, shows: int) -> Path:
    return write_still(folder / f"frame_{name:04}.png", colored(shows))


def test_stills_numbered_from_one(film: Path, tmp_path: Path) -> None:  # noqa: F811
    stills = [write(tmp_path, shows + 1, shows) for shows in (2, 15, 40, 70)]  # 15 is the last of its shot
    (warning,) = run(film, stills, tmp_path / "out.mkv")
    names = ", ".join(str(still) for still in stills[:3])
    assert warning == (
        f"{names} and 1 more: all bound stills show the frame before the one they name "
        "(ffmpeg numbers images from 1, frames count from 0); make each number one lower"
    )
    with pytest.raises(InputError, match=r"show the frame before .*one lower, or leave out `strict`"):
        run(film, stills, tmp_path / "strict.mkv", strict=True)


def test_swapped_names(film: Path, tmp_path: Path) -> None:  # noqa: F811
    stills = [write(tmp_path, 8, 70), write(tmp_path, 70, 8), write(tmp_path, 45, 45)]
    assert run(film, stills, tmp_path / "out.mkv") == [
        f"{stills[0]}: does not show frame 8, to which it is bound, but fits frame 70; bind it to that frame",
        f"{stills[1]}: does not show frame 70, to which it is bound, but fits frame 8; bind it to that frame",
    ]
    with pytest.raises(InputError, match=r"frame_0008\.png: does not show frame 8"):
        run(film, stills, tmp_path / "strict.mkv", strict=True)


def test_stills_in_their_places(film: Path, tmp_path: Path) -> None:  # noqa: F811
    assert run(film, [write(tmp_path, k, k) for k in (3, 45, 70)], tmp_path / "out.mkv", strict=True) == []
