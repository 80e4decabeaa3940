"""A project that is written says what was to be said."""

from __future__ import annotations

from pathlib import Path

import pytest

from kinemacolor.core.errors import OutputError, UsageError
from kinemacolor.core.shot import Shot
from kinemacolor.pipeline.job_spec import ReferenceEntry
from kinemacolor.pipeline.project import Project, job_spec, read_project
from kinemacolor.pipeline.project_file import project_text, write_project
from kinemacolor.pipeline.settings import ColorizeSettings
from tests.stills import halves, write_still


def some_project(folder: Path) -> Project:
    (folder / 'film "a".mkv').touch()
    (folder / "stills").mkdir()
    write_still(folder / "stills" / "0000003.png", halves())
    write_still(folder / "Grün #1.png", halves())
    settings = ColorizeSettings(codec="ffv1", saturation=1.25, start="1.5", chroma_format="444", strict=True, crf=None)
    references = (
        ReferenceEntry(file=folder / "stills"),
        ReferenceEntry(file=folder / "Grün #1.png", time="0:00:01.250"),
    )
    fields = {"film": folder / 'film "a".mkv', "output": folder / "out" / "film.mkv", "references": references}
    return Project({**fields, "shots": (Shot(0, 5), Shot(5, 12))}, settings)


def test_it_comes_back(tmp_path: Path) -> None:
    project = some_project(tmp_path)
    write_project(tmp_path / "reel.toml", project)
    read = read_project(tmp_path / "reel.toml", open_folders=False)
    assert dict(read.fields) == dict(project.fields)
    kept = {name: value for name, value in project.settings.explicit().items() if value is not None}
    assert read.settings.explicit() == kept
    opened = job_spec(read_project(tmp_path / "reel.toml"), {}, {})
    assert [file.path.name for file in opened.reference_files()] == ["0000003.png", "Grün #1.png"]
    assert opened.reference_files() == job_spec(read, {}, {}).reference_files()


def test_paths_are_relative_and_fields_come_before_tables(tmp_path: Path) -> None:
    text = project_text(tmp_path / "reel.toml", some_project(tmp_path))
    assert 'file = "stills"' in text
    assert str(tmp_path) not in text
    assert text.index("shots = [[0, 5], [5, 12]]") < text.index("[[references]]") < text.index("[settings]")
    outside = Project({"film": Path("/films/a.mkv")})
    assert 'film = "/films/a.mkv"' in project_text(tmp_path / "reel.toml", outside)


@pytest.mark.parametrize(
    "name", ['quote".mkv', "back\\slash.mkv", "tab\t.mkv", "bell\x07.mkv", "~home.mkv", "ünï.mkv", "del\x7f.mkv"]
)
def test_odd_names_come_back(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    write_project(tmp_path / "p.toml", Project({"film": tmp_path / name}))
    assert read_project(tmp_path / "p.toml").fields["film"] == tmp_path / name


def test_what_cannot_be_written(tmp_path: Path) -> None:
    before = tmp_path / "p.toml"
    before.write_text("old")
    with pytest.raises(OutputError, match="no text"):
        write_project(before, Project({"film": tmp_path / "a\udcff.mkv"}))
    with pytest.raises(UsageError, match="no field"):
        write_project(before, Project({"overwrite": True}))
    assert before.read_text() == "old"
    with pytest.raises(OutputError):
        write_project(tmp_path / "missing" / "p.toml", Project({}))
