"""Checks that training works at all: `recipes/smoke.toml` on the example clip, stopped in the middle and resumed.

    python benchmarks/smoke.py [--output FOLDER]

Every loss counts. Exit status 1 unless the run was stopped before its end and PSNR rose by 3 dB over the first
validation.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
REQUIRED_GAIN = 3.0
STOP_STEP = 30
"""Step after which the run is stopped."""


def train(output: Path, *options: str, stop: bool = False) -> None:
    """A run to its end, or until SIGTERM after step ``STOP_STEP``."""
    recipe, clip = ROOT / "recipes" / "smoke.toml", ROOT / "examples" / "dog" / "truth.mp4"
    command = [sys.executable, "-m", "kinemacolor", "train", str(recipe), "--data", str(clip), "--output", str(output)]
    with subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            sys.stderr.write(line)
            if stop and line.startswith(f"step {STOP_STEP}/"):
                process.terminate()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)


def validations(output: Path) -> list[tuple[int, float]]:
    """Step and PSNR of each validation."""
    records = [json.loads(line) for line in (output / "log.jsonl").read_text("utf-8").splitlines()]
    return [(record["step"], record["psnr"]) for record in records if record["kind"] == "evaluation"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", help="folder that is kept; by default a temporary one")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        output = Path(options.output or name) / "smoke"
        train(output, stop=True)
        stopped = max(int(path.name.split("-")[1]) for path in (output / "checkpoints").iterdir())
        train(output, "--resume")
        figures = validations(output)
    gain = figures[-1][1] - figures[0][1]
    values = ", ".join(f"{psnr:.2f} ({step})" for step, psnr in figures)
    print(f"stopped at step {stopped}; PSNR {values}: {gain:+.2f} dB")
    return int(gain < REQUIRED_GAIN or not 0 < stopped < figures[-1][0])


if __name__ == "__main__":
    sys.exit(main())
