"""``kinemacolor benchmark``: colorizers compared over a folder of clips."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from kinemacolor.cli.progress import progress_line
from kinemacolor.core.errors import UsageError

EXAMPLES = """
**Examples**

    kinemacolor benchmark clips/ --output report/

    kinemacolor benchmark DAVIS/ --methods gray,matching,external:ColorMNet=results/colormnet --frames 50 -o report/

    kinemacolor benchmark clips/ --protocol film --reference every:50 -o report/

Methods: gray, reinhard, welsh, flow; lite, matching (also with -alone, -chained, -memory); torch:NAME=FILE and
onnx:NAME=FOLDER (trained networks; with +alone, +chained, +memory, +block1 … +block6 behind); external:NAME=FOLDER
(what another tool made: a film or a folder of frames for each clip). References: first, middle, last, mirrored,
every:K, or a folder of stills. A run that was broken off goes on where it stopped.
"""


def benchmark(
    data: Annotated[str, typer.Argument(help="Folder of clips: film files, or frame folders as in DAVIS.")],
    output: Annotated[str, typer.Option("--output", "-o", help="Folder for the report.", show_default=False)],
    methods: Annotated[
        str, typer.Option("--methods", "-m", help="Methods, with commas between.")
    ] = "gray,reinhard,welsh,flow,matching-alone,matching,lite",
    table: Annotated[
        int | None, typer.Option(help="2 or 3: the paper's ablations or block sizes, instead of --methods.")
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="For --table: a folder of networks (2), or one network (3).")
    ] = None,
    protocol: Annotated[str, typer.Option(help="network, paper, film, or a file *.toml.")] = "network",
    frames: Annotated[
        int | None, typer.Option(help="At most so many frames of each clip.", show_default="the protocol's, or all")
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            help="first, middle, last, mirrored, every:K, or a folder of stills.", show_default="the protocol's"
        ),
    ] = None,
    clips: Annotated[
        str | None, typer.Option(help="Only these clips, with commas between.", show_default="all")
    ] = None,
    jobs: Annotated[int | None, typer.Option(help="Processes, of a thread each.", show_default="the cores")] = None,
    flow: Annotated[str, typer.Option(help="Optical flow of WE: raft, dis, or auto.")] = "auto",
    flow_weights: Annotated[str | None, typer.Option(help="Weights of RAFT, or their folder.")] = None,
    lpips_weights: Annotated[str | None, typer.Option(help="Weights of LPIPS' AlexNet, or their folder.")] = None,
    fid_weights: Annotated[str | None, typer.Option(help="Weights of FID's Inception, or their folder.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no table.")] = False,
) -> None:
    """Compare colorizers over a folder of clips in their true colors; writes results.json, report.md, report.html."""
    from kinemacolor.cli.installation import installation
    from kinemacolor.evaluation import benchmark as running
    from kinemacolor.evaluation.methods import parse_methods, table_methods
    from kinemacolor.evaluation.protocol import load_protocol
    from kinemacolor.evaluation.report import markdown, write_report
    from kinemacolor.evaluation.results import Results

    if flow not in ("auto", "raft", "dis"):
        raise UsageError("--flow", f"there is no flow {flow}", "choose auto, raft or dis")
    if jobs is not None and jobs < 1:
        raise UsageError("--jobs", f"{jobs} processes do no work", "give at least 1")
    tools = running.Tools(
        flow=flow,  # type: ignore[arg-type]  # checked above
        flow_weights=_path(flow_weights),
        lpips_weights=_path(lpips_weights),
        fid_weights=_path(fid_weights),
    )
    if (table is None) != (weights is None):
        raise UsageError("--table", "goes with --weights", "give both, or --methods torch:NAME=FILE")
    chosen = table_methods(table, Path(weights)) if table is not None and weights else parse_methods(methods)
    with progress_line("measuring", hidden=quiet, unit="results a second") as advance:
        run = running.run(
            data,
            chosen,
            output,
            load_protocol(protocol, frames=frames, reference=reference),
            tools=tools,
            only=[name.strip() for name in (clips or "").split(",") if name.strip()],
            jobs=jobs or os.cpu_count() or 1,
            progress=advance,
        )
    results = Results(run, {"command": ["kinemacolor", *sys.argv[1:]], **installation()})
    written = write_report(results, output)
    if not quiet:
        print(markdown(results).split("## Methods")[1].split("- ")[0].strip())
        print(f"\n{', '.join(str(path) for path in written[:3])}")


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None
