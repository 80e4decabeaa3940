"""A film that is open in the studio: its project file, its analysis, its shots, and its frames as people see them.

Everything that a person decides lies in files that the command line reads: ``reel.toml``, ``reel-shots.json`` and the
folder ``reel-stills``. What only the page needs lies in ``reel-studio``: the analysis, proposals, strokes, palettes and
small pictures. That folder may be removed; the film is colored the same.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from kinemacolor.core.atomic_write import atomic_write
from kinemacolor.core.errors import InputError, KinemacolorError, UsageError
from kinemacolor.core.shot import Shot
from kinemacolor.core.structured_text import parse_json
from kinemacolor.core.types import Array
from kinemacolor.engine.shared import SharedEngine
from kinemacolor.keyframes.export import exported_name, upright_luma
from kinemacolor.pipeline.analysis import FilmAnalysis, ShotChoice
from kinemacolor.pipeline.analysis_io import read_analysis, write_analysis
from kinemacolor.pipeline.fingerprint import file_fingerprint
from kinemacolor.pipeline.job_spec import JobSpec, ReferenceEntry
from kinemacolor.pipeline.prepared_film import engine_of
from kinemacolor.pipeline.project import Project, job_spec
from kinemacolor.pipeline.project_file import write_project
from kinemacolor.pipeline.settings import ColorizeSettings
from kinemacolor.references.placement import STILL_SUFFIXES
from kinemacolor.references.selection import bindings_within
from kinemacolor.shots.cards import ShotMark
from kinemacolor.shots.lists import read_shot_list, write_shots
from kinemacolor.studio.pictures import encode_jpeg, shrunk
from kinemacolor.video.film_sink import output_error
from kinemacolor.video.frame_lookup import FrameLookup
from kinemacolor.video.reader import VideoReader

THUMBNAIL_HEIGHT = 90
KEPT_FRAMES = 6
"""Frames at full size that are kept in memory."""
_FILM_RECORD, _ANALYSIS, _PROPOSAL, _PALETTES = "film.json", "analysis.npz", "proposal.json", "palettes.json"


class FilmProject:
    """A film and its project. Its methods may be called from any thread.

    Args:
        path: of the project file, which need not exist yet.
        project: what it says.

    Attributes:
        id: by which pages name it.
        path: of the project file.
        info: of the film.
        engine: that trials use.
        remarks: what the user should know about how the project was opened, a line each.
    """

    def __init__(self, path: Path, project: Project) -> None:
        self.path = path.absolute()
        self.id = hashlib.sha256(str(self.path).encode("utf-8", "surrogateescape")).hexdigest()[:12]
        self.lock = threading.RLock()
        self.remarks: list[str] = []
        self._project = project
        self._reader = VideoReader(self.film, rate=project.settings.fps, stream=project.settings.stream)
        self.info = self._reader.info
        self._lookup: FrameLookup | None = None
        self._frames: OrderedDict[int, Array] = OrderedDict()
        self.engine = SharedEngine(lambda: engine_of(self.settings))
        self.analysis = self._kept_analysis()

    # --- files --------------------

    @property
    def film(self) -> Path:
        """The film."""
        return Path(self._project.fields["film"])

    @property
    def settings(self) -> ColorizeSettings:
        """How the film is colored."""
        return self._project.settings

    @property
    def stills_folder(self) -> Path:
        """Where painted stills are written."""
        return self.path.with_name(f"{self.path.stem}-stills")

    @property
    def studio_folder(self) -> Path:
        """What only the page needs."""
        return self.path.with_name(f"{self.path.stem}-studio")

    @property
    def shot_list(self) -> Path:
        """Where shots are written that differ from those found."""
        return self.path.with_name(f"{self.path.stem}-shots.json")

    @property
    def output(self) -> Path:
        """The colored film."""
        return Path(self._project.fields["output"])

    @property
    def report(self) -> Path:
        """The report on the film."""
        return Path(self._project.fields.get("report") or self.path.with_name(f"{self.path.stem}-report.html"))

    def studio_file(self, name: str) -> Path:
        """A file in the studio's folder, which is made."""
        try:
            self.studio_folder.mkdir(exist_ok=True)
        except OSError as error:
            raise output_error(self.studio_folder, error) from error
        return self.studio_folder / name

    def write_record(self, name: str, record: Any) -> None:
        """Keeps JSON in the studio's folder."""
        path = self.studio_file(name)
        try:
            with atomic_write(path) as part:
                part.write_text(json.dumps(record), encoding="utf-8")
        except OSError as error:
            raise output_error(path, error) from error

    def read_record(self, name: str) -> Any:
        """JSON of the studio's folder; None where there is none, or where it is corrupt."""
        try:
            return parse_json((self.studio_folder / name).read_bytes())
        except (OSError, ValueError):
            return None

    # --- project --------------------

    def change(self, fields: Mapping[str, Any] | None = None, settings: ColorizeSettings | None = None) -> None:
        """Changes the project and writes its file.

        Raises:
            OutputError: it cannot be written; the project stays as it was.
        """
        with self.lock:
            changed = Project({**self._project.fields, **(fields or {})}, settings or self.settings)
            write_project(self.path, changed)
            if settings is not None and settings != self.settings:
                self.engine = SharedEngine(lambda: engine_of(self.settings))
            self._project = changed

    def save(self) -> None:
        """Writes the project's file, with the folder of stills as a reference where it holds any."""
        with self.lock:
            references = self.references()
            if references != self.entries() or not self.path.exists():
                self.change({"references": references})

    def entries(self) -> tuple[ReferenceEntry, ...]:
        """The project's references as its file has them."""
        return tuple(self._project.fields.get("references", ()))

    def references(self) -> tuple[ReferenceEntry, ...]:
        """The project's references, with the folder of stills where it holds any."""
        own = [ReferenceEntry(file=self.stills_folder)] if any(_images(self.stills_folder)) else []
        return (*(entry for entry in self.entries() if Path(entry.file) != self.stills_folder), *own)

    def drop_entry(self, file: Path) -> None:
        """Takes a still of another folder out of the project; its file stays."""
        with self.lock:
            kept = tuple(entry for entry in self.entries() if Path(entry.file) != file)
            if kept != self.entries():
                self.change({"references": kept})

    def spec(self, **fields: Any) -> JobSpec:
        """The job that the project describes, as the command line would run it."""
        with self.lock:
            return job_spec(self._project, {"references": self.references(), **fields}, {})

    def stills(self) -> list[dict[str, Any]]:
        """The project's stills: file, and the frame each belongs to, or None."""
        try:
            files = [file for entry in self.references() for file in entry.files()]
            if self.analysis is None:
                return [{"file": str(file.path), "frame": file.frame} for file in files]
            bindings = bindings_within(files, self.analysis, self.info)
        except KinemacolorError as error:
            return [{"file": error.subject, "frame": None, "fault": str(error)}]
        return [{"file": str(b.file.path), "frame": b.frame, "shot": b.shot} for b in bindings]

    def still_file(self, frame: int) -> Path | None:
        """The still that is bound to a frame."""
        return next((Path(still["file"]) for still in self.stills() if still["frame"] == frame), None)

    def still_path(self, frame: int) -> Path:
        """Where the studio writes the still of a frame: its name says the frame."""
        return self.stills_folder / exported_name(self.number(frame))

    def number(self, frame: int) -> int:
        """By which people call a frame."""
        analysis = self.require_analysis()
        if not analysis.first <= frame < analysis.first + analysis.frames:
            last = analysis.first + analysis.frames - 1
            raise UsageError("frame", f"the film has no frame {frame}", f"choose one of {analysis.first} to {last}")
        return int(analysis.numbers(self.info)[frame - analysis.first])

    # --- analysis and shots --------------------

    def require_analysis(self) -> FilmAnalysis:
        """The analysis. Raises UsageError while there is none."""
        if self.analysis is None:
            raise UsageError("film", "is not analyzed yet", "wait for the analysis")
        return self.analysis

    @property
    def analysis_file(self) -> Path:
        """Where the analysis is kept."""
        return self.studio_file(_ANALYSIS)

    @property
    def proposal_file(self) -> Path:
        """Where the proposed key frames are kept."""
        return self.studio_file(_PROPOSAL)

    def proposal(self) -> dict[str, Any] | None:
        """The proposed key frames, if they belong to the shots as they are."""
        record, analysis = self.read_record(_PROPOSAL), self.analysis
        if not isinstance(record, dict) or analysis is None or "picks" not in record:
            return None
        known = {(shot.start, shot.stop) for shot in analysis.shots}
        same = all((shot.get("start"), shot.get("stop")) in known for shot in record.get("shots", ()))
        return record if same else None

    def take_analysis(self, analysis: FilmAnalysis) -> None:
        """Keeps a new analysis, and of which film it is."""
        with self.lock:
            self.analysis = analysis
            self.write_record(_FILM_RECORD, file_fingerprint(self.film))
            self._restart_reader()

    def _kept_analysis(self) -> FilmAnalysis | None:
        """The analysis of an earlier session, if the film is still the same; with the shots of the project's list."""
        kept = self.studio_folder / _ANALYSIS
        record = self.read_record(_FILM_RECORD)
        if record is None or not kept.exists():
            return None
        if record != json.loads(json.dumps(file_fingerprint(self.film))):
            self.remarks.append(f"{self.film}: has changed since it was opened last, and is analyzed again")
            return None
        try:
            analysis = read_analysis(kept)
        except InputError:
            return None
        analysis.restore_frame_times(self._reader)
        return self._with_listed_shots(analysis)

    def _with_listed_shots(self, analysis: FilmAnalysis) -> FilmAnalysis:
        """The list of shots may have been changed by hand: it counts."""
        shots = self._project.fields.get("shots")
        if not isinstance(shots, Path):
            return analysis
        listed = read_shot_list(shots, analysis.frames, self.info.rate)
        if listed.shots == analysis.shots:
            return replace(analysis, marks=listed.marks if any(listed.marks) else analysis.marks)
        return replace(analysis, shots=listed.shots, marks=listed.marks if any(listed.marks) else ())

    def listed_shots(self) -> ShotChoice:
        """The shots that the project names; they are found where it names none."""
        shots: ShotChoice = self._project.fields.get("shots", "auto")
        return shots

    def set_shots(self, starts: Sequence[int], gray: Sequence[int]) -> None:
        """Changes cuts and marks; they are written as a list of shots that the project names.

        Args:
            starts: first frame of each shot, ascending; the first is the film's first.
            gray: numbers of the shots that stay gray, from 0.

        Raises:
            UsageError: the cuts are not ascending or lie outside of the film.
        """
        with self.lock:
            analysis = self.require_analysis()
            end = analysis.first + analysis.frames
            ascending = all(a < b for a, b in pairwise(starts))
            if not starts or starts[0] != analysis.first or not ascending or starts[-1] >= end:
                raise UsageError("shots", "cuts must ascend inside of the film", "read the page anew")
            shots = tuple(Shot(a, b) for a, b in zip(starts, [*starts[1:], end], strict=True))
            chosen = sorted({number for number in gray if 0 <= number < len(shots)})
            write_shots(self.shot_list, shots, self.info.rate, self.film.name, chosen, decided=True)
            marks: tuple[ShotMark, ...] = tuple("neutral" if k in chosen else "color" for k in range(len(shots)))
            self.analysis = replace(analysis, shots=shots, marks=marks)
            try:
                write_analysis(self.analysis_file, self.analysis)
            except OSError as error:
                raise output_error(self.analysis_file, error) from error
            self.change({"shots": self.shot_list})

    # --- pictures --------------------

    def luma(self, frame: int) -> Array:
        """The luma (H, W) of a frame as a viewer sees it: upright, square pixels; uint8 or uint16."""
        with self.lock:
            if frame not in self._frames:
                if self._lookup is None:
                    self._lookup = FrameLookup(self._reader)
                self._frames[frame] = upright_luma(self._lookup.frame(frame), self.info)
                while len(self._frames) > KEPT_FRAMES:
                    self._frames.popitem(last=False)
            self._frames.move_to_end(frame)
            return self._frames[frame]

    def thumbnail(self, frame: int) -> bytes:
        """A small JPEG of a frame, kept in the studio's folder."""
        path = self.studio_file("thumbnails") / f"{frame:07d}.jpg"
        if path.exists():
            return path.read_bytes()
        jpeg = encode_jpeg(shrunk(self.luma(frame), THUMBNAIL_HEIGHT), 80)
        try:
            path.parent.mkdir(exist_ok=True)
            with atomic_write(path) as part:
                part.write_bytes(jpeg)
        except OSError:
            pass  # it is made again
        return jpeg

    def _restart_reader(self) -> None:
        self._reader = VideoReader(self.film, rate=self.settings.fps, stream=self.settings.stream)
        if self.analysis is not None:
            self.analysis.restore_frame_times(self._reader)
        self._lookup = None

    def palettes(self) -> list[dict[str, Any]]:
        """Named colors."""
        record = self.read_record(_PALETTES)
        return record if isinstance(record, list) else []

    def set_palettes(self, palettes: list[dict[str, Any]]) -> None:
        """Keeps them."""
        self.write_record(_PALETTES, palettes)


def _images(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [path for path in folder.iterdir() if path.suffix.lower() in STILL_SUFFIXES and path.name[0] != "."]
