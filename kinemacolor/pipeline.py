"""THE path of a film: read → network → full-resolution chroma → write. Every front end takes it.

Stages are generators; each but the last runs in a thread of its own behind a short queue, so that decoding, network
and encoding overlap while memory stays the same however long the film is.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from kinemacolor.color import codes_to_luma, luma_to_grey_lightness
from kinemacolor.engine import Bank, Engine, Memory, open_engine
from kinemacolor.errors import InputError, OutputError, UsageError
from kinemacolor.frames import FloatArray, Frame
from kinemacolor.references import network_size, read_still, to_reference
from kinemacolor.stages import Clock, in_background
from kinemacolor.upsample import Quality, chroma_planes, resize
from kinemacolor.video import ChromaFormat, CodecName, VideoInfo, VideoReader, VideoWriter, check_destination

SUBSAMPLING: dict[ChromaFormat, tuple[int, int]] = {"420": (2, 2), "422": (1, 2), "444": (1, 1)}


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """A frame with the network's answer: ab (h, w, 2) at network size and the mean similarity in [-1, 1]."""

    frame: Frame
    ab: FloatArray
    confidence: float


@dataclass(frozen=True, slots=True)
class Summary:
    """What was done.

    Attributes:
        output: the coloured film.
        frames: coloured.
        size: (width, height) of the film.
        network_size: (width, height) at which the network saw it.
        seconds: wall time from opening the film to its final name.
        stage_seconds: busy time by stage: read, network, upsample, write. They overlap.
        confidence: mean similarity to the references, in [-1, 1].
        warnings: what could not be kept, a line each.
        damage: None, or where and how the input broke off; what decodes was coloured.
    """

    output: Path
    frames: int
    size: tuple[int, int]
    network_size: tuple[int, int]
    seconds: float
    stage_seconds: dict[str, float]
    confidence: float
    warnings: tuple[str, ...]
    damage: str | None

    @property
    def frames_per_second(self) -> float:
        """Of the whole."""
        return self.frames / self.seconds if self.seconds else 0.0


def colorize(
    film: str | Path,
    references: str | Path | Sequence[str | Path],
    output: str | Path,
    *,
    size: int | None = None,
    engine: str | Engine = "matching",
    propagate: bool = True,
    codec: CodecName = "h264",
    crf: int | None = None,
    start: float | None = None,
    end: float | None = None,
    chroma: ChromaFormat | None = None,
    quality: Quality = "fast",
    rate: Fraction | None = None,
    overwrite: bool = False,
    strict: bool = False,
    progress: Callable[[int, int | None], None] | None = None,
) -> Summary:
    """Colours a film from coloured stills.

    Luma is passed through bit for bit; sound, subtitles, chapters, tags and frame times are kept. The output gets its
    name when it is complete; until then, and after any failure, what was there before is untouched.

    Args:
        film: a film file, a folder of images or a pattern such as ``frame_%06d.png``.
        references: a coloured still, or several, of any size and shape; transparent areas mean "no colour given
            here".
        output: ``.mp4``, ``.mkv`` or ``.mov``, a folder or a pattern.
        size: short side in pixels at which the network sees the film; None for about 384 × 216 pixels in area.
        engine: name of an engine, or an engine.
        propagate: carry the references' colours along the optical flow as well (engines that can).
        codec: ``h264``, ``h265``, ``prores`` or ``ffv1``.
        crf: quality of h264 and h265, lower is better; None for visually lossless.
        start: seconds from the film's first frame; None for its beginning.
        end: seconds, not included; None for its end.
        chroma: subsampling of the output; None keeps the film's, and gives 4:2:0 to a grey film.
        quality: of chroma upsampling.
        rate: frames a second of a folder of images; None for 24.
        overwrite: replace an existing output.
        strict: fail where a stream of the film cannot be kept, instead of warning.
        progress: called after each frame with the number done and the number expected, or None where unknown.

    Returns:
        A ``Summary``. Its ``damage`` tells whether the film broke off before its end.

    Raises:
        UsageError, InputError, OutputError: one line that names what is wrong and the remedy.
    """
    begin = time.perf_counter()
    if isinstance(references, str | Path):
        references = [references]
    _check_arguments(references, size, start, end)
    with _reachable(output, OutputError):
        check_destination(output, source=film, codec=codec, overwrite=overwrite)
    stills = [read_still(path) for path in references]
    clock = Clock()
    with _reachable(film, InputError):
        reader = VideoReader(film, rate=rate)
    with reader:
        info = reader.info
        aspect = float(info.width * info.sample_aspect_ratio) / info.height
        shape = network_size(aspect, 1, side=size)
        runner = open_engine(engine, propagate=propagate) if isinstance(engine, str) else engine
        bank = runner.start(
            [to_reference(still, shape, info.coding.matrix, aspect=aspect, rotation=info.rotation) for still in stills]
        )
        settings: dict[str, Any] = {"chroma": chroma, "codec": codec, "crf": crf, "start": start, "end": end}
        writer = VideoWriter(output, reader, overwrite=overwrite, strict=strict, **settings)
        frames = in_background(_read(reader, start, end, clock))
        answers = in_background(_network(frames, shape, runner, bank, clock))
        total = expected_frames(info, start, end)
        with writer, closing(answers):
            done, confidence = 0, 0.0
            for answer in answers:
                _finish(answer, writer, quality, clock)
                done += 1
                confidence += answer.confidence
                if progress:
                    progress(done, total)
    return Summary(
        output=Path(output),
        frames=done,
        size=(info.width, info.height),
        network_size=(shape[1], shape[0]),
        seconds=time.perf_counter() - begin,
        stage_seconds=dict(clock.seconds),
        confidence=confidence / max(done, 1),
        warnings=tuple(writer.warnings),
        damage=reader.damage,
    )


def _check_arguments(
    references: Sequence[str | Path], size: int | None, start: float | None, end: float | None
) -> None:
    if not references:
        raise UsageError("--reference", "no coloured still was given", "give at least one image")
    if size is not None and not 32 <= size <= 2160:
        raise UsageError("--size", f"{size} is not a short side in pixels", "give 32 to 2160")
    for option, seconds in (("--start", start), ("--end", end)):
        if seconds is not None and not math.isfinite(seconds):
            raise UsageError(option, f"{seconds} is not a time", "give seconds")


@contextmanager
def _reachable(path: str | Path, kind: type[InputError] | type[OutputError]) -> Iterator[None]:
    """A path that the system does not even let one look at (too long, in a locked folder) is the user's to mend."""
    try:
        yield
    except OSError as error:
        problem = f"cannot be reached ({error.strerror or error})"
        raise kind(path, problem, "check its name and the permissions of its folder") from error


def expected_frames(info: VideoInfo, start: float | None, end: float | None) -> int | None:
    """Frames between ``start`` and ``end`` (seconds), as far as the container tells."""
    if info.frames is None:
        return None
    rate = float(info.rate)
    first, last = (math.ceil(seconds * rate - 1e-6) for seconds in (start or 0.0, end or 0.0))
    return max(0, (info.frames if end is None else min(info.frames, last)) - first)


def _read(reader: VideoReader, start: float | None, end: float | None, clock: Clock) -> Generator[Frame, None, None]:
    frames = reader.frames(start=start, end=end)
    while True:
        with clock.stage("read"):
            frame = next(frames, None)
        if frame is None:
            return
        yield frame


def _network(
    frames: Generator[Frame, None, None], shape: tuple[int, int], engine: Engine, bank: Bank, clock: Clock
) -> Generator[Answer, None, None]:
    """Blocks of ``engine.block_size`` frames through the engine, memory handed from block to block."""
    memory: Memory | None = None
    with closing(frames):
        for block in _blocks(frames, engine.block_size):
            with clock.stage("network"):
                step = engine.step(np.stack([network_lightness(frame, shape) for frame in block]), bank, memory)
            memory = step.memory
            for frame, ab, similarity in zip(block, step.ab, step.similarity, strict=True):
                yield Answer(frame, ab, float(similarity.mean()))


def _finish(answer: Answer, writer: VideoWriter, quality: Quality, clock: Clock) -> None:
    """Full-resolution chroma, and the frame into the film."""
    frame = answer.frame
    with clock.stage("upsample"):
        planes = chroma_planes(answer.ab, frame.luma, frame.coding, SUBSAMPLING[writer.chroma], quality=quality)
    with clock.stage("write"):
        writer.write(frame.with_chroma(*planes))


def network_lightness(frame: Frame, shape: tuple[int, int]) -> FloatArray:
    """L* (h, w) of a frame at network size: area means of its luma."""
    return luma_to_grey_lightness(resize(codes_to_luma(frame.luma, frame.coding), shape))


def _blocks(frames: Iterable[Frame], length: int) -> Iterator[list[Frame]]:
    block: list[Frame] = []
    for frame in frames:
        block.append(frame)
        if len(block) == length:
            yield block
            block = []
    if block:
        yield block
