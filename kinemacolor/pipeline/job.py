"""A film to be colored, as one job with events: whoever starts it, in whatever front end, sees the same things happen.

job = Job(spec)
for event in job.events():     # starts it in a thread; listening again, from any thread, is allowed
    ...
summary = job.result()
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from kinemacolor.core.events import AnyEvent, JobKind
from kinemacolor.engine.protocol import Engine
from kinemacolor.pipeline.color_film import color_film
from kinemacolor.pipeline.event_job import EventJob
from kinemacolor.pipeline.film_plan import FilmPlan, plan_film
from kinemacolor.pipeline.job_spec import JobSpec
from kinemacolor.pipeline.prepared_film import PreparedFilm, prepare_film
from kinemacolor.pipeline.preview import PREVIEW_STEP, Preview, color_preview
from kinemacolor.pipeline.settings import ColorizeSettings
from kinemacolor.pipeline.summary import Summary
from kinemacolor.references.placement import ReferenceFile


class Job(EventJob[Summary]):
    """A film to be colored. It runs once.

    Luma is passed through bit for bit; sound, subtitles, chapters, tags and frame times are kept. The output gets its
    name when it is complete; until then what was there before is untouched. A job that was interrupted goes on from its
    last finished segment when the same one is run again; the film is the same then.

    Args:
        spec: what is to be done.
        engine: one that the caller made, in place of the one that the settings name.
    """

    kind: ClassVar[JobKind] = "colorize"
    memory_settings: ClassVar[tuple[str, ...]] = ("working_size", "max_segment_frames")

    def __init__(self, spec: JobSpec, *, engine: Engine | None = None) -> None:
        super().__init__(spec.film, spec.output)
        self.spec = spec
        self._engine = engine
        self._prepared: PreparedFilm | None = None
        self._plan: FilmPlan | None = None

    def plan(self) -> FilmPlan:
        """Analyzes the film and plans its segments without coloring anything; ``run`` goes on from there.

        Raises:
            UsageError, InputError, OutputError: one line that names what is wrong and the remedy.
            JobCanceled: it was canceled.
        """
        if self._plan is None:
            self._announce_start("colorize")
            self._plan = plan_film(self._prepare(), self._context)
        return self._plan

    def preview(self, every: int = PREVIEW_STEP) -> Preview:
        """Colors one frame in ``every`` of each shot, small, and writes them as a sheet to the job's output.

        Raises:
            UsageError, InputError, OutputError: one line that names what is wrong and the remedy.
            JobCanceled: it was canceled.
        """
        return self._run_as("preview", lambda: color_preview(self.spec, every, self._context, self._engine))

    def _work(self) -> Summary:
        return color_film(self._prepare(), self._context, self._plan)

    def _prepare(self) -> PreparedFilm:
        if self._prepared is None:
            self._prepared = prepare_film(self.spec, self._engine)
        return self._prepared


def colorize(
    film: str | Path,
    references: str | Path | ReferenceFile | Sequence[str | Path | ReferenceFile],
    output: str | Path,
    *,
    settings: ColorizeSettings | None = None,
    engine: str | Engine | None = None,
    on_event: Callable[[AnyEvent], None] | None = None,
    **changes: Any,
) -> Summary:
    """Colors a film from colored stills: ``Job(spec).run()`` in one call.

    Args:
        film: a film file, a folder of images or a pattern such as ``frame_%06d.png``.
        references: colored stills or folders of them, of any size and shape; transparent areas mean "no color given
            here". Names may say which frame or time a still belongs to (``kinemacolor.references.placement``).
        output: ``.mp4``, ``.mkv`` or ``.mov``, a folder or a pattern.
        settings: how it is colored; None for the defaults.
        engine: name of an engine, or an engine.
        on_event: called with each event, in the thread that does the work.
        changes: fields of ``JobSpec`` (``shots``, ``report``, ``overwrite``, …) and of ``ColorizeSettings``
            (``codec``, ``saturation``, …), by name.

    Returns:
        A ``Summary``. Its ``damage`` tells whether the film broke off before its end.

    Raises:
        UsageError, InputError, OutputError: one line that names what is wrong and the remedy.
    """
    fields = {name: changes.pop(name) for name in list(changes) if name in JobSpec.model_fields}
    if isinstance(engine, str):
        changes["engine"], engine = engine, None
    chosen = (settings or ColorizeSettings()).changed(**changes)
    job = Job(JobSpec(film=film, references=references, output=output, settings=chosen, **fields), engine=engine)
    if on_event:
        job.listen(on_event)
    return job.run()
