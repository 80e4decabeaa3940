"""What the page can do: open films, and for each of them analyze, propose, paint, try, and run."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kinemacolor.core.errors import InputError, KinemacolorError, UsageError
from kinemacolor.core.job_context import JobContext
from kinemacolor.core.version import VERSION
from kinemacolor.pipeline.analysis_io import read_analysis
from kinemacolor.pipeline.analysis_job import AnalysisJob
from kinemacolor.pipeline.job import Job
from kinemacolor.pipeline.keyframes_job import KeyframesSpec, ProposalJob
from kinemacolor.pipeline.run_estimate import estimate_run
from kinemacolor.pipeline.settings import ColorizeSettings
from kinemacolor.pipeline.shot_trial import DEFAULT_RADIUS, TrialJob
from kinemacolor.studio.event_hub import EventHub
from kinemacolor.studio.film_project import FilmProject
from kinemacolor.studio.job_board import JobBoard, JobEntry
from kinemacolor.studio.opening import open_project
from kinemacolor.studio.painting_shelf import PaintingShelf
from kinemacolor.studio.roots import AllowedRoots
from kinemacolor.studio.still_painting import upright_ground
from kinemacolor.studio.stroke_document import Ground

MOST_PROPOSED = 60
"""Key frames that are proposed, at most; the page shows as many of the first ones as are asked for."""
MOST_OPEN = 8
"""Films that are open at a time; the one that was opened first is closed for another."""


class Desk:
    """The studio without its server.

    Args:
        roots: folders that may be used.
    """

    def __init__(self, roots: AllowedRoots) -> None:
        self.roots, self.hub = roots, EventHub()
        self.board = JobBoard(self.hub)
        self.first: str | None = None
        self._lock = threading.RLock()
        self._projects: dict[str, FilmProject] = {}
        self._shelves: dict[str, PaintingShelf] = {}

    def record(self) -> dict[str, Any]:
        """What a page needs first."""
        with self._lock:
            films = [{"id": project.id, "name": project.film.name} for project in self._projects.values()]
        return {"version": VERSION, "first": self.first, "films": films, "jobs": self.board.records()}

    # --- films --------------------

    def open(self, path: str) -> FilmProject:
        """Opens a film or a project, or goes on with one that is open; a film that is new is analyzed.

        Raises:
            InputError, UsageError: it cannot be used; one line.
        """
        checked = self.roots.check(path)
        if not checked.exists():
            raise InputError(path, "there is no such file", "choose another one")
        with self._lock:
            project = open_project(checked, self.roots)
            if project.id in self._projects:
                project = self._projects[project.id]
            else:
                self._close_oldest()
                self._projects[project.id] = project
        if project.analysis is None:
            self.analyze(project)
        self.hub.publish(kind="films", films=self.record()["films"])
        return project

    def project(self, project_id: str) -> FilmProject:
        """An open film. Raises UsageError where there is none of that id."""
        with self._lock:
            if project_id not in self._projects:
                raise UsageError("film", "is not open", "open it again")
            return self._projects[project_id]

    def _close_oldest(self) -> None:
        busy = {job["project"] for job in self.board.records() if job["state"] in ("running", "waiting")}
        while len(self._projects) >= MOST_OPEN:
            idle = next((key for key in self._projects if key not in busy), None)
            if idle is None:
                raise UsageError("film", f"{len(self._projects)} films are at work", "wait for one of them")
            shelf = self._shelves.pop(idle, None)
            if shelf is not None:
                shelf.close()
            del self._projects[idle]

    def analyze(self, project: FilmProject) -> JobEntry:
        """Starts the first pass through a film, unless it runs."""
        with self._lock:
            running = self.board.active(project.id, "analyze")
            if running is not None:
                return running
            spec_shots = project.listed_shots()
            settings, path = project.settings, project.analysis_file
            job = AnalysisJob(project.film, path, shots=spec_shots, rate=settings.fps, stream=settings.stream)
            job.listen(lambda event: self._analyzed(project) if event.kind == "finished" else None)
            return self.board.start(project.id, "analyze", job, f"Reading {project.film.name}")

    def _analyzed(self, project: FilmProject) -> None:
        project.take_analysis(read_analysis(project.analysis_file))
        self.changed(project)

    def changed(self, project: FilmProject) -> None:
        """Tells all pages to read a project anew."""
        self.hub.publish(kind="project", project=project.id)

    # --- key frames --------------------

    def propose(self, project: FilmProject) -> JobEntry:
        """Starts the search for key frames, unless it runs."""
        with self._lock:
            running = self.board.active(project.id, "keyframes")
            if running is not None:
                return running
            analysis = project.require_analysis()
            settings = project.settings
            budget = min(MOST_PROPOSED, max(8, 2 * len(analysis.shots)), analysis.frames)
            spec = KeyframesSpec(
                film=project.film, output=project.proposal_file, budget=budget, fps=settings.fps, stream=settings.stream
            )
            job = ProposalJob(spec, analysis)
            job.listen(lambda event: self.changed(project) if event.kind == "finished" else None)
            return self.board.start(project.id, "keyframes", job, "Looking for key frames")

    # --- stills --------------------

    def shelf(self, project: FilmProject) -> PaintingShelf:
        """The stills of a film."""
        with self._lock:
            if project.id not in self._shelves:

                def fault(error: Exception) -> None:
                    message = str(error) if isinstance(error, KinemacolorError) else f"a still was not written: {error}"
                    self.hub.publish(kind="fault", project=project.id, message=message)

                self._shelves[project.id] = PaintingShelf(project, lambda _frame: self.changed(project), fault)
            return self._shelves[project.id]

    def lay_ground(self, project: FilmProject, frame: int, ground: Ground) -> None:
        """Puts below a still's strokes nothing, or what the film's other stills give there.

        Raises:
            InputError: no other still colors this frame.
        """
        painting = self.shelf(project).painting(frame)
        if ground == "gray":
            painting.set_ground("gray")
            return
        ab = self._tried_colors(project, frame)
        if ab is None:
            spec = project.spec(overwrite=True)
            job = TrialJob(spec, project.require_analysis(), frame, project.engine, radius=0, without=frame)
            ab = job.run().frames[frame].ab
        painting.set_ground("film", upright_ground(project, ab))

    def _tried_colors(self, project: FilmProject, frame: int) -> Any:
        """What the newest trial gave a frame, unless that frame has a still of its own."""
        entry = self.board.newest(project.id, "try")
        if entry is None or not isinstance(entry.job, TrialJob) or project.still_file(frame) is not None:
            return None
        colored = entry.job.frames.get(frame)
        return colored.ab if colored is not None and colored.final else None

    # --- try and run --------------------

    def try_shot(self, project: FilmProject, frame: int, radius: int = DEFAULT_RADIUS) -> JobEntry:
        """Colors the frames around a place; a trial that runs is given up."""
        self.shelf(project).flush()
        running = self.board.active(project.id, "try")
        if running is not None:
            running.job.cancel()
        spec = project.spec(overwrite=True)
        spec.reference_files()
        job = TrialJob(spec, project.require_analysis(), frame, project.engine, radius=radius)
        return self.board.start(project.id, "try", job, f"Trying frame {project.number(frame)}")

    def trial(self, job_id: str) -> TrialJob:
        """A trial by its job. Raises UsageError where it is none."""
        job = self.board.entry(job_id).job
        if not isinstance(job, TrialJob):
            raise UsageError("job", "is no trial", "read the page anew")
        return job

    def set_settings(self, project: FilmProject, values: dict[str, Any]) -> None:
        """Changes the settings of a film; those that have their default are left out of its file.

        Raises:
            UsageError: a setting is unknown or of the wrong kind or range.
            InputError: the weights lie outside of the allowed folders.
        """
        defaults = ColorizeSettings()
        given = ColorizeSettings(**values)
        if given.weights is not None:
            self.roots.check(given.weights)
        kept = {name: value for name, value in given.explicit().items() if value != getattr(defaults, name)}
        project.change(settings=ColorizeSettings(**kept))
        self.changed(project)

    def estimate(self, project: FilmProject) -> dict[str, Any]:
        """Time and room that a run will take."""
        self.shelf(project).flush()
        spec = project.spec(overwrite=True)
        return estimate_run(spec, project.require_analysis(), project.engine, JobContext())

    def run(self, project: FilmProject, *, overwrite: bool = False, restart: bool = False) -> JobEntry:
        """Puts a film into the queue; one that was interrupted goes on.

        Raises:
            UsageError: it is in the queue already.
            InputError, OutputError: it cannot run; one line.
        """
        self.shelf(project).flush()
        if self.board.active(project.id, "colorize") is not None:
            raise UsageError("film", "is in the queue already", "wait for it, or cancel it")
        project.change({"report": project.report})
        project.save()
        spec = project.spec(overwrite=overwrite, restart=restart)
        spec.reference_files()
        job = Job(spec)
        job.listen(lambda event: self._film_told(project, event.kind))
        return self.board.enqueue(project.id, job, project.film.name)

    def _film_told(self, project: FilmProject, kind: str) -> None:
        if kind in ("finished", "failed", "canceled"):
            self.changed(project)

    def close(self) -> None:
        """Writes what is due and cancels what runs; finished segments are kept."""
        with self._lock:
            shelves: Sequence[PaintingShelf] = list(self._shelves.values())
        for shelf in shelves:
            shelf.flush(5.0)
        self.board.cancel_all()


def default_roots(target: Path | None, extra: Sequence[str]) -> AllowedRoots:
    """The folder of the film that is opened, the current one, and those that are named; else the home folder."""
    folders: list[Path] = [Path(folder) for folder in extra]
    for folder in folders:
        if not folder.expanduser().is_dir():
            raise InputError(folder, "is no folder", "give the folder of your films")
    if target is not None:
        folders.append(target.absolute().parent)
    if not extra:
        folders += [Path.cwd(), Path.home()]
    return AllowedRoots(folders)
