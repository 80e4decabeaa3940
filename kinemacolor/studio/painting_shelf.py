"""The stills of a film that are being painted, kept at hand and written to their files in the background."""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Callable

from kinemacolor.core.errors import KinemacolorError
from kinemacolor.studio.film_project import FilmProject
from kinemacolor.studio.still_painting import StillPainting

KEPT_PAINTINGS = 2
"""Stills that are kept in memory."""


class PaintingShelf:
    """The stills of a film that were painted last, and the pictures of them that are still to be written.

    Args:
        project: of the film.
        on_written: called with the frame's index when a still was written or removed.
        on_fault: called with an error where one could not be written.
    """

    def __init__(
        self, project: FilmProject, on_written: Callable[[int], None], on_fault: Callable[[Exception], None]
    ) -> None:
        self._project, self._on_written, self._on_fault = project, on_written, on_fault
        self._lock = threading.RLock()
        self._paintings: OrderedDict[int, StillPainting] = OrderedDict()
        self._due: dict[int, StillPainting] = {}
        self._wake = threading.Condition(self._lock)
        self._busy = 0
        self._closed = False
        threading.Thread(target=self._write_all, name="studio stills", daemon=True).start()
        for frame in unwritten_stills(project):
            self.write_later(self.painting(frame))

    def painting(self, frame: int) -> StillPainting:
        """The still of a frame, read from its files where it is not at hand."""
        with self._lock:
            if frame not in self._paintings:
                self._project.number(frame)  # there is such a frame
                self._paintings[frame] = self._due.get(frame) or StillPainting(self._project, frame)
                while len(self._paintings) > KEPT_PAINTINGS:
                    self._paintings.popitem(last=False)
            self._paintings.move_to_end(frame)
            return self._paintings[frame]

    def forget(self) -> None:
        """Reads stills anew when they are asked for next."""
        self.flush()
        with self._lock:
            self._paintings.clear()

    def write_later(self, painting: StillPainting) -> None:
        """Writes the picture of a still soon; several changes in a row are one picture."""
        with self._wake:
            self._due[painting.frame] = painting
            self._wake.notify_all()

    def flush(self, seconds: float = 30.0) -> None:
        """Waits until all pictures are written."""
        with self._wake:
            self._wake.wait_for(lambda: not self._due and not self._busy, seconds)

    def close(self) -> None:
        """Writes what is due, and ends."""
        self.flush()
        with self._wake:
            self._closed = True
            self._wake.notify_all()

    def _write_all(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: bool(self._due) or self._closed)
                if not self._due:
                    return
                _, painting = self._due.popitem()
                self._busy += 1
            try:
                painting.write()
                self._on_written(painting.frame)
            except Exception as error:
                self._on_fault(error)
            finally:
                with self._wake:
                    self._busy -= 1
                    self._wake.notify_all()


def unwritten_stills(project: FilmProject) -> list[int]:
    """Frames whose strokes were kept when the studio was killed, but not yet their pictures."""
    frames = []
    for path in sorted(project.studio_folder.glob("*.strokes.json")):
        record = project.read_record(path.name)
        number = path.name.split(".", 1)[0]
        if isinstance(record, dict) and number.isdigit() and record.get("baked", -1) != record.get("revision", 0):
            with contextlib.suppress(KinemacolorError):
                project.number(int(number))
                frames.append(int(number))
    return frames
