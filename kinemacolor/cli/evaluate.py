"""``kinemacolor evaluate``: compares a colored film with its truth."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from kinemacolor.cli.progress import progress_line

if TYPE_CHECKING:
    from kinemacolor.evaluation.measure import Measurement

EVALUATE_EXAMPLES = """
**Examples**

    kinemacolor evaluate color.mp4 truth.mp4

    kinemacolor evaluate other-tool/ DAVIS/JPEGImages/480p/goat --max-frames 50 --json

    kinemacolor evaluate color.mp4 truth.mp4 --size full --flow raft --weights weights/

Weights are never downloaded: --weights names a folder that contains them (RAFT, LPIPS, FID), each under its name among
torch's downloads. A figure whose weights are missing is n/a. Exit codes: 2 usage, 3 input, 4 output.
"""

FIGURE_ROWS = (
    ("psnr", None, "PSNR, dB", 2),
    ("ssim", None, "SSIM", 4),
    ("delta_e", None, "ΔE2000 of ab", 3),
    ("lpips", None, "LPIPS", 4),
    ("fid", None, "FID", 2),
    ("colorfulness", "colorfulness_truth", "COLOR", 2),
    ("we", "we_truth", "WE × 10³", 3),
    ("cdc", "cdc_truth", "CDC × 10³", 3),
)
"""Rows of the table: figure of the result, figure of the truth, title, and decimals."""


class FlowChoice(StrEnum):
    """Values of ``--flow``."""

    auto = "auto"
    raft = "raft"
    dis = "dis"
    none = "none"


def evaluate(
    result: Annotated[str, typer.Argument(help="Colored film: file, folder of images, or pattern.")],
    truth: Annotated[str, typer.Argument(help="The same film in its true colors, frame by frame.")],
    size: Annotated[
        str, typer.Option(help="network (about 384×216 in area), full, or the short side in pixels.")
    ] = "network",
    max_frames: Annotated[
        int | None, typer.Option(help="Number of frames to measure, from the start.", show_default="all")
    ] = None,
    flow: Annotated[
        FlowChoice, typer.Option(help="Optical flow of the warping error; auto is RAFT if its weights are found.")
    ] = FlowChoice.auto,
    weights: Annotated[
        Path | None, typer.Option(help="Folder of weights (RAFT, LPIPS, FID).", show_default="torch's downloads")
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Folder in which the flow is cached.", show_default="no cache")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON, with the figures of every frame.")] = False,
) -> None:
    """Compare RESULT with TRUTH: PSNR, SSIM, ΔE, LPIPS, FID, colorfulness, warping error, CDC."""
    from kinemacolor.evaluation.measure import load_pair, measure
    from kinemacolor.evaluation.optical import FlowMethod, clip_flow, film_lightness, flow_weights
    from kinemacolor.evaluation.perceptual import PerceptualMetrics

    method = cast(FlowMethod, "dis" if flow is FlowChoice.none else flow.value)
    flow_weights(method, weights)  # raises errors of weights before the long work
    perceptual = PerceptualMetrics(weights, weights)
    with progress_line("reading", hidden=quiet or as_json) as advance:
        films = load_pair(result, truth, size=size, max_frames=max_frames, progress=advance)
    motion = None
    if flow is not FlowChoice.none:
        motion = clip_flow(film_lightness(films[1]), cache, method, weights=weights)
    measurement = measure(*films, flow=motion, perceptual=perceptual)
    shape = films[0].shape
    if as_json:
        print(json.dumps(record(result, truth, shape, measurement), indent=2, allow_nan=False))
    else:
        print(f"{result} against {truth}: {shape[0]} frames at {shape[2]}x{shape[1]}")
        print(table(measurement))


def record(result: str, truth: str, shape: tuple[int, ...], measurement: Measurement) -> dict[str, Any]:
    """A measurement as JSON-ready values; ``size`` is (width, height)."""
    from kinemacolor.core.version import VERSION

    return {
        "version": VERSION,
        "result": result,
        "truth": truth,
        "frames": shape[0],
        "size": [shape[2], shape[1]],
        "figures": measurement.figures,
        "notes": measurement.notes,
        "per_frame": measurement.per_frame,
    }


def table(measurement: Measurement) -> str:
    """The figures as aligned text: title, result, truth, note."""
    figures = dict(measurement.figures)
    ratio = figures["colorfulness_ratio"]
    if figures["colorfulness"] is not None and ratio:
        figures["colorfulness_truth"] = figures["colorfulness"] / ratio
    lines = [f"{'':14}{'result':>9}{'truth':>9}"]
    for name, of_truth, title, decimals in FIGURE_ROWS:
        factor = 1000 if name == "cdc" else 1
        cells = [figures.get(key) if key else None for key in (name, of_truth)]
        texts = [f"{'' if value is None else format(value * factor, f'.{decimals}f'):>9}" for value in cells]
        if cells[0] is None:
            texts[0] = f"{'n/a':>9}"
        note = measurement.notes.get(name, "").removeprefix("n/a: ")
        if name == "colorfulness" and ratio is not None:
            note = f"ratio {ratio:.2f}"
        lines.append(f"{title:14}{texts[0]}{texts[1]}  {note}".rstrip())
    return "\n".join(lines)
