"""A folder's files are exchanged for new ones: all of them or none, whatever interrupts it."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from itertools import count
from pathlib import Path

import cv2
import numpy as np
import pytest

from kinemacolor.core.errors import InputError, OutputError
from kinemacolor.core.folder_exchange import (
    EXCHANGE,
    complete_exchange,
    make_partial_folder,
    partial_folders,
    put_in_place,
)
from kinemacolor.references.placement import reference_files
from kinemacolor.video.output import check_destination
from kinemacolor.video.reader import VideoReader

OLD = {f"frame_{number}.png": f"old {number}" for number in range(3)}
NEW = {f"frame_{number}.png": f"new {number}" for number in range(1, 5)}
OTHER = {"notes.txt": "of the user"}


def write(folder: Path, files: dict[str, str]) -> None:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)


def read(folder: Path) -> dict[str, str]:
    """The files of a folder; not what lies in folders in it."""
    return {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}


def exchange(folder: Path) -> None:
    made = make_partial_folder(folder)
    write(made, NEW)
    put_in_place(made, folder, [folder / name for name in OLD if folder.exists()])


def killed(act: Callable[[], object], number: int) -> bool:
    """Whether a fork that is killed at an operation on files came that far."""
    process = os.fork()
    if process == 0:
        left = number

        def hook(name: str, _arguments: tuple[object, ...]) -> None:
            nonlocal left
            if name in ("open", "os.rename", "os.remove", "os.rmdir", "os.listdir", "os.mkdir"):
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        try:
            sys.addaudithook(hook)
            act()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == -signal.SIGKILL


@pytest.mark.skipif(not hasattr(os, "fork"), reason="runs are forks")
def test_a_kill_at_any_operation_leaves_the_old_files_or_an_exchange_that_is_completed(tmp_path: Path) -> None:
    mixed = begun = 0
    for number in count(1):
        folder = tmp_path / str(number)
        write(folder, OLD | OTHER)
        if not killed(partial(exchange, folder), number):
            break
        files = read(folder)
        if (folder / EXCHANGE).exists():
            begun += 1
            mixed += files not in (OLD | OTHER, NEW | OTHER)
            # It may be interrupted once more while it is completed.
            killed(partial(complete_exchange, folder, InputError), 1 + number % 5)
            complete_exchange(folder, InputError)
            files = read(folder)
            assert files == NEW | OTHER
        else:
            assert files in (OLD | OTHER, NEW | OTHER)
        for left in partial_folders(folder):
            assert left.parent == folder
            shutil.rmtree(left)
        assert {path.name for path in folder.iterdir()} == set(files)
    assert read(folder) == NEW | OTHER
    assert begun > 8
    assert mixed > 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="runs are forks")
def test_a_new_folder_is_there_with_all_its_files_or_not_at_all(tmp_path: Path) -> None:
    for number in count(1):
        folder = tmp_path / str(number)
        if not killed(partial(exchange, folder), number):
            break
        assert not folder.exists() or read(folder) == NEW
    assert read(folder) == NEW


def interrupted(folder: Path) -> None:
    """Leaves a folder of three images whose exchange stopped after the first of four was moved."""
    write(folder, {})
    for name in OLD:
        assert cv2.imwrite(str(folder / name), np.full((8, 8), 90, np.uint8))
    made = make_partial_folder(folder)
    for name in NEW:
        assert cv2.imwrite(str(made / name), np.full((8, 8), 200, np.uint8))
    move, moved = os.replace, 0

    def stop(source: Path, target: Path) -> None:
        nonlocal moved
        if Path(source).parent.name == EXCHANGE:
            moved += 1
            if moved == 2:
                raise OSError(5, "Input/output error")
        move(source, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "replace", stop)
        with pytest.raises(OSError, match="Input/output"):
            put_in_place(made, folder, [folder / name for name in OLD])
    assert {cv2.imread(str(file), 0)[0, 0] for file in folder.glob("*.png")} == {90, 200}


def test_whatever_reads_or_writes_the_folder_completes_the_exchange_first(tmp_path: Path) -> None:
    acts: list[Callable[[Path], object]] = [
        lambda folder: VideoReader(folder, rate=Fraction(24)),
        lambda folder: VideoReader(folder / "frame_%d.png", rate=Fraction(24)),
        lambda folder: reference_files([folder]),
        lambda folder: check_destination(folder, overwrite=True),
        lambda folder: check_destination(folder / "frame_%d.png", overwrite=True),
    ]
    for number, act in enumerate(acts):
        folder = tmp_path / str(number)
        interrupted(folder)
        act(folder)
        assert {path.name for path in folder.iterdir()} == set(NEW)
        assert {cv2.imread(str(file), 0)[0, 0] for file in folder.iterdir()} == {200}


def test_a_new_file_may_be_a_link_of_the_old_one(tmp_path: Path) -> None:
    write(tmp_path / "a", OLD)
    made = make_partial_folder(tmp_path / "a")
    for name in OLD:
        os.link(tmp_path / "a" / name, made / name)
    put_in_place(made, tmp_path / "a", [tmp_path / "a" / name for name in OLD])
    assert read(tmp_path / "a") == OLD
    assert {path.name for path in (tmp_path / "a").iterdir()} == set(OLD)


def test_a_file_that_came_after_the_interruption_stays(tmp_path: Path) -> None:
    interrupted(tmp_path / "a")
    (tmp_path / "a" / "frame_0.png").write_text("put there by the user")
    complete_exchange(tmp_path / "a", InputError)
    assert (tmp_path / "a" / "frame_0.png").read_text() == "put there by the user"


@pytest.mark.parametrize("kind", [InputError, OutputError])
def test_an_exchange_that_cannot_be_completed_is_told(
    tmp_path: Path, kind: type[InputError] | type[OutputError]
) -> None:
    interrupted(tmp_path / "a")
    (tmp_path / "a" / EXCHANGE / "exchange.json").write_text("[")
    with pytest.raises(kind, match=r"old files beside new ones.*record is corrupt"):
        complete_exchange(tmp_path / "a", kind)
