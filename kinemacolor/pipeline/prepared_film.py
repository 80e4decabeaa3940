"""What is known before a film is read through: everything that a job names is opened and checked here."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from kinemacolor.core.errors import InputError, OutputError, UsageError
from kinemacolor.core.pipelining import StageTimer
from kinemacolor.core.types import Reference
from kinemacolor.engine.protocol import Engine
from kinemacolor.engine.registry import open_engine
from kinemacolor.pipeline.film_images import missing_remarks
from kinemacolor.pipeline.fingerprint import run_fingerprint
from kinemacolor.pipeline.job_spec import JobSpec
from kinemacolor.pipeline.settings import ColorizeSettings
from kinemacolor.references.loading import load_references
from kinemacolor.references.placement import ReferenceFile
from kinemacolor.references.size import network_size, picture_aspect
from kinemacolor.shots.lists import read_list
from kinemacolor.video.codecs import CONTAINERS
from kinemacolor.video.film_sink import check_muxing
from kinemacolor.video.info import VideoInfo
from kinemacolor.video.output import Encoding, check_destination, image_target
from kinemacolor.video.reader import VideoReader
from kinemacolor.video.writer import plan_output


@dataclass(frozen=True, slots=True, eq=False)
class PreparedFilm:
    """Everything that is known before the film is read through.

    Attributes:
        spec: of the job.
        files: the stills that color it.
        info: of the film.
        encoding: of the output.
        shape: (h, w) at which the network sees frames.
        engine: colors them.
        references: the stills at network size.
        gray_files: stills without color, whose shots stay gray.
        fingerprint: of the run.
        remarks: what the user should know before the work, a line each.
        timer: of its stages.
        begin: when it was begun, in seconds of ``time.perf_counter``.
    """

    spec: JobSpec
    files: tuple[ReferenceFile, ...]
    info: VideoInfo
    encoding: Encoding
    shape: tuple[int, int]
    engine: Engine
    references: Sequence[Reference]
    fingerprint: dict[str, object]
    gray_files: tuple[ReferenceFile, ...] = ()
    remarks: tuple[str, ...] = ()
    timer: StageTimer = field(default_factory=StageTimer)
    begin: float = field(default_factory=time.perf_counter)

    def open(self) -> VideoReader:
        """A reader of the film."""
        return VideoReader(self.spec.film, rate=self.spec.settings.fps, stream=self.spec.settings.stream)


def prepare_film(spec: JobSpec, engine: Engine | None = None) -> PreparedFilm:
    """Opens and checks everything that a job names, before hours of work.

    Args:
        spec: of the job.
        engine: one that the caller made, in place of the one that the settings name.

    Raises:
        UsageError, InputError, OutputError: one line that names what is wrong and the remedy.
    """
    begin, settings = time.perf_counter(), spec.settings
    files = spec.reference_files()
    if isinstance(spec.shots, Path):
        read_list(spec.shots)
    with reachable(spec.output, OutputError):
        check_destination(
            spec.output, source=spec.film, codec=settings.codec, overwrite=spec.overwrite, new_folders=True
        )
    _check_extras(spec)
    with reachable(spec.film, InputError):
        info = VideoReader(spec.film, rate=settings.fps, stream=settings.stream).info
    remarks = [*info.remarks, *missing_remarks(info, strict=settings.strict)]
    aspect = picture_aspect(info)
    shape = network_size(aspect, 1, side=settings.working_size)
    opened = engine or engine_of(settings)
    encoding = plan_output(
        spec.output,
        info,
        chroma_format=settings.chroma_format,
        codec=settings.codec,
        crf=settings.crf,
        color_range=settings.range,
    )
    remarks += encoding.warnings
    if image_target(spec.output) is None:  # what cannot be kept is refused or told now, not after the work is done
        remarks += check_muxing(spec.output, info, encoding, strict=settings.strict)
    loaded = load_references(files, info, shape)
    fingerprint = run_fingerprint(spec, (*loaded.files, *loaded.gray), engine)
    return PreparedFilm(
        spec,
        loaded.files,
        info,
        encoding,
        shape,
        opened,
        loaded.references,
        fingerprint,
        loaded.gray,
        (*remarks, *loaded.remarks),
        begin=begin,
    )


def engine_of(settings: ColorizeSettings) -> Engine:
    """The engine that the settings name."""
    return open_engine(
        settings.engine,
        propagation=settings.propagation,
        color_memory=settings.color_memory,
        weights=settings.weights,
        block_size=settings.block_size,
        device=settings.device,
    )


def _check_extras(spec: JobSpec) -> None:
    for name, path, suffixes in (("report", spec.report, (".html",)), ("overlay", spec.overlay, tuple(CONTAINERS))):
        if path is None:
            continue
        if path.suffix.lower() not in suffixes:
            raise UsageError(name, f"{path} has another extension", f"end it in {' or '.join(suffixes)}")
        if path.exists() and not spec.overwrite:
            raise OutputError(path, "exists already", "give another name, or `overwrite`")
        if not path.absolute().parent.is_dir():
            raise OutputError(path, "there is no such folder", "make it first")


@contextmanager
def reachable(path: str | Path, kind: type[InputError] | type[OutputError]) -> Iterator[None]:
    """A path that the system cannot even look up (too long, in a locked folder) becomes an error for the user."""
    try:
        yield
    except OSError as error:
        problem = f"cannot be reached ({error.strerror or error})"
        raise kind(path, problem, "check its name and the permissions of its folder") from error
