"""A still that is being painted: its strokes, the colors below them, and the picture that they make together.

The strokes lie in the studio's folder, as records; the picture lies in the folder of stills, where the command line
finds it. Changes are operations (add these strokes, remove those), so that two pages that paint one still lose nothing.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pydantic import ValidationError

from kinemacolor.core.atomic_write import atomic_write
from kinemacolor.core.color import luma_to_gray_lightness, rgb_to_lab
from kinemacolor.core.errors import InputError, UsageError
from kinemacolor.core.resample import resize
from kinemacolor.core.types import Array, BoolArray, FloatArray, Reference
from kinemacolor.engine.protocol import cells
from kinemacolor.pipeline.analysis_io import read_arrays, write_arrays
from kinemacolor.references.image import GrayStillError, read_still
from kinemacolor.references.registration import RegisteredPicture, register_picture
from kinemacolor.references.size import network_size
from kinemacolor.strokes.constraints import stroke_constraints
from kinemacolor.strokes.picture import as_codes, full_size_colors, opacity
from kinemacolor.strokes.records import MOST_STROKES
from kinemacolor.strokes.spreading import (
    FALLOFF,
    GROUND_FALLOFF,
    SpreadState,
    begin_spread,
    painted_ab,
    spread_strokes,
)
from kinemacolor.studio.film_project import FilmProject
from kinemacolor.studio.pictures import encode_jpeg
from kinemacolor.studio.stroke_document import Ground, StrokeChange, StrokeDocument
from kinemacolor.video.film_sink import output_error

PICTURE_QUALITY = 92
_PATTERN_CELL = 12  # pixels of the page's pattern that stands for "nothing here"


@dataclass(slots=True, eq=False)
class StillPainting:
    """A still of a film.

    Attributes:
        project: of the film.
        frame: index of the frame.
        document: strokes and revision.
        note: what the user should know about where the picture came from, or None.
    """

    project: FilmProject
    frame: int
    document: StrokeDocument = field(init=False)
    note: str | None = None
    _luma: FloatArray = field(init=False)
    _state: SpreadState = field(init=False)
    _ground: FloatArray | None = None
    _ground_mask: BoolArray | None = None
    _keys: FloatArray | None = None
    _open: BoolArray = field(init=False)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        codes = self.project.luma(self.frame)
        self._luma = codes.astype(np.float32) / np.float32(np.iinfo(codes.dtype).max)
        self._open = np.zeros(self.size, np.bool_)
        self.document = self._read()
        if self.document.ground != "gray" and self._ground is None:
            self._read_ground()
        self._begin()

    @property
    def size(self) -> tuple[int, int]:
        """(h, w) at which strokes are solved, upright."""
        height, width = self._luma.shape
        return network_size(width, height, side=self.project.settings.working_size)

    @property
    def frame_size(self) -> tuple[int, int]:
        """(height, width) of the frame, upright."""
        return self._luma.shape[0], self._luma.shape[1]

    # --- changes --------------------

    def change(self, change: StrokeChange) -> dict[str, Any]:
        """Adds and removes strokes.

        Raises:
            UsageError: there would be too many.
            OutputError: they cannot be kept.
        """
        with self._lock:
            begin = time.perf_counter()
            before = self.document
            removed, known = set(change.remove), {stroke.id for stroke in before.strokes}
            strokes = [stroke for stroke in before.strokes if stroke.id not in removed]
            strokes += [stroke for stroke in change.add if stroke.id not in known]
            if len(strokes) > MOST_STROKES:
                raise UsageError("strokes", f"{len(strokes)} are too many", f"paint at most {MOST_STROKES} on a still")
            self._update(strokes=strokes)
            self._solve()
            return {**self.record(), "merged": change.base != before.revision, "seconds": time.perf_counter() - begin}

    def clear(self) -> None:
        """Removes strokes, ground and picture."""
        with self._lock:
            self._ground = self._ground_mask = None
            self._update(strokes=[], ground="gray", kept=False)
            self._begin()
            self.write()

    def keep(self, kept: bool) -> None:
        """Whether the still counts although nothing is painted on what lies below."""
        with self._lock:
            self._update(kept=kept)

    def set_ground(self, ground: Ground, ab: FloatArray | None = None, mask: BoolArray | None = None) -> None:
        """Sets what lies below the strokes.

        Args:
            ground: its kind.
            ab: (h, w, 2), upright; None for gray.
            mask: (h, w) bool, False where it says nothing.
        """
        with self._lock:
            self._ground = None if ab is None else resize(ab, self.size)
            self._ground_mask = None if mask is None else resize(mask.astype(np.float32), self.size) >= 0.5
            if ab is not None:
                self._write_ground()
            self._update(ground=ground, **({"kept": True} if ground == "picture" else {}))
            self._begin()

    def lay_picture(self, path: Path) -> RegisteredPicture:
        """Takes a finished picture of another program as what lies below; the film's luminance stays.

        Raises:
            InputError: it cannot be read, is gray, or shows something else.
        """
        with self._lock:
            lightness = luma_to_gray_lightness(resize(self._luma, self.size))
            found = register_picture(path, lightness, self.project.info.coding.matrix)
            self.note = found.message
            self.set_ground("picture", found.ab, found.mask)
            return found

    def use_keys(self) -> None:
        """Computes the engine's features of the frame, for strokes that speak for what looks alike."""
        with self._lock:
            if self._keys is not None:
                return
            orientation = self.project.info.orientation
            lightness = np.ascontiguousarray(orientation.stored(luma_to_gray_lightness(resize(self._luma, self.size))))
            reference = Reference(
                lightness, np.zeros((*lightness.shape, 2), np.float32), np.ones(lightness.shape, np.bool_)
            )
            bank = self.project.engine.start([reference])
            rows, columns = cells(*lightness.shape)
            grid = bank.keys[: rows * columns].reshape(rows, columns, -1)
            self._keys = np.ascontiguousarray(orientation.upright(grid))

    def _update(self, **changes: Any) -> None:
        document = self.document.model_copy(update={**changes, "revision": self.document.revision + 1})
        self.project.write_record(self._name, document.model_dump(mode="json"))
        self.document = document

    def _begin(self) -> None:
        """Solves for all strokes on another ground."""
        self._state = begin_spread(resize(self._luma, self.size), self._ground)
        self._solve()

    def _solve(self) -> None:
        strokes = self.document.strokes
        if any(stroke.alike for stroke in strokes):
            self.use_keys()
        constraints = stroke_constraints(strokes, self.size, self.frame_size, self._keys)
        falloff = FALLOFF if self._ground is None else GROUND_FALLOFF
        self._state = spread_strokes(self._state, constraints, falloff=falloff)
        self._open = constraints.open

    # --- pictures --------------------

    def ab(self) -> FloatArray:
        """a* and b* (h, w, 2) as painted, upright."""
        with self._lock:
            return painted_ab(self._state, self._ground)

    def picture(self) -> Array:
        """R'G'B' (H, W, 3) uint8 at full size; where the still says nothing, gray with a pattern."""
        with self._lock:
            rgb = full_size_colors(self._luma, self.ab(), self.project.info.coding.matrix)
            image = as_codes(rgb)
            closed = self._closed()
            if closed is not None:
                y, x = np.mgrid[0 : image.shape[0], 0 : image.shape[1]]
                pattern = ((y + x) // _PATTERN_CELL) % 2 == 0
                gray = as_codes(np.repeat(self._luma[..., None], 3, axis=2))
                gray[pattern] = gray[pattern] // 4 * 3
                image[~closed] = gray[~closed]
            return image

    def jpeg(self, width: int | None = None) -> bytes:
        """The picture as JPEG, at most so wide."""
        image = self.picture()
        if width is not None and width < image.shape[1]:
            size = width, max(1, round(image.shape[0] * width / image.shape[1]))
            image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
        return encode_jpeg(image, PICTURE_QUALITY)

    def write(self) -> bool:
        """Writes the still, or removes it where nothing is painted; returns whether it is there.

        Raises:
            OutputError: it cannot be written.
        """
        with self._lock:
            path = self.project.still_path(self.frame)
            if not (self.document.strokes or self.document.kept):
                if self.document.written is not None and self._file_mark(path) == self.document.written:
                    path.unlink(missing_ok=True)
                self.document = self.document.model_copy(update={"written": None, "baked": self.document.revision})
                self.project.write_record(self._name, self.document.model_dump(mode="json"))
                self.project.save()
                return False
            self._write_png(path)
            other = self.project.still_file(self.frame)
            if other is not None and other != path:
                self.project.drop_entry(other)
            written = {"written": self._file_mark(path), "baked": self.document.revision}
            self.document = self.document.model_copy(update=written)
            self.project.write_record(self._name, self.document.model_dump(mode="json"))
            self.project.save()
            return True

    def _write_png(self, path: Path) -> None:
        dtype = np.uint8 if self.project.info.coding.bit_depth == 8 else np.uint16
        rgb = full_size_colors(self._luma, self.ab(), self.project.info.coding.matrix, "best")
        bgr: Array = np.ascontiguousarray(as_codes(rgb, dtype)[..., ::-1])
        closed = self._closed()
        if closed is not None:
            alpha = np.where(closed, np.iinfo(dtype).max, 0).astype(dtype)
            bgr = np.dstack([bgr, alpha])
        encoded, png = cv2.imencode(".png", bgr, [cv2.IMWRITE_PNG_COMPRESSION, 2])
        if not encoded:
            raise InputError(path, "could not be encoded", "convert the film first")
        try:
            path.parent.mkdir(exist_ok=True)
            with atomic_write(path) as part:
                part.write_bytes(png.tobytes())
        except OSError as error:
            raise output_error(path, error) from error

    def _closed(self) -> BoolArray | None:
        """(H, W), False where the still says nothing; None where it speaks everywhere."""
        is_open = self._open
        if self._ground_mask is not None:
            share = np.clip(self._state.fields[2], 0, 1)
            is_open = is_open | (~self._ground_mask & (share < 0.5))
        return opacity(is_open, self.frame_size) if is_open.any() else None

    # --- files --------------------

    @property
    def _name(self) -> str:
        return f"{self.frame:07d}.strokes.json"

    @property
    def _ground_file(self) -> Path:
        return self.project.studio_file(f"{self.frame:07d}.ground.npz")

    @staticmethod
    def _file_mark(path: Path) -> list[int] | None:
        try:
            status = path.stat()
        except OSError:
            return None
        return [status.st_size, status.st_mtime_ns]

    def _read(self) -> StrokeDocument:
        """The strokes that are kept; a still that another program has made or changed lies below new ones."""
        record = self.project.read_record(self._name)
        document = StrokeDocument()
        if record is not None:
            try:
                document = StrokeDocument.model_validate_json(json.dumps(record))
            except ValidationError:
                self.note = "its strokes were damaged and are left out"
        file = self.project.still_file(self.frame)
        if file is None or (file == self.project.still_path(self.frame) and self._file_mark(file) == document.written):
            return document
        if document.strokes and file == self.project.still_path(self.frame) and document.written is not None:
            self.note = f"{file.name} was changed by another program; its colors lie below, and its strokes are gone"
        return self._from_file(file, document)

    def _from_file(self, file: Path, document: StrokeDocument) -> StrokeDocument:
        try:
            still = read_still(file)
        except GrayStillError:
            return document
        rgb = np.clip(resize(still.rgb, self.size), 0, 1)
        self._ground = np.ascontiguousarray(rgb_to_lab(rgb)[..., 1:])
        mask = resize(still.mask.astype(np.float32), self.size) >= 0.5
        self._ground_mask = None if mask.all() else mask
        self._write_ground()
        own = file == self.project.still_path(self.frame)
        return StrokeDocument(
            revision=document.revision + 1,
            ground="picture",
            kept=True,
            written=self._file_mark(file) if own else None,
        )

    def _write_ground(self) -> None:
        assert self._ground is not None
        mask = np.ones(self.size, np.bool_) if self._ground_mask is None else self._ground_mask
        try:
            write_arrays(self._ground_file, {"ab": self._ground.astype(np.float16), "mask": mask})
        except OSError as error:
            raise output_error(self._ground_file, error) from error

    def _read_ground(self) -> None:
        try:
            arrays = read_arrays(self._ground_file)
            self._ground = resize(arrays["ab"].astype(np.float32), self.size)
            mask = resize(arrays["mask"].astype(np.float32), self.size) >= 0.5
            self._ground_mask = None if mask.all() else mask
        except (InputError, KeyError):
            self.note = "what lay below its strokes is lost; they lie on gray"

    # --- what a page sees --------------------

    def record(self) -> dict[str, Any]:
        """As JSON-ready values."""
        with self._lock:
            document = self.document
            return {
                "frame": self.frame,
                "revision": document.revision,
                "ground": document.ground,
                "kept": document.kept,
                "strokes": [stroke.model_dump(mode="json") for stroke in document.strokes],
                "note": self.note,
                "width": self.frame_size[1],
                "height": self.frame_size[0],
            }


def upright_ground(project: FilmProject, ab: Array) -> FloatArray:
    """Colors (h, w, 2) as stored in the film, as a viewer sees them."""
    return np.ascontiguousarray(project.info.orientation.upright(ab.astype(np.float32)))
