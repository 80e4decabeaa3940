"""``kinemacolor benchmark``: compares colorizers over a folder of clips."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from kinemacolor.baselines.registry import BASELINES
from kinemacolor.cli.progress import progress_line
from kinemacolor.core.errors import UsageError
from kinemacolor.engine.registry import ENGINES

if TYPE_CHECKING:
    from kinemacolor.evaluation.benchmark import BenchmarkRun, MeasurementSettings
    from kinemacolor.evaluation.methods import Method
    from kinemacolor.evaluation.optical import FlowMethod
    from kinemacolor.evaluation.results import Results

_ENGINES = ", ".join(engine.name for engine in ENGINES.values() if not engine.needs_weights)
_TRAINED = ", ".join(f"{engine.name}:NAME=PATH" for engine in ENGINES.values() if engine.needs_weights)
BENCHMARK_EXAMPLES = f"""
**Examples**

    kinemacolor benchmark clips/ --output report/

    kinemacolor benchmark DAVIS/ --split davis2017-val --protocol paper --methods gray,matching,lite -o report/

    kinemacolor benchmark DAVIS/ VIDEVO/ --table 1 --methods gray,matching,lite -o table1/

    kinemacolor benchmark clips/ --methods gray,matching,external:ColorMNet=results/colormnet --frames 50 -o report/

    kinemacolor benchmark clips/ --protocol film --reference every:50 -o report/

Methods: {", ".join(BASELINES)}; {_ENGINES} (also with -alone, -chained, -memory);
{_TRAINED} (trained networks; with +alone, +chained, +memory, +block1 … +block6 after the path); external:NAME=FOLDER
(results of another tool: a film or a folder of frames for each clip); peer:NAME=CHECKOUT (another colorizer, run by
its own Python; see kinemacolor peers). METHOD+blind and METHOD+dvp make a method's result consistent in time.
References: first, middle, last, mirrored, every:K, or a folder of stills. An interrupted run resumes where it stopped.
"""


def benchmark(
    data: Annotated[
        list[str],
        typer.Argument(help="Folder of clips: film files, or frame folders as in DAVIS. Several for --table."),
    ],
    output: Annotated[str, typer.Option("--output", "-o", help="Folder for the report.", show_default=False)],
    methods: Annotated[
        str, typer.Option("--methods", "-m", help="Methods, separated by commas.")
    ] = "gray,reinhard,welsh,flow,matching-alone,matching,lite",
    table: Annotated[
        int | None,
        typer.Option(
            help="1, 2 or 3: a table of the paper, by its protocol, data sets side by side; 2 (ablations) and 3 (block "
            "sizes) have methods of their own."
        ),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="For --table: a folder of networks (2), or one network (3).")
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(help="network, paper, film, or a file *.toml.", show_default="network; paper for a table"),
    ] = None,
    frames: Annotated[
        int | None, typer.Option(help="Maximum number of frames of each clip.", show_default="the protocol's, or all")
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            help="first, middle, last, mirrored, every:K, or a folder of stills.", show_default="the protocol's"
        ),
    ] = None,
    clips: Annotated[str | None, typer.Option(help="Names of clips, separated by commas.", show_default="all")] = None,
    split: Annotated[
        str | None,
        typer.Option(
            help="List of clips: davis2017-val, davis2017-train, videvo-test, videvo-train; one for each data set.",
            show_default="all clips; for a table the test clips",
        ),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(help="Number of processes, each with one thread.", show_default="the cores")
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(help="colormnet: also PSNR as ColorMNet's script has it, told apart.", show_default=False),
    ] = None,
    peer_minutes: Annotated[float, typer.Option(help="Minutes that a peer may take for a clip.")] = 60,
    flow: Annotated[str, typer.Option(help="Optical flow of WE: raft, dis, or auto.")] = "auto",
    flow_weights: Annotated[Path | None, typer.Option(help="Weights of RAFT, or their folder.")] = None,
    lpips_weights: Annotated[Path | None, typer.Option(help="Weights of LPIPS' AlexNet, or their folder.")] = None,
    fid_weights: Annotated[Path | None, typer.Option(help="Weights of FID's Inception, or their folder.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress and no table.")] = False,
) -> None:
    """Compare colorizers over a folder of clips in their true colors; writes results.json, report.md, report.html."""
    from kinemacolor.evaluation.benchmark import run
    from kinemacolor.evaluation.protocol import load_protocol
    from kinemacolor.evaluation.tables import TABLE_PROTOCOL, TIMED_TABLE, chosen_splits

    settings = _measurement_settings(flow, flow_weights, lpips_weights, fid_weights)
    _check_jobs(jobs, timed=table == TIMED_TABLE)
    _extra_columns(columns)
    chosen = _methods(methods, table, weights)
    if len(data) > 1 and table is None:
        raise UsageError("DATA", f"{len(data)} data sets", "give one, or a --table, which shows them side by side")
    conditions = load_protocol(
        protocol or ("network" if table is None else TABLE_PROTOCOL), frames=frames, reference=reference
    )
    splits = chosen_splits(data, split, table)
    names = [_data_name(folder, of_data) for folder, of_data in zip(data, splits, strict=True)]
    if len(set(names)) < len(names):
        raise UsageError("DATA", f"{', '.join(names)}: data sets of one name", "give each once")
    results = {}
    for name, folder, of_data in zip(names, data, splits, strict=True):
        target = str(Path(output) / name) if len(data) > 1 else output
        with progress_line("measuring", hidden=quiet, unit="results a second") as advance:
            finished = run(
                folder,
                chosen,
                target,
                conditions,
                settings=settings,
                only=[clip.strip() for clip in (clips or "").split(",") if clip.strip()],
                split=of_data,
                jobs=jobs or os.cpu_count() or 1,
                timed=table == TIMED_TABLE,
                peer_seconds=60 * peer_minutes,
                progress=advance,
            )
        _warn_of_training_clips(finished, quiet=quiet)
        results[name] = _report(finished, target, _extra_columns(columns), quiet=quiet or table is not None)
    if table is not None:
        _write_table(table, results, output, quiet=quiet)


def _extra_columns(text: str | None) -> tuple[str, ...]:
    from kinemacolor.evaluation.results import EXTRA_COLUMNS

    names = tuple(name.strip() for name in (text or "").split(",") if name.strip())
    for name in names:
        if name not in EXTRA_COLUMNS:
            raise UsageError("--columns", f"there are no columns {name}", f"choose among {', '.join(EXTRA_COLUMNS)}")
    return names


def _check_jobs(jobs: int | None, *, timed: bool) -> None:
    if jobs is not None and jobs < 1:
        raise UsageError("--jobs", f"{jobs} is not a number of processes", "give at least 1")
    if timed and jobs is not None and jobs > 1:
        raise UsageError("--jobs", "Table 3 is timed in one process", "leave it out")


def _data_name(folder: str, split: str | None) -> str:
    """The name of a data set in a table."""
    if split is None:
        return Path(folder).resolve().name
    return {"davis2017-val": "DAVIS", "videvo-test": "Videvo"}.get(split, split)


def _write_table(table: int, results: dict[str, Results], output: str, *, quiet: bool) -> None:
    from kinemacolor.evaluation.records import write_file
    from kinemacolor.evaluation.tables import side_by_side

    text, path = side_by_side(table, results), Path(output) / f"table{table}.md"
    write_file(path, text.encode())
    if not quiet:
        print(f"{text}\n{path}")


def _measurement_settings(
    flow: str, flow_weights: Path | None, lpips_weights: Path | None, fid_weights: Path | None
) -> MeasurementSettings:
    from kinemacolor.evaluation.benchmark import MeasurementSettings

    if flow not in ("auto", "raft", "dis"):
        raise UsageError("--flow", f"there is no flow {flow}", "choose auto, raft or dis")
    return MeasurementSettings(
        flow=cast("FlowMethod", flow),
        flow_weights=flow_weights,
        lpips_weights=lpips_weights,
        fid_weights=fid_weights,
    )


def _methods(methods: str, table: int | None, weights: Path | None) -> list[Method]:
    from kinemacolor.evaluation.methods import parse_methods, table_methods
    from kinemacolor.evaluation.tables import TABLE_TITLES

    if table is not None and table not in TABLE_TITLES:
        raise UsageError("--table", f"{table} is not a table of methods", "give 1, 2 or 3")
    if (table in (2, 3)) != (weights is not None):
        raise UsageError(
            "--table", "2 and 3 need --weights, and --weights needs one of them", "give both, or --methods"
        )
    return table_methods(table, weights) if table is not None and weights else parse_methods(methods)


def _warn_of_training_clips(finished: BenchmarkRun, *, quiet: bool) -> None:
    """Tells that clips were measured on which networks are usually trained."""
    from kinemacolor.evaluation.splits import known_splits

    counts = {} if finished.split or quiet else known_splits(clip.name for clip in finished.clips)
    for split, count in counts.items():
        test = split.replace("-train", "-val" if split.startswith("davis") else "-test")
        if split.endswith("-train") and test in counts:
            text = (
                f"{count} of {len(finished.clips)} clips are of {split}; --split {test} measures the test clips alone"
            )
            print(f"kinemacolor: {text}", file=sys.stderr)


def _report(finished: BenchmarkRun, output: str, extra: tuple[str, ...], *, quiet: bool) -> Results:
    """Writes the report, and prints its table of methods."""
    from kinemacolor.cli.installation import installation
    from kinemacolor.evaluation.report import markdown, write_report
    from kinemacolor.evaluation.results import Results

    results = Results(finished, {"command": ["kinemacolor", *sys.argv[1:]], **installation()}, extra)
    files = write_report(results, output)
    if not quiet:
        print(markdown(results).split("## Methods")[1].split("- ")[0].strip())
        print(f"\n{', '.join(str(path) for path in files[:3])}")
    return results
