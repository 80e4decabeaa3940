"""The frames of segments, in the order in which these are colored, from one pass forward through the film.

Segments that are colored backward one after another are wanted in the order opposite to the film's. Where decoding
would have to begin far before each of them (in a film that cannot be entered in its middle: at its start), their frames
are copied to the work folder on the way, losslessly, and each copy is removed when its segment is finished. So the cost
of decoding is in proportion to the length of the film, and the disk holds one such run of segments at a time.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator, Sequence

from kinemacolor.core.job_context import JobContext
from kinemacolor.core.pipelining import StageTimer
from kinemacolor.core.types import Frame
from kinemacolor.pipeline.segment_plan import Segment, SegmentPlan
from kinemacolor.pipeline.workdir import WorkDir
from kinemacolor.video.frame_cache import read_frame_cache, write_frame_cache
from kinemacolor.video.frame_lookup import FrameLookup
from kinemacolor.video.reader import VideoReader


class BackwardFrames:
    """Copies of the frames of segments that are colored backward. May be used by several threads.

    Args:
        workdir: holds the copies; those that are no longer wanted are removed.
        plan: all segments of the film.
        reader: of the film; tells where it can be entered.
        damaged: whether frames of the film are damaged, so that decoding may have to begin at its start anywhere.

    Attributes:
        sequential: whether the film is better read without entering it in its middle.
        largest_run: frames that are kept at a time, at most.
    """

    def __init__(self, workdir: WorkDir, plan: SegmentPlan, reader: VideoReader, *, damaged: bool = False) -> None:
        self.sequential = damaged
        self._workdir = workdir
        runs = [tuple(segment for segment in run if not workdir.is_finished(segment)) for run in plan.backward_runs()]
        runs = [run for run in runs if _repeated_frames(run, reader, damaged) > sum(s.frames for s in run)]
        self._runs = {segment.number: run for run in runs for segment in run}
        self.largest_run = max((sum(segment.frames for segment in run) for run in runs), default=0)
        self._lock = threading.Lock()
        self._closed = False
        workdir.remove_frames(except_of=[segment for run in runs for segment in run])

    def copies(self, segment: Segment) -> bool:
        """Whether the frames of a segment are read from a copy."""
        return segment.number in self._runs

    def frames(self, segment: Segment, film: FrameLookup, context: JobContext) -> Iterator[Frame]:
        """The frames of a segment from its copy, then the one at its stop where that is an anchor.

        Args:
            segment: one of which there is to be a copy.
            film: gives the frames while there is none; all segments of its run are then copied.
            context: of the job, which may be canceled meanwhile.

        Raises:
            InputError: the film gives other frames than planned, or the copy is damaged.
            OutputError: the copy cannot be written.
            JobCanceled: of the context.
        """
        path = self._workdir.frames_path(segment)
        with self._lock:
            if not path.exists():
                for other in self._runs[segment.number]:
                    if not self._workdir.frames_path(other).exists() and not self._workdir.is_finished(other):
                        write_frame_cache(self._workdir.frames_path(other), self._film_frames(other, film, context))
        return read_frame_cache(path, segment.start, film.coding)

    def close(self) -> None:
        """Ends copying that is under way in another thread."""
        self._closed = True

    def _film_frames(self, segment: Segment, film: FrameLookup, context: JobContext) -> Iterator[Frame]:
        for index in range(segment.start, segment.stop + segment.anchored):
            context.check()
            if self._closed:
                raise ValueError("frames: the segments' frames are not wanted any more")
            yield film.frame(index)


def _repeated_frames(run: Sequence[Segment], reader: VideoReader, damaged: bool) -> int:
    """Frames that are decoded without being wanted where the segments of a run are read from the film, last first."""
    return sum(segment.start - (0 if damaged else reader.entry_before(segment.start)) for segment in run[:-1])


def read_segments(
    reader: VideoReader,
    segments: Sequence[Segment],
    copies: BackwardFrames,
    timer: StageTimer,
    context: JobContext,
    *,
    anchors: bool = False,
) -> Generator[Frame, None, None]:
    """Frames of segments in the order given.

    Args:
        reader: of the film.
        segments: in the order of ``SegmentPlan.order``.
        copies: of the frames of segments that are colored backward.
        timer: its stage ``read`` is timed.
        context: of the job.
        anchors: whether the frame at an anchored stop follows its segment.
    """
    with FrameLookup(reader, sequential=copies.sequential) as film:
        for segment in segments:
            wanted = range(segment.start, segment.stop + int(anchors and segment.anchored))
            with timer.stage("read"):
                copied = copies.frames(segment, film, context) if copies.copies(segment) else None
            for index in wanted:
                with timer.stage("read"):
                    frame = film.frame(index) if copied is None else next(copied)
                yield frame
