"""Whether training works at all: `recipes/smoke.toml` on the example clip, stopped in the middle and taken up again.

    python benchmarks/smoke.py [--output FOLDER]

Every loss is on. Exit status 1 unless it was stopped on its way and PSNR has risen by 3 dB over its first evaluation.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
RISE = 3.0
MIDDLE = 30
"""Step after which the run is stopped."""


def train(output: Path, *options: str, stop: bool = False) -> None:
    """A run to its end, or until it has told of step ``MIDDLE`` and was sent SIGTERM."""
    recipe, clip = ROOT / "recipes" / "smoke.toml", ROOT / "examples" / "dog" / "truth.mp4"
    command = [sys.executable, "-m", "kinemacolor", "train", str(recipe), "--data", str(clip), "--output", str(output)]
    with subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            sys.stderr.write(line)
            if stop and line.startswith(f"step {MIDDLE}/"):
                process.terminate()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)


def evaluations(output: Path) -> list[tuple[int, float]]:
    """Step and PSNR of each."""
    records = [json.loads(line) for line in (output / "log.jsonl").read_text("utf-8").splitlines()]
    return [(record["step"], record["psnr"]) for record in records if record["kind"] == "evaluation"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", help="kept; else a folder that is removed")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        output = Path(options.output or name) / "smoke"
        train(output, stop=True)
        stopped = max(int(path.name.split("-")[1]) for path in (output / "checkpoints").iterdir())
        train(output, "--resume")
        found = evaluations(output)
    rise = found[-1][1] - found[0][1]
    print(
        f"stopped at step {stopped}; PSNR {', '.join(f'{psnr:.2f} ({step})' for step, psnr in found)}: +{rise:.2f} dB"
    )
    return int(rise < RISE or not 0 < stopped < found[-1][0])


if __name__ == "__main__":
    sys.exit(main())
