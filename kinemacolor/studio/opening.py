"""Opening a film or a project: the project file beside a film, or a new one; everything that it names is allowed."""

from __future__ import annotations

from pathlib import Path

from kinemacolor.core.errors import InputError
from kinemacolor.pipeline.project import Project, read_project
from kinemacolor.studio.film_project import FilmProject
from kinemacolor.studio.roots import PROJECT_SUFFIX, AllowedRoots
from kinemacolor.video.codecs import CONTAINERS


def open_project(path: Path, roots: AllowedRoots) -> FilmProject:
    """The project of a project file, or of a film: that beside it, or a new one.

    Raises:
        InputError: neither a film nor a project; it, or what it names, lies outside of the roots.
    """
    if path.suffix.lower() == PROJECT_SUFFIX and path.is_file():
        return _checked(path, read_project(path, open_folders=False), roots)
    beside = path.with_suffix(PROJECT_SUFFIX) if not path.is_dir() else path.with_name(f"{path.name}{PROJECT_SUFFIX}")
    if beside.is_file():
        project = read_project(beside, open_folders=False)
        film = project.fields.get("film")
        if film is None or Path(film).resolve() != path.resolve():
            raise InputError(beside, f"is a project of another film ({film})", "rename it, or open it itself")
        return _checked(beside, project, roots)
    suffix = path.suffix.lower() if path.suffix.lower() in CONTAINERS else ".mkv"
    output = beside.with_name(f"{beside.stem}-color{suffix}")
    if path.is_dir():
        output = beside.with_name(f"{beside.stem}-color")
    report = beside.with_name(f"{beside.stem}-report.html")
    return FilmProject(beside, Project({"film": path, "output": output, "report": report}))


def _checked(path: Path, project: Project, roots: AllowedRoots) -> FilmProject:
    fields = dict(project.fields)
    if "film" not in fields:
        raise InputError(path, "names no film", 'add a line: film = "…"')
    fields.setdefault("output", path.with_name(f"{path.stem}-color.mkv"))
    for name in ("film", "output", "report", "overlay", "shots"):
        if isinstance(fields.get(name), Path):
            roots.check(fields[name])
    for entry in fields.get("references", ()):
        for file in (entry.file, entry.mask):
            if file is not None:
                roots.check(file)
    return FilmProject(path, Project(fields, project.settings))
